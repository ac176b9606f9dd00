"""The audit log from Python: written, read, and found out when somebody altered it."""

from __future__ import annotations

import contextlib
import pathlib
import re
import secrets
import sqlite3

import pytest

import lorajs
from lorajs import audit
from test_lorajs import DEV_EUI, JOIN_EUI, LAB, join_request

NOW = 1_800_000_000


def begin(store: lorajs.Store, vault: lorajs.Vault, key: lorajs.Key) -> lorajs.JoinServer:
    server = lorajs.JoinServer(vault, store, audit=True, **LAB)
    audit.set_actor(server, "ana", NOW)
    server.make_device(lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4), app_key=key)
    return server


def test_kinds_and_faults_are_those_of_c() -> None:
    text = (pathlib.Path(__file__).parents[2] / "include/lorajs/audit.h").read_text()
    kinds, faults = (re.findall(r"LJS_AUDIT_(\w+) = (\d+),", part) for part in text.split("What is wrong with a log"))
    assert kinds == [(k.name, str(k.value)) for k in audit.Kind] and len(kinds) > 25
    assert faults == [(f.name, str(f.value)) for f in audit.Fault] and len(faults) > 10
    assert str(audit.Kind.KEK_PUT) == "kek-put" and str(audit.Fault.CUT_SHORT) == "cut-short"
    assert "?" not in {*map(str, audit.Kind), *map(str, audit.Fault), *(f.text for f in audit.Fault)}


def test_written_and_read() -> None:
    key = lorajs.Key.generate()
    with begin(lorajs.Store.memory(), lorajs.Vault.generate(), key) as server:
        server.handle(join_request(DEV_EUI, key, 7), now=NOW + 1)
        audit.note(server, audit.Kind.EXPORT, "to a partner", dev_eui=DEV_EUI)
        for bad in secrets.token_hex(16), "x" * 128, "a\nb":
            with pytest.raises(lorajs.InvalidError):
                audit.note(server, audit.Kind.NOTE, bad)
        one, two, three, four = audit.entries(server)
        assert (one.kind, two.kind, three.kind, four.kind) == (
            audit.Kind.BEGIN, audit.Kind.DEVICE_MAKE, audit.Kind.JOIN, audit.Kind.EXPORT)
        assert (two.who, two.at, two.dev_eui, two.before) == ("ana", NOW, DEV_EUI, None)
        assert (three.join_nonce, three.nonce, three.net_id, three.at) == (1, 7, 0x13, NOW + 1)
        assert three.before == two.after and three.after == server.record(DEV_EUI)[-16:]
        assert (four.text, four.code, four.who) == ("to a partner", lorajs.Code.OK, "ana")
        assert list(audit.entries(server, one.writer, 2)) == [three, four]  # from a link on
        assert list(audit.entries(server, one.writer + 1)) == list(audit.entries(server, one.writer, 4)) == []
        report = audit.verify(server)
        assert report.findings == () and (report.links, report.entries, report.devices) == (4, 4, 1)
        assert report.anchor == audit.heads(server) and report.kept and report.generation == 1
        assert audit.verify(server, report.anchor).findings == ()
        with pytest.raises(lorajs.InvalidError):
            audit.verify(server, b"no anchor")


def test_refusals_are_counted() -> None:
    key = lorajs.Key.generate()
    with begin(lorajs.Store.memory(), lorajs.Vault.generate(), key) as server:
        for _ in range(3):
            server.handle(join_request(DEV_EUI, lorajs.Key.generate(), 7), now=NOW)
        audit.flush(server, NOW + 1)
        assert [e.kind for e in audit.entries(server)][-1] == audit.Kind.DEVICE_MAKE
        audit.flush(server)
        last = list(audit.entries(server))[-1]
        assert (last.kind, last.code, last.count) == (audit.Kind.REFUSED, lorajs.Code.MIC, 3)


def test_altered_cut_off_and_put_back(tmp_path: pathlib.Path) -> None:
    key, vault, path = lorajs.Key.generate(), lorajs.Vault.generate(), tmp_path / "js.db"

    def sql(what: str, *values: object) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            return db.execute(what, values).fetchall()

    with begin(lorajs.Store.sqlite(path), vault, key) as server:
        [(older,)] = sql("SELECT value FROM kv WHERE substr(key, 1, 1) = X'64'")
        server.handle(join_request(DEV_EUI, key, 7), now=NOW)
        anchor = audit.verify(server).anchor
        sql("UPDATE kv SET value = ? WHERE substr(key, 1, 1) = X'64'", older)
        assert [(f.fault, f.dev_eui) for f in audit.verify(server).findings] == [(audit.Fault.RECORD_OLD, DEV_EUI)]
        [(last, link)] = sql("SELECT key, value FROM kv WHERE substr(key, 1, 1) = X'61' ORDER BY key DESC LIMIT 1")
        sql("DELETE FROM kv WHERE key = ?", last)
        assert audit.verify(server).findings == ()  # the whole of the past
        [cut] = audit.verify(server, anchor).findings
        assert (cut.fault, cut.writer, cut.sequence) == (audit.Fault.CUT_SHORT, int.from_bytes(last[1:9], "big"), 2)
        sql("INSERT INTO kv(key, version, value) VALUES(?, 1000, ?)", last, link[:-1] + bytes([link[-1] ^ 1]))
        assert audit.Fault.BAD_LINK in [f.fault for f in audit.verify(server).findings]
        with pytest.raises(lorajs.SealError):
            list(audit.entries(server))


def test_the_store_says_whether(tmp_path: pathlib.Path) -> None:
    key, vault, path = lorajs.Key.generate(), lorajs.Vault.generate(), tmp_path / "js.db"
    begin(lorajs.Store.sqlite(path), vault, key).close()
    with lorajs.JoinServer(vault, lorajs.Store.sqlite(path)) as server:
        server.block(DEV_EUI)
        assert audit.verify(server).findings == ()
        assert audit.Kind.END in [e.kind for e in audit.entries(server)]
    with lorajs.JoinServer(vault, lorajs.Store.sqlite(path), audit=False) as server:
        server.unblock(DEV_EUI)
        assert not audit.verify(server).kept
    with lorajs.JoinServer(vault, lorajs.Store.memory()) as server:
        server.put_kek("k", key)
        assert list(audit.entries(server)) == [] and audit.heads(server) == b""
