#!/usr/bin/python3
"""Joins a second over HTTP: the daemon, lorajs.asgi under uvicorn, and the same mounted in FastAPI.

    PYTHONPATH=build/release/python bench/asgi.py [--rounds N] [--joins N] [--connections N] [--json]

The servers take turns, each over a database of its own that syncs every commit; the load is
`lorajs simulate`, which checks every answer.  All on the loopback address; the server has one processor
for itself, the simulator the others, where there are two.  Beside joins a second stands the processor
time that a join takes in the server's process, which others on the machine disturb less.  It takes
about ROUNDS * 3 * (2 + JOINS / 500) seconds, and ends by itself."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from typing import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = os.environ.get("LORAJS", str(ROOT / "build/release/tools/lorajs"))
DEVICES, PATIENCE = 500, 300
*OTHERS, SERVER = sorted(os.sched_getaffinity(0))


def servers() -> dict[str, object]:
    """What uvicorn runs, over the directory $LORAJS_DATA."""
    import lorajs
    import lorajs.asgi

    data = pathlib.Path(os.environ["LORAJS_DATA"])
    server = lorajs.JoinServer(lorajs.Vault.from_file(data / "master.key"), lorajs.Store.sqlite(data / "lorajs.db"),
                               anonymous=True, clear=lorajs.Clear.NS | lorajs.Clear.AS)
    asgi = lorajs.asgi.app(server)
    made: dict[str, object] = {"asgi": asgi}
    if importlib.util.find_spec("fastapi"):
        from fastapi import FastAPI

        made["fastapi"] = FastAPI()
        made["fastapi"].mount("/", asgi)  # type: ignore[attr-defined]
    return made


if "LORAJS_BENCH" in os.environ:
    application = servers()[os.environ["LORAJS_BENCH"]]


@contextlib.contextmanager
def served(name: str, data: pathlib.Path) -> Iterator[tuple[str, int]]:
    """(URL, process ID) of one of them."""
    if name == "daemon":
        command = [PROGRAM, "serve", "--data", str(data), "--listen", "127.0.0.1:0", "--allow-clear-keys",
                   "--log-level", "error"]
    else:
        command = [sys.executable, "-m", "uvicorn", "asgi:application", "--app-dir", str(ROOT / "bench"), "--host",
                   "127.0.0.1", "--port", "0", "--no-access-log"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env={**os.environ, "LORAJS_DATA": str(data), "LORAJS_BENCH": name},
                               preexec_fn=lambda: os.sched_setaffinity(0, {SERVER}))
    try:
        assert process.stdout
        told = ""
        while not (found := re.search(r"(?:listening|running) on (http://127\.0\.0\.1:\d+)", told)):
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"{name} does not start:\n{told}")
            told += line
        yield found[1], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def processor_seconds(pid: int) -> float:
    """Of all its threads so far, in user space and in the kernel."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(name: str, joins: int, connections: int) -> dict:
    """One run over a fresh database: what `lorajs simulate` tells."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as directory:
        data = pathlib.Path(directory) / "data"
        devices = subprocess.run([PROGRAM, "simulate", "--devices", str(DEVICES), "--provision"], check=True,
                                 capture_output=True).stdout
        subprocess.run([PROGRAM, "device", "import", "-", "--data", data], input=devices, check=True,
                       capture_output=True)
        with served(name, data) as (url, pid):
            before = processor_seconds(pid)
            done = subprocess.run(
                [PROGRAM, "simulate", "--url", url, "--devices", str(DEVICES), "--joins",
                 str(max(1, joins // DEVICES)), "--rejoins", "0", "--checks", "0", "--connections", str(connections),
                 "--json"], capture_output=True, timeout=PATIENCE,
                preexec_fn=lambda: os.sched_setaffinity(0, OTHERS or {SERVER}))
            spent = processor_seconds(pid) - before
    result = json.loads(done.stdout)
    if done.returncode or result["failures"] or not result["finished"]:
        raise SystemExit(f"{name}: not every join was answered as it must be: {result}\n{done.stderr.decode()}")
    result["us"] = spent * 1e6 / result["joins"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="each server once in each (default 5; 1 to 100)")
    parser.add_argument("--joins", type=int, default=2000, help="in each round and server (default 2000; to 100000)")
    parser.add_argument("--connections", type=int, default=64, help="at once (default 64)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    if not (1 <= args.rounds <= 100 and 1 <= args.joins <= 100_000 and 1 <= args.connections <= 1000):
        parser.error("out of its range")
    names = ["daemon", "asgi", *(["fastapi"] if importlib.util.find_spec("fastapi") else [])]
    found: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(args.rounds):
        for name in names:
            found[name].append(measure(name, args.joins, args.connections))
    rows = {}
    for name, runs in found.items():
        rates = [run["per_second"] for run in runs]
        rows[name] = {"per_second": statistics.median(rates), "low": min(rates), "high": max(rates),
                      "us": statistics.median(run["us"] for run in runs),
                      "p50_ms": statistics.median(run["latency_ms"]["p50"] for run in runs),
                      "p99_ms": statistics.median(run["latency_ms"]["p99"] for run in runs)}
    parts = [name for name in ("uvloop", "httptools") if importlib.util.find_spec(name)] or ["asyncio and h11 alone"]
    if args.json:
        print(json.dumps({"servers": rows, "uvicorn with": parts, "connections": args.connections}))
        return
    print(f"{args.connections} connections, {args.rounds} rounds, uvicorn with {' and '.join(parts)}\n")
    print("| server | joins a second | lowest to highest | of the daemon's | processor, us a join | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row['per_second']:,.0f} | {row['low']:,.0f} to {row['high']:,.0f} | "
              f"{row['per_second'] / rows['daemon']['per_second']:.0%} | {row['us']:.0f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} |")


if __name__ == "__main__":
    main()
