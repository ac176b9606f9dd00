#!/usr/bin/env python3
"""Put the machines of a session, as the library runs them, into docs/sessions.md.

    diagrams.py PROGRAM [--check]   PROGRAM is what tests/diagrams.c becomes:
                                    build/release/tests/diagrams

With --check nothing is written: exit status 1 when the document is not current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "sessions.md"
MACHINES = ("network", "end_device")


def drawn(program: str, text: str) -> str:
    """The page, with what stands between the marks of each machine drawn anew."""
    for machine in MACHINES:
        block = subprocess.run([program, machine], check=True, capture_output=True, text=True).stdout
        begin, end = f"<!-- begin {machine} -->\n", f"<!-- end {machine} -->\n"
        text, n = re.subn(f"(?<={begin}).*?(?={end})", lambda _: block, text, flags=re.S)
        if n != 1:
            sys.exit(f"{PAGE.name}: {n} places for {machine}")
    return text


def main(program: str, *options: str) -> None:
    before = PAGE.read_text()
    after = drawn(program, before)
    if options == ("--check",):
        if after != before:
            sys.exit(f"{PAGE.name} is not current: run scripts/diagrams.py {program}")
    elif options:
        sys.exit(__doc__)
    else:
        PAGE.write_text(after)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
