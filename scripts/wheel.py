#!/usr/bin/env python3
"""Build the Python package as it is given away: its sources, and from these two wheels.

    wheel.py FOLDER

FOLDER/dist has then
    lorajs-VERSION.tar.gz               the sources
    lorajs-VERSION-*-linux_*.whl        with the program lorajs, over the libraries of this system
    lorajs-VERSION-*-manylinux_*.whl    without it and without tokens, and with copies of the libraries that it takes

The tools for this come from PyPI into a virtual environment in FOLDER."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("build", "auditwheel>=6", "patchelf>=0.17", "abi3audit")


def run(*command: object) -> str:
    """Standard output of a command that must succeed."""
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nwheel.py: exit {done.returncode} of {' '.join(words)}")
    return done.stdout


def tools(folder: Path) -> Path:
    """The programs of a virtual environment that has TOOLS."""
    if not (folder / "bin/python").exists():
        run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/python", "-m", "pip", "install", "-q", *TOOLS)
    return folder / "bin"


def one(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"wheel.py: not one {pattern} but {found}")
    return found[0]


def carried(extension: Path) -> list[str]:
    """The Debian packages of the libraries that an extension takes, but for those that every system has."""
    paths = [Path(path) for path in re.findall(r" => (/\S+)", run("ldd", extension))]
    found = {run("dpkg-query", "-S", f"*/{path.parent.name}/{path.name}").split(":")[0] for path in paths}
    return sorted(found - {"libc6"})


def add_licenses(wheel: Path, packages: list[str]) -> None:
    """The terms of what auditwheel will copy into a wheel; it writes RECORD anew."""
    with zipfile.ZipFile(wheel, "a") as archive:
        own = next(name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        for package in packages:
            archive.write(f"/usr/share/doc/{package}/copyright", f"{Path(own).parent}/{package}")


def main(folder: Path) -> None:
    programs = tools(folder / "tools")
    dist, source, plain, build = (folder / name for name in ("dist", "source", "plain", "build"))
    for made in (dist, source, plain, build):
        shutil.rmtree(made, ignore_errors=True)

    run(programs / "python", "-m", "build", "--sdist", "--outdir", dist, ROOT)
    with tarfile.open(one(dist, "*.tar.gz")) as archive:
        archive.extractall(source)
    wheel = (programs / "python", "-m", "build", "--wheel", f"-Cbuild-dir={build}", one(source, "*"))
    run(*wheel, "--outdir", dist)
    run(*wheel, "--outdir", plain, "-Ccmake.define.LORAJS_TOOLS=OFF",
        "-Ccmake.define.LORAJS_TOKEN=OFF")  # a copy of p11-kit would look for modules where this system has them

    add_licenses(one(plain, "*.whl"), carried(one(build, "python/lorajs/_native.*so")))
    path = f"PATH={programs}:{os.environ['PATH']}"  # patchelf
    run("env", path, "auditwheel", "repair", "--strip", "-w", dist, one(plain, "*.whl"))
    print(*sorted(path.name for path in dist.iterdir()), sep="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve())
