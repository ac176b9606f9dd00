"""Whole fleets against the running daemon: every LoRaWAN version joins and rejoins, the
daemon is killed at any moment, and a journal that the server never sees is judged."""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
from typing import Callable

import pytest

import judge
from conftest import FAILED, PATIENCE, REFUSED, USAGE, Server
from fleet import Fleet, finish, open_accept
from test_serve_tls import Pki, peer, pin, tls_lines

CLEAR = "--allow-clear-keys"


def test_every_version_joins_and_rejoins(program: str, data: pathlib.Path, serve: Callable[..., Server]) -> None:
    fleet = Fleet(program, data, 304, "--as-id", "as.example")
    server = serve(CLEAR)
    told = fleet.simulate(server.url, "--joins", 3, "--rejoins", 3, "--checks", 4, "--as-id", "as.example",
                          "--net-id", "000001", "--net-id", "000013")

    assert told["failures"] == {} and told["finished"]
    assert told["joins"] == 3 * 304
    assert told["rejoins"] > 2 * 304 * 3 // 8
    assert min(told["forged"], told["replayed"], told["repeated"], told["app_s_keys"]) > 50
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p99"] <= told["latency_ms"]["max"]
    verdict = fleet.judge()
    assert verdict["sessions"] == told["joins"] + told["rejoins"]

    # Not even the simulator is believed: each accept is opened once more, by other code.
    sessions = judge.read(fleet.journal).sessions()
    assert {got.ask.kind for got in sessions} == {"join", "rejoin0", "rejoin1", "rejoin2"}
    assert {got.ask.mac for got in sessions} == {"1.0.0", "1.0.1", "1.0.2", "1.0.3", "1.0.4", "1.1"}
    assert {got.ask.net_id for got in sessions} == {0x01, 0x13}
    for got in sessions:
        assert open_accept(fleet.lines[got.ask.dev_eui], got) == got.join_nonce


def test_keys_come_wrapped(program: str, data: pathlib.Path, run: Callable, serve: Callable[..., Server],
                           tmp_path: pathlib.Path) -> None:
    keks = {"ns:000001": os.urandom(16), "as one": os.urandom(32)}
    for label, kek in keks.items():
        run("kek", "add", label, "--data", data, input=kek.hex())
    kek_file = tmp_path / "keks"
    kek_file.write_text("".join(f"{label} {kek.hex()}\n" for label, kek in keks.items()))
    fleet = Fleet(program, data, 80, "--ns-kek", "ns:000001", "--as-kek", "as one", "--as-id", "as.example")
    told = fleet.simulate(serve().url, "--kek-file", kek_file, "--as-id", "as.example", "--checks", 2)

    assert told["failures"] == {} and told["app_s_keys"] > 10
    fleet.judge()


def test_over_tls(program: str, data: pathlib.Path, serve: Callable[..., Server], tmp_path: pathlib.Path) -> None:
    """With a client certificate; and who has none, or trusts another server, gets nothing."""
    pki = Pki(tmp_path)
    config = tmp_path / "lorajs.conf"
    config.write_text(tls_lines(pki) + peer("ns", pin(pki.pinned), "000001"))
    fleet = Fleet(program, data, 80)
    server = serve("--config", config)
    url = f"https://localhost:{server.port}"
    own = ["--cert", pki.pinned.pem, "--cert-key", pki.pinned.key_pem]
    told = fleet.simulate(url, "--ca", pki.server.pem, *own, "--checks", 4)
    assert told["failures"] == {} and told["joins"] == 80
    fleet.judge()

    assert fleet.simulate(url, "--resume", "--ca", pki.ca.pem, *own, code=FAILED)["joins"] == 0
    assert fleet.simulate(url, "--resume", "--ca", pki.server.pem, code=None)["joins"] == 0


