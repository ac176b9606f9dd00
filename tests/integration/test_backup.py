"""`lorajs backup` and `lorajs restore`: nothing that was given is given again, whatever is put back
and whenever it is cut short."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

import pytest
from conftest import DONE, PATIENCE, REFUSED, ROOT, USAGE, Server
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from joins import Device, result

CLEAR = "--allow-clear-keys"
VERSIONS = ("1.0.0", "1.0.3", "1.0.4", "1.1")
MARKED_KEY = bytes.fromhex("6c6f72616a732d6d61726b65722d6b79")  # what is looked for in backups


class Radio(Device):
    """A device of a version, which remembers each JoinNonce that it was ever given."""

    def __init__(self, dev_eui: int, version: str, key: bytes | None = None) -> None:
        super().__init__(dev_eui, key=key or os.urandom(16))
        self.version = version
        self.given: list[int] = []
        self.seen = 0

    def line(self, **members: object) -> str:
        more = {"app_key": os.urandom(16).hex()} if self.version == "1.1" else {}
        return super().line(lorawan_version=self.version, **more, **members)

    def join(self, **members: object) -> dict:
        v11 = {"DLSettings": "80"} if self.version == "1.1" else {}
        return super().join(MACVersion=self.version, **{**v11, **members})

    def take(self, answer: dict) -> int:
        """The JoinNonce of an accept [L2 1.0.4 §6.2.6], which no other accept had."""
        assert result(answer) == "Success", answer
        phy = bytes.fromhex(answer["PHYPayload"])
        nonce = int.from_bytes(Cipher(AES(self.key), ECB()).encryptor().update(phy[1:17])[:3], "little")
        assert nonce not in self.given, f"{self.version}: JoinNonce {nonce} was given twice"
        self.given.append(nonce)
        return nonce

    def joins(self, server: Server) -> None:
        """At once: a device of 1.1 takes no JoinNonce that is not above the last."""
        nonce = self.take(server.ask(self.join()))
        assert nonce > self.seen
        self.seen = nonce


@pytest.fixture
def memory():
    """A folder where syncs cost nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield pathlib.Path(folder)


def fleet(n: int = len(VERSIONS)) -> list[Radio]:
    return [Radio(0x0102030405060000 + i, VERSIONS[i % len(VERSIONS)]) for i in range(n)]


def provision(run, data: pathlib.Path, radios: list[Radio]) -> None:
    run("device", "import", "-", "--data", data, input="".join(radio.line() for radio in radios))


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_from_backup_to_backup(run, program, memory):
    """Joins, a backup, more joins, a restore, and again out of the same backup."""
    data, marker, backup = memory / "data", memory / "elsewhere", memory / "backup"
    radios = fleet()
    provision(run, data, radios)
    server = Server(program, data, CLEAR, "--marker", marker)
    try:
        for radio in radios:
            radio.joins(server)
        made = json.loads(run("backup", "--data", data, "--to", backup, "--json").stdout)
        assert made["devices"] == len(radios) and made["generation"] == 0
        captured = [(radio, radio.join()) for radio in radios]
        for radio, message in captured:
            radio.seen = radio.take(server.ask(message))
        assert "in use" in run("restore", "--from", backup, "--data", data, "--replace", code=REFUSED).stderr
    finally:
        server.stop()

    for _ in range(2):
        told = lines(run("restore", "--from", backup, "--data", data, "--replace", "--marker", marker, "--json").stdout)
        assert [line["dev_nonces"] for line in told[:-1]] == ["random", "random", "rising", "rising"]
        assert told[-1]["restored"] and told[-1]["passed_over"] >= 4096
        server = Server(program, data, CLEAR, "--marker", marker)
        try:
            for radio, message in captured:  # the same frame, to another session: once
                again = {**message, "DevAddr": "0a0b0c0d"}
                radio.seen = max(radio.seen, radio.take(server.ask(again)))
                assert result(server.ask({**message, "DevAddr": "0a0b0c0e"})) in ("JoinReqFailed", "FrameReplayed")
            for radio in radios:
                radio.joins(server)
        finally:
            server.stop()
    assert len({path.name for path in data.glob("lorajs.db.before-*")}) == 2


def test_keys_are_sealed(run, memory):
    data, backup, kek = memory / "data", memory / "backup", memory / "kek"
    provision(run, data, [Radio(1, "1.0.3", MARKED_KEY)])
    kek.write_text(MARKED_KEY[::-1].hex())
    kek.chmod(0o600)
    run("kek", "add", "label-of-kek", "--key-file", kek, "--data", data)
    run("backup", "--data", data, "--to", backup)
    octets = backup.read_bytes()
    assert b"label-of-kek" in octets
    master = bytes.fromhex((data / "master.key").read_text())
    for key in (MARKED_KEY, MARKED_KEY[::-1], master):
        assert key not in octets and key.hex().encode() not in octets.lower()
    assert backup.stat().st_mode & 0o777 == 0o600


