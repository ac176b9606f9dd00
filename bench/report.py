"""What was measured, as tables and plots: build/bench/report.md, and docs/performance.md when it is published."""

from __future__ import annotations

import json
import math
import platform
import re
import subprocess
import time
from html import escape
from typing import Callable, NamedTuple

import serving
from workers import BUILD, HERE, PROCESSORS, ROOT, said

PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "performance"
BEGIN, END = "<!-- begin results: written by bench/run --publish -->\n", "<!-- end results -->\n"
PEERS = ("lrwn", "brocaar", "things", "lora-packet", "crypto", "pycryptodome", "cryptography")


def about() -> dict:
    """The machine: figures of two are not put into one table."""
    info = open("/proc/cpuinfo").read()
    cpu = re.search(r"model name\s*: (.*)", info)
    family = [re.search(rf"{name}\s*: (.*)", info) for name in ("vendor_id", "cpu family", r"model\t")]
    system = re.search(r'PRETTY_NAME="(.*)"', open("/etc/os-release").read())
    packages = ("libgcrypt20", "libsodium23", "libyajl2", "libmsgpackc2", "libsqlite3-0", "libmicrohttpd12")
    versions = {package: said("dpkg-query", "-W", "-f=${Version}", package) for package in packages}
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "family": " ".join(f[1] for f in family if f),
        "processors": len(PROCESSORS),
        "system": system[1] if system else platform.system(),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "compiler": said("gcc", "-dumpfullversion"),
        "file system": said("stat", "-f", "-c", "%T", str(BUILD.parent.parent)),
        "packages": {package: version for package, version in versions.items() if version},
    }


def when() -> dict:
    def git(*argv: str) -> str:
        return said("git", "-C", str(ROOT), *argv)

    return {"commit": git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else ""),
            "date": time.strftime("%Y-%m-%d", time.gmtime())}  # fmt: skip


# -- numbers as text


def short(value: float) -> str:
    """Three digits."""
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ranged(cell: dict, scale: float = 1.0, unit: str = "") -> str:
    """With its range, and a mark where the rounds do not agree."""
    text = f"{short(cell['median'] / scale)}{unit} ({short(cell['low'] / scale)}..{short(cell['high'] / scale)})"
    return ("~ " if cell.get("noisy") else "") + text


def ns(cell: dict | None) -> str:
    if not cell:
        return "-"
    return ranged(cell, 1000.0, " µs") if cell["median"] >= 10_000 else ranged(cell, unit=" ns")


def duration(value: float) -> str:
    for scale, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if value >= scale:
            return f"{short(value / scale)} {unit}"
    return f"{short(value)} ns"


def times(value: float | None) -> str:
    return "-" if value is None else short(value)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


