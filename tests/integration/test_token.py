"""Keys in a token: SoftHSM, in a folder of the test's own.  Where there is none, these are left out."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from conftest import FAILED, REFUSED, USAGE
from joins import Device, result

MODULE = next(
    (path for path in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so") if os.path.exists(path)), ""
)
pytestmark = pytest.mark.skipif(
    not MODULE or not shutil.which("softhsm2-util"), reason="no SoftHSM on this machine (scripts/install-deps)"
)
PIN = "4711"
NS_KEK, AS_KEK = os.urandom(16), os.urandom(32)


class Token:
    """A token with a PIN, and the environment in which a program finds it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.env = {"SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
        self.pin = folder / "pin"
        self.set_pin(PIN)
        self.make()
        self.name = f"pkcs11:token=tests?module-path={MODULE}"
        self.uri = f"{self.name}&pin-source=file:{self.pin}"

    def make(self) -> None:
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", "tests", "--pin", PIN, "--so-pin", "081500"],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, **self.env},
        )

    def set_pin(self, text: str) -> None:
        self.pin.write_text(text + "\n")
        self.pin.chmod(0o600)

    def tool(self, *args: object) -> subprocess.CompletedProcess[str]:
        """OpenSC's client: what anybody with the PIN can ask for."""
        words = ["pkcs11-tool", "--module", MODULE, "--token-label", "tests", "--login", "--pin", PIN, *map(str, args)]
        return subprocess.run(words, capture_output=True, text=True, env={**os.environ, **self.env})


@pytest.fixture
def token(tmp_path: pathlib.Path) -> Token:
    (tmp_path / "token").mkdir()
    return Token(tmp_path / "token")


@pytest.fixture
def asked(run: Callable, token: Token) -> Iterator[Callable]:
    """The program, in an environment that has the token."""
    yield lambda *words, **more: run(*words, env={**token.env, **more.pop("env", {})}, **more)


def derived(root: bytes, tag: int, join_nonce: int, net_id: int, dev_nonce: int) -> bytes:
    """[L2 1.0.3 §6.2.5]  aes128_encrypt(AppKey, tag | AppNonce | NetID | DevNonce | pad16)"""
    block = bytes([tag]) + join_nonce.to_bytes(3, "little") + net_id.to_bytes(3, "little") + dev_nonce.to_bytes(2, "little")
    return Cipher(AES(root), ECB()).encryptor().update(block.ljust(16, b"\0"))


def wrapped_root(database: pathlib.Path, storage: int) -> bytes:
    """The root key of the one device, as its record has it: format 2, number of the storage key, role NwkKey, 24 octets."""
    octets = b"".join(p.read_bytes() for p in database.parent.glob(database.name + "*"))
    head = b"\x02" + storage.to_bytes(2, "little") + b"\x01\x18"
    at = octets.index(head) + len(head)
    return octets[at:at + 24]


def test_from_an_empty_token_to_a_join(asked, serve, data, token):
    device = Device(0x0102030405060708)
    assert asked("token", "init", token.uri, "--dry-run").stdout == "sealed: could be made\n"
    assert json.loads(asked("token", "init", token.uri, "--json").stdout) == {"policy": "sealed", "result": "made"}
    assert "already" in asked("token", "init", token.uri, code=REFUSED).stderr
    where = ("--data", data, "--master-key", token.uri)
    asked("kek", "add", "ns", *where, input=NS_KEK.hex())
    asked("kek", "add", "as", *where, input=AS_KEK.hex())
    asked("device", "import", "-", *where, input=device.line(ns_kek_label="ns", as_kek_label="as"))
    asked("device", "import", "-", *where, input=device.line(ns_kek_label="ns", as_kek_label="as"))  # known again
    other = Device(device.dev_eui)
    assert "other root keys" in asked("device", "import", "-", *where, input=other.line(), code=REFUSED).stderr

    # No key is in the directory, in clear or in any form that a key which we know opens.
    for path in data.iterdir():
        octets = path.read_bytes()
        for key in (device.key, NS_KEK, AS_KEK):
            assert key not in octets and key.hex().encode() not in octets

    server = serve(*where[2:], "--allow-clear-keys", env=token.env)
    answer = server.ask(device.join(transaction=1))
    assert result(answer) == "Success"
    for member, kek, tag in (("NwkSKey", NS_KEK, 1), ("AppSKey", AS_KEK, 2)):
        wrapped = bytes.fromhex(answer[member]["AESKey"])
        assert aes_key_unwrap(kek, wrapped) == derived(device.key, tag, 1, 0x000013, device.nonce)
    forged = bytearray(device.frame(device.nonce + 1))
    forged[-1] ^= 1
    assert result(server.ask(device.join(frame=bytes(forged)))) == "MICFailed"
    assert server.stop() == 0
    again = serve(*where[2:], env=token.env)
    assert result(again.ask(device.join())) == "Success"
    again.process.send_signal(signal.SIGHUP)
    assert result(again.ask(device.join())) == "Success"


