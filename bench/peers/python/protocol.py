"""A worker in Python: see bench/worker.h for what it is asked and answers."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
    joined: Callable[[], int] | None = None  # how many have joined so far


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


def together(work: Work, milliseconds: int, threads: int) -> float:
    """Nanoseconds a join, of the time that a pass takes which all threads share: the median of passes."""
    clock, join, took = time.perf_counter_ns, work.join, []
    processors = [*map(int, os.environ["BENCH_PROCESSORS"].split())]
    barrier, spans = threading.Barrier(threads), [(0, 0)] * threads
    items, over, end = work.items, False, clock() + milliseconds * 1_000_000
    before = work.joined() if work.joined else 0

    def member(i: int) -> None:
        nonlocal items, over
        os.sched_setaffinity(0, {processors[i % len(processors)]})  # this thread alone
        while not over:
            if i == 0 and work.before:
                items = work.before()
            barrier.wait()
            part = items[len(items) * i // threads : len(items) * (i + 1) // threads]
            start = clock()
            for item in part:
                join(item)
            spans[i] = start, clock()
            barrier.wait()
            if i == 0:
                took.append((max(end for _, end in spans) - min(start for start, _ in spans)) / len(items))
                over = clock() >= end
            barrier.wait()

    def guarded(i: int) -> None:
        try:
            member(i)
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(guarded, i) for i in range(threads)]:
            done.result()
    if work.joined and work.joined() - before != len(took) * len(items):
        raise ValueError("not all of them have joined")
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
                elif verb == "together":
                    answer = f"ok {together(work, int(words[1]), int(words[2])):.3f}"
                else:
                    answer = "bad command"
        except Exception as e:
            answer = f"bad {type(e).__name__}: {e}".replace("\n", " ")
        print(answer, flush=True)
