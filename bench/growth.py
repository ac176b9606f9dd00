"""How lorajs over SQLite bears many devices."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Callable

from workers import BUILD, FIXTURES, PROCESSORS, RELEASE, Process

PROGRAM = RELEASE / "bench" / "bench_growth"


def size(database: Path) -> int:
    return sum(file.stat().st_size for file in database.parent.glob(database.name + "*"))


def numbers(answer: str) -> dict[str, float]:
    return {key: float(value) for key, value in (word.split("=") for word in answer.split())}


def measure(results: dict, sizes: list[int], patience: float, rounds: int, milliseconds: int,
            log: Callable[[str], None]) -> None:
    """results["growth"][devices]: joins/s, octets of a record and on disk, resident KiB, ns of a cold start."""
    found: dict[int, dict] = {}
    databases: dict[int, Path] = {}
    each = 0.0  # seconds to make a device
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
            found[n] = {"record": record, "disk": size(database) / n, "starts": [], "rates": [], "rss": 0.0}
        for again in range(rounds):  # the sizes take turns
            for n, database in databases.items():
                process = Process(f"growth-{n}", [PROGRAM, FIXTURES, database])
                found[n]["starts"].append(numbers(process.ask(f"open {n} {again}", 120))["ns"])
                process.ask(f"join {milliseconds}", 120)  # warms up
                said = numbers(process.ask(f"join {milliseconds}", 120))
                process.close(60)
                assert said["bad"] < said["rate"] / 100, said
                found[n]["rates"].append(said["rate"])
                found[n]["rss"] = max(found[n]["rss"], said["rss"])
    finally:
        for database in databases.values():
            remove(database)
    results["growth"] = {str(n): {
        "rate": {"median": median(f["rates"]), "low": min(f["rates"]), "high": max(f["rates"]), "rounds": rounds},
        "start": median(f["starts"]), "record": f["record"], "disk": f["disk"], "rss": f["rss"],
    } for n, f in found.items()}  # fmt: skip


def remove(database: Path) -> None:
    for file in database.parent.glob(database.name + "*"):
        file.unlink()
