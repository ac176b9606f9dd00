#!/usr/bin/python3
"""The worker that is the control of what threads gain from Python: spinning.c, called as often as there are joins.

    spin_works.py FIXTURES      with PYTHONPATH naming where the module was built, and BENCH_TURNS"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers" / "python"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from fixtures import read  # noqa: E402
from protocol import Work, serve  # noqa: E402
from spinning import spin  # noqa: E402

fixtures = read(sys.argv[1])
a_join = int(os.environ["BENCH_TURNS"])
serve(fixtures, {"spin": lambda: Work([a_join] * len(fixtures.joins), spin, lambda _, answer: answer is None)})
