"""Devices from one Join Server to another: what arrives is what was sent, it is for one recipient
and from one sender, and what is refused has changed nothing."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import resource
import sqlite3
import stat
import subprocess

import pytest

from conftest import FAILED, REFUSED, USAGE, device_line
from joins import Device, result
from test_memory import Needles

EUIS = [0x0102030405060708 + i for i in range(4)]
KEYS = {eui: os.urandom(16).hex() for eui in EUIS}


@pytest.fixture
def pairs(run, tmp_path) -> pathlib.Path:
    for name, kind in (("receiver", "x25519"), ("sender", "ed25519"), ("stranger", "x25519"), ("liar", "ed25519")):
        run("key", "pair", kind, "--output", tmp_path / name)
    return tmp_path


@pytest.fixture
def made(run, data):
    lines = [device_line(EUIS[0], nwk_key=KEYS[EUIS[0]], used_dev_nonces=[7, 65535], next_join_nonce=12),
             device_line(EUIS[1], lorawan_version="1.0.4", nwk_key=KEYS[EUIS[1]], last_dev_nonce=41, as_id="as.example",
                         join_eui=None, join_euis=["70b3d57ed0000000", "70b3d57ed0000001"]),
             device_line(EUIS[2], lorawan_version="1.1", nwk_key=KEYS[EUIS[2]], app_key=os.urandom(16).hex(),
                         home_net_id="000013", require_1_1=True),
             device_line(EUIS[3], nwk_key=KEYS[EUIS[3]], gen_app_key=os.urandom(16).hex(), ns_kek_label="ns")]
    run("device", "import", "-", "--data", data, input="\n".join(lines))
    return data


def send(run, data, pairs, *words, name="parcel", **more):
    more.setdefault("code", 0)
    run("device", "export", "--data", data, "--to", pairs / "receiver.pub", "--sign", pairs / "sender", "--output",
        pairs / name, *words, **more)
    return pairs / name


def receive(run, path, other, pairs, *words, key="receiver", sender="sender.pub", code=0):
    return run("device", "receive", path, "--data", other, "--key", pairs / key, "--from", pairs / sender, *words,
               code=code)


def devices(run, data) -> dict[str, dict]:
    return {d["dev_eui"]: d for d in map(json.loads, run("device", "list", "--all", "--json", "--data", data).stdout.splitlines())}


def rows(data: pathlib.Path) -> list:
    db = sqlite3.connect(data / "lorajs.db")
    try:
        return db.execute("SELECT key, version, value FROM kv ORDER BY key").fetchall()
    finally:
        db.close()


def test_pairs(run, pairs, tmp_path):
    for name, kind in (("receiver", "x25519"), ("sender", "ed25519")):
        assert stat.S_IMODE((pairs / name).stat().st_mode) == 0o600
        assert (pairs / name).read_text().startswith(f"{kind}-secret ")
        assert (pairs / f"{name}.pub").read_text().startswith(f"{kind} ") and len((pairs / f"{name}.pub").read_text()) == len(kind) + 66
        text = (pairs / name).read_text()
        assert "File exists" in run("key", "pair", kind, "--output", pairs / name, code=FAILED).stderr
        assert (pairs / name).read_text() == text
    # the public half is what others make of the secret one
    from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    for name, make in (("receiver", x25519.X25519PrivateKey), ("sender", ed25519.Ed25519PrivateKey)):
        secret = make.from_private_bytes(bytes.fromhex((pairs / name).read_text().split()[1]))
        assert secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex() == \
            (pairs / f"{name}.pub").read_text().split()[1]
    assert "needs --output" in run("key", "pair", "x25519", code=USAGE).stderr
    assert run("key", "pair", "rsa", "--output", tmp_path / "x", code=USAGE).stderr


def short_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))


def test_no_half_of_a_pair_is_left(run, tmp_path):
    """Neither part of a key on a full disk, nor a secret whose public half nobody has."""
    done = run("key", "pair", "x25519", "--output", tmp_path / "new", code=FAILED, preexec_fn=short_files, restore_signals=False)
    assert "File too large" in done.stderr and not list(tmp_path.iterdir())
    (tmp_path / "new.pub").symlink_to(tmp_path / "nothing")
    run("key", "pair", "x25519", "--output", tmp_path / "new", code=FAILED)
    assert [p.name for p in tmp_path.iterdir()] == ["new.pub"]


def test_what_arrives_is_what_was_sent(run, made, pairs, tmp_path, serve):
    path, other = send(run, made, pairs, "--all"), tmp_path / "other"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "4 would be received" not in receive(run, path, other, pairs).stdout
    assert devices(run, other) == devices(run, made)
    assert all(d["exposed"] for d in devices(run, other).values())
    assert "exposed" in run("device", "show", f"{EUIS[0]:016x}", "--data", made).stdout
    # the root keys, too: a device joins there, and not with a nonce that it used before
    server = serve("--allow-clear-keys", data=other)
    device = Device(EUIS[0], key=bytes.fromhex(KEYS[EUIS[0]]))
    assert result(server.ask(device.join(frame=device.frame(7)))) == "JoinReqFailed"
    assert result(server.ask(device.join(frame=device.frame(8)))) == "Success"
    assert devices(run, other)[f"{EUIS[0]:016x}"]["next_join_nonce"] == 13


def test_no_key_is_in_it(run, made, pairs):
    path = send(run, made, pairs, "--all")
    needles = Needles({f"{eui:x}": bytes.fromhex(key) for eui, key in KEYS.items()} | {"an AS-ID": b"as.example"}
                      | {f"DevEUI {eui:x}": eui.to_bytes(8, "big") for eui in EUIS})
    assert not needles.find(path.read_bytes())
    assert needles.find(path.read_bytes() + bytes.fromhex(KEYS[EUIS[0]])), "the control"


def test_some_devices(run, made, pairs, tmp_path):
    path = send(run, made, pairs, f"{EUIS[2]:016x}")
    receive(run, path, tmp_path / "other", pairs)
    assert set(devices(run, tmp_path / "other")) == {f"{EUIS[2]:016x}"}
    assert {e for e, d in devices(run, made).items() if d.get("exposed")} == {f"{EUIS[2]:016x}"}


def test_blocked_before_it_leaves(run, made, pairs, tmp_path):
    run("device", "block", f"{EUIS[0]:016x}", "--data", made)
    run("device", "remove", f"{EUIS[3]:016x}", "--data", made)
    path = send(run, made, pairs, "--all", "--block")
    assert [d["state"] for d in devices(run, made).values()] == ["blocked", "blocked", "blocked", "removed"]
    receive(run, path, tmp_path / "other", pairs)
    assert [d["state"] for d in devices(run, tmp_path / "other").values()] == ["fresh"] * 3


@pytest.mark.parametrize("words", [["0" * 16], [f"{EUIS[0]:016x}", "0" * 16], [f"{EUIS[3]:016x}"]])
def test_a_device_that_is_not_there_is_not_exported(run, made, pairs, words):
    run("device", "remove", f"{EUIS[3]:016x}", "--data", made)
    before = rows(made)
    send(run, made, pairs, *words, code=REFUSED)
    assert rows(made) == before and not (pairs / "parcel").exists()


def test_wrong_words(run, made, pairs):
    before = rows(made)
    for words in ([], ["--all", f"{EUIS[0]:016x}"], ["12"]):
        send(run, made, pairs, *words, code=USAGE)
    (pairs / "there").write_text("")
    send(run, made, pairs, "--all", name="there", code=FAILED)
    assert (pairs / "there").read_text() == "" and rows(made) == before
    for flags in (["--to", pairs / "sender.pub"], ["--sign", pairs / "receiver"], ["--to", pairs / "receiver"]):
        send(run, made, pairs, "--all", *flags, code=REFUSED)
    done = run("device", "receive", pairs / "x", "--data", made, "--key", pairs / "sender", "--from", pairs / "sender.pub",
               code=REFUSED)
    assert "the secret half of an x25519 key pair" in done.stderr
    (pairs / "sender").chmod(0o644)
    send(run, made, pairs, "--all", code=FAILED)
    assert rows(made) == before and not (pairs / "parcel").exists()
    assert "needs --key" in run("device", "receive", pairs / "x", "--data", made, code=USAGE).stderr


# ---- what is refused -----------------------------------------------------------------


@pytest.fixture
def other(run, made, pairs, tmp_path):
    """A Join Server that has a device of its own, and is to keep it as it is."""
    path = tmp_path / "other"
    run("device", "import", "-", "--data", path, input=device_line(0x99))
    return path


def test_each_fault_has_its_words_and_changes_nothing(run, made, pairs, other, tmp_path):
    whole = send(run, made, pairs, "--all").read_bytes()
    before = rows(other)

    def refused(octets: bytes, says: str, **more) -> None:
        path = tmp_path / "bad"
        path.write_bytes(octets)
        done = receive(run, path, other, pairs, code=REFUSED, **more)
        assert says in done.stderr and rows(other) == before, done.stderr

    for at in [*range(0, 5), *range(5, 157, 13), *range(157, len(whole), 61), len(whole) - 1]:
        bad = bytearray(whole)
        bad[at] ^= 1 << at % 8
        refused(bytes(bad), "")
    for end in (0, 3, 156, 157, 160, len(whole) // 2, len(whole) - 64, len(whole) - 1):
        refused(whole[:end], "cut short")
    refused(whole + b"x", "stands behind")
    refused(b"no parcel" * 100, "no parcel")
    refused(whole[:4] + b"\2" + whole[5:], "newer lorajs")
    refused(whole, "sealed to somebody else", key="stranger")
    refused(whole, "from somebody else", sender="liar.pub")
    refused(bytes(bad), "altered or damaged")
    (tmp_path / "good").write_bytes(whole)
    receive(run, tmp_path / "good", other, pairs)
    assert len(devices(run, other)) == 5


def test_one_device_that_cannot_be_taken_refuses_all(run, made, pairs, other):
    run("device", "import", "-", "--data", other, input=device_line(EUIS[2]))  # with other keys
    before, path = rows(other), send(run, made, pairs, "--all")
    done = receive(run, path, other, pairs, "--json", code=REFUSED)
    first, total = map(json.loads, done.stdout.splitlines())
    assert first["dev_eui"] == f"{EUIS[2]:016x}" and "--replace-keys" in first["reason"]
    assert total["received"] == 0 and total["refused"] == 1 and rows(other) == before
    assert "1 of 4" in receive(run, path, other, pairs, code=REFUSED).stdout
    receive(run, path, other, pairs, "--replace-keys", "--dry-run")
    assert rows(other) == before
    receive(run, path, other, pairs, "--replace-keys")
    assert devices(run, other)[f"{EUIS[2]:016x}"]["epoch"] == 1


def test_what_lands_before_a_fault_is_told(run, made, pairs, other):
    """Only a sender with a program of his own has one device twice, with two keys: each can be taken, and not both."""
    lorajs = pytest.importorskip("lorajs")
    vault, before = lorajs.Vault.generate(), devices(run, other)
    device = lorajs.Device(lorajs.EUI(0x7777), lorajs.EUI(1), lorajs.Mac.V1_0_3)
    records = [lorajs.make_device(vault, device, app_key=lorajs.Key.generate(16)) for _ in range(2)]
    secret = lorajs.Key.from_hex((pairs / "sender").read_text().split()[1])
    public = bytes.fromhex((pairs / "receiver.pub").read_text().split()[1])
    with open(pairs / "twice", "wb") as file:
        lorajs.pack(file, records, vault, to=public, sign=secret, now=1)
    done = receive(run, pairs / "twice", other, pairs, code=FAILED)
    assert not done.stdout and "1 devices of it were received before that" in done.stderr
    assert set(devices(run, other)) - set(before) == {f"{0x7777:016x}"}


def test_a_parcel_again(run, made, pairs, other):
    path = send(run, made, pairs, "--all")
    receive(run, path, other, pairs)
    before = devices(run, other)
    receive(run, path, other, pairs)
    assert devices(run, other) == before
    # and back again, over the records that it came from
    run("device", "export", "--data", other, "--all", "--to", pairs / "receiver.pub", "--sign", pairs / "liar", "--output",
        pairs / "back")
    was = devices(run, made)
    receive(run, pairs / "back", made, pairs, sender="liar.pub")
    assert {e: d for e, d in devices(run, made).items() if e in was} == was
    # but what happened since is undone, so a parcel tells how old it is
    run("device", "remove", f"{EUIS[0]:016x}", "--data", other)
    assert json.loads(receive(run, path, other, pairs, "--dry-run", "--json").stdout)["packed"] > 1767225600
    receive(run, path, other, pairs)
    assert devices(run, other)[f"{EUIS[0]:016x}"]["state"] == "fresh"


def test_nonces_never_go_back(run, made, pairs, other):
    early = send(run, made, pairs, "--all", name="early")
    run("device", "import", "-", "--data", made, input=device_line(
        EUIS[0], nwk_key=KEYS[EUIS[0]], used_dev_nonces=[100], next_join_nonce=500))
    late = send(run, made, pairs, "--all", name="late")
    receive(run, late, other, pairs)
    receive(run, early, other, pairs)
    device = devices(run, other)[f"{EUIS[0]:016x}"]
    assert device["next_join_nonce"] == 500 and device["used_dev_nonces"] == [7, 100, 65535]


def test_a_pipe_is_no_parcel(run, made, pairs, other, program):
    path = send(run, made, pairs, "--all")
    before = rows(other)
    done = receive(run, "/dev/stdin", other, pairs, code=FAILED)
    assert "must be a file" in done.stderr and rows(other) == before
    assert receive(run, pairs / "none", other, pairs, code=FAILED).stderr
    assert path.exists()


def little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (24 << 20, 24 << 20))


def test_a_long_parcel_in_little_memory(made, pairs, program):
    """No more than a record of it is in memory, whatever its length."""
    lorajs = pytest.importorskip("lorajs")
    key, vault = lorajs.Key.generate(), lorajs.Vault.generate()
    device = lorajs.Device(lorajs.EUI(0x7777), lorajs.EUI(1), lorajs.Mac.V1_0_3)
    record = lorajs.make_device(vault, device, app_key=key, used_dev_nonces=range(0, 65536, 5))
    secret = lorajs.Key.from_hex((pairs / "sender").read_text().split()[1])
    public = bytes.fromhex((pairs / "receiver.pub").read_text().split()[1])
    with open(pairs / "long", "wb") as file:
        lorajs.pack(file, itertools.repeat(record, 5000), vault, to=public, sign=secret, now=1)
    assert (pairs / "long").stat().st_size > 39 << 20
    done = subprocess.run([program, "device", "receive", pairs / "long", "--data", made, "--key", pairs / "receiver", "--from",
                           pairs / "sender.pub", "--dry-run"], capture_output=True, text=True, preexec_fn=little_memory)
    assert done.returncode == 0 and done.stdout == "5000 would be received\n", done.stderr