def test_a_lot_made_inside(asked, serve, data, token):
    where = ("--data", data, "--master-key", token.uri)
    asked("token", "init", token.uri)
    asked("kek", "add", "maker", *where, input=AS_KEK.hex())
    done = asked("lot", "make", "meters", *where, "--kek", "maker", "--json")
    assert done.stderr == ""  # it is where it belongs
    lot = aes_key_unwrap(AS_KEK, bytes.fromhex(json.loads(done.stdout)["wrapped_key"]))
    device = Device(10, key=Cipher(AES(lot), ECB()).encryptor().update(b"\xd2" + (10).to_bytes(8, "little") + bytes(7)))
    asked("device", "import", "-", *where, input=json.dumps({
        "dev_eui": "000000000000000a", "join_eui": f"{device.join_eui:016x}", "lorawan_version": "1.0.3", "lot": "meters",
        "ns_kek_label": "maker", "as_kek_label": "maker"}))
    server = serve(*where[2:], env=token.env)
    answer = server.ask(device.join())
    assert aes_key_unwrap(AS_KEK, bytes.fromhex(answer["AppSKey"]["AESKey"])) == derived(device.key, 2, 1, 0x000013, device.nonce)


def test_no_session_key_in_clear_though_it_is_allowed(asked, serve, data, token):
    device = Device(1)
    asked("token", "init", token.uri)
    asked("device", "import", "-", "--data", data, "--master-key", token.uri, input=device.line())
    server = serve("--master-key", token.uri, "--allow-clear-keys", env=token.env)
    answer = server.ask(device.join())
    assert result(answer) == "JoinReqFailed" and "NwkSKey" not in answer and "PHYPayload" not in answer


def test_doctor_and_check(asked, data, token):
    asked("token", "init", token.uri)
    asked("kek", "add", "ns", "--data", data, "--master-key", token.uri, input=NS_KEK.hex())
    lines = asked("doctor", "--data", data, "--master-key", token.uri, "--json", code=None).stdout.splitlines()
    rows = [json.loads(line) for line in lines[:-1]]
    found = [(row["verdict"], row["text"]) for row in rows if row["check"] == "token"]
    assert len(found) == 9 and all(verdict == "ok" for verdict, _ in found)
    assert any("clear" in text or "root key stays in" in text for _, text in found)
    checked = [json.loads(line) for line in asked("token", "check", token.uri, "--json").stdout.splitlines()]
    assert checked[-1]["policy"] == "sealed" and checked[-1]["storage_key"] == 1
    assert {row["verdict"] for row in checked[:-1]} == {"ok"}


def test_a_thief_with_the_pin(asked, data, token, tmp_path):
    """A copy of the database and the PIN: another tool reads root keys from under a storage key without a template, and
    none from under ours."""
    if not shutil.which("pkcs11-tool"):
        pytest.skip("no pkcs11-tool on this machine (scripts/install-deps)")
    device = Device(1)
    where = (token.uri, token.uri.replace("?", ";object=open?"))
    for storage, uri in enumerate(where, 1):
        clear = storage == 2
        if clear:
            made = token.tool("--keygen", "--key-type", "AES:32", "--label", "open storage", "--id", "0002", "--usage-wrap")
            assert made.returncode == 0, made.stderr
        home, blob = data / str(storage), tmp_path / f"blob-{storage}"
        asked("token", "init", uri)
        asked("device", "import", "-", "--data", home, "--master-key", uri, input=device.line())
        blob.write_bytes(wrapped_root(home / "lorajs.db", storage))
        attack = token.tool(
            "--unwrap", "--mechanism", "AES-KEY-WRAP", "--id", f"000{storage}", "-i", blob, "--key-type", "AES:",
            "--application-label", "stolen", "--application-id", "77", "--extractable",
        )
        assert (device.key.hex() in attack.stdout) == clear
        assert clear or "CKR_TEMPLATE_INCONSISTENT" in attack.stderr
        done = asked("token", "check", uri, code=REFUSED if clear else 0)
        assert ("in clear: the storage key has no unwrap template" in done.stdout) == clear

    # Nor does anything go under a key that he puts beside ours.
    inside = ("--data", data / "1", "--master-key", token.uri)
    made = token.tool("--keygen", "--key-type", "AES:32", "--label", "lorajs storage", "--id", "0009", "--usage-wrap")
    assert made.returncode == 0, made.stderr
    for words in (("device", "import", "-", *inside), ("token", "check", token.uri)):
        assert "more than one storage key" in asked(*words, code=REFUSED, input=Device(2).line()).stderr


