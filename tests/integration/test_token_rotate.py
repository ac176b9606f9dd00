"""Another storage key in a token while the daemon serves: nothing is lost, also where somebody is killed."""

from __future__ import annotations

import json
import pathlib
import sqlite3
import subprocess
import time

import pytest
from conftest import PATIENCE, REFUSED, USAGE
from joins import Device, devices, result
from test_rotate import Load
from test_token import AS_KEK, NS_KEK, Token, asked, derived, pytestmark, token  # noqa: F401
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

SO_PIN = "081500"
LOT = bytes.fromhex("8f5a2d64c1e7390b72d8164fa3bc05e9")


@pytest.fixture
def officer(token: Token) -> str:  # noqa: F811
    """The URI for the security officer."""
    pin = token.folder / "so-pin"
    pin.write_text(SO_PIN)
    pin.chmod(0o600)
    return f"{token.name}&pin-source=file:{pin}"


def storage_keys(data: pathlib.Path) -> list[int]:
    """The numbers under which root keys and KEKs are: format 2, number, role, 24 octets or 40."""
    with sqlite3.connect(data / "lorajs.db") as db:
        values = [value for (value,) in db.execute("SELECT value FROM kv WHERE substr(key, 1, 1) IN (x'64', x'6b')")]
    db.close()
    return [n for value in values for n in (1, 2, 3) for role in (b"\1\x18", b"\5\x18", b"\5\x28")
            if b"\2" + n.to_bytes(2, "little") + role in value]


def test_another_storage_key_while_serving(asked, serve, program, data, token, officer, monkeypatch):  # noqa: F811
    many, where = devices(12), ("--data", data, "--master-key", token.uri)
    asked("token", "init", officer, "--policy", "rotatable")
    asked("kek", "add", "ns", *where, input=NS_KEK.hex())
    asked("kek", "add", "as", *where, input=AS_KEK.hex())
    labels = {"ns_kek_label": "ns", "as_kek_label": "as"}
    asked("device", "import", "-", *where, input="".join(d.line(**labels) for d in many))
    assert storage_keys(data) == [1] * 14
    assert asked("lot", "add", "meters", *where, input=LOT.hex()).stderr == ""  # it is where it belongs
    made = json.loads(asked("lot", "make", "valves", *where, "--kek", "as", "--json").stdout)
    assert len(aes_key_unwrap(AS_KEK, bytes.fromhex(made["wrapped_key"]))) == 16  # under one that no officer trusts
    of_lot = Device(10, key=Cipher(AES(LOT), ECB()).encryptor().update(
        b"\xd2" + (10).to_bytes(8, "little") + bytes(7)))
    asked("device", "import", "-", *where, input=json.dumps({
        "dev_eui": "000000000000000a", "join_eui": f"{of_lot.join_eui:016x}", "lorawan_version": "1.0.3", "lot": "meters",
        **labels}))

    server = serve(*where[2:], env=token.env)
    load = Load(server, many, look=lambda answer: aes_key_unwrap(NS_KEK, bytes.fromhex(answer["NwkSKey"]["AESKey"])))
    assert json.loads(asked("token", "next", token.uri, "--dry-run", "--json").stdout)["result"] == "could be made"
    assert json.loads(asked("token", "next", officer, "--json").stdout) == {"storage_key": 2, "result": "made"}
    late = Device(9)
    asked("device", "import", "-", *where, input=late.line(**labels))  # under the new one at once
    assert sorted(storage_keys(data)) == [1] * 14 + [2]

    for key, value in token.env.items():
        monkeypatch.setenv(key, value)
    command = ["rewrap", *where, "--retire", "--grace", 3600]
    for so_many in (2, 4):  # once it has written: SoftHSM loses a token to who is killed as he logs in (docs/custody.md)
        process = subprocess.Popen([program, *map(str, command)], stdout=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while storage_keys(data).count(2) < so_many and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert storage_keys(data).count(2) >= so_many  # what was written stays
    status = json.loads(asked("rewrap", *where, "--status", "--json").stdout)
    assert status == {"storage_key": 2, "storage_keys": 2, "devices": 14, "keks": 2}  # nothing was destroyed
    told = json.loads(asked("rewrap", *where, "--retire", "--grace", 0, "--json").stdout)
    assert (told["storage_key"], told["storage_keys"], told["damaged"], told["result"]) == (2, 1, 0, "retired")
    assert storage_keys(data) == [2] * 15
    assert load.stop() > len(many) and load.others == 0, "no join was refused meanwhile"
    for device in (*many, late, of_lot):  # by the daemon that saw it
        assert result(server.ask(device.join())) == "Success"
    assert server.stop() == 0

    server = serve(*where[2:], env=token.env)  # and by one that never knew the old one
    for device in (*many, late, of_lot):
        assert result(answer := server.ask(device.join())) == "Success"
        if device in (late, of_lot):
            assert aes_key_unwrap(AS_KEK, bytes.fromhex(answer["AppSKey"]["AESKey"])) == \
                derived(device.key, 2, 2, 0x000013, device.nonce)
    assert json.loads(asked("token", "check", token.uri, "--json").stdout.splitlines()[-1])["storage_key"] == 2


def test_what_cannot_be(asked, data, token, officer, tmp_path):  # noqa: F811
    where = ("--data", data, "--master-key", token.uri)
    assert "--policy rotatable" in asked("token", "next", officer, code=REFUSED).stderr  # no keys
    asked("token", "init", token.uri)
    asked("kek", "add", "ns", *where, input=NS_KEK.hex())
    for uri, more in ((officer, []), (token.uri, ["--dry-run"])):
        done = asked("token", "next", uri, *more, code=REFUSED)
        assert "sealed it stays for good" in done.stderr and "new root keys" in done.stderr
    assert "refused the PIN" in asked("token", "next", token.uri, code=REFUSED).stderr  # the user's
    assert "new root keys" in asked("rewrap", *where, "--retire", code=REFUSED).stderr
    assert "token next" in asked("rewrap", *where, "--to", "file", code=USAGE).stderr
    assert "--retire" in asked("rewrap", "--data", data, "--to", "file", "--retire", code=USAGE).stderr
    assert storage_keys(data) == [1]
