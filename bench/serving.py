"""Servers over loopback HTTP, each pinned to one processor, asked from the other by bench_load."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Callable

import workers
from fixtures import Fixtures, read
from samples import summary
from workers import BUILD, FIXTURES, RELEASE, Missing, Process

CONNECTIONS = (1, 8, 32, 64)
PROGRAM = RELEASE / "tools" / "lorajs"
MOST = 250_000  # requests in one go: they are made beforehand

PEERS = ['ns { net-ids = {"000013"} keks = {"ns-kek"} }',
         # It never asks here, but must be told by something.
         f'as {{ certificate-sha256 = {{"{64 * "0"}"}} as-ids = {{"as"}} keks = {{"as-kek"}} }}']  # fmt: skip
TITLES = {
    "http-floor": "fixed answer, one epoll loop",
    "mhd-floor": "fixed answer, libmicrohttpd as the daemon uses it",
    "serve-memory": "lorajs serve, its store in memory",
    "serve-sqlite": "lorajs serve, SQLite, synchronous=FULL",
    "sync-floor": "fixed answer, 64 octets appended and synced once for each loop of epoll",
    "http-brocaar": "brocaar's handler on net/http, which stores and checks nothing",
}
OF_PEERS = ("http-brocaar",)


def provisioned(folder: Path, fixtures: Fixtures) -> Path:
    """A data directory with the devices of the fixtures and the KEKs of their servers."""

    def lorajs(words: list[str], text: str) -> None:
        subprocess.run([PROGRAM, *words, "--data", folder], input=text, text=True, check=True,
                       stdout=subprocess.DEVNULL, timeout=120)  # fmt: skip

    shutil.rmtree(folder, ignore_errors=True)
    devices = [json.dumps({
        "dev_eui": f["dev_eui"].hex(), "join_eui": f["join_eui"].hex(), "lorawan_version": "1.1",
        "nwk_key": f["nwk_key"].hex(), "app_key": f["app_key"].hex(), "as_id": "as",
        "next_join_nonce": int.from_bytes(f["join_nonce"], "big"),
    }) for f in fixtures.joins]  # fmt: skip
    lorajs(["device", "import", "-"], "\n".join(devices) + "\n")
    lorajs(["kek", "add", "ns-kek"], fixtures.ns_kek.hex() + "\n")
    lorajs(["kek", "add", "as-kek"], fixtures.as_kek.hex() + "\n")
    return folder


def serve(name: str, program: Path, fixtures: Fixtures) -> Process:
    data = provisioned(BUILD / "data" / name, fixtures)
    peers = [word for peer in PEERS for word in ("--peer", peer)]
    return Process(name, [program, "serve", "--data", data, "--listen", "127.0.0.1:0", "--plain-peer", "ns",
                          "--log-level", "warning", *peers])


class Server:
    """One that listens, and what its processor time is."""

    def __init__(self, process: Process) -> None:
        self.process = process
        try:
            while not (line := process.line(30)).startswith("listening on "):
                pass
        except Missing:
            process.close(told=signal.SIGTERM)
            raise
        self.port = int(line.rsplit(":", 1)[1])

    def processor_ns(self) -> int:
        """Of all its threads, so far."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass  # a thread that has ended meanwhile
        return total

    def close(self) -> None:
        self.process.close(told=signal.SIGTERM)


def starters(with_peers: bool) -> dict[str, Callable[[], Process]]:
    fixtures = read(FIXTURES)
    floor = RELEASE / "bench" / "bench_http_floor"
    out: dict[str, Callable[[], Process]] = {
        "http-floor": lambda: Process("http-floor", [floor, FIXTURES]),
        "mhd-floor": lambda: Process("mhd-floor", [RELEASE / "bench" / "bench_mhd_floor", FIXTURES]),
        "serve-memory": lambda: serve("serve-memory", RELEASE / "bench" / "bench_serve_memory", fixtures),
        "sync-floor": lambda: Process("sync-floor", [floor, FIXTURES, BUILD / "data" / "journal"]),
        "serve-sqlite": lambda: serve("serve-sqlite", PROGRAM, fixtures),
    }
    if with_peers:
        out["http-brocaar"] = lambda: Process("http-brocaar", [workers.go("brocaar"), FIXTURES, "http", "c"])
    return out


def measure(results: dict, rounds: int, milliseconds: int, with_peers: bool, log: Callable[[str], None],
            at: tuple[int, ...] = CONNECTIONS) -> None:
    """results["http"][server][connections][what]: the figures of all rounds."""
    shutil.rmtree(BUILD / "data", ignore_errors=True)  # of who was killed
    (BUILD / "data").mkdir()
    for name in TITLES:
        results["missing"].pop(name, None)
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    servers: dict[str, Server] = {}
    with ExitStack() as ended:
        ended.callback(shutil.rmtree, BUILD / "data", ignore_errors=True)
        load = Process("load", [RELEASE / "bench" / "bench_load", FIXTURES], processors=workers.PROCESSORS[:1])
        ended.callback(load.close)
        sqlite = Process("sqlite-floor", [RELEASE / "bench" / "bench_sqlite_floor", FIXTURES, BUILD / "data" / "floor.db"])
        ended.callback(sqlite.close)

        def leave_out(name: str, why: Missing) -> None:
            workers.leave_out(name, why, name not in OF_PEERS, results, log)

        for name, start in starters(with_peers).items():
            try:
                servers[name] = Server(start())
                ended.callback(servers[name].close)
                if not name.endswith("-floor"):
                    load.ask(f"check {servers[name].port}", 120)
                log(f"{name}: listens" + ("" if name.endswith("-floor") else ", and has answered every fixture"))
            except Missing as e:
                if name in servers:
                    servers.pop(name).close()
                leave_out(name, e)

        def one(name: str, connections: int, milliseconds: int, most: int) -> dict[str, float]:
            server = servers[name]
            before = server.processor_ns()
            answer = load.ask(f"load {server.port} {connections} {milliseconds} {most}", 60)
            said = {key: float(value) for key, value in (word.split("=") for word in answer.split())}
            if said["bad"]:
                raise Missing(f"{said['bad']:.0f} of {said['requests']:.0f} requests were refused")
            n = said["requests"]
            return {"rate": n / said["ns"] * 1e9, "cpu": (server.processor_ns() - before) / n, "p50": said["p50"],
                    "p99": said["p99"]}  # fmt: skip

        for n in range(rounds + 1):
            log(f"http: round {n} of {rounds}" if n else "http: warming up")
            for connections in at:
                for name in list(servers):
                    cell = found.setdefault(name, {}).setdefault(str(connections), {})
                    try:  # as many requests as it was last seen to answer, and some more
                        expected = max(cell.get("rate", [20_000])) * milliseconds / 1000
                        got = one(name, connections, milliseconds if n else milliseconds // 3,
                                  int(min(MOST, 1.3 * expected + 1000)))  # fmt: skip
                    except Missing as e:
                        servers.pop(name).close()
                        found.pop(name)
                        leave_out(name, e)
                        continue
                    if n == 0:
                        cell["rate"] = [got["rate"]]
                    else:
                        for key, value in got.items():
                            if n == 1:
                                cell[key] = []
                            cell[key].append(value)
            for work in ("sqlite-1", "sqlite-8", "sqlite-64"):
                value = float(sqlite.ask(f"time {work} {milliseconds} 1", 60))
                if n:
                    found.setdefault("sqlite", {}).setdefault(work, {}).setdefault("ns", []).append(value)
    results["http"] = {name: {at: {key: summary(values) for key, values in cell.items()} for at, cell in cells.items()}
                       for name, cells in found.items()}  # fmt: skip