def test_what_is_refused(run, memory):
    data, backup, other = memory / "data", memory / "backup", memory / "other"
    provision(run, data, fleet())
    run("backup", "--data", data, code=USAGE)
    run("restore", "--data", data, code=USAGE)
    run("backup", "--data", data, "--to", backup)
    assert "already" in run("backup", "--data", data, "--to", backup, code=REFUSED).stderr
    assert "--replace" in run("restore", "--data", data, "--from", backup, code=REFUSED).stderr
    assert "not there" in run("restore", "--data", data, "--from", memory / "none", "--replace", code=REFUSED).stderr

    before = (data / "lorajs.db").read_bytes()
    octets = bytearray(backup.read_bytes())
    for at in [*range(7, len(octets), 3001), len(octets) - 1, len(octets) - 90]:
        octets[at] ^= 4
        backup.write_bytes(octets)
        assert "damaged" in run("restore", "--data", data, "--from", backup, "--replace", code=REFUSED).stderr
        octets[at] ^= 4
    assert (data / "lorajs.db").read_bytes() == before

    backup.write_bytes(octets)
    provision(run, other, fleet())  # under another master key
    assert "another master key" in run("restore", "--data", other, "--from", backup, "--replace", code=REFUSED).stderr
    other = memory / "empty"
    assert "has no master.key" in run("restore", "--data", other, "--from", backup, code=REFUSED).stderr
    shutil.copy(data / "master.key", other / "master.key")
    told = run("restore", "--data", other, "--from", backup, "--dry-run").stdout
    assert "would be restored" in told and os.listdir(other) == ["master.key"]
    assert "reckoned from the time" in run("restore", "--data", other, "--from", backup).stderr
    assert sorted(os.listdir(other)) == ["lorajs.db", "master.key"]
    key = memory / "key"
    shutil.move(other / "master.key", key)
    (other / "lorajs.db").unlink()
    run("restore", "--data", other, "--from", backup, "--master-key", f"file:{key}")
    assert sorted(os.listdir(other)) == ["lorajs.db", "master.mark"]
    run("device", "list", "--data", other, "--master-key", f"file:{key}")


def test_a_damaged_database_is_put_aside(run, memory):
    data, backup = memory / "data", memory / "backup"
    provision(run, data, fleet())
    run("backup", "--data", data, "--to", backup)
    for damage in (b"", b"no database at all", (data / "lorajs.db").read_bytes()[:5000]):
        (data / "lorajs.db").write_bytes(damage)
        (data / "lorajs.db-wal").write_bytes(b"a log of something else")
        told = run("restore", "--data", data, "--from", backup, "--replace", "--guard", 77, "--json")
        assert "warning" in told.stderr and lines(told.stdout)[-1]["aside"]
        assert len(lines(run("device", "list", "--data", data, "--json").stdout)) == len(VERSIONS)
    assert lines(told.stdout)[-1]["passed_over"] >= 77


def test_put_back_by_hand(run, program, memory):
    """cp is no restore: the marker knows, and says what to do."""
    data, marker = memory / "data", memory / "marker"
    radios = fleet()
    provision(run, data, radios)
    server = Server(program, data, CLEAR, "--marker", marker)
    radios[0].joins(server)
    server.stop()
    shutil.copytree(data, memory / "old")
    server = Server(program, data, CLEAR, "--marker", marker, "--marker-every", 1)
    for radio in radios:
        radio.joins(server)
    server.kill()
    shutil.rmtree(data)
    shutil.copytree(memory / "old", data)
    serve = ("serve", "--data", data, "--listen", "127.0.0.1:0")
    told = run(*serve, "--marker", marker, code=REFUSED).stderr
    assert "fewer changes than its marker saw" in told and "--force-regression" in told
    assert "none is configured" in run(*serve, code=REFUSED).stderr
    new = run(*serve[:2], memory / "new", *serve[3:], "--marker", marker, code=REFUSED)
    assert "another database" in new.stderr
    server = Server(program, data, CLEAR, "--marker", marker, "--force-regression")
    try:
        assert "a new generation begins" in server.stderr()
        for radio in radios:
            radio.joins(server)
    finally:
        server.stop()
    server = Server(program, data, CLEAR, "--marker", marker)  # not forced again
    try:
        radios[1].joins(server)
    finally:
        server.stop()
    marker.rename(memory / "away")
    assert "is not there" in run(*serve, "--marker", marker, code=REFUSED).stderr
    marker.write_bytes(b"something else")
    assert "damaged" in run(*serve, "--marker", marker, code=REFUSED).stderr


