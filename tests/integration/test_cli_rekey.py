"""`lorajs rekey`: other root keys for a device, while the daemon serves; a device played by another program."""

from __future__ import annotations

import json

import pytest
from conftest import REFUSED, USAGE, device_line
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.cmac import CMAC
from joins import Device, result

DEV, JOIN, NEW = 0x0004A310001AA90A, 0x70B3D57ED0000000, 0xFE00000000000001
RK = bytes(i * i * 11 % 251 for i in range(2, 18))
OLD = bytes(i * i * 7 % 253 for i in range(3, 19))
EUI = f"{DEV:016x}"


def encrypt(key: bytes, block: bytes) -> bytes:
    return Cipher(AES(key), ECB()).encryptor().update(block.ljust(16, b"\0"))


def cmac(key: bytes, octets: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(octets)
    return mac.finalize()


def le(v: int, n: int) -> bytes:
    return v.to_bytes(n, "little")


def next_nwk(join_eui: int, epoch: int) -> bytes:
    return encrypt(encrypt(RK, b"\xe2" + le(join_eui, 8)), b"\x01" + le(epoch, 2))


def signed(key: bytes, octets: bytes) -> str:
    return (octets + cmac(key, b"\x52" + le(DEV, 8) + octets)[:4]).hex()


@pytest.fixture
def rekey(run, data):
    run("device", "import", "-", "--data", data,
        input=device_line(DEV, lorawan_version="1.0.4", nwk_key=OLD.hex(), rekey_key=RK.hex()))

    def call(command: str, *words, code: int = 0) -> dict:
        done = run("rekey", command, "--data", data, "--json", *words, code=code)
        return {} if code else json.loads(done.stdout)

    return call


def test_from_start_to_end(run, rekey, server, data):
    def asks(device: Device) -> str:
        return result(server.post(device.join())[1])

    old = Device(DEV, key=OLD)
    assert asks(old) == "Success"
    said = rekey("start", EUI, "--experimental", "--join-eui", f"{NEW:016x}")
    new_key = next_nwk(NEW, 1)
    req = b"\x01\x18" + le(1, 2) + le(NEW, 8) + cmac(new_key, bytes(16))[:3]
    assert said["message"] == signed(encrypt(RK, b"\xe1" + le(DEV, 8)), req)
    assert (said["state"], said["epoch"], said["fport"], said["answer"]) == ("pending", 1, 210, None)
    again = rekey("start", EUI, "--experimental", "--join-eui", f"{NEW:016x}")
    assert again["message"] == said["message"]
    rekey("start", EUI, "--experimental", code=REFUSED)  # another one
    ok = signed(new_key, b"\x02\x00" + le(1, 2))
    rekey("message", EUI, signed(RK, b"\x02\x00" + le(1, 2)), code=REFUSED)
    assert rekey("message", EUI, ok, "--dry-run")["state"] == "acked"
    assert rekey("status", EUI)["state"] == "pending"
    assert rekey("message", EUI, ok)["answer"] == "ok"
    assert asks(old) == "Success"  # it has not asked under the new keys
    new = Device(DEV, join_eui=NEW, key=new_key)
    assert asks(new) == "Success"
    assert rekey("status", EUI)["state"] == "committed"
    assert asks(old) == "MICFailed"
    assert asks(new) == "Success"
    assert rekey("status", EUI) == {"dev_eui": EUI, "state": "stable", "floor": 1}
    assert run("rekey", "status", "--data", data, EUI).stdout == f"{EUI}: stable\n"


def test_given_up(rekey):
    rekey("abort", EUI, code=REFUSED)
    said = rekey("start", EUI, "--experimental")
    assert rekey("abort", EUI, "--dry-run")["state"] == "aborting" and rekey("status", EUI)["state"] == "pending"
    gone = rekey("abort", EUI)
    rekey_int = encrypt(RK, b"\xe1" + le(DEV, 8))
    assert gone["message"] == signed(rekey_int, b"\x03\x00" + le(1, 2))
    assert rekey("message", EUI, signed(rekey_int, b"\x02\x06" + le(1, 2)))["answer"] == "aborted"
    assert rekey("abort", EUI, "--force")["state"] == "stable"
    rekey("start", EUI, "--experimental", code=REFUSED)  # the same day
    second = rekey("start", EUI, "--experimental", "--force")
    assert second["epoch"] == 2 and second["message"] != said["message"]
    rekey("release", EUI, code=REFUSED)
    rekey("reopen", EUI, code=REFUSED)


def test_a_database_of_before(run, rekey, server, data):
    """The device has keys of a rekey that is not known here, and is found again in a window."""
    key = next_nwk(NEW, 1)
    device = Device(DEV, join_eui=NEW, key=key)

    def asks() -> str:
        return result(server.post(device.join())[1])

    rekey("resync", EUI, code=USAGE)
    rekey("resync", EUI, "--experimental", "--for", "169", code=USAGE)
    rekey("resync", EUI, "--experimental", "--suite", "4", code=USAGE)
    assert asks() == "JoinReqFailed"  # nobody here knows that JoinEUI
    told = rekey("resync", EUI, "--experimental", "--join-eui", f"{NEW:016x}", "--dry-run")
    assert (told["state"], told["epoch"], told["floor"]) == ("resync", 1, 0) and rekey("status", EUI)["state"] == "stable"
    assert rekey("resync", EUI, "--experimental", "--join-eui", f"{NEW:016x}", "--for", "2")["until"] < told["until"]
    rekey("start", EUI, "--experimental", code=REFUSED)
    assert "resync, suite 1, epochs from 1" in run("rekey", "status", "--data", data, EUI).stdout
    assert rekey("resync", EUI, "--close")["state"] == "stable" and asks() == "MICFailed"
    rekey("resync", EUI, "--experimental", "--join-eui", f"{NEW:016x}")
    assert asks() == "Success" and rekey("status", EUI)["state"] == "committed"
    assert asks() == "Success" and rekey("status", EUI) == {"dev_eui": EUI, "state": "stable", "floor": 1}
    said = run("audit", "show", "--data", data, "--kind", "rekey", "--json").stdout.splitlines()
    assert sorted(json.loads(line)["text"] for line in said) == ["committed", "resync", "resync", "stable", "stable"]
    rekey("resync", EUI, "--close", code=REFUSED)


def test_let_go(run, rekey, data):
    """What has gone to another Join Server is nobody's here, as what was removed: not its owner's either, should it come
    again."""
    at = ("--data", data)
    run("account", "add", "acme", *at)
    run("claim", "assign", EUI, "--account", "acme", *at)
    assert rekey("start", EUI, "--experimental", "--join-eui", f"{NEW:016x}", "--transfer")["state"] == "transfer out"
    rekey("release", EUI)
    run("device", "import", "-", *at, input=device_line(DEV, lorawan_version="1.0.4", nwk_key=OLD.hex(), rekey_key=RK.hex()))
    assert json.loads(run("claim", "show", EUI, *at, "--json").stdout)["state"] == "provisioned"
    run("audit", "verify", *at)


def test_words(run, rekey, data):
    assert "--experimental" in run("rekey", "start", "--data", data, EUI, code=USAGE).stderr
    assert "--kept-twice" in run("rekey", "start", "--data", data, EUI, "--experimental", "--suite", "2", code=USAGE).stderr
    assert "--parent" in run("rekey", "start", "--data", data, EUI, "--experimental", "--suite", "4", "--kept-twice",
                             code=USAGE).stderr
    run("rekey", "message", "--data", data, EUI, "xyz", code=USAGE)
    assert rekey("start", EUI, "--experimental", "--dry-run") == {
        "dev_eui": EUI, "state": "pending", "floor": 1, "suite": 1, "flags": 0, "epoch": 1,
        "join_eui": f"{JOIN:016x}", "answer": None}
    assert rekey("status", EUI)["state"] == "stable"
    run("rekey", "status", "--data", data, "0000000000000001", code=None)
