"""The package lorajs: records, the server, errors, keys that show nothing, threads."""

from __future__ import annotations

import copy
import gc
import json
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import time

import pytest

import lorajs
from lorajs import native

LAB = {"anonymous": True, "clear": lorajs.Clear.NS | lorajs.Clear.AS}
DEV_EUI, JOIN_EUI = lorajs.EUI("0102030405060708"), lorajs.EUI("70b3d57ed0000000")


def join_request(dev_eui: int, key: lorajs.Key, nonce: int) -> bytes:
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, lorajs.EUI(dev_eui), JOIN_EUI, nonce=nonce).sign(key)
    return json.dumps({
        "ProtocolVersion": "1.0", "SenderID": "000013", "ReceiverID": str(JOIN_EUI), "TransactionID": nonce,
        "MessageType": "JoinReq", "MACVersion": "1.0.4", "PHYPayload": phy.hex(), "DevEUI": f"{dev_eui:016x}",
        "DevAddr": "26011234", "DLSettings": "00", "RxDelay": 1,
    }).encode()


@pytest.fixture
def key() -> lorajs.Key:
    return lorajs.Key.generate()


@pytest.fixture
def server(key: lorajs.Key):
    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory(), **LAB) as server:
        server.make_device(lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4), app_key=key)
        yield server


def test_pure_join(key: lorajs.Key) -> None:
    vault = lorajs.Vault.generate()
    device = lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4)
    made = lorajs.make_device(vault, device, app_key=key)
    assert lorajs.Device.read(made).state is lorajs.State.FRESH
    uplink = lorajs.Frame(lorajs.FrameKind.JOIN, DEV_EUI, JOIN_EUI, nonce=7).sign(key)
    request = lorajs.JoinRequest(uplink, net_id=0x13, dev_addr=0x26011234, mac=lorajs.Mac.V1_0_4, now=1_700_000_000)

    with pytest.raises(lorajs.Refused) as refused:  # no KEK, and clear keys are not allowed
        lorajs.join(made, request, vault)
    assert refused.value.name == "KEK" and refused.value.result_code() == "JoinReqFailed"

    kek = lorajs.Key.generate(32)
    record, answer = lorajs.join(made, request, vault, ns_kek=("ns", kek))
    assert (answer.join_nonce, answer.nonce, answer.repeat, len(answer.phy)) == (1, 7, False, 17)
    assert answer.app_s is None and answer.f_nwk_s_int.kek_label == "ns" and len(answer.f_nwk_s_int.key) == 24
    assert len(answer.f_nwk_s_int.open(kek)) == 16
    with pytest.raises(lorajs.Fault, match="master key|tampered|seal"):
        answer.f_nwk_s_int.open(lorajs.Key.generate(32))
    [session] = lorajs.sessions(record)
    assert (session.session_key_id, session.at, session.net_id) == (answer.session_key_id, 1_700_000_000, 0x13)

    same, again = lorajs.join(record, request, vault, ns_kek=("ns", kek))
    assert again.repeat and same is record and again.phy == answer.phy

    flipped = bytearray(record)
    flipped[len(flipped) // 2] ^= 1
    with pytest.raises(lorajs.Fault):
        lorajs.join(bytes(flipped), request, vault, ns_kek=("ns", kek))


def test_errors_are_exceptions(server: lorajs.JoinServer, key: lorajs.Key) -> None:
    with pytest.raises(lorajs.NotFound) as missing:
        server.device(1)
    assert isinstance(missing.value, KeyError) and missing.value.remedy and str(missing.value)[0] != "'"
    with pytest.raises(lorajs.MessageError):
        server.handle(b"not JSON")
    with pytest.raises(lorajs.InvalidError):
        lorajs.Key.generate(17)
    with pytest.raises(ValueError):
        lorajs.EUI("123")
    with pytest.raises(lorajs.FrameError):
        lorajs.Frame.parse(bytes(23 + 1))
    with pytest.raises(lorajs.Fault) as weak:
        lorajs.make_device(lorajs.Vault.generate(), lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4),
                           app_key=lorajs.Key.from_bytes(bytearray(16)))
    assert weak.value.name == "WEAK"
    with pytest.raises(lorajs.Fault, match="."):
        lorajs.Store.sqlite("/nowhere/at/all")
    for wrong in (None, 5, "text"):
        with pytest.raises(TypeError):
            native.server_handle(wrong, None, 0, b"{}")
        with pytest.raises(TypeError):
            native.key_len(wrong)
    with pytest.raises(TypeError):
        server.handle("text, not octets")
    with pytest.raises(TypeError):
        native.device_make(None, None, None, 0, 0, None, None)
    for number in -1, 1 << 64:
        with pytest.raises(OverflowError):
            server.device(number)
        with pytest.raises(OverflowError):
            lorajs.EUI(number)
    with pytest.raises(TypeError):
        lorajs.EUI(b"12345678")  # int() would read decimal digits
    for call in (lambda text: server.handle(b"{}", peer=text), lorajs.Store.sqlite,
                 lambda text: server.set_peers([lorajs.Peer(text)])):
        with pytest.raises(ValueError):
            call("acme\0x")
    server.close()
    with pytest.raises(lorajs.ClosedError):
        server.handle(b"{}")
    raised = pickle.loads(pickle.dumps(missing.value))
    assert (type(raised), raised.name) == (lorajs.NotFound, "NOTFOUND")


