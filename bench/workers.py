"""The programs that are measured: how each is made, started, asked and ended."""

from __future__ import annotations

import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Callable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = ROOT / "build" / "bench"
FIXTURES = BUILD / "fixtures.bin"
RELEASE = ROOT / "build" / "release"
PYTHON = "/usr/bin/python3"  # Debian's, which the package is built for
PEERS = HERE / "peers"
PACKAGE = {"PYTHONPATH": str(RELEASE / "python")}


class Missing(Exception):
    """It cannot be had or run on this machine; the text says why."""


class Wrong(Missing):
    """It runs, and does not reproduce a fixture."""


PROCESSORS = sorted(os.sched_getaffinity(0))  # the first is for who measures, the last for what is measured


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Process:
    """A child that ends when its standard input does, or is told to, and by force if it does not; with who measures."""

    def __init__(self, name: str, argv: list[str | Path], env: dict[str, str] | None = None,
                 processors: list[int] = PROCESSORS[-1:]) -> None:
        self.name = name

        def child() -> None:
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            os.sched_setaffinity(0, processors)

        log = (BUILD / "log" / f"{name}.log").open("wb")
        every = os.environ | {
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_PROCESSORS": " ".join(map(str, PROCESSORS)),  # for who has more threads than one
        } | (env or {})
        try:
            self.child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=log, env=every, text=True, bufsize=1,
                                          preexec_fn=child)
        except OSError as e:
            raise Missing(f"{argv[0]}: {e.strerror}") from None
        finally:
            log.close()

    @property
    def pid(self) -> int:
        return self.child.pid

    def line(self, seconds: float) -> str:
        """The next line that it says."""
        out: IO[str] = self.child.stdout  # type: ignore[assignment]
        if not select.select([out], [], [], seconds)[0]:
            raise Missing(f"{self.name} said nothing for {seconds:.0f} s")
        line = out.readline()
        if not line:
            raise Missing(f"{self.name} ended, see build/bench/log/{self.name}.log")
        return line.rstrip("\n")

    def ask(self, line: str, seconds: float = 60) -> str:
        """Say a line; what follows "ok" of the answer."""
        try:
            self.child.stdin.write(line + "\n")  # type: ignore[union-attr]
        except OSError:
            raise Missing(f"{self.name} has ended, see build/bench/log/{self.name}.log") from None
        answer = self.line(seconds)
        if not answer.startswith("ok"):
            raise (Wrong if "not reproduced" in answer else Missing)(answer.removeprefix("bad "))
        return answer[2:].strip()

    def close(self, seconds: float = 10, told: int | None = None) -> int:
        if told is not None and self.child.poll() is None:
            self.child.send_signal(told)
        try:
            self.child.stdin.close()  # type: ignore[union-attr]
        except OSError:
            pass
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()  # type: ignore[union-attr]
        return self.child.returncode


@dataclass
class Subject:
    """Something to be measured: what it is called, and how it comes to run."""

    name: str
    title: str
    start: Callable[[], Process]
    process: Process | None = field(default=None, compare=False)


# -- built by the project's own build