class Results:
    def __init__(self, results: dict) -> None:
        self.all = results
        self.times: dict[str, dict] = results.get("times", {})
        self.http: dict[str, dict] = results.get("http", {})
        self.growth: dict[str, dict] = results.get("growth", {})
        self.threads: dict[str, dict] = results.get("threads", {})
        self.noisy = False  # was a figure that was asked for since this was set to false

    def median(self, cell: dict | None) -> float | None:
        if not cell:
            return None
        self.noisy |= cell.get("noisy", False)
        return cell["median"]

    def best(self) -> Results:
        """As if each had done in every round what it did in its best; what is taken within a round has none."""

        def of(name: str, value: object) -> object:
            if name.endswith("gain"):
                return {}
            if not isinstance(value, dict):
                return value
            if "median" in value:
                value = value | {"median": value["high" if name == "rate" else "low"]}
            return {key: of(key, inner) for key, inner in value.items()}

        return Results(of("", self.all))  # type: ignore[arg-type]

    def ns(self, name: str) -> float | None:
        return self.median(self.times.get(name))

    def ratio(self, over: str, under: str) -> float | None:
        a, b = self.ns(over), self.ns(under)
        return a / b if a and b else None

    def gain(self, name: str) -> float | None:
        """Joins a second of two threads over those of one, taken within one round."""
        cell = self.times.get(f"{name} gain")
        return self.median(cell) if cell else self.ratio(name, f"{name} x2")

    def gain_of_floor(self, name: str) -> float | None:
        """The same, over what two threads of the floor gain, which share nothing but the processors."""
        a, b = self.gain(name), self.gain("floor/c")
        return a / b if a and b else None

    def cell(self, server: str, connections: int, what: str) -> float | None:
        return self.median(self.http.get(server, {}).get(str(connections), {}).get(what))

    def rate(self, server: str, connections: int, other: str, others: int) -> float | None:
        a, b = self.cell(server, connections, "rate"), self.cell(other, others, "rate")
        return a / b if a and b else None

    def sqlite(self, work: str) -> float | None:
        return self.median(self.http.get("sqlite", {}).get(work, {}).get("ns"))

    def over_sqlite(self, server: str, connections: int, work: str) -> float | None:
        rate, ns = self.cell(server, connections, "rate"), self.sqlite(work)
        return rate * ns / 1e9 if rate and ns else None

    def latency(self, server: str, connections: int, what: str) -> float | None:
        value, commit = self.cell(server, connections, what), self.sqlite("sqlite-1")
        return value / commit if value and commit else None

    def alone(self, server: str) -> float | None:
        """Means both: a request over one connection, and a join in a transaction of its own."""
        rate, commit = self.cell(server, 1, "rate"), self.sqlite("sqlite-1")
        return 1e9 / rate / commit if rate and commit else None

    def scaled(self, name: str, threads: str) -> float | None:
        """Joins a second of so many threads over those of one."""
        return self.median(self.threads.get(name, {}).get(threads, {}).get("gain"))

    def scaled_alike(self, threads: str) -> float | None:
        """From Python over in C."""
        a, b = self.scaled("python", threads), self.scaled("lorajs", threads)
        return a / b if a and b else None

    def scaled_as_a_bare_call(self, threads: str) -> float | None:
        """The same, over what of its gain in C a call keeps that lets go of the interpreter's lock and does no more."""
        a, b = self.scaled("python-spin", threads), self.scaled("spin", threads)
        ours = self.scaled_alike(threads)
        return ours / (a / b) if ours and a and b else None

    def sizes(self) -> list[dict]:
        """From the fewest devices to the most."""
        return [self.growth[n] for n in sorted(self.growth, key=int)]

    def most(self, what: str) -> float | None:
        """Of the most devices."""
        return self.sizes()[-1][what] if self.growth else None

    def lost(self, of: Callable[[dict], dict] = lambda cell: cell["rate"]) -> list[float]:
        """Joins a second of the fewest devices over those of each number of more."""
        rates = [self.median(of(cell)) for cell in self.sizes()]
        return [rates[0] / rate for rate in rates[1:]]  # type: ignore[operator]

    def title(self, name: str) -> str:
        return self.all["titles"].get(name, name)


# -- tables


def cores(r: Results) -> str:
    rows = []
    for name in ("floor", "gcrypt", "gcrypt-ecb", "lorajs", "python-core", *PEERS):
        works = [f"{name}/{'core-' if name == 'lorajs' else ''}{kind}" for kind in "abc"]
        if name in r.all["missing"]:
            rows.append([r.title(name), *["missing"] * 3, "-", "-"])
            continue
        if not any(r.times.get(work) for work in works):
            continue
        over_floor = [times(r.ratio(work, f"floor/{kind}")) for work, kind in zip(works, "abc")]
        over_us = [times(r.ratio(work, f"lorajs/core-{kind}")) for work, kind in zip(works, "abc")]
        rows.append([r.title(name), *[ns(r.times.get(work)) for work in works],
                     "1" if name == "floor" else " / ".join(over_floor),
                     "-" if name in ("floor", "lorajs") else " / ".join(over_us)])  # fmt: skip
    return table(["one join", "(a) 1.0.x", "(b) 1.1", "(c) 1.1, wrapped", "x floor", "x lorajs"], rows)