def test_every_error_has_a_class_and_a_text() -> None:
    codes = {name: getattr(native, name) for name in dir(native) if name.startswith("LJS_E_")}
    assert len(codes) > 25
    for name, code in codes.items():
        assert native.errname(code) == name.removeprefix("LJS_E_")
        assert native.strerror(code) and native.remedy(code)


def test_keys_show_nothing(key: lorajs.Key) -> None:
    text = os.urandom(16).hex()
    secret, vault = lorajs.Key.from_hex(text), lorajs.Vault(bytearray(os.urandom(32)))
    clear = lorajs.Envelope("", bytes.fromhex(text))
    for shown in (repr(secret), str(secret), repr(vault), repr(clear), repr(secret.native), repr([secret, clear])):
        assert text not in shown.lower() and repr(bytes.fromhex(text)) not in shown
    assert secret.export().hex() == text
    assert secret != lorajs.Key.from_hex(text)
    with pytest.raises(TypeError):
        bytes(secret)
    for mover in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            mover(secret)
        with pytest.raises(TypeError):
            mover(vault)


def test_octets_are_wiped() -> None:
    octets = bytearray(os.urandom(16))
    lorajs.Key.from_bytes(octets)
    assert octets == bytes(16)
    master = bytearray(os.urandom(31))
    with pytest.raises(lorajs.InvalidError):
        lorajs.Vault(master)
    assert master == bytes(31)


def test_administration(server: lorajs.JoinServer, key: lorajs.Key) -> None:
    assert server.devices() == [DEV_EUI]
    server.block(DEV_EUI)
    assert json.loads(server.handle(join_request(DEV_EUI, key, 1)))["Result"]["ResultCode"] != "Success"
    with pytest.raises(lorajs.Fault) as state:
        server.block(DEV_EUI)
    assert state.value.name == "STATE"
    server.unblock(DEV_EUI)
    assert json.loads(server.handle(join_request(DEV_EUI, key, 2)))["Result"]["ResultCode"] == "Success"
    assert server.count(lorajs.MessageType.JOIN_REQ) == 1
    server.flush()
    assert any(d.error == "BLOCKED" and d.remedy for d in server.decisions(DEV_EUI))
    of_all: list[lorajs.Decision] = []
    server.each_decision(of_all.append)
    server.each_decision(of_all.append, DEV_EUI + 1)
    assert of_all == server.decisions(DEV_EUI)
    with pytest.raises(ZeroDivisionError):
        server.each_decision(lambda decision: 1 // 0)
    server.put_kek("ns", lorajs.Key.generate(24))
    with pytest.raises(lorajs.Fault):
        server.put_kek("ns", lorajs.Key.generate())
    server.put_kek("ns", lorajs.Key.generate(), replace=True)
    assert server.keks() == [("ns", 16)]
    server.del_kek("ns")
    assert server.keks() == []
    server.remove(DEV_EUI)
    assert server.device(DEV_EUI).state is lorajs.State.REMOVED
    server.ready()


def test_peers(key: lorajs.Key) -> None:
    server = lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory())
    server.make_device(lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4), app_key=key)
    server.put_kek("home", lorajs.Key.generate())
    server.set_peers([lorajs.Peer("home", net_ids=(0x13,), keks=("home",)), lorajs.Peer("else", net_ids=(0x14,))])

    def ask(nonce: int, peer: str | None) -> dict:
        return json.loads(server.handle(join_request(DEV_EUI, key, nonce), peer=peer))

    for peer in (None, "nobody", "else"):
        assert ask(1, peer)["Result"]["ResultCode"] == "UnknownSender"
    assert ask(1, "home")["NwkSKey"]["KEKLabel"] == "home"


