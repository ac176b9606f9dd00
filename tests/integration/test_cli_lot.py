"""`lorajs lot`, and devices of a lot from end to end: what joins is what `cryptography` computes, and no key is kept."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from conftest import DONE, REFUSED, USAGE, device_line
from joins import Device, result

EUI = 0x70B3D5499F0A1C28


@pytest.fixture
def lorajs(run, data):
    return lambda *args, **more: run(*args, "--data", data, **more)


@pytest.fixture
def lot(lorajs) -> bytes:
    key = os.urandom(16)
    done = lorajs("lot", "add", "meters", input=key.hex())
    assert done.stdout == "meters: added\n" and "hardware security module" in done.stderr
    return key


def derived(lot: bytes, tag: int, eui: int = EUI) -> str:
    """As the manual has it."""
    block = bytes([tag]) + eui.to_bytes(8, "little") + bytes(7)
    return Cipher(algorithms.AES(lot), modes.ECB()).encryptor().update(block).hex()


def add(lorajs, *words, version: str = "1.0.4", **more):
    return lorajs("device", "add", "--dev-eui", f"{EUI:016x}", "--join-eui", "70b3d57ed0000000", "--lorawan-version",
                  version, *words, **more)


def shown(lorajs) -> dict:
    return json.loads(lorajs("device", "show", f"{EUI:016x}", "--json").stdout)


def test_a_lot_is_taken_once_and_stays(lorajs, lot):
    assert json.loads(lorajs("lot", "add", "meters", "--json", input=lot.hex()).stdout) == {
        "label": "meters", "result": "added"}
    assert "another key" in lorajs("lot", "add", "meters", input=os.urandom(16).hex(), code=REFUSED).stderr
    assert "32 hexadecimal digits" in lorajs("lot", "add", "long", input=os.urandom(32).hex(), code=REFUSED).stderr
    assert "no secret" in lorajs("lot", "add", "weak", input="00" * 16, code=REFUSED).stderr
    assert lorajs("lot", "add", "", input=lot.hex(), code=USAGE).stdout == ""
    assert lorajs("lot", "list").stdout == "meters\n"
    assert json.loads(lorajs("lot", "list", "--json").stdout) == {"label": "meters"}


def test_a_lot_whose_key_nobody_sees(lorajs, data):
    kek = os.urandom(32)
    lorajs("kek", "add", "maker", input=kek.hex())
    assert lorajs("lot", "make", "meters", code=USAGE).stdout == ""
    assert lorajs("lot", "make", "meters", "--kek", "maker", "--dry-run").stdout == "meters: could be made\n"
    for label, dry in (("no", ()), ("no", ("--dry-run",))):
        assert "no such KEK" in lorajs("lot", "make", "meters", "--kek", label, *dry, code=REFUSED).stderr
    assert lorajs("lot", "list", "--json").stdout == ""
    done = lorajs("lot", "make", "meters", "--kek", "maker", "--json")
    made = json.loads(done.stdout)
    assert "hardware security module" in done.stderr
    assert (made["label"], made["result"], made["kek"]) == ("meters", "made", "maker")
    key = aes_key_unwrap(kek, bytes.fromhex(made["wrapped_key"]))
    for dry in ((), ("--dry-run",)):
        assert "label of its own" in lorajs("lot", "make", "meters", "--kek", "maker", *dry, code=REFUSED).stderr
    add(lorajs, "--lot", "meters")
    lorajs("device", "import", "-", input=device_line(EUI, lorawan_version="1.0.4", nwk_key=None, app_key=derived(key, 0xD2)))
    label, wrapped = lorajs("lot", "make", "valves", "--kek", "maker").stdout.splitlines()
    assert label == "valves: made" and wrapped.endswith("  under maker")
    assert aes_key_unwrap(kek, bytes.fromhex(wrapped.split()[0])) != key
    assert all(key not in path.read_bytes() for path in data.iterdir() if path.name.startswith("lorajs.db"))
    lorajs("audit", "verify")
    with contextlib.closing(sqlite3.connect(data / "lorajs.db")) as db, db:  # the lot is lost, and its label is not free
        assert db.execute("DELETE FROM kv WHERE key = ?", (b"lvalves",)).rowcount == 1
    for dry in ((), ("--dry-run",)):
        assert "label of its own" in lorajs("lot", "make", "valves", "--kek", "maker", *dry, code=REFUSED).stderr


def test_a_device_of_a_lot_joins_and_its_record_has_no_key(lorajs, lot, data, serve):
    add(lorajs, "--lot", "meters")
    device = shown(lorajs)
    assert device["lot"] == "meters" and device["keys"] == ["app_key"]
    assert "meters" in lorajs("device", "show", f"{EUI:016x}").stdout
    server = serve("--allow-clear-keys")
    joining = Device(EUI, key=bytes.fromhex(derived(lot, 0xD2)))
    assert result(server.ask(joining.join(frame=joining.frame(1)))) == "Success"
    assert result(server.ask(joining.join(frame=Device(EUI, key=lot).frame(2)))) == "MICFailed"
    # A lot that the daemon has not seen yet.
    other = os.urandom(16)
    lorajs("lot", "add", "late", input=other.hex())
    lorajs("device", "import", "-", input=json.dumps({
        "dev_eui": f"{EUI + 1:016x}", "join_eui": "70b3d57ed0000000", "lorawan_version": "1.0.4", "lot": "late"}))
    late = Device(EUI + 1, key=bytes.fromhex(derived(other, 0xD2, EUI + 1)))
    assert result(server.ask(late.join(frame=late.frame(1)))) == "Success"
    octets = b"".join(path.read_bytes() for path in data.iterdir() if path.name.startswith("lorajs.db"))
    assert all(bytes.fromhex(key) not in octets for key in (lot.hex(), derived(lot, 0xD2), other.hex()))
    doctor = lorajs("doctor", code=None).stdout
    assert "2 lots, whose keys are not in a hardware security module" in doctor


def test_what_is_refused_of_a_lot(lorajs, lot):
    assert "lot: the key of the device's lot is not here" in add(lorajs, "--lot", "other", code=REFUSED).stderr
    assert add(lorajs, "--lot-keys", "AppKey", code=USAGE, input="").stdout == ""
    assert add(lorajs, "--lot", "meters", "--lot-keys", "AppKey,Key", code=USAGE).stdout == ""
    assert "parts do not go together" in add(lorajs, "--lot", "meters", "--lot-keys", "AppKey", version="1.1",
                                             code=REFUSED).stderr
    lines = [device_line(EUI, lot="meters"), device_line(EUI, nwk_key=None, lot_keys=["app_key"]),
             device_line(EUI, nwk_key=None, lot="meters", lot_keys=["app_key", "app_key"]),
             device_line(EUI, nwk_key=None, lot="meters", lot_keys=["gen_app_key"]),
             device_line(EUI, nwk_key=None, lot="other")]
    said = lorajs("device", "import", "-", input="\n".join(lines), code=REFUSED).stderr.splitlines()
    for line, words in zip(said, ["nwk_key: stands beside lot", "lot_keys: stands without lot", "lot_keys: must be different",
                                  "lot_keys: must have app_key or nwk_key", "lot: the key of"], strict=True):
        assert words in line


def test_a_parcel_has_the_keys_and_never_the_lot(run, lorajs, lot, data, tmp_path):
    for name, kind in (("receiver", "x25519"), ("sender", "ed25519")):
        run("key", "pair", kind, "--output", tmp_path / name)
    add(lorajs, "--lot", "meters", "--lot-keys", "NwkKey,AppKey,RekeyKey", version="1.1")
    lorajs("device", "export", "--to", tmp_path / "receiver.pub", "--sign", tmp_path / "sender", "--output",
           tmp_path / "parcel", "--all")
    assert shown(lorajs)["exposed"] is True
    there = tmp_path / "there"
    run("device", "receive", tmp_path / "parcel", "--data", there, "--key", tmp_path / "receiver", "--from",
        tmp_path / "sender.pub")
    device = json.loads(run("device", "show", f"{EUI:016x}", "--data", there, "--json").stdout)
    assert "lot" not in device and device["exposed"] is True and device["keys"] == ["nwk_key", "app_key", "rekey_key"]
    # The keys that are computed elsewhere are those that arrived: the same again is no change.
    line = device_line(EUI, lorawan_version="1.1", nwk_key=derived(lot, 0xD1), app_key=derived(lot, 0xD2),
                       rekey_key=derived(lot, 0xD4))
    run("device", "import", "-", "--data", there, input=line)
    wrong = device_line(EUI, lorawan_version="1.1", nwk_key=derived(lot, 0xD2), app_key=derived(lot, 0xD1),
                        rekey_key=derived(lot, 0xD4))
    run("device", "import", "-", "--data", there, input=wrong, code=REFUSED)


def test_a_lot_is_in_a_backup_and_its_keys_may_come_again(run, lorajs, lot, data, tmp_path):
    add(lorajs, "--lot", "meters")
    line = device_line(EUI, lorawan_version="1.0.4", nwk_key=None, app_key=derived(lot, 0xD2))
    lorajs("backup", "--to", tmp_path / "backup")
    assert lot not in (tmp_path / "backup").read_bytes() and b"meters" in (tmp_path / "backup").read_bytes()
    assert lorajs("lot", "add", "meters", input=lot.hex()).returncode == DONE
    lorajs("device", "import", "-", input=line)
    assert "lot" not in shown(lorajs)
