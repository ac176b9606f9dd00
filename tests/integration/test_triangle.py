"""The triangle of `lorajs simulate --days`: lives of devices by simulated time, over channels of
every kind, judged in the end; the same again from the same seed; and worlds broken on purpose,
which the judge has to notice."""

from __future__ import annotations

import http.server
import json
import pathlib
import re
import shutil
import subprocess
import threading
import xml.etree.ElementTree as ElementTree
from typing import Callable, Iterator

import pytest

from conftest import DONE, PATIENCE, REFUSED, USAGE, Server

CLEAR = "--allow-clear-keys"
VERSIONS = ["1.0.3", "1.0.4", "1.1", "1.1 on 1.0"]
CLEAN: list = []
ROUGH = ["--loss", 30, "--duplicate", 10, "--reorder", 10, "--delay", 2000, "--backend-loss", 20, "--power-loss", 3]
CHANNELS = {"clean": CLEAN, "loss": ["--loss", 30], "duplicate": ["--duplicate", 50], "delay": ["--delay", 5000],
            "reorder": ["--reorder", 50], "backend": ["--backend-loss", 50], "all": ROUGH}
LINE = re.compile(r"^ *\d+d \d\d:\d\d:\d\d\.\d{3}  (device|network|join server) ")


def simulate(program: str, *flags: object, code: int = DONE, timeout: float = 5 * PATIENCE) -> dict:
    done = subprocess.run([program, "simulate", *map(str, flags), "--json"], capture_output=True, timeout=timeout)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    told = json.loads(done.stdout)
    told["stderr"] = done.stderr.decode()
    return told


def traces(program: str, *flags: object, code: int = DONE) -> dict[int, list[str]]:
    """What --trace printed, by device."""
    done = subprocess.run([program, "simulate", *map(str, flags), "--trace"], capture_output=True,
                          timeout=5 * PATIENCE)
    assert done.returncode == code, done.stderr.decode()
    lives: dict[int, list[str]] = {}
    for line in done.stdout.decode().splitlines():
        if found := re.match(r"device (\d+), LoRaWAN", line):
            life = lives.setdefault(int(found[1]), [line])
        elif LINE.match(line):
            life.append(line)
    return lives


def total(told: dict, name: str) -> int:
    return sum(version[name] for version in told["versions"].values())


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_version_over_every_channel(program: str, channel: str) -> None:
    told = simulate(program, "--days", 15, "--devices", 16, *CHANNELS[channel])
    assert told["diverged"] == 0 and told["divergences"] == [] and told["finished"]
    assert list(told["versions"]) == VERSIONS and told["device_days"] == 240
    for name, version in told["versions"].items():
        assert version["devices"] == 4 and version["joins"] >= 4
        assert version["uplinks"] > 4 * 15 * 12
        assert 0 < version["uplinks_accepted"] <= version["uplinks"]
        assert version["sent_again"] > 0 and version["heard_again"] > 0
        assert (version["rejoins0"] > 0) is (name == "1.1") is (version["rekeys"] > 0)
    lost, doubled, held = (total(told, name) for name in ("lost", "copies", "held_back"))
    assert (lost > 0) is ("--loss" in CHANNELS[channel])
    assert (doubled > 0) is ("--duplicate" in CHANNELS[channel])
    assert (held > 0) is ("--reorder" in CHANNELS[channel])
    if channel == "clean":
        assert total(told, "uplinks") == total(told, "uplinks_accepted")
        assert total(told, "sent_again") == total(told, "heard_again")  # by NbTrans alone
        assert total(told, "refused_by_device") == total(told, "sessions_given_up") == 0


def device_days(program: str, days: int, devices: int, timeout: float) -> dict:
    told = simulate(program, "--days", days, "--devices", devices, "--duplicate", 5, "--reorder", 5, "--delay", 2000,
                    "--backend-loss", 10, "--loss", 30, timeout=timeout)
    assert told["diverged"] == 0 and told["device_days"] == days * devices
    uplinks = total(told, "uplinks")
    frames = uplinks + total(told, "sent_again") + total(told, "downlinks")
    assert 0.27 < total(told, "lost") / (frames + total(told, "requests") + total(told, "copies")) < 0.33
    assert 0.75 < total(told, "uplinks_accepted") / uplinks < 0.9  # 0.7, if none were sent again
    assert min(told["versions"]["1.1"][f"rejoins{kind}"] for kind in (0, 1, 2)) > 0
    return told


