#!/usr/bin/env python3
"""What scripts/wheel.py built: its names, its contents, what it needs of a system; then it
is installed under each CPython from 3.11 on that is found, and used: what the README
shows, the program, and the tests of the package that are about the extension.

    wheel.py FOLDER [--long]

With --long all of the package's tests, and the sources are also built and used under each
CPython 3.10."""

from __future__ import annotations

import concurrent.futures
import email
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.search(r"project\(lorajs VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
README = re.search(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)[1]
TESTS = ("pytest", "hypothesis", "cryptography")  # what tests/python takes, but for the examples
EXTENSION = ("test_native.py", "test_lorajs.py", "test_stores.py", "test_vectors.py")
LIBRARIES = ("libgcrypt", "libgpg-error", "libsodium", "libsqlite3", "libyajl")


def check(truth: object, what: object) -> None:
    if not truth:
        raise SystemExit(f"wheel.py: {what}")


def run(*command: object, status: int = 0, cwd: Path | None = None, **env: str) -> str:
    """Both outputs of a command that must end with a status."""
    words = [str(word) for word in command]
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LORAJS")}
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          cwd=cwd, env={**inherited, **env}, timeout=600)
    check(done.returncode == status, f"exit {done.returncode} of {' '.join(words)}\n{done.stdout}")
    return done.stdout


def contents(wheel: Path, work: Path) -> Path:
    """The files of a wheel, unpacked; those that belong there, and no more."""
    folder = work / wheel.stem
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    about = folder / f"lorajs-{VERSION}.dist-info"
    metadata = email.message_from_string((about / "METADATA").read_text())
    check(metadata["Version"] == VERSION and metadata["License-Expression"] == "Apache-2.0", metadata.items())
    check(metadata["Requires-Python"] == ">=3.10" and not metadata.get_all("Requires-Dist"), metadata.items())
    check("LoRaWAN Join Server" in metadata.get_payload() and (about / "licenses/LICENSE").exists(), "README, LICENSE")

    ours = {p.name for p in (ROOT / "python/lorajs").iterdir() if p.is_file()} | {"native.py", "native.pyi", "_native.abi3.so"}
    found = {p.name for p in (folder / "lorajs").iterdir() if p.is_file()}
    check(found == ours, f"missing {ours - found}, unknown {found - ours}")
    exported = run("nm", "-D", "--defined-only", folder / "lorajs/_native.abi3.so")
    check(re.fullmatch(r"\w+ T PyInit__native\n", exported), exported)
    return folder


def static(dist: Path, tools: Path, work: Path) -> tuple[Path, Path]:
    """The wheel with the program, and that with the libraries, as files."""
    names = sorted(p.name for p in dist.iterdir())
    check(len(names) == 3 and names[2] == f"lorajs-{VERSION}.tar.gz", names)
    system, portable = dist / names[0], dist / names[1]
    check(re.fullmatch(rf"lorajs-{re.escape(VERSION)}-cp311-abi3-linux_\w+\.whl", system.name), system.name)
    check(re.fullmatch(rf"lorajs-{re.escape(VERSION)}-cp311-abi3-manylinux_\w+\.whl", portable.name), portable.name)

    folder = contents(system, work)
    check({p.name for p in folder.iterdir()} == {"lorajs", f"lorajs-{VERSION}.dist-info"}, list(folder.iterdir()))
    for file in ("_native.abi3.so", "bin/lorajs"):  # the library is in them, and nothing of this machine
        dynamic = run("readelf", "-d", folder / "lorajs" / file)
        check("NEEDED" in dynamic and not re.search("liblorajs|R(UN)?PATH", dynamic), dynamic)
        check(str(ROOT).encode() not in (folder / "lorajs" / file).read_bytes(), f"{file} knows where it was built")

    folder = contents(portable, work)
    check(not (folder / "lorajs/bin").exists(), "no program in the portable wheel")
    carried = sorted(p.name.split("-")[0] if not p.name.startswith("libgpg") else "libgpg-error"
                     for p in (folder / "lorajs.libs").iterdir())
    check(carried == sorted(LIBRARIES), carried)
    licenses = {p.name for p in (folder / f"lorajs-{VERSION}.dist-info/licenses").iterdir()}
    check(all(any(name.startswith(library) for name in licenses) for library in LIBRARIES), licenses)
    shown = " ".join(run(tools / "auditwheel", "show", portable).split())
    tag = portable.stem.split("-")[-1].split(".")[0]
    check(f'is consistent with the following platform tag: "{tag}"' in shown, shown)

    for wheel in (system, portable):
        [audited] = json.loads(run(tools / "abi3audit", "--strict", "--report", wheel))["specs"].values()
        check([(e["result"]["is_abi3_baseline_compatible"], e["result"]["non_abi3_symbols"]) for e in audited["wheel"]]
              == [(True, [])], audited)
    return system, portable