STEPS = {
    "step": "step, 1.1, two sessions, 32 DevNonces used",
    "step-1.0.3": "step, 1.0.3, two sessions, 32 DevNonces used",
    "step-full": "step, 1.0.3, two sessions, 30 002 DevNonces used (a record of 8 KiB)",
}
HANDLERS = {
    "handler-a": "handler, 1.0.3, clear keys",
    "handler-b": "handler, 1.1, clear keys",
    "handler-c": "handler, 1.1, wrapped keys",
    "handler-c-audit": "handler, the same, and a link of the audit log for each join",
    "handler-c-old": "handler, without that, eight sessions in each record",
}


def steps(r: Results) -> str:
    rows = []
    allocations = r.all.get("allocations", {})
    for name, title in (STEPS | HANDLERS).items():
        two = r.gain(f"lorajs/{name}")
        count = allocations.get(name)
        rows.append([title, ns(r.times.get(f"lorajs/{name}")), times(r.ratio(f"lorajs/{name}", "floor/c")),
                     "-" if count is None else f"{count:.2f}".rstrip("0").rstrip("."), times(two)])
    for kind in "abc":
        two = r.gain(f"lorajs/core-{kind}")
        if two:
            rows.append([f"core ({kind})", ns(r.times.get(f"lorajs/core-{kind}")),
                         times(r.ratio(f"lorajs/core-{kind}", "floor/c")),
                         f"{allocations.get(f'core-{kind}', 0):.0f}", times(two)])  # fmt: skip
    if floor := r.gain("floor/c"):
        rows.append(["the floor itself (c)", ns(r.times.get("floor/c")), "1", "0", times(floor)])
    return table(["lorajs, one join", "time", "x floor (c)", "allocations", "two threads over one"], rows)


def handlers(r: Results) -> str:
    rows = []
    for name in ("lorajs", "token", "brocaar", "pycryptodome", "cryptography"):
        if r.times.get(f"{name}/handler-c"):
            over = [times(r.ratio(f"{name}/handler-{k}", f"lorajs/handler-{k}")) for k in "abc"]
            rows.append([r.title(name), *[ns(r.times.get(f"{name}/handler-{k}")) for k in "abc"],
                         "-" if name == "lorajs" else " / ".join(over)])
    cell = r.times.get("python/handler-c-old")
    if cell:
        rows.append([r.title("python") + ", eight sessions in each record", "-", "-", ns(cell), "-"])
    return table(["JSON in, JSON out", "(a) 1.0.x", "(b) 1.1", "(c) 1.1, wrapped", "x lorajs"], rows)


def threads(r: Results) -> str:
    """Of the handler, and of calls as long that do nothing."""
    names = [name for name in ("lorajs", "python", "spin", "python-spin") if name in r.threads]
    heads = {"lorajs": "joins/s in C", "python": "joins/s from Python", "spin": "bare calls/s in C",
             "python-spin": "bare calls/s from Python"}  # fmt: skip
    rows = []
    for n in r.threads["lorajs"]:
        row = [n]
        for name in names:
            cell = r.threads[name][n]
            row += [ranged(cell), times(r.scaled(name, n))]
        rows.append(row)
    return table(["threads", *[head for name in names for head in (heads[name], "of one thread's")]], rows)