def test_collector_frees_in_order() -> None:
    """Vault and store outlive their server, also when all three go at once in a cycle."""
    for _ in range(50):
        server = lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory(), **LAB)
        server.cycle = server
        del server
    gc.collect()


def test_gil_is_released(tmp_path: pathlib.Path) -> None:
    """While SQLite works for one thread, Python runs in another."""
    keys = [lorajs.Key.generate() for _ in range(4)]
    server = lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.sqlite(tmp_path / "db"), **LAB)
    for i, key in enumerate(keys, 1):
        server.make_device(lorajs.Device(lorajs.EUI(i), JOIN_EUI, lorajs.Mac.V1_0_4), app_key=key)
    failed: list[object] = []

    def work(dev_eui: int) -> None:
        for nonce in range(50):
            answer = json.loads(server.handle(join_request(dev_eui, keys[dev_eui - 1], nonce)))
            if answer["Result"]["ResultCode"] != "Success":
                failed.append(answer)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert server.count(lorajs.MessageType.JOIN_REQ) == 200

    # A database locked by another process: handle() waits, and Python does not.
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sqlite3, sys\n"
         "c = sqlite3.connect(sys.argv[1], isolation_level=None)\nc.execute('BEGIN EXCLUSIVE')\n"
         "print('held', flush=True)\nsys.stdin.read()\nc.execute('ROLLBACK')", str(tmp_path / "db")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        answers: list[bytes] = []
        waiting = threading.Thread(target=lambda: answers.append(server.handle(join_request(1, keys[0], 1000))))
        start, ticks = time.monotonic(), 0
        waiting.start()
        while time.monotonic() - start < 0.5 or ticks < 20:
            time.sleep(0.005)
            ticks += 1
            assert waiting.is_alive(), f"{ticks} ticks in {time.monotonic() - start:.2f} s"
    finally:
        holder.communicate()  # which lets it go
    waiting.join()
    assert json.loads(answers[0])["Result"]["ResultCode"] == "Success"


def test_import_is_quiet(tmp_path: pathlib.Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import lorajs; print(lorajs.version())"], capture_output=True,
                          text=True, cwd=tmp_path, check=True)
    assert done.stdout.count(".") == 2 and not done.stderr and not list(tmp_path.iterdir())


def test_a_frame_explains_itself(key: lorajs.Key) -> None:
    """As `lorajs inspect` tells it, octet for octet."""
    frame = lorajs.Frame.parse(lorajs.Frame(lorajs.FrameKind.JOIN, DEV_EUI, JOIN_EUI, nonce=3).sign(key))
    told = frame.explain()
    assert told == lorajs.explain(frame.build()) and told.is_frame and told.text == "join-request"
    assert [(f.name, f.value) for f in told.fields] == [
        ("MHDR", "00"), ("JoinEUI", str(JOIN_EUI)), ("DevEUI", str(DEV_EUI)), ("DevNonce", "3"), ("MIC", frame.mic.hex())]
    assert b"".join(f.octets for f in told.fields) == frame.build()
    if program := os.environ.get("LORAJS"):
        shown = subprocess.run([program, "inspect", frame.build().hex()], capture_output=True, text=True, check=True).stdout
        assert [line.rstrip() for line in shown.splitlines()][: str(told).count("\n") + 1] == str(told).splitlines()

    cf_list = lorajs.CFList(0, (868_100_000,)).build()
    accept = lorajs.JoinAccept(7, lorajs.NetID(0x13), lorajs.DevAddr(0x26011234), 0x80, 1, cf_list)
    of = lorajs.AcceptOf()
    clear = accept.explain(of, key)
    assert [f.name for f in clear.fields] == "MHDR JoinNonce NetID DevAddr DLSettings RxDelay CFList MIC".split()
    assert clear.fields[-1].octets == accept.mic(of, key) and "868.1" in str(clear) and "OptNeg 1" in str(clear)
    assert [f.name for f in accept.explain().fields] == [f.name for f in clear.fields[:-1]]
    assert lorajs.explain(accept.seal(of, key)).text == "join-accept, encrypted"
    nothing = lorajs.explain(b"@12")
    assert not nothing.is_frame and str(nothing).startswith("This is no frame of joining") and len(nothing.fields) == 1
    assert lorajs.explain(b"").fields == ()
    with pytest.raises(lorajs.FrameError):
        lorajs.explain_accept(bytes(14))


