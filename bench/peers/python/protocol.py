"""A worker in Python: see bench/worker.h for what it is asked and answers."""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Callable, NamedTuple, Sequence

from fixtures import Fixtures

PART = 8  # joins between two looks at the clock: short beside what a scheduler gives in one go


class Work(NamedTuple):
    """`items` is what `join` takes, one for each fixture; `good` says whether it answered that fixture."""

    items: Sequence[object]
    join: Callable[[object], object]
    good: Callable[[dict[str, bytes], object], bool]
    before: Callable[[], Sequence[object]] | None = None  # makes the items anew, unmeasured


def checked(work: Work, fixtures: Fixtures) -> str:
    items = work.before() if work.before else work.items
    for number, (fixture, item) in enumerate(zip(fixtures.joins, items, strict=True)):
        if not work.good(fixture, work.join(item)):
            return f"bad fixture {number} is not reproduced"
    return f"ok {len(fixtures.joins)}"


def timed(work: Work, milliseconds: int) -> float:
    """Nanoseconds a join: the median of parts."""
    clock, join, took = time.perf_counter_ns, work.join, []
    end = clock() + milliseconds * 1_000_000
    while clock() < end or not took:
        items = work.before() if work.before else work.items
        for first in range(0, len(items), PART):
            part = items[first : first + PART]
            start = clock()
            for item in part:
                join(item)
            took.append((clock() - start) / len(part))
            if clock() >= end:
                break
    return median(took)


def serve(fixtures: Fixtures, works: dict[str, Callable[[], Work]]) -> None:
    ready: dict[str, Work] = {}
    for line in sys.stdin:
        verb, *words = line.split()
        try:
            if verb == "list":
                answer = "ok " + " ".join(works)
            elif words[0] not in works:
                answer = "bad no work of that name"
            else:
                work = ready.get(words[0]) or ready.setdefault(words[0], works[words[0]]())
                if verb == "check":
                    answer = checked(work, fixtures)
                elif verb == "time":
                    answer = f"ok {timed(work, int(words[1])):.3f}"
                else:
                    answer = "bad command"
        except Exception as e:
            answer = f"bad {type(e).__name__}: {e}".replace("\n", " ")
        print(answer, flush=True)