def http(r: Results) -> str:
    rows = []
    for name, title in serving.TITLES.items():
        cells = r.http.get(name)
        if not cells:
            if name in r.all["missing"]:
                rows.append([title, *["missing"] * 7])
            continue
        rate = [ranged(cells[str(n)]["rate"]) for n in serving.CONNECTIONS]
        last = cells["32"]
        rows.append([title, *rate, f"{last['cpu']['median'] / 1000:.1f} µs",
                     *[f"{cells['64'][p]['median'] / 1e6:.2f} ms" for p in ("p50", "p99")]])
    text = table(["requests/s, (c)", *[f"{n} connections" if n > 1 else "1 connection" for n in serving.CONNECTIONS],
                  "server's processor, each of 32", "p50 of 64", "p99 of 64"], rows)
    raw = r.http.get("sqlite")
    if raw:
        per = ", ".join(f"{short(1e9 / raw[f'sqlite-{n}']['ns']['median'])} with {n}" for n in (1, 8, 64))
        text += f"\nSQLite itself, in WAL mode and synchronous=FULL, joins/s by joins in a transaction: {per}.\n"
    return text


def instructions() -> str:
    """What is kept, not what this run counted: it is the same on every machine."""
    rows = re.findall(r"^(\S+) +(\d+) +(\d+) +(\d+)$", (HERE / "instructions.txt").read_text(), re.M)
    return table(["instructions of a join", "the project's own", "of libraries but for C's", "all"],
                 [[name, *[short(int(n)) for n in numbers]] for name, *numbers in rows])


def growth(r: Results) -> str:
    rows = []
    for n, cell in r.growth.items():
        rate = cell["rate"]
        raw = cell["sqlite"]["rate"] if "sqlite" in cell else None
        rows.append([short(int(n)), ranged(rate), ranged(raw) if raw else "-",
                     f"{cell['record']:.0f}", f"{cell['disk']:.0f}", f"{cell['rss'] / 1024:.0f} MiB",
                     f"{cell['start'] / 1e6:.1f} ms"])
    return table(["devices", "joins/s, 64 a commit", "SQLite itself, 64 in a transaction", "octets of a record", "octets on disk", "resident memory",
                  "cold start to the first answer"], rows)


# -- targets


class Target(NamedTuple):
    what: str
    bound: float
    most: bool  # the bound is from above
    reached: Callable[[Results], float | None]


def ahead(peer: str, kind: str, of: str = "lorajs/core-") -> Callable[[Results], float | None]:
    return lambda r: r.ratio(f"{peer}/{kind}", f"{of}{kind}")


def least(*of: Callable[[Results], float | None]) -> Callable[[Results], float | None]:
    def reached(r: Results) -> float | None:
        found = [value for value in (f(r) for f in of) if value is not None]
        return min(found) if found else None

    return reached