def test_no_kek_and_no_clear_keys(program: str, data: pathlib.Path, serve: Callable[..., Server]) -> None:
    """Nothing is burnt by the refusal: the same requests are good when the server may answer."""
    fleet = Fleet(program, data, 24)
    told = fleet.simulate(serve().url, "--checks", 0, code=REFUSED)
    assert told["joins"] == 0 and told["failures"] == {"JoinReqFailed/FrameReplayed": 24}

    fleet.journal.unlink()  # the devices begin anew, with the same nonces
    told = fleet.simulate(serve(CLEAR).url)
    assert told["failures"] == {} and told["joins"] == 24
    assert {got.join_nonce for got in judge.read(fleet.journal).gots() if got.ask.k == 0} == {1}


def test_ten_thousand(program: str, data: pathlib.Path, serve: Callable[..., Server]) -> None:
    fleet = Fleet(program, data, 10_000)
    told = fleet.simulate(serve(CLEAR).url)

    assert told["failures"] == {} and told["finished"]
    assert told["joins"] == 10_000 and told["rejoins"] == 2_500
    verdict = fleet.judge()
    assert verdict["devices"] == 10_000 and verdict["sessions"] == 12_500


def wait_for_accepts(fleet: Fleet, simulation: subprocess.Popen, more: int) -> None:
    """Until the journal has grown by some accepts."""
    size = fleet.journal.stat().st_size if fleet.journal.exists() else 0
    end = time.monotonic() + PATIENCE
    while True:
        if fleet.journal.exists():
            with open(fleet.journal, "rb") as file:
                file.seek(size)
                if file.read().count(b"\ngot ") >= more:
                    return
        if simulation.poll() is not None or time.monotonic() > end:
            simulation.kill()
            raise AssertionError(b"\n".join(simulation.communicate()).decode())
        time.sleep(0.01)


@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.long)])
def test_killed_in_the_middle(program: str, data: pathlib.Path, serve: Callable[..., Server], kills: int) -> None:
    """kill -9, again and again.  After each restart whoever was answered last asks for the
    same again; at the end every device joins once more; then the journal is judged."""
    dice = random.Random(kills)
    fleet = Fleet(program, data, 240, "--as-id", "as.example")
    server = serve(CLEAR)
    listen = f"127.0.0.1:{server.port}"
    simulation = fleet.start(server.url, "--joins", 1_000_000, "--rejoins", 1_000_000, "--retry-for", int(PATIENCE),
                             "--as-id", "as.example")
    for _ in range(kills):
        wait_for_accepts(fleet, simulation, 80)
        time.sleep(dice.uniform(0, 0.15))
        server.kill()
        server = serve(CLEAR, listen=listen)
    wait_for_accepts(fleet, simulation, 200)
    simulation.send_signal(signal.SIGINT)
    told = finish(simulation)
    assert told["failures"] == {}
    assert told["outages"] >= 0.9 * kills and told["repeated"] > 8 * kills

    again = fleet.simulate(server.url, "--resume", "--joins", 1, "--rejoins", 1, "--as-id", "as.example")
    assert again["failures"] == {} and again["joins"] >= 240
    verdict = fleet.judge()
    assert verdict["finished"] and verdict["devices"] == 240
    assert verdict["sessions"] == told["joins"] + told["rejoins"] + again["joins"] + again["rejoins"]
    assert server.stop() == 0


def test_devices_that_crash_too(program: str, data: pathlib.Path, serve: Callable[..., Server]) -> None:
    """The simulator is killed as well; its devices go on from the journal, and the last line
    of it, cut short, is none."""
    fleet = Fleet(program, data, 80)
    server = serve(CLEAR)
    for n in range(3):
        simulation = fleet.start(server.url, *["--resume"][: n], "--joins", 1_000_000, "--rejoins", 1_000_000)
        wait_for_accepts(fleet, simulation, 100)
        simulation.kill()
        simulation.communicate()
        with open(fleet.journal, "ab") as file:
            file.write(b"got 02")
    told = fleet.simulate(server.url, "--resume")
    assert told["failures"] == {} and told["joins"] >= 80
    fleet.judge()


