"""How lorajs over SQLite bears many devices."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Callable

from samples import summary
from workers import BUILD, FIXTURES, PROCESSORS, RELEASE, Process

PROGRAM = RELEASE / "bench" / "bench_growth"
FLOOR = RELEASE / "bench" / "bench_sqlite_floor"


def size(database: Path) -> int:
    return sum(file.stat().st_size for file in database.parent.glob(database.name + "*"))


def numbers(answer: str) -> dict[str, float]:
    return {key: float(value) for key, value in (word.split("=") for word in answer.split())}


def into_page_cache(database: Path) -> None:
    """A cold start has it forgotten; what joins take is not what a disk takes to read it for the first time.  As joins
    would read it, page by page: who reads a file from its beginning has Linux keep it in pieces of up to 2 MiB, and then
    each write of 2 KiB to ext4 looks through all blocks of such a piece.  Hence without reading ahead, and backwards,
    since a mark left by an earlier reader would begin it again."""
    piece = 1 << 20
    with database.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for at in reversed(range(0, database.stat().st_size, piece)):
            file.seek(at)
            file.read(piece)


def measure(results: dict, sizes: list[int], patience: float, rounds: int, milliseconds: int,
            log: Callable[[str], None]) -> None:
    """results["growth"][devices]: joins/s, ours and SQLite's own, octets of a record and on disk, resident KiB, ns of a
    cold start."""
    found: dict[int, dict] = {}
    databases: dict[int, Path] = {}
    floors: dict[int, Process] = {}
    each = 0.0  # seconds to make a device
    remove(BUILD / "growth-")  # of who was killed
    try:
        for n in sizes:
            if n * each > patience:
                log(f"growth: {n} devices would take {n * each:.0f} s to make: left out")
                break
            databases[n] = database = BUILD / f"growth-{n}.db"
            remove(database)
            began = time.monotonic()
            process = Process(f"growth-{n}", [PROGRAM, FIXTURES, database], processors=PROCESSORS)
            record = numbers(process.ask(f"fill {n}", 3600))["record"]
            process.close(60)
            each = (time.monotonic() - began) / n
            log(f"growth: {n} devices made in {time.monotonic() - began:.0f} s")
            found[n] = {"record": record, "disk": size(database) / n, "starts": [], "rates": [], "rss": 0.0, "sqlite": []}
            floors[n] = Process(f"sqlite-floor-{n}", [FLOOR, FIXTURES, BUILD / f"growth-floor-{n}.db", str(n)])
            floors[n].ask("list", 1800)  # once it has made it
        for again in range(rounds):  # the sizes take turns
            for n, database in databases.items():
                process = Process(f"growth-{n}", [PROGRAM, FIXTURES, database])
                found[n]["starts"].append(numbers(process.ask(f"open {n} {again}", 120))["ns"])
                into_page_cache(database)
                process.ask(f"join {milliseconds}", 120)  # warms up
                said = numbers(process.ask(f"join {milliseconds}", 120))
                process.close(60)
                if said["bad"] > said["rate"] * milliseconds / 1000 / 200:
                    raise SystemExit(f"growth: of {n} devices {said['bad']:.0f} joins were refused")
                found[n]["rates"].append(said["rate"])
                found[n]["rss"] = max(found[n]["rss"], said["rss"])
                for _ in range(2):  # the first warms up
                    took = float(floors[n].ask(f"time sqlite-64 {milliseconds} 1", 120))
                found[n]["sqlite"].append(1e9 / took)
    finally:
        for floor in floors.values():
            floor.close()
        for n, database in databases.items():
            remove(database)
            remove(BUILD / f"growth-floor-{n}.db")

    results["growth"] = {str(n): {
        "rate": summary(f["rates"]),
        "start": median(f["starts"]), "record": f["record"], "disk": f["disk"], "rss": f["rss"],
        "sqlite": {"rate": summary(f["sqlite"])},
    } for n, f in found.items()}


def remove(database: Path) -> None:
    for file in database.parent.glob(database.name + "*"):
        file.unlink()
