"""Another master key while the daemon serves: killed at any moment it is gone on with, no device is lost and no
JoinNonce is used twice."""

from __future__ import annotations

import json
import os
import pathlib
import random
import sqlite3
import subprocess
import threading
import time

import pytest
from conftest import DONE, FAILED, PATIENCE, REFUSED, USAGE, Server
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from joins import Device, devices, result
from test_serve import import_devices

CLEAR = "--allow-clear-keys"
CHEAP = ["--stretch-memory", 8, "--stretch-passes", 1]
KEK = "1f6c2a9d3be84705c1d2e3f4a5b6978a"
AT_ONCE = ["--grace", 0]


def join_nonce(device: Device, answer: dict) -> int:
    """Out of the join-accept: what the device sees."""
    cipher = Cipher(AES(device.key), ECB()).encryptor()
    return int.from_bytes(cipher.update(bytes.fromhex(answer["PHYPayload"])[1:17])[:3], "little")


class Load:
    """Devices that join over and over, each answered in the end, and what they were answered."""

    def __init__(self, server: Server, many: list[Device], look=lambda answer: None, threads: int = 2) -> None:
        self.server, self.seen, self.look = server, {d.dev_eui: [] for d in many}, look
        self.others, self.stopping, self.fault = 0, threading.Event(), None
        self.threads = [threading.Thread(target=self._guard, args=(many[i::threads],)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def _guard(self, mine: list[Device]) -> None:
        try:
            while not self.stopping.is_set():
                for device in mine:
                    self.join(device)
        except BaseException as fault:  # told where the test waits
            self.fault = fault

    def join(self, device: Device) -> None:
        message, end = device.join(), time.monotonic() + PATIENCE
        while result(answer := self.server.ask(message)) != "Success":
            assert result(answer) == "Other" and time.monotonic() < end, answer
            self.others += 1
            time.sleep(0.02)
        self.look(answer)
        self.seen[device.dev_eui].append(join_nonce(device, answer))

    def stop(self) -> int:
        """How many joins there were; each with a JoinNonce of its own, in their order."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        if self.fault:
            raise self.fault
        for nonces in self.seen.values():
            assert nonces == list(range(1, len(nonces) + 1)), nonces
        return sum(map(len, self.seen.values()))


def master_files(data: pathlib.Path) -> set[str]:
    return {p.name for p in data.iterdir() if p.name.startswith("master.")}


def secret(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def made(run, data) -> list[Device]:
    """A data directory with devices, KEKs, and one that was removed."""
    many = devices(12)
    import_devices(run, data, [*many, gone := Device(7)])
    run("device", "remove", "7".zfill(16), "--data", data)
    for label in ("ns", "as"):
        run("kek", "add", label, "--data", data, input=KEK)
    assert gone.dev_eui == 7
    return many


def values(data: pathlib.Path) -> dict[bytes, bytes]:
    with sqlite3.connect(data / "lorajs.db") as db:
        found = dict(db.execute("SELECT key, value FROM kv"))
    db.close()
    return found


# ---- while serving --------------------------------------------------------------------


def test_another_master_key_while_serving(run, serve, data, made):
    old, before = (data / "master.key").read_text(), values(data)
    server = serve(CLEAR)
    load = Load(server, made)
    told = json.loads(run("rewrap", "--data", data, "--to", "file", "--grace", 1, "--json").stdout)
    assert told["result"] == "rewrapped" and told["version"] == 2 and told["damaged"] == 0
    assert told["values"] >= 15 and told["written"] >= 15
    assert master_files(data) == {"master.key"} and (data / "master.key").read_text() != old
    assert load.stop() > 12 and load.others == 0, "who serves notices in time"
    after = values(data)
    assert all(after[key][-16:] != value[-16:] for key, value in before.items() if key[:1] in b"dkm")
    late = Device(9)
    import_devices(run, data, [late])
    assert result(server.ask(late.join())) == "Success" and server.stop() == 0
    # the old key is worth nothing now
    new = (data / "master.key").read_text()
    secret(data / "master.key", old)
    assert "SEAL" in run("kek", "list", "--data", data, code=FAILED).stderr
    secret(data / "master.key", new)
    server = serve(CLEAR)
    assert all(result(server.ask(d.join())) == "Success" for d in made)
    assert "removed" in run("device", "show", "7".zfill(16), "--data", data).stdout


def test_the_daemon_that_did_not_notice(run, serve, data, made):
    """It was stopped while all of it happened, and has the key from the same place as before."""
    server = serve(CLEAR)
    assert result(server.ask(made[0].join())) == "Success"
    os.kill(server.process.pid, 19)
    run("rewrap", "--data", data, "--to", "file", *AT_ONCE)
    os.kill(server.process.pid, 18)
    end = time.monotonic() + PATIENCE
    while result(server.ask(message := made[1].join())) != "Success":
        assert time.monotonic() < end
    assert result(server.ask(message)) == "Success" and "took the new one" in server.stderr()


def test_a_key_that_is_not_the_databases(run, serve, data, made):
    """What stands where the master key did, and does not open the database, seals nothing."""
    server, key = serve(CLEAR), (data / "master.key").read_text()
    assert result(server.ask(made[0].join())) == "Success"

    def flip() -> None:
        with sqlite3.connect(data / "lorajs.db", timeout=PATIENCE) as db:
            [(value,)] = db.execute("SELECT value FROM kv WHERE key = ?", (b"m",))
            db.execute("UPDATE kv SET value = ? WHERE key = ?", (value[:-1] + bytes([value[-1] ^ 1]), b"m"))
        db.close()

    secret(data / "master.key", os.urandom(32).hex() + "\n")
    flip()
    end = time.monotonic() + PATIENCE
    while "restart with the new --master-key" not in server.stderr():
        assert time.monotonic() < end
        time.sleep(0.05)
    flip()
    secret(data / "master.key", key)
    assert result(server.ask(made[1].join())) == "Success" and server.stop() == 0
    server = serve(CLEAR)
    assert all(result(server.ask(device.join())) == "Success" for device in made)


def test_the_marker_comes_along(run, serve, data, made, tmp_path):
    """Though no daemon runs, or one that is idle and then killed: the old key ends, and the next start is no regression."""
    marker, command = tmp_path / "marker", ["rewrap", "--data", data, "--to", "file", *AT_ONCE]
    assert "goes with no marker" in run(*command, "--marker", marker, code=REFUSED).stderr and not marker.exists()
    server = serve(CLEAR, "--marker", marker)
    assert result(server.ask(made[0].join())) == "Success" and server.stop() == 0
    for more in ([], ["--dry-run"]):
        assert "give --marker" in run(*command, *more, code=REFUSED).stderr and master_files(data) == {"master.key"}
    assert "is not there" in run(*command, "--marker", tmp_path / "other", code=REFUSED).stderr
    assert json.loads(run("rewrap", "--data", data, "--status", "--json").stdout)["version"] == 1
    run(*command, "--marker", marker)  # nobody serves
    server = serve(CLEAR, "--marker", marker)
    run(*command, "--marker", marker)  # it is idle
    server.kill()
    server = serve(CLEAR, "--marker", marker)
    assert all(result(server.ask(d.join())) == "Success" for d in made)
    run(*command, "--marker", marker)
    end = time.monotonic() + PATIENCE
    while result(server.ask(made[1].join())) != "Success":  # it looks each second
        assert time.monotonic() < end
    assert server.stop() == 0
    server = serve(CLEAR, "--marker", marker)
    assert json.loads(run("rewrap", "--data", data, "--status", "--json").stdout)["version"] == 4


def test_every_keeper(run, data, made, tmp_path):
    """To each, and from each; and the same again is no harm."""
    words = f"passphrase:file:{secret(tmp_path / 'words', 'orbit velvet canyon magnet')}"
    more = f"passphrase:file:{secret(tmp_path / 'more', 'ripple thirteen magnet')}"
    was, version = "file", 1
    for n, kind in enumerate((words, more, "key", "other", "file")):
        to = kind if kind in ("file", words, more) else \
            f"file:{secret(tmp_path / f'{kind}{n}', os.urandom(32).hex() + chr(10))}"
        command = ["rewrap", "--data", data, "--master-key", was, "--to", to, "--json", *AT_ONCE, *CHEAP]
        assert json.loads(run(*command, "--dry-run").stdout)["version"] == version
        version += 1
        assert json.loads(run(*command).stdout)["version"] == version
        if was != to:
            assert json.loads(run(*command).stdout)["result"] == "done before"
            assert run("kek", "list", "--data", data, "--master-key", was, code=None).returncode != DONE
        assert "ns" in run("kek", "list", "--data", data, "--master-key", to).stdout
        assert len(master_files(data)) == 1
        was = to


def test_what_cannot_be(run, data, made, tmp_path):
    assert "needs --to" in run("rewrap", "--data", data, code=USAGE).stderr
    key = (data / "master.key").read_text()
    same = secret(tmp_path / "same", key)
    for more in ([], ["--dry-run"]):
        done = run("rewrap", "--data", data, "--to", f"file:{same}", *more, code=REFUSED)
        assert "which the database has" in done.stderr and master_files(data) == {"master.key"}
    assert "No such file" in run("rewrap", "--data", data, "--to", f"file:{tmp_path}/none", code=FAILED).stderr
    before = values(data)
    run("rewrap", "--data", data, "--to", "file", "--dry-run")
    assert json.loads(run("rewrap", "--data", data, "--status", "--json").stdout) == {
        "version": 1, "under_way": False, "next": "", "devices": 13, "keks": 2}
    assert values(data) == before and (data / "master.key").read_text() == key


def test_a_damaged_record_keeps_the_old_key(run, data, made):
    key = b"d" + made[3].dev_eui.to_bytes(8, "big")

    def flip() -> None:
        with sqlite3.connect(data / "lorajs.db") as db:
            [(value,)] = db.execute("SELECT value FROM kv WHERE key = ?", (key,))
            db.execute("UPDATE kv SET value = ? WHERE key = ?", (value[:-1] + bytes([value[-1] ^ 1]), key))
        db.close()

    flip()
    command = ["rewrap", "--data", data, "--to", "file", *AT_ONCE]
    done = run(*command, code=FAILED)
    assert f"device {made[3].dev_eui:016x}" in done.stderr and "--leave-damaged" in done.stderr
    status = json.loads(run("rewrap", "--data", data, "--status", "--json").stdout)
    assert status["under_way"] and status["next"] == "master.key.next"
    assert "under way" in run("master", "move", "--data", data, "--to", "passphrase", code=REFUSED).stderr
    assert "a change of it is under way (master.key.next)" in run("doctor", "--data", data, code=None).stdout
    other = run("rewrap", "--data", data, "--to", "passphrase", code=REFUSED)
    assert "master.key.next is under way" in other.stderr
    os.rename(data / "master.key.next", data / "hidden")
    assert "is gone or another one" in run(*command, code=FAILED).stderr
    os.rename(data / "hidden", data / "master.key.next")
    flip()
    run(*command)
    run("rewrap", "--data", data, "--to", "file", *AT_ONCE)
    flip()
    run(*command, "--leave-damaged")
    assert master_files(data) == {"master.key"}


# ---- killed ---------------------------------------------------------------------------


def took(program: str, command: list) -> float:
    begun = time.monotonic()
    subprocess.run([program, *map(str, command)], check=True, capture_output=True)
    return time.monotonic() - begun


def cut_off(program: str, command: list, after: float) -> int | None:
    """Killed after so many seconds: None; else its exit code."""
    process = subprocess.Popen([program, *map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    try:
        _, err = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    assert process.returncode == 0, err.decode()
    return process.returncode


def campaign(program: str, command: list, kills: int, seed: int) -> tuple[int, int]:
    """Until it was killed so often, and then to its end: how often it was killed, how often it came to its end."""
    dice, whole = random.Random(seed), took(program, command)
    killed = ended = 0
    while killed < kills:
        if cut_off(program, command, dice.uniform(0, 1.1 * whole)) is None:
            killed += 1
        else:
            ended += 1
    took(program, command)
    return killed, ended + 1


@pytest.mark.parametrize("kills", [8, pytest.param(1250, marks=pytest.mark.long),
                                   pytest.param(1251, marks=pytest.mark.long)])
def test_killed_at_any_moment_while_serving(run, program, serve, data, made, kills, capsys):
    server = serve(CLEAR)
    load = Load(server, made)
    killed, ended = campaign(program, ["rewrap", "--data", data, "--to", "file", *AT_ONCE], kills, seed=kills)
    # once more with a device each join, after all of it and by the daemon that saw it
    load.stopping.set()
    for thread in load.threads:
        thread.join(PATIENCE)
    for device in made:
        load.join(device)
    joins = load.stop()
    assert server.stop() == 0 and master_files(data) == {"master.key"}
    load.server = serve(CLEAR)
    for device in made:
        load.join(device)
    assert load.stop() == joins + len(made)
    assert run("kek", "list", "--data", data).stdout.count("AES-128") == 2
    with capsys.disabled():
        print(f"\nrewrap: {killed} kills, {ended} times to its end, {joins} joins meanwhile, {load.others} asked again, "
              f"{len(made)} of {len(made)} devices join, no JoinNonce twice")


# ---- KEKs -----------------------------------------------------------------------------


class Keks:
    """The KEKs that were ever given out, and how an answer's keys are wrapped."""

    def __init__(self, tmp_path: pathlib.Path) -> None:
        self.tmp_path, self.keys, self.counted = tmp_path, {}, {}

    def file(self, label: str) -> pathlib.Path:
        """A fresh key of this label, in a file."""
        self.keys[label] = os.urandom(16)
        return secret(self.tmp_path / label.replace("/", "-"), self.keys[label].hex() + "\n")

    def look(self, answer: dict) -> set[str]:
        """Each key opens with the KEK that is named with it; a rotation may fall between the two."""
        labels = set()
        for name in "NwkSKey", "AppSKey":
            label = answer[name]["KEKLabel"]
            assert len(aes_key_unwrap(self.keys[label], bytes.fromhex(answer[name]["AESKey"]))) == 16
            labels.add(label)
        for label in labels:
            self.counted[label] = self.counted.get(label, 0) + 1
        return labels

    def one(self, answer: dict) -> str:
        """Nobody rotates: both are under the same."""
        [label] = self.look(answer)
        return label


PEER = 'acme { net-ids = {"000013"} keks = {"acme"} }'


@pytest.fixture
def wrapped(run, data, tmp_path) -> tuple[list[Device], Keks]:
    """Devices whose keys go to the peer acme under the KEK acme."""
    many, keks = devices(6), Keks(tmp_path)
    import_devices(run, data, many, as_kek_label="acme")
    run("kek", "add", "acme", "--data", data, "--key-file", keks.file("acme"))
    return many, keks


def test_another_kek_while_serving(run, serve, data, wrapped):
    many, keks = wrapped
    server = serve("--peer", PEER, "--plain-peer", "acme")

    def label(device: Device = many[0]) -> str:
        return keks.one(server.ask(device.join()))

    def listed() -> dict[str, dict]:
        lines = run("kek", "list", "--data", data, "--json").stdout.splitlines()
        return {kek["label"]: kek for kek in map(json.loads, lines)}

    assert label() == "acme"
    rotate = ["kek", "rotate", "acme", "--data", data, "--to", "acme/2"]
    assert "no such KEK" in run(*rotate, code=REFUSED).stderr
    rotate += ["--key-file", keks.file("acme/2")]
    run(*rotate, "--dry-run")
    assert set(listed()) == {"acme"} and label() == "acme"
    run(*rotate)
    run(*rotate)
    assert label() == "acme/2" and set(listed()) == {"acme", "acme/2"}
    assert listed()["acme"]["next"] == [{"label": "acme/2", "peer": None, "use": "all"}]
    assert "acme/2" in run("kek", "list", "--data", data).stdout
    run("kek", "retire", "acme", "--data", data)  # what is used in its place goes on
    assert label() == "acme/2" and listed()["acme"]["retired"]
    run("kek", "retire", "acme/2", "--data", data)
    message = many[1].join()
    assert result(server.ask(message)) == "JoinReqFailed"
    assert "KEK" in server.stderr() and set(listed()) == {"acme", "acme/2"}
    run("kek", "retire", "acme/2", "--data", data, "--back")
    assert keks.one(server.ask(message)) == "acme/2", "nothing was burnt"
    run("kek", "add", "acme/3", "--data", data, "--key-file", keks.file("acme/3"))
    run("kek", "rotate", "acme", "--data", data, "--to", "acme/3", "--peer", "other")
    assert label() == "acme/2"
    run("kek", "rotate", "acme", "--data", data, "--to", "acme/3", "--peer", "acme", "--ns")
    answer = server.ask(many[2].join())
    assert (answer["NwkSKey"]["KEKLabel"], answer["AppSKey"]["KEKLabel"]) == ("acme/3", "acme/2")
    assert server.ask(many[2].join(frame=many[2].frame(many[2].nonce)))["NwkSKey"]["KEKLabel"] == "acme/3"
    assert "in its place already" in run("kek", "rotate", "acme/2", "--data", data, "--to", "acme",
                                         code=REFUSED).stderr
    run("kek", "remove", "acme/2", "--data", data)
    assert result(server.ask(many[3].join())) == "Success" and set(listed()) == {"acme", "acme/3"}
    for words in (["rotate", "acme"], ["rotate", "none", "--to", "acme/3"], ["retire", "none"]):
        assert run("kek", *words, "--data", data, code=None).returncode in (USAGE, REFUSED)


@pytest.mark.parametrize("kills", [7, pytest.param(1250, marks=pytest.mark.long),
                                   pytest.param(1251, marks=pytest.mark.long)])
def test_kek_rotation_killed_at_any_moment(run, program, serve, data, wrapped, kills, capsys):
    """Rotated, retired and removed, each cut off anywhere and begun again, under load: every answer's keys open with
    the KEK that it names, and after a command has ended with the one it said."""
    many, keks = wrapped
    server = serve("--peer", PEER, "--plain-peer", "acme")
    load, dice = Load(server, many[1:], keks.look), random.Random(kills)
    whole, killed, version = 0.03, 0, 0
    while killed < kills:
        version += 1
        commands = [["kek", "rotate", "acme", "--data", data, "--to", f"acme/{version}", "--key-file",
                     keks.file(f"acme/{version}")]]
        if version > 1:
            commands.append(["kek", "retire", f"acme/{version - 1}", "--data", data])
        if version > 2:
            commands.append(["kek", "remove", f"acme/{version - 2}", "--data", data])
        for command in commands:
            if cut_off(program, command, dice.uniform(0, 1.2 * whole)) is None:
                killed += 1
                done = run(*command, code=None)
                assert done.returncode == DONE or (command[1] == "remove" and "no such KEK" in done.stderr), done.stderr
        if version == 1:
            whole = took(program, commands[0])
        assert keks.one(server.ask(many[0].join())) == f"acme/{version}"
    joins = load.stop()
    assert load.others == 0 and server.stop() == 0
    labels = [json.loads(line)["label"] for line in run("kek", "list", "--data", data, "--json").stdout.splitlines()]
    assert sorted(labels) == sorted({"acme", f"acme/{version}", f"acme/{max(version - 1, 1)}"})
    with capsys.disabled():
        print(f"\nKEK rotation: {killed} kills, {version} rotations, {joins} joins meanwhile, each under the KEK it names "
              f"({len(keks.counted)} of them), no JoinNonce twice")


def test_killed_between_keepers(run, program, data, made, tmp_path):
    """From file to file elsewhere and back: one of both opens it at any moment, and the same command goes on."""
    dice, sources = random.Random(3), ["file"]
    for n in range(2):
        to = f"file:{secret(tmp_path / f'key{n}', os.urandom(32).hex() + chr(10))}" if sources[-1] == "file" else "file"
        command = ["rewrap", "--data", data, "--master-key", sources[-1], "--to", to, *AT_ONCE]
        for _ in range(6):
            if cut_off(program, command, dice.uniform(0, 0.08)) is not None:
                break
            opened = [run("kek", "list", "--data", data, "--master-key", s, code=None) for s in (sources[-1], to)]
            assert any("ns" in done.stdout for done in opened), [done.stderr for done in opened]
        run(*command)
        sources.append(to)
    assert len(master_files(data)) == 1
    assert len(run("device", "list", "--data", data, "--master-key", sources[-1]).stdout.splitlines()) >= 12