def said(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def ours(name: str, title: str, *argv: str | Path, env: dict[str, str] | None = None) -> Subject:
    return Subject(name, title, lambda: Process(name, [*argv, FIXTURES], env))


GCRYPT_FLOOR = RELEASE / "bench" / "bench_gcrypt_floor"
OURS = [
    ours("floor", "AES-NI floor", RELEASE / "bench" / "bench_floor"),
    ours("gcrypt", f"calls of libgcrypt {said('pkg-config', '--modversion', 'libgcrypt')} alone", GCRYPT_FLOOR),
    ours("gcrypt-ecb", "the same, all of them ECB as lorajs has them", GCRYPT_FLOOR, env={"BENCH_ECB": "1"}),
    ours("lorajs", "lorajs", RELEASE / "bench" / "bench_lorajs"),
    Subject("token", "lorajs, keys in SoftHSM 2 (256 devices)",
            lambda: Process("token", [RELEASE / "bench" / "bench_token", FIXTURES, "256"])),
    ours("python", "lorajs from Python", PYTHON, HERE / "python_works.py", env=PACKAGE),
    ours("python-core", "lorajs from Python, the core alone, in a module of the bench", PYTHON, HERE / "core_works.py",
         env={"PYTHONPATH": str(RELEASE / "bench")}),
]  # fmt: skip


def spins(turns: int) -> list[Subject]:
    """Calls of so many turns that share nothing: in C, and from Python."""
    env = {"BENCH_TURNS": str(turns), "PYTHONPATH": str(RELEASE / "bench")}
    return [ours("spin", "a call that spins", RELEASE / "bench" / "bench_spin", env=env),
            ours("python-spin", "a call that spins, from Python", PYTHON, HERE / "spin_works.py", env=env)]


# -- fetched by their package managers, into build/

patience = 120.0  # seconds that a step of making one may take; bench/run --long has more



def run(argv: list[str | Path], log: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """One step of making a peer; what it says is kept in a log."""
    if not shutil.which(str(argv[0])):
        raise Missing(f"there is no {argv[0]} here")
    with (BUILD / "log" / f"{log}.log").open("ab") as out:
        try:
            done = subprocess.run([str(a) for a in argv], stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=cwd,
                                  env=os.environ | (env or {}), timeout=patience)
        except subprocess.TimeoutExpired:
            raise Missing(f"{argv[0]} took longer than {patience:.0f} s; --long waits longer") from None
    if done.returncode:
        raise Missing(f"{argv[0]} failed, see build/bench/log/{log}.log")


def pin(path: str, pattern: str) -> str:
    found = re.search(pattern, (PEERS / path).read_text())
    return found[1] if found else "?"


def go(folder: str, sums: bool = True) -> Path:
    """A worker in Go, made anew by the Go there is.  Without sums, its modules are those that go.mod names and the
    checksum database knows: what go finds out about them goes beside the binary."""
    binary = BUILD / "peers" / folder
    modules: list[str | Path] = ["-mod=readonly"]
    if not sums:
        mod = shutil.copy(PEERS / folder / "go.mod", BUILD / "peers" / f"{folder}.mod")
        modules = ["-mod=mod", f"-modfile={mod}"]
    run(["go", "build", *modules, "-o", binary, "."], folder, PEERS / folder)
    return binary


def go_peer(folder: str, module: str, sums: bool = True) -> Subject:
    version = pin(f"{folder}/go.mod", rf"{re.escape(module)} (\S+)")
    go_version = said("go", "env", "GOVERSION").replace("go", "Go ") or "Go"
    return Subject(folder, f"{module} {version}, {go_version}", lambda: Process(folder, [go(folder, sums=sums), FIXTURES]))


def lrwn() -> Subject:
    def start() -> Process:
        target = BUILD / "peers" / "cargo"
        run(["cargo", "build", "--release", "--locked"], "lrwn", PEERS / "lrwn", {"CARGO_TARGET_DIR": str(target)})
        return Process("lrwn", [target / "release" / "lrwn-worker", FIXTURES])

    rust = " ".join(["Rust", *said("rustc", "--version").split()[1:2]])
    return Subject("lrwn", f"lrwn {pin('lrwn/Cargo.toml', r'lrwn = .*?=([0-9.]+)')} (crates.io), {rust}, "
                           "cargo's release profile", start)


def node(which: str, title: str) -> Subject:
    def start() -> Process:
        folder = BUILD / "peers" / "node"
        if which == "lora-packet" and not (folder / "node_modules" / which).is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            for file in ("package.json", "package-lock.json"):
                shutil.copy(PEERS / "node" / file, folder)
            run(["npm", "ci", "--no-audit", "--no-fund"], "node", folder)
        return Process(which, ["node", PEERS / "node" / "worker.js", FIXTURES, which],
                       {"NODE_PATH": str(folder / "node_modules")})

    return Subject(which, title, start)


def python(which: str) -> Subject:
    def start() -> Process:
        venv, wanted = BUILD / "peers" / "venv", PEERS / "python" / "requirements.txt"
        done = venv / "done"
        if not done.exists() or done.read_text() != wanted.read_text():
            run([PYTHON, "-m", "venv", "--clear", venv], "venv")
            run([venv / "bin" / "pip", "install", "-q", "-r", wanted], "venv")
            shutil.copy(wanted, done)
        return Process(which, [venv / "bin" / "python", PEERS / "python" / "peer.py", FIXTURES, which])

    version = pin("python/requirements.txt", rf"{which}==(\S+)")
    return Subject(which, f"{which} {version} (PyPI), {said(PYTHON, '--version')}", start)


def peers() -> list[Subject]:
    lora = pin("node/package.json", r'"lora-packet": "([^"]+)"')
    node_version = said("node", "--version").replace("v", "Node.js ") or "Node.js"
    return [go_peer("brocaar", "github.com/brocaar/lorawan"),
            go_peer("things", "go.thethings.network/lorawan-stack/v3", sums=False), lrwn(),
            node("lora-packet", f"lora-packet {lora} (npm), {node_version}"), node("crypto", f"node:crypto, {node_version}"),
            python("pycryptodome"), python("cryptography")]


# -- all

NOT_EVERYWHERE = ("floor", "token")  # of what is in this tree: needs AES-NI, SoftHSM


def leave_out(name: str, why: Missing, own: bool, results: dict, log: Callable[[str], None]) -> None:
    """Who is missing is told of; but of what is in this tree nothing may be wrong, nor missing where it can be had."""
    if own and (isinstance(why, Wrong) or name not in NOT_EVERYWHERE):
        sys.exit(f"{name}: {why}: nothing is told")
    results["missing"][name] = str(why)
    log(f"{name}: missing: {why}")


def ready(log: Callable[[str], None]) -> None:
    """The programs of ours, and the fixtures."""
    for folder in ("log", "peers"):
        (BUILD / folder).mkdir(parents=True, exist_ok=True)
    log("building")
    subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", RELEASE, "-j", str(len(PROCESSORS))], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    subprocess.run([PYTHON, HERE / "fixtures.py", FIXTURES], check=True)


def start(subject: Subject) -> list[str]:
    """Start it; what it can do, each shown to reproduce every fixture."""
    began = time.monotonic()
    subject.process = subject.start()
    names = subject.process.ask("list").split()
    for name in names:
        subject.process.ask(f"check {name}", 120)
    assert time.monotonic() - began < 600
    return names