def test_two_thousand_device_days(program: str) -> None:
    device_days(program, 50, 40, 5 * PATIENCE)


@pytest.mark.long
def test_a_hundred_thousand_device_days(program: str) -> None:
    told = device_days(program, 100, 1000, 60 * PATIENCE)
    assert total(told, "sessions_given_up") > 0 and total(told, "power_losses") > 5000


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_worse_worlds(program: str, seed: int) -> None:
    """Whatever the weather was, in the end all agree."""
    told = simulate(program, "--days", 60, "--devices", 200, "--seed", f"worse {seed}", "--loss", 10 + 15 * seed,
                    "--duplicate", 30, "--reorder", 30, "--delay", 8000, "--backend-loss", 40, "--power-loss", 1,
                    "--force", 1, "--rejoin0", 4, "--rejoin1", 5, timeout=60 * PATIENCE)
    assert told["diverged"] == 0


# ---- the same again ---------------------------------------------------------------


def test_the_seed_decides_everything(program: str) -> None:
    world = ["--days", 4, "--devices", 8, *ROUGH]
    first = traces(program, *world)
    assert traces(program, *world) == first
    assert traces(program, *world, "--seed", "another") != first
    for device in first:  # nobody's life depends on another's
        assert traces(program, *world, "--only", device) == {device: first[device]}


def test_threads_change_nothing(program: str) -> None:
    told = [simulate(program, "--days", 10, "--devices", 12, *ROUGH, "--jobs", jobs) for jobs in (1, 3)]
    assert told[0]["versions"] == told[1]["versions"]


def test_what_is_not_acknowledged_is_sent_again(program: str) -> None:
    """Under the same counter, until the ACK comes; and it is passed up once."""
    life = traces(program, "--days", 10, "--devices", 1, "--loss", 40, "--power-loss", 0)[0]
    confirmed = [(at, re.search(r"uplink (\d+), confirmed", line)[1]) for at, line in enumerate(life)
                 if ", confirmed" in line]
    again = {fcnt: [line for line in life if f"uplink {fcnt}, again" in line] for _, fcnt in confirmed}
    assert max(len(lines) for lines in again.values()) > 1 and all(len(lines) < 8 for lines in again.values())
    for (begin, fcnt), (end, _) in zip(confirmed, confirmed[1:]):
        acked = [at for at in range(begin, end) if " -> " in life[at] and ", ACK" in life[at]]
        last = max((at for at in range(begin, end) if f"uplink {fcnt}, again" in life[at]), default=begin)
        assert not acked or last < acked[0]  # the first ACK that arrives ends it


def test_the_trace_tells_the_story(program: str) -> None:
    life = traces(program, "--days", 1, "--devices", 4, "--power-loss", 0, "--force", 0)[2]
    words = ["power on", "join-request, DevNonce 0", "JoinReq", "JoinAns", "join-accept, DevAddr", "joined: REKEYING",
             "uplink 0, RekeyInd", "the new keys are in use", "RekeyConf", "JOINED", "rejoin-request 0, RJcount0 0",
             "RejoinReq", "RejoinAns", "SWITCHING", "rejoined: REKEYING", "uplink 0, RekeyInd",
             "from here on nothing is lost", "one shared context with the network"]
    for line in life:
        if words and words[0] in line:
            words.pop(0)
    assert not words, "\n".join(life)
    lost = traces(program, "--days", 1, "--devices", 1, "--loss", 50)[0]
    assert any(" -x " in line for line in lost) and not any(" -x " in line for line in life)


# ---- diagrams ---------------------------------------------------------------------


def arrows(life: list[str]) -> int:
    return sum(" -> " in line or " -x " in line for line in life)


def notes(life: list[str]) -> int:
    return len(life) - 1 - arrows(life)