def test_a_server_that_forgets_is_found(program: str, data: pathlib.Path, serve: Callable[..., Server],
                                        tmp_path: pathlib.Path) -> None:
    """The control of all this: a database put back to an earlier state is what a server
    does that answers before it is durable.  Simulation and judges must see it."""
    fleet = Fleet(program, data, 40)
    server = serve(CLEAR)
    fleet.simulate(server.url)
    assert server.stop() == 0
    shutil.copytree(data, tmp_path / "earlier")
    server = serve(CLEAR)
    fleet.simulate(server.url, "--resume")
    assert server.stop() == 0
    fleet.judge()

    shutil.rmtree(data)
    shutil.copytree(tmp_path / "earlier", data)
    told = fleet.simulate(serve(CLEAR).url, "--resume", "--checks", 0, code=REFUSED)
    assert told["failures"]["JoinNonce did not rise"] >= 40
    assert len(judge.judge(judge.read(fleet.journal))) >= 40
    done = subprocess.run([program, "simulate", "--judge", fleet.journal], capture_output=True, timeout=PATIENCE)
    assert done.returncode == REFUSED and b"laws broken" in done.stdout


def test_no_server(program: str, data: pathlib.Path, serve: Callable[..., Server], run: Callable) -> None:
    server = serve(CLEAR)
    server.kill()
    done = run("simulate", "--url", server.url, "--devices", 4, "--json", code=FAILED)
    assert sum(json.loads(done.stdout)["failures"].values()) == 4
    start = time.monotonic()
    run("simulate", "--url", server.url, "--devices", 4, "--retry-for", 1, code=FAILED)
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize("flags", [[], ["--resume", "--url", "http://127.0.0.1:1"], ["--devices", "0"],
                                   ["--net-id", "12345", "--url", "http://127.0.0.1:1"], ["--connections", "x"]])
def test_wrong_words(run: Callable, flags: list[str]) -> None:
    done = run("simulate", *flags, code=USAGE)
    assert done.stderr.startswith("lorajs: simulate") and not done.stdout


def test_unknown_devices_are_failures(run: Callable, serve: Callable[..., Server]) -> None:
    done = run("simulate", "--url", serve(CLEAR).url, "--devices", 16, "--json", code=REFUSED)
    assert json.loads(done.stdout)["failures"] == {"UnknownDevEUI": 16}


def test_a_journal_is_not_mixed_up(run: Callable, tmp_path: pathlib.Path) -> None:
    journal = tmp_path / "journal"
    to = ["--url", "http://127.0.0.1:1", "--journal", journal, "--devices", 1]
    run("simulate", *to, code=FAILED)
    assert "--resume" in run("simulate", *to, code=REFUSED).stderr
    assert "another seed" in run("simulate", *to, "--resume", "--seed", "other", code=REFUSED).stderr
    journal.write_text("hello\n")
    assert "line 1" in run("simulate", "--judge", journal, code=FAILED).stderr
    journal.write_text("")
    run("simulate", "--judge", journal, code=FAILED)


# ---- the judges -------------------------------------------------------------------

PHY = ["000000000000000000a1a1a1a1a1a1a1a1000000000000", "000000000000000000a1a1a1a1a1a1a1a1010000000000",
       "000000000000000000a1a1a1a1a1a1a1a1020000000000"]
ASK = [f"a1a1a1a1a1a1a1a1 {k} join {k} 1.0.4 000001 {PHY[k]}" for k in range(3)]
GOT = [f"{ASK[k]} {k + 1} {k:032x} 20{k:02x}" + 15 * "00" for k in range(3)]
RUN = "run a1a1a1a1a1a1a1a1 1"