TARGETS = [
    Target("core (a) over the floor", 3.0, True, lambda r: r.ratio("lorajs/core-a", "floor/a")),
    Target("core (b) over the floor", 4.0, True, lambda r: r.ratio("lorajs/core-b", "floor/b")),
    Target("core (c) over the floor", 3.3, True, lambda r: r.ratio("lorajs/core-c", "floor/c")),
    Target("core ahead of Go (brocaar), the least of a, b, c", 13, False, least(*[ahead("brocaar", k) for k in "abc"])),
    Target("core ahead of Rust (lrwn), the least of a, b, c", 4, False, least(*[ahead("lrwn", k) for k in "abc"])),
    Target("core ahead of Python code over pycryptodome, the least of a, b, c", 200, False,
           least(*[ahead("pycryptodome", k) for k in "abc"])),
    Target("core ahead of Python code over cryptography, the least of a, b, c", 200, False,
           least(*[ahead("cryptography", k) for k in "abc"])),
    Target("step with a real record over the floor of (c)", 12, True, lambda r: r.ratio("lorajs/step", "floor/c")),
    Target("allocations of a step beyond its output", 0, True,
           lambda r: r.all.get("allocations", {}).get("step", math.nan) - 1),
    Target("handler ahead of brocaar's, which stores and checks nothing, the least of a, b, c", 5, False,
           least(*[lambda r, k=k: r.ratio(f"brocaar/handler-{k}", f"lorajs/handler-{k}") for k in "abc"])),
    Target("daemon, memory, 32 connections, over a fixed answer", 0.5, False,
           lambda r: r.rate("serve-memory", 32, "http-floor", 32)),
    Target("daemon, memory, 32 connections, over brocaar's", 3, False,
           lambda r: r.rate("serve-memory", 32, "http-brocaar", 32)),
    Target("daemon, SQLite, 64 connections, over a fixed answer synced once a batch", 0.5, False,
           lambda r: r.rate("serve-sqlite", 64, "sync-floor", 64)),
    Target("daemon, SQLite, 64 connections, over SQLite itself with 64 joins a transaction", 0.7, False,
           lambda r: r.over_sqlite("serve-sqlite", 64, "sqlite-64")),
    Target("daemon, SQLite, 64 connections, over brocaar's, which is not durable", 1, False,
           lambda r: r.rate("serve-sqlite", 64, "http-brocaar", 64)),
    Target("daemon, SQLite, 64 connections: p99 over a commit", 10, True,
           lambda r: r.latency("serve-sqlite", 64, "p99")),
    Target("daemon, SQLite, 1 connection: a request over a commit", 1.3, True, lambda r: r.alone("serve-sqlite")),
    Target("joins/s with the fewest devices over those with more, the most of all sizes", 2, True,
           lambda r: max(r.lost(), default=None)),
    Target("the same with the most devices, over what SQLite itself loses", 1, True,
           lambda r: r.lost()[-1] / r.lost(lambda cell: cell["sqlite"]["rate"])[-1] if r.lost() else None),
    Target("octets of a record of two sessions and 32 DevNonces", 380, True, lambda r: r.most("record")),
    Target("octets of it on disk", 500, True, lambda r: r.most("disk")),
    Target("resident memory with the most devices, MiB", 256, True, lambda r: (r.most("rss") or math.nan) / 1024),
    Target("cold start with the most devices, seconds", 1, True, lambda r: (r.most("start") or math.nan) / 1e9),
    Target("two threads over one: core, the least of a, b, c", 1.8, False,
           least(*[lambda r, k=k: r.gain(f"lorajs/core-{k}") for k in "abc"])),
    Target("two threads over one: step", 1.8, False, lambda r: r.gain("lorajs/step")),
    Target("two threads over one: handler (c)", 1.8, False, lambda r: r.gain("lorajs/handler-c")),
    Target("the same of core (c), over what two threads of the floor gain", 0.9, False,
           lambda r: r.gain_of_floor("lorajs/core-c")),
    Target("the same of the step, over what two threads of the floor gain", 0.9, False,
           lambda r: r.gain_of_floor("lorajs/step")),
    Target("the same of handler (c), over what two threads of the floor gain", 0.9, False,
           lambda r: r.gain_of_floor("lorajs/handler-c")),
    Target("what two threads gain from Python over what they gain in C", 0.9, False, lambda r: r.scaled_alike("2")),
    Target("what eight threads gain from Python over what they gain in C", 0.9, False, lambda r: r.scaled_alike("8")),
    Target("the same of two threads, over what a bare call of the same length keeps", 0.95, False,
           lambda r: r.scaled_as_a_bare_call("2")),
    Target("the same of eight threads, over what a bare call of the same length keeps", 0.95, False,
           lambda r: r.scaled_as_a_bare_call("8")),
    *[Target(f"core, called from Python, ahead of the same work over {peer}, the least of a, b, c", 150, False,
             least(*[ahead(peer, k, "python-core/") for k in "abc"])) for peer in ("pycryptodome", "cryptography")],
    Target("handler from Python over the same call in C", 1.25, True,
           lambda r: r.ratio("python/handler-c-old", "lorajs/handler-c-old")),
    Target("handler from Python ahead of the same work over pycryptodome", 40, False,
           lambda r: r.ratio("pycryptodome/handler-c", "python/handler-c-old")),
    Target("handler from Python ahead of the same work over cryptography", 40, False,
           lambda r: r.ratio("cryptography/handler-c", "python/handler-c-old")),
]  # fmt: skip