@pytest.mark.parametrize("name", ["ns_kek_label", "as_kek_label", "as_id"])
@pytest.mark.parametrize("text", ["a\0b", "x" * 128, "\u00e9" * 64], ids=["zero", "long", "long in octets"])
def test_text_is_whole_or_refused(key: lorajs.Key, name: str, text: str) -> None:
    server = lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory())
    with pytest.raises(ValueError):
        server.make_device(lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4, **{name: text}), app_key=key)
    server.make_device(lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4, **{name: "x" * 127}), app_key=key)
    assert getattr(server.device(DEV_EUI), name) == "x" * 127


def test_what_is_easily_mistaken() -> None:
    """A mistake that types would have told is told at once, not by a misbehaviour later."""
    for secret in (bytes(16), "00" * 16):
        with pytest.raises(TypeError, match="from_bytes"):
            lorajs.Key(secret)  # type: ignore[arg-type]
    for wrong in ({"as_ids": "as.example"}, {"keks": ("ns")}):
        with pytest.raises(TypeError, match="tuple"):
            lorajs.Peer("ns", **wrong)
    for store in ("lorajs.db", pathlib.Path("lorajs.db"), None, {}):
        with pytest.raises(TypeError, match=r"Store\.sqlite\(path\)"):
            lorajs.JoinServer(lorajs.Vault.generate(), store)  # type: ignore[arg-type]
    for vault in (bytes(32), "master.key", lorajs.Key.generate(32), None):
        with pytest.raises(TypeError, match=r"Vault\.from_file\(path\)"):
            lorajs.JoinServer(vault, lorajs.Store.memory())  # type: ignore[arg-type]
    assert not pathlib.Path("lorajs.db").exists()
    with pytest.raises(TypeError, match="callable"):
        lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory(), log="server.log")  # type: ignore[arg-type]


def test_the_program_is_found(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In either folder of a package that is installed to be edited; else on PATH, but not pip's script, which leads here."""
    import lorajs.__main__ as main

    edited, script, other = (tmp_path / name for name in ("edited/bin", "script", "other"))
    for folder, text in (edited, "\x7fELF"), (script, "#!python"), (other, "\x7fELF"):
        folder.mkdir(parents=True)
        (folder / "lorajs").write_text(text)
        (folder / "lorajs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{script}:{other}")
    monkeypatch.setattr(main, "__path__", [str(tmp_path / "none"), str(tmp_path / "edited")])
    assert main.find() == edited / "lorajs"
    monkeypatch.setattr(main, "__path__", [str(tmp_path / "none")])
    assert main.find() == other / "lorajs"
    monkeypatch.setenv("PATH", str(script))
    assert main.find() is None


@pytest.mark.parametrize("more", [{"vendor_id": 1 << 16}, {"dev_eui": -1}, {"serial": "X" * 5000}, {"owner_token": "A:B"},
                                  {"proprietary": "a\0b"}, {"join_eui": None}, {"vendor_profile_id": None}], ids=repr)
def test_a_code_that_no_label_can_have(more: dict[str, object]) -> None:
    members: dict[str, object] = {"dev_eui": 1, "join_eui": 2, "vendor_id": 3, "vendor_profile_id": 4}
    assert lorajs.QR(**members).build().startswith("LW:D0:")  # type: ignore[arg-type]
    with pytest.raises(lorajs.InvalidError):
        lorajs.QR(**members | more).build()  # type: ignore[arg-type]