# ---- killed ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def killer(tmp_path_factory) -> str:
    """The library that ends a process at a durable point."""
    out = tmp_path_factory.mktemp("killer") / "killer.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-fPIC", "-shared", "-o", out,
                    ROOT / "tests/integration/killer.c", "-ldl"], check=True)
    return str(out)


class Cut:
    """A command that is killed: at a random moment, or just before its n-th durable point."""

    def __init__(self, program: str, killer: str, folder: pathlib.Path, seed: int) -> None:
        self.program, self.killer, self.count_to = program, killer, folder / "count"
        self.dice = random.Random(seed)
        self.points: dict[str, int] = {}
        self.takes: dict[str, float] = {}
        self.told: collections.Counter[str] = collections.Counter()
        self.next: collections.Counter[str] = collections.Counter()

    def _start(self, args: tuple, **env: str) -> subprocess.Popen:
        return subprocess.Popen([self.program, *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                env={**os.environ, "LD_PRELOAD": self.killer,
                                     "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", **env})

    def whole(self, *args: object) -> None:
        began = time.monotonic()
        process = self._start(args, COUNT_TO=str(self.count_to))
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == DONE, err
        self.points[args[0]] = int(self.count_to.read_text())
        self.takes[args[0]] = time.monotonic() - began

    def __call__(self, *args: object, at_point: bool) -> bool:
        """Was it killed before its end?"""
        what = str(args[0])
        if at_point:
            at = self.next[what] % self.points[what] + 1
            self.next[what] += 1
            process = self._start(args, KILL_AT=str(at))
        else:
            process = self._start(args)
            time.sleep(self.dice.uniform(0, self.takes[what]))
            process.kill()
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode in (DONE, -9), (args, process.returncode, err)
        self.told[f"{what} {'at a point' if at_point else 'at random'} "
                  f"{'killed' if process.returncode else 'done before'}"] += 1
        return process.returncode != DONE


@pytest.mark.parametrize("kills", [10, pytest.param(5000, marks=pytest.mark.long)])
def test_killed_at_any_moment(run, program, killer, memory, kills):
    """A backup is whole or none; a data directory is the old one or the restored one; and whatever it is,
    devices join at once and no JoinNonce comes twice."""
    data, marker, backup = memory / "data", memory / "marker", memory / "backup"
    radios = fleet()
    provision(run, data, radios)
    cut = Cut(program, killer, memory, kills)
    restore = ("restore", "--from", backup, "--data", data, "--replace", "--marker", marker, "--guard", 1)
    server = Server(program, data, CLEAR, "--marker", marker, "--marker-every", 8)
    new = memory / "new"
    cut.whole("backup", "--data", data, "--to", backup)
    for n in range(kills // 2):
        for radio in radios:
            radio.joins(server)
        cut("backup", "--data", data, "--to", new, at_point=n % 2 == 0)
        if new.exists():
            run("restore", "--from", new, "--data", data, "--replace", "--dry-run")
            new.replace(backup)
        if n % 10 == 0:
            server.kill()
            server = Server(program, data, CLEAR, "--marker", marker, "--marker-every", 8)
    run("backup", "--data", data, "--to", new)
    new.unlink()
    server.kill()

    cut.whole(*restore)
    for n in range(kills // 2):
        cut(*restore, at_point=n % 2 == 0)
        server = Server(program, data, CLEAR, "--marker", marker, "--marker-every", 8)
        for radio in radios:
            radio.joins(server)
        server.kill()
        if n % 50 == 49:  # of the backup before, each restore is further behind, and 24 bits do not last for ever
            run("backup", "--data", data, "--to", new)
            new.replace(backup)
        for aside in data.glob("lorajs.db.before-*"):
            aside.unlink()
    names = {path.name.split("-")[0] for path in data.iterdir()}
    assert names <= {"lorajs.db", "lorajs.db.restored", "master.key"}, names
    told = ", ".join(f"{what}: {n}" for what, n in sorted(cut.told.items()))
    print(f"\n{sum(cut.told.values())} kills ({told}); durable points: {cut.points}; "
          f"{sum(len(radio.given) for radio in radios)} JoinNonces, none twice")
    assert sum(cut.told.values()) == kills
    assert cut.told["restore at a point killed"] and cut.told["backup at a point killed"]
