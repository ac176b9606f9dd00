#!/usr/bin/python3
"""The worker that is the crypto core called from Python: coring.c, which has no more than that.

    core_works.py FIXTURES      with PYTHONPATH naming where the module was built"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers" / "python"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import coring  # noqa: E402
from fixtures import ANSWERS, read  # noqa: E402
from protocol import Work, serve  # noqa: E402

fixtures = read(sys.argv[1])
coring.begin(sys.argv[1])


def core(kind: str) -> Work:
    accept, *keys = ANSWERS[kind]
    return Work(range(len(fixtures.joins)), getattr(coring, f"join_{kind}"),
                lambda f, answer: answer == (f[accept], [f[name] for name in keys]))  # fmt: skip


serve(fixtures, {kind: lambda kind=kind: core(kind) for kind in ANSWERS})  # type: ignore[misc]
