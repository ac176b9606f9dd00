"""Does who is measured refuse what is wrong?  Fixtures with one octet changed in what the last join must answer."""

from __future__ import annotations

from typing import Callable

import serving
from fixtures import ANSWERS, FIELDS, JOINS
from workers import BUILD, FIXTURES, GCRYPT_FLOOR, HERE, PACKAGE, PYTHON, RELEASE, Missing, Process

SLOW = ("token", "python", "python-core")  # to begin; and they compare all fields at once
LEN = 64  # joins: workers in C are told to use so many, those in Python find no more
STEPS = {"step": "c", "step-1.0.3": "a", "step-full": "a"}


def kind(work: str) -> str:
    return STEPS.get(work) or next(word for word in work.split("-") if word in ANSWERS)


def spoilt(field: str) -> bytes:
    octets = bytearray(FIXTURES.read_bytes())
    size = sum(FIELDS.values())
    assert len(octets) == 40 + JOINS * size
    at = 40 + (LEN - 1) * size
    for name, length in FIELDS.items():
        at += length
        if name == field:
            octets[at - 1] ^= 1
            return bytes(octets)
    raise KeyError(field)


def refused(process: Process, field: str) -> int:
    """How many works must answer this field, and say that they do not; all others must say that they do."""
    done = 0
    for work in process.ask("list").split():
        wrong = field in ANSWERS[kind(work)]
        try:
            process.ask(f"check {work}", 120)
        except Missing as e:
            if not wrong or str(e) != f"fixture {LEN - 1} is not reproduced":
                raise
            done += 1
        else:
            if wrong:
                raise Missing(f"{process.name}: {work} reproduces a {field} that is wrong")
    return done


def measure(names: list[str]) -> int:
    """How often works of these subjects refused an answer."""
    whole, part = BUILD / "spoilt.bin", BUILD / "spoilt-part.bin"
    starts: dict[str, Callable[[], Process]] = {
        "floor": lambda: Process("floor", [RELEASE / "bench" / "bench_floor", whole, str(LEN)]),
        "gcrypt": lambda: Process("gcrypt", [GCRYPT_FLOOR, whole, str(LEN)]),
        "gcrypt-ecb": lambda: Process("gcrypt-ecb", [GCRYPT_FLOOR, whole, str(LEN)], {"BENCH_ECB": "1"}),
        "lorajs": lambda: Process("lorajs", [RELEASE / "bench" / "bench_lorajs", whole, str(LEN)]),
        "token": lambda: Process("token", [RELEASE / "bench" / "bench_token", whole, str(LEN)]),
        "python": lambda: Process("python", [PYTHON, HERE / "python_works.py", part], PACKAGE),
        "python-core": lambda: Process("python-core", [PYTHON, HERE / "core_works.py", whole],
                                       {"PYTHONPATH": str(RELEASE / "bench")}),
    }
    found = 0
    for field in sorted({field for fields in ANSWERS.values() for field in fields}):
        whole.write_bytes(spoilt(field))
        part.write_bytes(whole.read_bytes()[: 40 + LEN * sum(FIELDS.values())])
        for name in names:
            if name in SLOW and field != "app_s_key_c":
                continue
            process = starts[name]()
            try:
                found += refused(process, field)
            finally:
                process.close()
    whole.unlink()
    part.unlink()
    return found


def served() -> int:
    """How often who asks the daemon refused what it answered, which is right, since it was told to expect otherwise."""
    whole = BUILD / "spoilt.bin"
    (BUILD / "data").mkdir(exist_ok=True)
    server = serving.Server(serving.starters(False)["serve-memory"]())
    try:
        for field in ANSWERS["c"]:
            whole.write_bytes(spoilt(field))
            load = Process("load", [RELEASE / "bench" / "bench_load", whole])
            try:
                load.ask(f"check {server.port}", 120)
            except Missing as e:
                if str(e) != f"fixture {LEN - 1} is not reproduced":
                    raise
            else:
                raise Missing(f"over HTTP a {field} that is wrong is reproduced")
            finally:
                load.close()
    finally:
        server.close()
    whole.unlink()
    return len(ANSWERS["c"])