def targets(r: Results) -> str:
    """A target is met when it is both by medians and where each does what it did in its best round."""

    def met(target: Target, value: float) -> bool:
        return value <= target.bound if target.most else value >= target.bound

    rows = []
    best = r.best()
    for target in TARGETS:
        r.noisy = False
        value, at_best = target.reached(r), target.reached(best)
        sign = "at most" if target.most else "at least"
        if value is None or math.isnan(value):
            rows.append([target.what, f"{sign} {target.bound:g}", "not measured", "", ""])
            continue
        verdict = "yes" if met(target, value) else "**no**"
        if at_best is not None and met(target, at_best) != met(target, value):
            verdict = "by medians" if met(target, value) else "**at its best**"
        rows.append([target.what, f"{sign} {target.bound:g}", ("~ " if r.noisy else "") + beside(value, target.bound),
                     "-" if at_best is None else beside(at_best, target.bound), verdict])  # fmt: skip
    return table(["target", "", "reached", "each at its best", "met"], rows)


def beside(value: float, bound: float) -> str:
    """With as many digits as tell it from the bound."""
    text = times(value)
    for digits in range(2, 6):
        if value == bound or float(text.replace(" ", "")) != bound:
            break
        text = f"{value:.{digits}f}"
    return text


# -- plots