@pytest.mark.parametrize("ending", ["mmd", "mermaid"])
def test_mermaid(program: str, tmp_path: pathlib.Path, ending: str) -> None:
    diagram = tmp_path / f"life.{ending}"
    life = traces(program, "--days", 2, "--devices", 4, "--only", 2, *ROUGH, "--diagram", diagram)[2]
    lines = diagram.read_text().splitlines()
    assert lines[0] == "sequenceDiagram"
    assert [line.split()[1] for line in lines[1:4]] == ["D", "N", "J"]
    assert lines[4].startswith("    Note over D,J: device 2, LoRaWAN 1.1")
    message = re.compile(r"^    [DNJ](->>|-x)[DNJ]: \d+d [\d:.]+ [^;#]+$")
    note = re.compile(r"^    Note over [DNJ]: [^;#]+$")
    assert all(message.match(line) or note.match(line) for line in lines[5:])
    assert sum(bool(message.match(line)) for line in lines) == arrows(life)
    assert sum(bool(note.match(line)) for line in lines) == notes(life)


def test_svg(program: str, tmp_path: pathlib.Path) -> None:
    diagram = tmp_path / "life.svg"
    life = traces(program, "--days", 2, "--devices", 4, "--only", 2, *ROUGH, "--diagram", diagram)[2]
    svg = ElementTree.parse(diagram).getroot()
    name = "{http://www.w3.org/2000/svg}"
    assert svg.tag == f"{name}svg" and svg.find(f"{name}title").text == life[0]
    lines = svg.findall(f"{name}line")
    assert sum(line.get("class") in ("a", "l") for line in lines) == arrows(life)
    assert sum(line.get("class") == "l" for line in lines) == sum(" -x " in line for line in life)
    assert len(svg.findall(f"{name}circle")) == notes(life)
    height = float(svg.get("height"))
    assert all(0 < float(line.get(y)) <= height for line in lines for y in ("y1", "y2"))
    assert all(float(line.get("y1")) <= float(line.get("y2")) for line in lines)  # time goes down


def test_a_diagram_is_of_one_life(program: str, tmp_path: pathlib.Path) -> None:
    told = simulate(program, "--days", 1, "--devices", 50, "--diagram", tmp_path / "life.svg")
    assert told["device_days"] == 1


@pytest.mark.parametrize("flags", [["--only", 4], ["--diagram", "life.png"], ["--rejoin1", 4], ["--loss", 96],
                                   ["--days", 0], ["--resume"], ["--uplinks", 0]])
def test_wrong_words(run: Callable, flags: list) -> None:
    done = run("simulate", "--days", 1, "--devices", 4, *flags, code=USAGE)
    assert done.stderr.startswith("lorajs: ") and not done.stdout


# ---- a Join Server somewhere else -------------------------------------------------


@pytest.fixture
def provisioned(run: Callable, data: pathlib.Path) -> Callable[..., pathlib.Path]:
    def provision(devices: int, *flags: object) -> pathlib.Path:
        lines = run("simulate", "--days", 1, "--devices", devices, "--provision", *flags).stdout
        assert len(lines.splitlines()) == devices
        run("device", "import", "-", "--data", data, input=lines)
        return data
    return provision


def test_at_a_url(program: str, provisioned: Callable, serve: Callable[..., Server]) -> None:
    """Over HTTP the lives are the same, to the last message."""
    provisioned(8)
    world = ["--days", 4, "--devices", 8, *ROUGH]
    assert traces(program, *world, "--url", serve(CLEAR).url) == traces(program, *world)


def test_keys_come_wrapped(program: str, run: Callable, provisioned: Callable, data: pathlib.Path,
                           serve: Callable[..., Server], tmp_path: pathlib.Path) -> None:
    keks = {"ns": "0f" * 8 + "1e" * 8, "as": "2d" * 12 + "3c" * 12}
    for label, kek in keks.items():
        run("kek", "add", label, "--data", data, input=kek)
    kek_file = tmp_path / "keks"
    kek_file.write_text("".join(f"{label} {kek}\n" for label, kek in keks.items()))
    provisioned(8, "--ns-kek", "ns", "--as-kek", "as")
    url = serve().url
    told = simulate(program, "--days", 4, "--devices", 8, "--url", url, "--kek-file", kek_file)
    assert told["diverged"] == 0


