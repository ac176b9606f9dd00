#!/usr/bin/python3
"""How many instructions a join takes, by callgrind, which counts the same on every idle or busy machine.

    bench/instructions.py             compare with bench/instructions.txt: more than 3 % off is an error
    bench/instructions.py --update    write it anew; say in the commit what changed them

What the project's own code takes depends on nothing but the code and the compiler: under the same compiler
it is always compared.  What libgcrypt, libsodium, yajl and msgpack take for it, which tells how often they are
called, depends on their versions, and on what the processor can do besides: it is compared where those are
the same.  What the C library takes depends on the very processor, and is only in the sum beside them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from workers import BUILD, FIXTURES, PROCESSORS, PYTHON, HERE, RELEASE, said  # noqa: E402

KEPT = HERE / "instructions.txt"
PROGRAM = RELEASE / "bench" / "bench_lorajs"
WORKS = ("core-a", "core-b", "core-c", "step", "step-1.0.3", "handler-a", "handler-c", "handler-c-audit")
JOINS = 256  # of the fixtures
MOST = 0.03
PACKAGES = ("libgcrypt20", "libsodium23", "libyajl2", "libmsgpackc2")

NAME = re.compile(r"(ob|fl|fi|fe|fn|cob|cfi|cfl|cfn)=\((\d+)\)(?: (.*))?$")
COST = re.compile(r"[+\-*\d]\S* (\d+)$")


OWN = "lorajs"
NOT_OF_LIBRARIES = (OWN, "bench", "libc")
CAN = ("aes", "avx2")  # what libraries ask the processor for, of what valgrind has
Counts = tuple[int, int, int]  # own, libraries but for C's, all


def count(works: tuple[str, ...]) -> dict[str, Counter[str]]:
    """Of a join of each, by library.  One process, which dumps what it has counted after each."""
    out = BUILD / f"callgrind.{works[0]}"
    asked = "".join(f"count {work} 1\n" for work in works)
    done = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=bench_counted",
                           "--dump-after=bench_counted", f"--callgrind-out-file={out}", PROGRAM, FIXTURES, str(JOINS)],
                          input=asked, text=True, capture_output=True, timeout=300)  # fmt: skip
    if done.returncode or done.stdout != f"ok {JOINS}\n" * len(works):
        sys.exit(f"{works}: {done.stdout}{done.stderr[-2000:]}")
    counts, names = {}, {}  # a name is given once, and then has a number
    for number, work in enumerate(works, 1):
        counts[work] = sums(out.with_name(f"{out.name}.{number}").read_text(), names)
        if not counts[work][OWN]:
            sys.exit(f"{work}: nothing was counted")
    for file in out.parent.glob(f"{out.name}*"):
        file.unlink()
    return counts


def sums(text: str, names: dict[tuple[str, str], str]) -> Counter[str]:
    """The self costs of a callgrind file, by library, a join; ours by layer too; what bench/ adds is its own."""
    at = {"ob": "", "file": ""}
    found: Counter[str] = Counter()
    inclusive = False  # the next cost is that of a call: it stands at the called function too
    for line in text.splitlines():
        if named := NAME.match(line):
            kind, number, name = named.groups()
            space = "ob" if kind in ("ob", "cob") else "fn" if kind in ("fn", "cfn") else "file"
            if name is not None:
                names[space, number] = name
            if kind == "ob" or (space == "file" and kind in ("fl", "fi", "fe")):
                at[space] = names[space, number]
        elif line.startswith("calls="):
            inclusive = True
        elif cost := COST.match(line):
            if not inclusive:
                library = Path(at["ob"]).name.split(".so")[0]
                if library == PROGRAM.name:
                    layer = Path(at["file"]).parent.name
                    library = "bench" if layer == HERE.name else OWN
                    if library == OWN:
                        found[f"{OWN}/{layer}"] += int(cost[1])
                found[library] += int(cost[1])
            inclusive = False
    return Counter({library: cost // JOINS for library, cost in found.items()})


def surroundings() -> str:
    versions = [f"{package} {said('dpkg-query', '-W', '-f=${Version}', package) or '?'}" for package in PACKAGES]
    flags = Path("/proc/cpuinfo").read_text().split()
    return f"gcc {said('gcc', '-dumpfullversion')}; {', '.join(versions)}; {' '.join(c for c in CAN if c in flags)}"


def kept() -> tuple[str, dict[str, Counts]]:
    text = KEPT.read_text()
    around = re.search(r"^# with (.*)$", text, re.M)
    rows = re.findall(r"^(\S+) +(\d+) +(\d+) +(\d+)$", text, re.M)
    return around[1] if around else "", {name: (int(own), int(libraries), int(all)) for name, own, libraries, all in rows}


def write(counts: dict[str, Counts]) -> None:
    lines = ["# Instructions of a join, by callgrind: the project's own, its libraries' but for C's, all.  See instructions.py.",
             f"# with {surroundings()}"]  # fmt: skip
    lines += [f"{work:<16} {own:>8} {libraries:>8} {all:>8}" for work, (own, libraries, all) in counts.items()]
    KEPT.write_text("\n".join(lines) + "\n")


def compared(counts: dict[str, Counts]) -> list[str]:
    """What is off; each work is told of."""
    around, before = kept()
    now = surroundings()
    print(f"with {now}")
    if not around:
        return [f"{KEPT.name} does not say what it was counted with"]
    same_compiler, same = now.split(";")[0] == around.split(";")[0], now == around
    if not same:
        print(f"counted with {around}: " + ("the libraries are" if same_compiler else "nothing is") + " not compared")
    off = [f"{work}: is in one of file and count only" for work in sorted(before.keys() ^ counts.keys())]
    for work, count in counts.items():
        was = before.get(work, count)
        changes = [new / old - 1 for new, old in zip(count, was, strict=True)]
        print(f"{work:<16} {count[0]:>6} of its own, {changes[0]:+.1%}; {count[1]:>6} of libraries, {changes[1]:+.1%}; "
              f"{count[2]:>6} with C's, {changes[2]:+.1%}")  # fmt: skip
        off += [f"{work}: {whose} {change:+.1%}" for whose, change, counted in
                zip(("its own", "libraries"), changes, (same_compiler, same)) if counted and abs(change) > MOST]  # fmt: skip
    return off


def main(words: list[str]) -> int:
    if words not in ([], ["--update"]):
        sys.exit(__doc__)
    subprocess.run(["cmake", "--build", RELEASE, "--target", "bench_lorajs"], check=True, stdout=subprocess.DEVNULL)
    BUILD.mkdir(parents=True, exist_ok=True)
    subprocess.run([PYTHON, HERE / "fixtures.py", FIXTURES], check=True)
    with ThreadPoolExecutor(len(PROCESSORS)) as pool:
        halves = list(pool.map(count, (WORKS[::2], WORKS[1::2])))
    libraries = {work: (halves[0] | halves[1])[work] for work in WORKS}
    for work, found in libraries.items():
        print(f"{work:<16}", ", ".join(f"{library} {cost}" for library, cost in found.most_common() if cost))
    counts = {}
    for work, found in libraries.items():
        by_library = {library: n for library, n in found.items() if "/" not in library}
        counts[work] = (found[OWN], sum(n for library, n in by_library.items() if library not in NOT_OF_LIBRARIES),
                        sum(by_library.values()))
    if words:
        write(counts)
        print(KEPT.read_text(), end="")
        return 0
    off = compared(counts)
    if off:
        print(f"more than {MOST:.0%} off bench/instructions.txt: {'; '.join(off)}.  If that is meant, run "
              "bench/instructions.py --update and say in the commit what changed it.")  # fmt: skip
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