def bars(title: str, rows: list[tuple[str, dict, bool]], text: Callable[[float], str], note: str,
         logarithmic: bool = True) -> str:
    """Bars with the range of the rounds; ours stand out."""
    width, left, right, line = 860, 330, 90, 26
    height = 56 + line * len(rows) + 24
    lowest, highest = min(cell["low"] for _, cell, _ in rows), max(cell["high"] for _, cell, _ in rows)
    if logarithmic:
        powers = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
        ticks = [10.0**power for power in powers]
    else:
        step = 10 ** math.floor(math.log10(highest)) / 2
        ticks = [step * i for i in range(math.ceil(highest / step) + 1)]

    def x(value: float) -> float:
        first, last = ticks[0], ticks[-1]
        if logarithmic:
            return left + (width - left - right) * math.log(value / first) / math.log(last / first)
        return left + (width - left - right) * value / last

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           f'font-size="13"><rect width="{width}" height="{height}" fill="#fff"/>'
           f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>'
           f'<text x="{width - 12}" y="24" text-anchor="end" fill="#666">{escape(note)}</text>']  # fmt: skip
    for number, tick in enumerate(ticks):
        out.append(f'<path d="M{x(tick):.1f} 38V{height - 24}" stroke="#ddd"/>')
        if logarithmic or number % max(1, len(ticks) // 5) == 0:
            label = re.sub(r"\.0+\b", "", text(tick))
            out.append(f'<text x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle" fill="#666">{label}</text>')
    for i, (label, cell, own) in enumerate(rows):
        y, end = 46 + line * i, x(cell["median"])
        out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>'
                   f'<rect x="{left}" y="{y}" width="{max(end - left, 1):.1f}" height="17" '
                   f'fill="{"#1b6ca8" if own else "#9db4c0"}"/>'
                   f'<path d="M{x(cell["low"]):.1f} {y + 8.5}H{x(cell["high"]):.1f}" stroke="#222"/>'
                   f'<text x="{max(x(cell["high"]), end) + 6:.1f}" y="{y + 13}">{text(cell["median"])}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


SHORT = {
    "http-floor": "fixed answer",
    "mhd-floor": "fixed answer, libmicrohttpd",
    "serve-memory": "lorajs serve, in memory",
    "http-brocaar": "brocaar, storing nothing",
    "sync-floor": "fixed answer, synced once a batch",
    "serve-sqlite": "lorajs serve, SQLite, FULL",
}


def plots(r: Results) -> dict[str, str]:
    def rows(work: Callable[[str], str], names: tuple[str, ...]) -> list[tuple[str, dict, bool]]:
        found = []
        for name in names:
            cell = r.times.get(f"{name}/{work(name)}")
            if cell:
                found.append((r.title(name).split(",")[0].replace("github.com/", "").split(" v0.0.0")[0], cell,
                              name in ("lorajs", "python", "python-core")))
        return found

    out = {}
    for kind, what in (("a", "LoRaWAN 1.0.x"), ("c", "LoRaWAN 1.1, keys wrapped")):
        found = rows(lambda name: ("core-" if name == "lorajs" else "") + kind,
                     ("floor", "gcrypt", "lorajs", "python-core", *PEERS))
        if found:
            out[f"core-{kind}.svg"] = bars(f"The cryptography of a join, {what}", found, duration, "less is better")
    found = rows(lambda name: "handler-c-old" if name == "python" else "handler-c",
                 ("lorajs", "python", "brocaar", "pycryptodome", "cryptography"))
    if found:
        out["handler.svg"] = bars("JSON in, JSON out, LoRaWAN 1.1, keys wrapped", found, duration, "less is better")
    for connections in (32, 64):
        found = [(title, r.http[name][str(connections)]["rate"],
                  name.startswith("serve-")) for name, title in SHORT.items() if name in r.http]  # fmt: skip
        if found:
            out[f"http-{connections}.svg"] = bars(f"Requests a second over {connections} connections", found, short,
                                                  "more is better", logarithmic=False)
    if len(r.growth) > 1:
        found = [(f"{short(int(n))} devices", cell["rate"], True) for n, cell in r.growth.items()]
        out["growth.svg"] = bars("Joins a second over SQLite, 64 a commit", found, short, "more is better",
                                  logarithmic=False)
    return out


# -- the report


def results_text(r: Results, plot_folder: str, plot_names: list[str]) -> str:
    a = r.all["about"]
    libraries = ", ".join(f"{name} {version}" for name, version in a["packages"].items())
    parts = [
        f"Measured on {a['processors']} processors {a['cpu']} ({a['family']}), {a['system']}, Linux {a['kernel']}, "
        f"gcc {a['compiler']}, {a['file system']}; {libraries}.\n",
        table(["part", "at commit", "on", "mode", "seconds", "load before it"],
              [[part, *[str(of[what]) for what in ("commit", "date", "mode", "seconds")], f"{of['load']:.2f}"]
               for part, of in r.all["parts"].items()]),
        "### Targets\n", targets(r),
    ]  # fmt: skip
    for name, why in r.all["missing"].items():
        parts.append(f"Missing here: {r.title(name)} ({why}).\n")
    if r.times:
        parts += ["### The cryptography of a join\n", cores(r), "### Step and handler\n", steps(r), handlers(r)]
        parts.append(instructions())
    if r.threads:
        parts += ["### Threads of one process\n", threads(r)]
    if r.http:
        parts += ["### Over HTTP\n", http(r)]
    if r.growth:
        parts += ["### Growth\n", growth(r)]
    parts += [f"![{name}]({plot_folder}/{name})\n" for name in plot_names]
    return "\n".join(parts)


def kept(published: bool) -> dict | None:
    """What was measured last: here, or that is in the page."""
    file = (PLOTS if published else BUILD) / "results.json"
    return json.loads(file.read_text()) if file.exists() else None


def write(results: dict, publish: bool) -> None:
    r = Results(results)
    drawn = plots(r)
    folders = [BUILD] + ([PLOTS] if publish else [])
    for folder in folders:
        plotted = folder if folder == PLOTS else folder / "plots"
        plotted.mkdir(parents=True, exist_ok=True)
        for name, svg in drawn.items():
            (plotted / name).write_text(svg)
        (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (BUILD / "report.md").write_text(results_text(r, "plots", list(drawn)))
    if publish:
        page = PAGE.read_text()
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        PAGE.write_text(before + BEGIN + results_text(r, "performance", list(drawn)) + END + after)
