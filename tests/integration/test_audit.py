"""The audit log of a real daemon and the program: what was done is told, and whoever writes to the database
behind it is found, and where."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import re
import secrets
import signal
import sqlite3
import subprocess

import pytest
from conftest import PATIENCE, REFUSED, USAGE, Server
from joins import Device, devices, result
from test_rotate import AT_ONCE
from test_serve import import_devices, wait_until

CLEAR = "--allow-clear-keys"


@pytest.fixture
def told(run, data):
    """`audit show` as objects."""
    return lambda *flags: [json.loads(line) for line in run("audit", "show", "--data", data, "--json", *flags).stdout.splitlines()]


@pytest.fixture
def findings(run, data):
    """`audit verify` as objects, without the totals, which come last and agree."""

    def finder(*flags: object) -> list[dict]:
        done = run("audit", "verify", "--data", data, "--json", *flags, code=None)
        *found, totals = map(json.loads, done.stdout.splitlines())
        assert totals["findings"] == len(found) and done.returncode == (REFUSED if found else 0), done.stderr
        assert totals["result"] == ("altered" if found else "whole")
        return found

    return finder


class Rows:
    """The rows of the database, as somebody who can write to it."""

    def __init__(self, data: pathlib.Path) -> None:
        self.path = data / "lorajs.db"

    def __call__(self, what: str, *values: object) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(self.path)) as db, db:
            return db.execute(what, values).fetchall()

    def of(self, space: str) -> list[tuple[bytes, bytes, int]]:
        return self("SELECT key, value, version FROM kv WHERE substr(key, 1, 1) = ? ORDER BY key", space.encode())

    def put(self, key: bytes, value: bytes) -> None:
        self("UPDATE kv SET value = ? WHERE key = ?", value, key)


def joined(server: Server, device: Device, **more: object) -> None:
    assert result(server.ask(device.join(**more))) == "Success"


def test_joins_and_acts_are_told(run, serve, data, told, findings):
    one, two = devices(2)
    import_devices(run, data, [one, two])
    server = serve(CLEAR)
    joined(server, one)
    joined(server, one)
    run("device", "block", f"{two.dev_eui:016x}", "--data", data)
    assert server.stop() == 0
    run("kek", "add", "partner", "--data", data, input=secrets.token_hex(16))
    run("kek", "remove", "partner", "--data", data)
    entries = told()
    # Within one second the chains of several processes have no order.
    assert sorted(e["kind"] for e in entries if e["kind"] not in ("begin", "end")) == [
        "block", "device-make", "device-make", "join", "join", "kek-put", "kek-remove"]
    assert entries == sorted(entries, key=lambda e: (e["at"], e["chain"], e["sequence"]))
    assert all(e["at"] for e in entries)
    joins = told("--kind", "join")
    assert [(e["dev_eui"], e["join_nonce"], e["net_id"]) for e in joins] == [
        (f"{one.dev_eui:016x}", n, "000013") for n in (1, 2)]
    assert joins[0]["after"] == joins[1]["before"] and joins[0]["chain"] == joins[1]["chain"]
    block, = told("--device", f"{two.dev_eui:016x}", "--kind", "block")
    assert block["who"].endswith(": device block")
    assert told("--since", "2100-01-01") == [] and told("--since", "1") == entries
    text = run("audit", "show", "--data", data, "--kind", "kek-put").stdout
    assert re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  kek-put +"partner" by .+: kek add\n', text)
    assert "is one of begin" in run("audit", "show", "--data", data, "--kind", "nonsense", code=USAGE).stderr
    assert "--since takes" in run("audit", "show", "--data", data, "--since", "yesterday", code=USAGE).stderr
    assert findings() == []


def test_tampering_is_found_and_located(run, serve, data, findings):
    many = devices(3)
    import_devices(run, data, many)
    server = serve(CLEAR)
    rows = Rows(data)
    joined(server, many[0])
    older = rows.of("d")
    for _ in range(3):
        joined(server, many[0])
    assert server.stop() == 0
    assert findings() == []
    links = [row for row in rows.of("a") if len(row[0]) == 17]
    chain = next(k[1:9] for k, _, _ in links if sum(key[1:9] == k[1:9] for key, _, _ in links) >= 5)
    mine = [row for row in links if row[0][1:9] == chain]

    key, value, _ = mine[2]
    rows.put(key, value[:9] + bytes([value[9] ^ 1]) + value[10:])  # one bit
    assert {(f["fault"], f["chain"], f["sequence"]) for f in findings() if "chain" in f} == {("bad-link", chain.hex(), 2)}
    rows.put(mine[2][0], mine[3][1])  # two that change places
    rows.put(mine[3][0], mine[2][1])
    assert {(f["fault"], f["sequence"]) for f in findings() if "chain" in f} == {("bad-link", 2), ("bad-link", 3)}
    for key, value, _ in mine:
        rows.put(key, value)
    assert findings() == []

    now = rows.of("d")
    rows.put(older[0][0], older[0][1])  # a whole older row, which has a good tag
    assert [(f["fault"], f["dev_eui"]) for f in findings()] == [("record-old", f"{many[0].dev_eui:016x}")]
    rows.put(now[0][0], now[0][1])
    rows("DELETE FROM kv WHERE key = ?", now[1][0])
    assert [(f["fault"], f["dev_eui"]) for f in findings()] == [("record-gone", f"{many[1].dev_eui:016x}")]


def test_an_anchor_finds_what_was_cut_off(run, serve, data, findings, tmp_path):
    one, = devices(1)
    import_devices(run, data, [one])
    anchor, paper = tmp_path / "anchor", tmp_path / "paper"
    anchor.write_text("00000000000000aa 3 000102030405060708090a0b0c0d0e0f\n")
    server = serve(CLEAR, "--audit-anchor", anchor, "--audit-anchor-interval", 1)
    joined(server, one)
    wait_until(lambda: len(anchor.read_text().splitlines()) == 2)
    assert server.stop() == 0
    paper.write_text(run("audit", "anchor", "--data", data).stdout)
    assert findings("--anchor", paper) == []
    run("rewrap", "--data", data, "--to", "file", *AT_ONCE)  # the log's key stays, whatever becomes of the master key
    assert findings("--anchor", paper) == []
    lines = anchor.read_text().splitlines()
    assert lines[0].startswith("00000000000000aa 3 ")  # that of another daemon stays
    assert [f["fault"] for f in findings("--anchor", anchor)] == ["cut-short"]  # and is none of this database
    writer, sequence, _ = lines[1].split()
    rows = Rows(data)
    rows("DELETE FROM kv WHERE key >= ? AND key < ?", b"a" + bytes.fromhex(writer), b"a" + bytes.fromhex(writer) + b"\xff" * 9)
    found = findings("--anchor", anchor)
    assert ("cut-short", writer, int(sequence)) in {(f["fault"], f.get("chain"), f.get("sequence")) for f in found}
    assert "this is no anchor" in run("audit", "verify", "--data", data, "--anchor", data / "lorajs.db", code=REFUSED).stderr


def test_two_who_write_one_anchor(run, serve, data, tmp_path):
    """Another daemon is at it: what that has written so far stays whole, and ours waits for it."""
    one, = devices(1)
    import_devices(run, data, [one])
    anchor, part, half = tmp_path / "anchor", tmp_path / "anchor.part", "00000000000000aa 3 0001"
    server = serve(CLEAR, "--audit-anchor", anchor, "--audit-anchor-interval", 86400)
    joined(server, one)
    with open(part, "w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        theirs.write(half)
        theirs.flush()
        assert server.stop() == 0
        assert "somebody is writing" in server.stderr() and part.read_text() == half and not anchor.exists()
    server = serve(CLEAR, "--audit-anchor", anchor, "--audit-anchor-interval", 86400)
    joined(server, one)
    with open(part, "w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: fds_of(server.process.pid, part))
        theirs.write(half + "02030405060708090a0b0c0d0e0f\n")
        theirs.flush()
        part.rename(anchor)
    assert server.stop() == 0 and "somebody is writing" not in server.stderr()
    lines = anchor.read_text().splitlines()
    assert lines[0] == half + "02030405060708090a0b0c0d0e0f" and len(lines) == 2 and not part.exists()


def fds_of(pid: int, path: pathlib.Path) -> bool:
    """Has the process this file open?"""
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(link) == str(path):
                return True
        except FileNotFoundError:
            pass
    return False


def test_forged_joins_do_not_reach_the_disk(run, serve, data, told, findings):
    one, = devices(1)
    import_devices(run, data, [one])
    server = serve(CLEAR)
    joined(server, one)
    rows = Rows(data)
    before = rows("SELECT count(*), sum(length(value)) FROM kv WHERE substr(key, 1, 1) = ?", b"a")
    frame = one.frame(77)
    for i in range(100):
        assert result(server.ask(one.join(frame=frame[:-1] + bytes([frame[-1] ^ 1])))) == "MICFailed"
    assert rows("SELECT count(*), sum(length(value)) FROM kv WHERE substr(key, 1, 1) = ?", b"a") == before
    assert server.stop() == 0
    assert [(e["result"], e["count"]) for e in told("--kind", "refused")] == [("MIC", 100)]
    assert findings() == []


def test_no_key_is_in_the_log(run, serve, data, told):
    many, kek = devices(2), secrets.token_bytes(16)
    import_devices(run, data, many)
    run("kek", "add", "partner", "--data", data, input=kek.hex())
    server = serve(CLEAR)
    answers = [server.ask(d.join()) for d in many]
    assert server.stop() == 0
    keys = [kek, *(d.key for d in many), *(bytes.fromhex(a[name]["AESKey"]) for a in answers for name in ("NwkSKey", "AppSKey"))]
    keys.append(bytes.fromhex((data / "master.key").read_text()))
    log = b"".join(value for _, value, _ in Rows(data).of("a"))
    shown = run("audit", "show", "--data", data, "--json").stdout.lower()
    assert len(keys) == 8 and b"partner" in log and "partner" in shown
    for key in keys:
        assert key not in log and key.hex().encode() not in log.lower() and key.hex() not in shown


def test_a_killed_daemon_leaves_a_chain_that_is_whole(run, serve, data, told, findings):
    many = devices(4)
    import_devices(run, data, many)
    server = serve(CLEAR)
    for device in many:
        joined(server, device)
    server.kill()
    assert findings() == []
    server = serve(CLEAR)
    joined(server, many[0])
    assert server.stop() == 0
    assert findings() == [] and len(told("--kind", "join")) == 5


def test_switched_off_and_on_again(run, serve, data, told, findings):
    one, = devices(1)
    import_devices(run, data, [one])
    server = serve(CLEAR, "--audit", "no")
    joined(server, one)
    assert server.stop() == 0
    length = len(told())
    assert len(told("--kind", "off")) == 1
    assert '"kept":false' in run("audit", "verify", "--data", data, "--json").stdout
    run("device", "block", f"{one.dev_eui:016x}", "--data", data)
    assert len(told()) == length  # the tools leave it so
    server = serve(CLEAR)
    run("device", "unblock", f"{one.dev_eui:016x}", "--data", data)
    joined(server, one)
    assert server.stop() == 0
    assert findings() == [] and len(told("--kind", "join")) == 1


def test_tail_follows(program, run, data):
    one, two = devices(2)
    import_devices(run, data, [one])
    tail = subprocess.Popen([program, "audit", "tail", "--data", data, "--json", "--lines", "1"], stdout=subprocess.PIPE,
                            text=True)
    try:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["kind"] == "end"
        run("device", "block", f"{one.dev_eui:016x}", "--data", data)
        assert [json.loads(tail.stdout.readline())["kind"] for _ in range(3)] == ["begin", "block", "end"]
        tail.send_signal(signal.SIGTERM)
        assert tail.wait(PATIENCE) == 0
    finally:
        tail.kill()
        tail.wait()


def test_no_log_yet(run, data, program):
    run("device", "import", "-", "--data", data, input="")
    assert "no audit log was ever begun here" in run("audit", "verify", "--data", data).stdout