@pytest.mark.parametrize(("lines", "good"), [
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"ask {ASK[1]}", f"got {GOT[1]}"], True, id="joins"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"got {GOT[0]}"], True, id="repeat"),
    pytest.param([f"ask {ASK[0]}", f"ask {ASK[1]}", f"got {GOT[1]}"], True, id="unanswered"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"ask {ASK[1]}", f"no {ASK[0]} JoinReqFailed", f"got {GOT[1]}"],
                 True, id="replay-refused"),
    pytest.param([f"ask {ASK[0]}"], False, id="never-joined"),
    pytest.param([f"ask {ASK[0]}", f"no {ASK[0]} JoinReqFailed", f"ask {ASK[1]}", f"got {GOT[1]}"], False,
                 id="refused"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"no {ASK[0]} JoinReqFailed"], False, id="forgotten"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"got {ASK[0]} 2 {0:032x} 2000" + 15 * "00"], False,
                 id="two-join-nonces"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"got {ASK[0]} 1 {9:032x} 2000" + 15 * "00"], False,
                 id="two-session-key-ids"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"got {ASK[0]} 1 {0:032x} 2001" + 15 * "00"], False,
                 id="two-accepts"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"ask {ASK[1]}", f"got {ASK[1]} 1 {1:032x} 2001" + 15 * "00"],
                 False, id="join-nonce-twice"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"ask {ASK[1]}", f"got {GOT[1]}", f"ask {ASK[2]}",
                  f"got {ASK[2]} 1 {2:032x} 2002" + 15 * "00"], False, id="join-nonce-falls"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"ask {ASK[1]}", f"got {ASK[1]} 2 {0:032x} 2001" + 15 * "00"],
                 False, id="session-key-id-twice"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"ask {ASK[1]}", f"got {GOT[1]}", f"got {GOT[0]}"], False,
                 id="old-request-answered"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", f"ask {ASK[1].replace(' join 1 ', ' join 0 ')}",
                  f"got {GOT[1].replace(' join 1 ', ' join 0 ')}"], False, id="nonce-twice"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", "bad a1a1a1a1a1a1a1a1 a forged request was accepted"], False,
                 id="bad"),
    pytest.param([f"ask {ASK[0]}", f"got {GOT[0]}", "end all", RUN, f"ask {ASK[1]}"], False, id="not-joined-again"),
])
def test_judges(run: Callable, tmp_path: pathlib.Path, lines: list[str], good: bool) -> None:
    """Two judges of two hands, over journals with one law broken each."""
    journal = tmp_path / "journal"
    journal.write_text("\n".join([RUN, *lines, "end all", ""]))
    assert (judge.judge(judge.read(journal)) == []) is good
    done = run("simulate", "--judge", journal, "--json", code=None)
    assert done.returncode == (0 if good else REFUSED), done.stderr
    assert (json.loads(done.stdout)["broken"] == 0) is good


def test_a_fleet_that_is_rekeyed(run):
    """Root keys are replaced while devices join, messages are lost and either side loses its power: each ends under them."""
    calm = json.loads(run("simulate", "--rekey", "--devices", 24, "--crash", 0, "--json").stdout)
    assert calm["rounds"] == calm["joins"] == 2 * 24  # one that commits the new keys, and one more under them
    assert calm["rekeyed"] == 24 and calm["lost"] == calm["device_crashes"] == calm["server_crashes"] == 0
    rough = ("simulate", "--rekey", "--devices", 96, "--loss", 35, "--crash", 15, "--json")
    first, again, other = (json.loads(run(*rough, "--seed", seed).stdout) for seed in ("a", "a", "b"))
    assert first == again != other
    for sums in (first, other):
        assert sums["devices"] == sums["rekeyed"] == 96 and sums["joins"] > 96
        assert min(sums["lost"], sums["device_crashes"], sums["server_crashes"]) > 20
    assert "96 under new root keys" in run(*rough[:-1]).stdout