class Meddler:
    """Between network and Join Server: what it does to the nth request and its answer."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.meddle: Callable[[int, dict, Callable[[], dict]], dict | None] = lambda n, request, ask: ask()
        self.requests = 0
        meddler = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                meddler.requests += 1
                answer = meddler.meddle(meddler.requests, json.loads(body), lambda: meddler.server.ask(body))
                out = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(503 if answer is None else 200)
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def meddler() -> Iterator[Meddler]:
    meddler = Meddler()
    yield meddler
    meddler.http.shutdown()
    meddler.http.server_close()


def reported(program: str, told: dict, device: int) -> None:
    """Device, seed and a command that is one."""
    found = re.search(rf'device {device} \(LoRaWAN [^)]*\), seed "lorajs": .*\n  lorajs (simulate .*--only {device} --trace)\n',
                      told["stderr"])
    assert found, told["stderr"]
    words = re.sub(r"--url \S+ ", "", found[1]).split()
    subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)  # the good world


def test_a_device_removed_midway(program: str, run: Callable, provisioned: Callable, serve: Callable[..., Server],
                                 meddler: Meddler) -> None:
    data = provisioned(4)
    meddler.server = serve(CLEAR)
    gone = []

    def remove(n: int, request: dict, ask: Callable[[], dict]) -> dict | None:
        if not gone:
            gone.append(request["DevEUI"])
            ask()
            run("device", "remove", request["DevEUI"], "--data", data)
            return None
        return ask()

    meddler.meddle = remove
    told = simulate(program, "--days", 2, "--devices", 4, "--jobs", 1, "--url", meddler.url, code=REFUSED)
    assert told["divergences"] == [{"device": 0, "why": "the device has no session"}]
    assert total(told, "refused_by_join_server") > 5
    reported(program, told, 0)


@pytest.mark.parametrize(("device", "key"), [(0, "NwkSKey"), (1, "AppSKey"), (2, "SNwkSIntKey"), (2, "FNwkSIntKey"),
                                             (2, "NwkSEncKey"), (2, "AppSKey"), (3, "NwkSKey")])
def test_another_session_key(program: str, provisioned: Callable, serve: Callable[..., Server], meddler: Meddler,
                             device: int, key: str) -> None:
    """One bit of one key, from the third answer on, or the first where there is but one."""
    provisioned(4)
    meddler.server = serve(CLEAR)
    first = 3 if device == 2 else 1

    def spoil(n: int, request: dict, ask: Callable[[], dict]) -> dict:
        answer = ask()
        if n >= first and key in answer:
            octets = bytearray.fromhex(answer[key]["AESKey"])
            octets[7] ^= 0x10
            answer[key]["AESKey"] = octets.hex()
        return answer

    meddler.meddle = spoil
    told = simulate(program, "--days", 4, "--devices", 4, "--only", device, "--url", meddler.url, code=REFUSED)
    assert told["diverged"] == 1
    reported(program, told, device)


def test_a_database_rolled_back(program: str, provisioned: Callable, serve: Callable[..., Server], meddler: Meddler,
                                tmp_path: pathlib.Path) -> None:
    data = provisioned(4)
    shutil.copytree(data, tmp_path / "earlier")
    meddler.server = serve(CLEAR)

    def roll_back(n: int, request: dict, ask: Callable[[], dict]) -> dict:
        if n == 6:
            meddler.server.stop()
            shutil.rmtree(data)
            shutil.copytree(tmp_path / "earlier", data)
            meddler.server = serve(CLEAR)
        return ask()

    meddler.meddle = roll_back
    told = simulate(program, "--days", 5, "--devices", 4, "--only", 2, "--rejoin1", 5, "--url", meddler.url,
                    code=REFUSED)
    assert told["divergences"] == [{"device": 2, "why": "the JoinNonce of the Join Server did not rise"}]
    reported(program, told, 2)


def test_no_join_server(program: str, serve: Callable[..., Server]) -> None:
    server = serve(CLEAR)
    server.kill()
    told = simulate(program, "--days", 1, "--devices", 4, "--url", server.url, code=REFUSED)
    assert told["diverged"] == 4 and total(told, "joins") == 0