def test_pins(asked, data, token):
    asked("token", "init", token.uri)
    words = ("kek", "add", "ns", "--data", data, "--master-key")

    def fails(uri: str, code: int, **more: object) -> str:
        done = asked(*words, uri, code=code, input=NS_KEK.hex(), **more)
        assert PIN not in done.stderr.replace(uri, "") and not (data / "lorajs.db").exists()
        return done.stderr

    token.set_pin("4712")
    assert "refused the PIN" in fails(token.uri, REFUSED)
    token.set_pin(PIN)
    token.pin.chmod(0o644)
    assert "others than its owner" in fails(token.uri, FAILED)
    assert "without a PIN in it" in fails(f"{token.name}&pin-value={PIN}", USAGE)
    assert "pin-source is" in fails(f"{token.name}&pin-source={token.pin}", USAGE)
    assert "terminal" in fails(token.name, FAILED, start_new_session=True)
    assert "credential" in fails(f"{token.name}&pin-source=credential:pin", FAILED, env={"CREDENTIALS_DIRECTORY": ""})

    (token.folder / "credential").write_text(PIN)
    asked(*words, f"{token.name}&pin-source=credential:credential", input=NS_KEK.hex(),
          env={"CREDENTIALS_DIRECTORY": str(token.folder)})
    read, write = os.pipe()
    os.write(write, PIN.encode())
    os.close(write)
    assert "ns" in asked("kek", "list", "--data", data, "--master-key", f"{token.name}&pin-source=fd:{read}",
                         pass_fds=[read]).stdout
    os.close(read)


def test_a_token_that_is_not_there_or_another(asked, data, token, tmp_path):
    asked("token", "init", token.uri)
    where = ("--data", data, "--master-key", token.uri)
    asked("kek", "add", "ns", *where, input=NS_KEK.hex())
    assert "kept elsewhere" in asked("kek", "list", "--data", data, code=FAILED).stderr
    assert "there is no such token" in asked("kek", "list", *where, code=FAILED, env={"SOFTHSM2_CONF": "/dev/null"}).stderr
    assert "there is no such token" in asked("token", "check", token.uri.replace(MODULE, "/nowhere.so"), code=FAILED).stderr
    (tmp_path / "second").mkdir()
    second = Token(tmp_path / "second")
    assert "lorajs token init" in asked("kek", "list", *where, code=FAILED, env=second.env).stderr
    asked("token", "init", token.uri, env=second.env)
    assert "not the one of this data directory" in asked("kek", "list", *where, code=REFUSED, env=second.env).stderr
    assert "parcel" in asked("master", "move", *where, "--to", "file", code=REFUSED).stderr
    assert "ns" in asked("kek", "list", *where).stdout

    serial = json.loads(asked("token", "check", token.uri, "--json").stdout.splitlines()[-1])["serial"]
    token.make()  # another of the same label
    assert "more than one token" in asked("kek", "list", *where, code=REFUSED).stderr
    assert "ns" in asked("kek", "list", *where[:3], token.uri.replace("?", f";serial={serial}?")).stdout


def test_devices_come_in_a_parcel_and_do_not_leave_in_one(asked, run, data, token, tmp_path):
    device = Device(1)
    asked("token", "init", token.uri)
    home, inside = tmp_path / "home", ("--data", data, "--master-key", token.uri)
    run("device", "import", "-", "--data", home, input=device.line())
    for kind, name in (("x25519", "receiver"), ("ed25519", "sender")):
        run("key", "pair", kind, "--output", tmp_path / name)
    parcel = tmp_path / "fleet"
    keys = {"receiver": ("--key", tmp_path / "receiver", "--from", tmp_path / "sender.pub"),
            "sender": ("--to", tmp_path / "receiver.pub", "--sign", tmp_path / "sender")}
    run("device", "export", "--data", home, "--all", *keys["sender"], "--output", parcel)
    asked("device", "receive", parcel, *inside, *keys["receiver"])
    assert json.loads(asked("device", "show", f"{1:016x}", *inside, "--json").stdout)["exposed"]
    parcel.unlink()
    assert "INSIDE" in asked("device", "export", *inside, "--all", *keys["sender"], "--output", parcel, code=None).stderr
    assert not parcel.exists()
