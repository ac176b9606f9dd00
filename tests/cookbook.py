#!/usr/bin/env python3
"""Run the pages of docs/cookbook: the Python of a page, in its order, prints what its blocks
of text say.  A block of Python, TOML or YAML that begins with the name of a file is that file,
for all pages; a file of tests is run by pytest.

    cookbook.py PACKAGE     the folder that has lorajs, built"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from blocks import ROOT, all_blocks

PAGES = sorted((ROOT / "docs/cookbook").glob("*.md"))
BLOCKS = all_blocks()  # the same that blocks.py takes for run here


def blocks(page: Path, *kinds: str) -> list[str]:
    return [b.text for b in BLOCKS if ROOT / b.document == page and b.kind in kinds]


def file_name(block: str) -> str | None:
    named = re.match(r"# ([\w/]+\.(?:py|toml|yml))\n", block)
    return named[1] if named else None


def run(package: Path, work: Path, *words: object) -> str:
    done = subprocess.run([sys.executable, *map(str, words)], cwd=work, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120, env={**os.environ, "PYTHONPATH": f"{package}:{work}",
                                                    "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": ""})
    if done.returncode:
        sys.exit(f"cookbook.py: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main(package: Path) -> None:
    ran, modules = 0, []
    with tempfile.TemporaryDirectory(prefix="lorajs-cookbook-") as name:
        work = Path(name)
        for page in PAGES:
            for block in blocks(page, "python", "toml", "yaml"):
                if file := file_name(block):
                    (work / file).parent.mkdir(exist_ok=True)
                    (work / file).write_text(block)
                    modules += [work / file] if file.endswith(".py") else []
        for page in PAGES:
            program = "".join(block for block in blocks(page, "python") if not file_name(block))
            said, want = "", "".join(blocks(page, "text"))
            if program:
                (work / "page.py").write_text(program)
                said = run(package, work, "page.py")
                ran += 1
            if said != want:
                sys.exit(f"{page.name} says\n{want}and prints\n{said}")
        for file in sorted(work.glob("test_*.py")):
            out = run(package, work, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "lorajs.pytest_plugin", file)
            if not re.search(r"^\d+ passed in", out, re.M):
                sys.exit(out)
            ran += 1
        for module in modules:
            if not list(module.parent.glob(f"__pycache__/{module.stem}.*")):
                sys.exit(f"cookbook.py: nobody runs {module.name}")
    if ran < 7:
        sys.exit(f"cookbook.py: {ran} programs in {len(PAGES)} pages")
    print(f"{ran} programs do what their pages say")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve())
