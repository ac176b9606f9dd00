"""python -m lorajs: the program lorajs, in place of the interpreter."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import __path__


def find() -> Path | None:
    """The program of this package, or, where it was built without, the first on PATH."""
    for folder in __path__:  # two, where it is installed to be edited
        own = Path(folder, "bin", "lorajs")
        if own.exists():
            return own
    for folder in os.get_exec_path():
        path = Path(folder, "lorajs")
        if path.is_file() and os.access(path, os.X_OK):
            with path.open("rb") as file:
                if file.read(2) != b"#!":  # pip's script of that name only leads back here
                    return path
    return None


def main() -> None:
    program = find()
    if program is None:
        print("lorajs: this package was built without the program lorajs, and there is none on PATH", file=sys.stderr)
        sys.exit(127)
    os.execv(program, ["lorajs", *sys.argv[1:]])


if __name__ == "__main__":
    main()