def interpreters() -> dict[tuple[int, int], Path]:
    """A CPython of each version that is found: this one first, then those of pyenv and on PATH."""
    named = [Path(folder, f"python3.{minor}") for folder in os.get_exec_path() for minor in range(10, 20)]
    tell = "import sys, sysconfig as s; print(sys.implementation.name, *sys.version_info[:2], s.get_config_var('Py_GIL_DISABLED'))"
    found: dict[tuple[int, int], Path] = {}
    for python in [Path(sys.executable), *sorted(Path.home().glob(".pyenv/versions/*/bin/python3")), *named]:
        if python.exists():
            said = subprocess.run([python, "-c", tell], capture_output=True, text=True)
            told = re.fullmatch(r"cpython (\d+) (\d+) (?:None|0)\n", said.stdout)
            if told and not said.returncode:
                found.setdefault((int(told[1]), int(told[2])), python)
    return found


def bare(python: Path, folder: Path, package: Path) -> Path:
    """The interpreter of a virtual environment that has nothing but the package."""
    run(python, "-m", "venv", folder)
    own = folder / "bin/python"
    run(own, "-m", "pip", "install", "-q", package)
    return own


def shown(python: Path, work: Path) -> None:
    """What the README shows."""
    out = run(python, "-W", "error", "-c", README, cwd=work)
    check(re.fullmatch(r"20[0-9a-f]{32} 1\n", out), out)


def tested(python: Path, work: Path, program: Path, every: bool) -> str:
    """What pytest says of the installed package."""
    run(python, "-m", "pip", "install", "-q", *TESTS)
    where = run(python, "-c", "import lorajs; print(lorajs.__file__)", cwd=work)
    check(str(work) in where, where)
    tests = ROOT / "tests/python"
    chosen = (tests, f"--ignore={tests / 'test_examples.py'}") if every else (tests / name for name in EXTENSION)
    out = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", ROOT / "tests/pytest.ini", "-m", "not long",
              *chosen, cwd=work, LORAJS=str(program))
    return out.strip().splitlines()[-1]


def used(python: Path, system: Path, portable: Path, work: Path, every: bool) -> str:
    """Both wheels under one interpreter; the tests with the libraries of the system, since
    they lock a store's file with Python's sqlite3, too."""
    work.mkdir()
    own = bare(python, work / "venv", portable)
    shown(own, work)
    loaded = run(own, "-c", "import lorajs.native; print(open('/proc/self/maps').read())", cwd=work)
    for library in LIBRARIES:
        check(re.search(rf"lorajs\.libs/{library}", loaded), f"{library} is not the wheel's own")
    programs = str(own.parent)
    said = run(own, "-m", "lorajs", "version", status=127, cwd=work, PATH=programs)
    check("built without the program" in said, said)
    with zipfile.ZipFile(system) as archive:
        program = Path(archive.extract("lorajs/bin/lorajs", work))
    program.chmod(0o755)
    told = run(program, "version")
    check(told.startswith(f"lorajs {VERSION}\n"), told)
    check(run(own, "-m", "lorajs", "version", cwd=work, PATH=f"{programs}:{program.parent}") == told, "one on PATH")

    run(own, "-m", "pip", "install", "-q", "--force-reinstall", system)
    shown(own, work)
    check(run(own, "-m", "lorajs", "version", cwd=work, PATH=programs) == told, "the program of the package")
    check(run(own.parent / "lorajs", "version", cwd=work) == told, "the command lorajs is the same program")
    said = run(own, "-m", "lorajs", "device", "nonsense", status=2, cwd=work)
    check(said.startswith("lorajs: "), f"its exit status and messages are the program's own: {said}")
    return tested(own, work, program, every)


def main(folder: Path, *options: str) -> None:
    found = interpreters()
    with tempfile.TemporaryDirectory(prefix="lorajs-wheel-") as name:
        work = Path(name)
        system, portable = static(folder / "dist", folder / "tools/bin", work)
        print(portable.name)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            tests = {version: pool.submit(used, python, system, portable, work / str(version[1]), "--long" in options)
                     for version, python in found.items() if version >= (3, 11)}
            for version, test in tests.items():
                print("CPython {}.{}:".format(*version), test.result())
        check(tests, "no CPython from 3.11 on")
        for version, python in found.items() if "--long" in options else ():
            if (3, 10) <= version < (3, 11):
                [sources] = (folder / "dist").glob("*.tar.gz")
                shown(bare(python, work / str(version[1]), sources), work)
                print("CPython {}.{}: from its sources".format(*version))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
