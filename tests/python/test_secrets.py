"""Keys are nowhere but where they were asked for: a marker key is looked for in repr, str, pickles, copies,
tracebacks with all their locals, exceptions and logs."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import logging
import os
import pathlib
import pickle
import traceback
import types
from collections.abc import Callable, Iterator

import pytest

import lorajs
from lorajs import Clear, Envelope, Key, Message, admin, backup, native, rekey

DEV_EUI, JOIN_EUI = lorajs.EUI("0102030405060708"), lorajs.EUI("70b3d57ed0000000")


class Marker:
    """A key, and every form in which text could show it."""

    def __init__(self, length: int = 16) -> None:
        self.octets = os.urandom(length)
        self.hex = self.octets.hex()

    def key(self) -> Key:
        return Key.from_bytes(bytearray(self.octets))

    def is_in(self, shown: str | bytes) -> bool:
        text = shown if isinstance(shown, str) else shown.decode("latin-1")
        parts = [self.octets[at : at + 6] for at in range(0, len(self.octets) - 5)]
        return any(
            part.hex() in text.lower() or repr(part)[2:-1] in text or part.decode("latin-1") in text
            or repr(list(part))[1:-1] in text for part in parts
        )


@pytest.fixture
def marker() -> Marker:
    return Marker()


def test_the_marker_is_found(marker: Marker) -> None:
    for shown in (marker.hex, marker.hex.upper(), repr(marker.octets), repr(bytearray(marker.octets)), marker.octets,
                  repr(list(marker.octets)), f"x{marker.hex[:14]}y"):
        assert marker.is_in(shown)
    assert not marker.is_in(Marker().hex)


def session_of(marker: Marker) -> tuple[bytes, lorajs.JoinAnswer]:
    """A join that answers keys in clear, which are derived; AppSKey is then the marker's stand-in."""
    vault = lorajs.Vault.generate()
    record = lorajs.make_device(vault, lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4), app_key=marker.key())
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, DEV_EUI, JOIN_EUI, nonce=1).sign(marker.key())
    request = lorajs.JoinRequest(phy, lorajs.NetID(0x13), lorajs.DevAddr(1), lorajs.Mac.V1_0_4, clear=Clear.NS | Clear.AS)
    return lorajs.join(record, request, vault)


def answer_in_clear(marker: Marker, **more: object) -> bytes:
    return json.dumps({
        "ProtocolVersion": "1.0", "TransactionID": 1, "MessageType": "AppSKeyAns", "SenderID": str(JOIN_EUI),
        "ReceiverID": "as", "Result": {"ResultCode": "Success"}, "DevEUI": str(DEV_EUI), "SessionKeyID": "01" * 16,
        "AppSKey": {"KEKLabel": "", "AESKey": marker.hex}, **more}).encode()


def line(marker: Marker, **more: object) -> bytes:
    return json.dumps({"dev_eui": str(DEV_EUI), "join_eui": str(JOIN_EUI), "lorawan_version": "1.0.4",
                       "app_key": marker.hex, **more}).encode()


REQUEST = Message.app_s_key_req("as", JOIN_EUI, DEV_EUI, b"\1" * 16, transaction_id=1)


def shown_objects(marker: Marker) -> Iterator[object]:
    key = marker.key()
    record, _ = session_of(marker)
    imported = lorajs.DeviceLine(line(marker))
    message = Message.parse(answer_in_clear(marker))
    element = lorajs.SecureElement.software(key)
    server = lorajs.JoinServer(lorajs.Vault(bytearray(marker.octets * 2)), lorajs.Store.memory())
    yield from (
        key, lorajs.Vault(bytearray(marker.octets * 2)), Envelope("", marker.octets), Envelope.seal(key), message,
        message.app_s, REQUEST.read_answer(answer_in_clear(marker)), imported, imported.device, element, server,
        lorajs.EndDevice(element), lorajs.NetworkKeys(key), record, lorajs.device_json(record),
        lorajs.Device.read(record), lorajs.sessions(record),
    )


def natives(marker: Marker) -> Iterator[object]:
    """The binding's own objects, which anybody can print."""
    yield native.key_import(marker.octets)
    envelope = native.envelope()
    envelope.key, envelope.key_len = marker.octets, 16
    yield envelope
    _, imported = native.import_parse(line(marker))
    yield imported
    yield imported.app
    yield native.message_parse(answer_in_clear(marker))
    yield native.vault_new(marker.octets * 2)
    keys = native.root_keys()
    yield keys


def test_nothing_shows_it(marker: Marker) -> None:
    for thing in [*shown_objects(marker), *natives(marker)]:
        for shown in (repr(thing), str(thing), f"{thing}", repr([thing]), repr({"a": thing})):
            assert not marker.is_in(shown), type(thing)
        if hasattr(thing, "this"):
            assert not marker.is_in(repr(thing.this) + str(thing.this))
        assert not marker.is_in(repr(getattr(thing, "__dict__", {})))


def test_no_pickle_and_no_copy_has_it(marker: Marker) -> None:
    key = marker.key()
    for thing in (key, lorajs.Vault(bytearray(marker.octets * 2)), Envelope("", marker.octets),
                  lorajs.DeviceLine(line(marker)), lorajs.SecureElement.software(key), lorajs.NetworkKeys(key),
                  Message.parse(answer_in_clear(marker)), [key]):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError):
                pickle.dumps(thing, protocol)
        with pytest.raises(TypeError):
            copy.deepcopy(thing)
    with pytest.raises(TypeError):
        copy.copy(key)
    for thing in natives(marker):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    wrapped = Envelope.seal(key, Key.generate(), "kek")  # on its way already
    assert pickle.loads(pickle.dumps(wrapped)) == copy.copy(wrapped) == wrapped
    assert not marker.is_in(pickle.dumps(wrapped))
    with pytest.raises(TypeError):
        dataclasses.asdict(lorajs.NetworkKeys(key))


def shown_by(call: Callable[[], object]) -> str:
    """All that can be told of the exception: every frame with its locals, but the test's own two, since who has a
    key has it in locals of his own."""
    try:
        call()
    except Exception as exc:
        text = repr(exc) + str(exc) + repr(exc.args) + repr(exc.__dict__)
        raised: BaseException | None = exc
        while raised is not None:
            told = traceback.TracebackException.from_exception(raised, capture_locals=True)
            told.stack = traceback.StackSummary.from_list([f for f in told.stack if f.filename != __file__ or f.name == "commit"])
            told.__cause__ = told.__context__ = None
            text += "".join(told.format())
            raised = raised.__cause__ or raised.__context__
        return text
    raise AssertionError("nothing was raised")


def test_no_traceback_has_it(marker: Marker, tmp_path: pathlib.Path) -> None:
    wrong, kek = Marker(17), Key.generate()
    text = marker.hex[:-1] + "x"
    (tmp_path / "key").write_text(marker.hex + "zz")
    (tmp_path / "raw").write_bytes(marker.octets + b"\xff" * 16)
    vault, key = lorajs.Vault.generate(), marker.key()
    calls: list[Callable[[], object]] = [
        lambda: Key.from_hex(text),
        lambda: Key.from_hex(wrong.hex),
        lambda: Key.from_bytes(bytearray(wrong.octets)),
        lambda: Key.from_bytes(marker.octets),  # type: ignore[arg-type]
        lambda: lorajs.Vault(bytearray(wrong.octets)),
        lambda: lorajs.Vault(marker.octets),  # type: ignore[arg-type]
        lambda: lorajs.Vault.from_file(tmp_path / "key"),
        lambda: lorajs.Vault.from_file(tmp_path / "raw"),
        lambda: lorajs.Vault.token(f"pkcs11:?pin-value={marker.hex}", bytearray(b"4711")),
        lambda: lorajs.QR.parse(f"LW:D0:70B3D57ED0000000:0102030405060708:AABB1122:O{marker.hex.upper()}:C0000"),
        lambda: lorajs.QR.parse(f"LW:D0:70B3D57ED0000000:0102030405060708:AABB1122:O{marker.hex.upper()}\ud800"),
        lambda: lorajs.QR(DEV_EUI, JOIN_EUI, 1, 2, owner_token=marker.hex * 40).build(),
        lambda: kek.wrap(marker.octets + b"?"),
        lambda: Envelope("", marker.octets).open(kek),
        lambda: Envelope("", wrong.octets).open(),
        lambda: Envelope("", marker.octets + b"?" * 20).open(),
        lambda: Envelope("x" * 200, marker.octets).open(),
        lambda: Message.parse(answer_in_clear(marker) + b"}"),
        lambda: Message(lorajs.MessageType.APP_S_KEY_ANS, "x" * 500, "as", app_s=Envelope("", marker.octets)).build(),
        lambda: REQUEST.read_answer(answer_in_clear(marker, TransactionID=2)),
        lambda: REQUEST.read_answer(answer_in_clear(marker) + b"}"),
        lambda: REQUEST.read_answer(answer_in_clear(marker, Result={"ResultCode": "UnknownDevEUI"})),
        lambda: lorajs.DeviceLine(line(marker) + b"}"),
        lambda: lorajs.DeviceLine(line(marker, colour="blue")),
        lambda: lorajs.DeviceLine(line(marker, app_key=text)),
        lambda: lorajs.DeviceLine(line(marker).decode() + "\ud800"),
        lambda: lorajs.DeviceLine([marker.hex]),  # type: ignore[arg-type]
        lambda: Message.parse(answer_in_clear(marker).decode()),  # type: ignore[arg-type]
        lambda: REQUEST.read_answer(answer_in_clear(marker).decode()),  # type: ignore[arg-type]
        lambda: lorajs.DeviceLine(line(marker, nwk_key=marker.hex + "00").decode()),
        lambda: lorajs.DeviceLine(line(marker)).make(vault, b"no record"),
        lambda: lorajs.seal_master(key, marker.octets[:5]),
        lambda: lorajs.open_master(b"no seal", marker.octets),
        lambda: lorajs.make_device(vault, lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_1), app_key=key),
        lambda: lorajs.derive(lorajs.KeyName.APP_S, Key.generate(24)),
        lambda: key.check() or Key.from_bytes(bytearray(16)).check(),
        lambda: lorajs.SecureElement.software(Key.generate(24), key),
    ]
    for number, call in enumerate(calls):
        shown = shown_by(call)
        assert not marker.is_in(shown) and not wrong.is_in(shown), (number, shown)


def test_no_traceback_has_what_was_taken_for_a_key(marker: Marker) -> None:
    """Octets or digits in the place of a Key, a master key in the place of a Vault: a mistake that many make once."""
    vault, key = lorajs.Vault.generate(), Key.generate()
    server = lorajs.JoinServer(vault, lorajs.Store.memory())
    device = lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_1)
    record = lorajs.make_device(vault, device, nwk_key=key, app_key=key)
    frame = lorajs.Frame(lorajs.FrameKind.JOIN, DEV_EUI, JOIN_EUI, nonce=1)
    request = lorajs.JoinRequest(frame.sign(key), lorajs.NetID(0x13), lorajs.DevAddr(1), lorajs.Mac.V1_0_4)
    data = lorajs.DataFrame(lorajs.Direction.UP, lorajs.DevAddr(1), 7)
    up = lorajs.DataOf(lorajs.Scheme.V1_0, 7)
    for raw in (marker.octets, bytearray(marker.octets), marker.hex):
        calls: list[Callable[[], object]] = [
            lambda: lorajs.make_device(vault, device, nwk_key=key, app_key=raw),
            lambda: lorajs.make_device(raw, device, nwk_key=key, app_key=key),
            lambda: lorajs.join(record, request, vault, ns_kek=("kek", raw)),
            lambda: lorajs.join(record, request, vault, as_kek=raw), lambda: lorajs.join(record, request, raw),
            lambda: lorajs.app_s_key(record, bytes(16), vault, as_id="as", as_kek=("kek", raw)),
            lambda: lorajs.check_record(record, raw), lambda: lorajs.step_device(record, lorajs.Act.BLOCK, raw),
            lambda: lorajs.DeviceLine(line(marker)).make(raw),
            lambda: server.make_device(device, nwk_key=raw), lambda: server.put_kek("kek", raw),
            lambda: server.rotate(raw), lambda: lorajs.JoinServer(raw, lorajs.Store.memory()),
            lambda: vault.add(raw), lambda: lorajs.Vault.from_key(raw), lambda: lorajs.seal_master(raw, b"a passphrase"),
            lambda: Envelope.seal(raw), lambda: Envelope.seal(key, raw), lambda: Envelope("", bytes(16)).open(raw),
            lambda: lorajs.derive(lorajs.KeyName.APP_S, raw), lambda: lorajs.mc_key_encrypt(key, raw),
            lambda: lorajs.mc_key_decrypt(raw, bytes(16)), lambda: frame.sign(raw), lambda: frame.verify(raw),
            lambda: data.sign(up, raw), lambda: lorajs.data_mic(data.build(), up, raw),
            lambda: lorajs.data_crypt(b"", raw, direction=lorajs.Direction.UP, dev_addr=1, fcnt=7),
            lambda: lorajs.SecureElement.software(raw), lambda: lorajs.NetworkKeys(raw), lambda: lorajs.NetworkSide(raw),
            lambda: lorajs.pack(io.BytesIO(), [], vault, to=bytes(32), sign=raw, now=1),
            lambda: lorajs.Parcel(io.BytesIO(), raw, bytes(32)), lambda: backup.standing(lorajs.Store.memory(), raw),
            lambda: admin.handle(server, admin.AdminRequest("GET", "/", 1), signer=raw),
            lambda: lorajs.write_bulk(io.BytesIO(), "ttjs", [], opener=raw),
            lambda: rekey.rekey_kcv(raw), lambda: rekey.rekey_slot(raw, 1, 2, 3, b""),
        ]
        for number, call in enumerate(calls):
            with pytest.raises(TypeError, match="is a (Key|Vault)"):
                call()
            assert not marker.is_in(shown := shown_by(call)), (number, shown)


def test_no_traceback_of_a_request_has_its_body_or_token(marker: Marker) -> None:
    server = lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory())
    asked = admin.AdminRequest("POST", "/v1/devices", 1, authorization=f"Bearer {marker.hex * 50}")
    for call in (lambda: admin.handle(server, asked, line(marker)),
                 lambda: admin.handle(server, dataclasses.replace(asked, authorization="", if_match="x" * 5000), line(marker)),
                 lambda: admin.handle(server, dataclasses.replace(asked, authorization=""), line(marker).decode())):
        assert not marker.is_in(shown := shown_by(call)), shown


def test_no_function_of_swig_is_in_between() -> None:
    """Its locals would have what was given."""
    assert not [name for name, thing in vars(native).items() if isinstance(thing, types.FunctionType) and name[0] != "_"]


def test_a_traceback_through_a_server_has_none(marker: Marker) -> None:
    """Everything that is alive while a store in Python raises."""

    class Broken(lorajs.StoreBase):
        broken = False

        def __init__(self) -> None:
            self.values: dict[bytes, tuple[bytes, int]] = {}

        def get(self, key: bytes) -> tuple[bytes, int] | None:
            return self.values.get(key)

        def commit(self, groups):  # type: ignore[no-untyped-def]
            if self.broken:
                raise RuntimeError("no disk")
            for group in groups:
                for change in group:
                    self.values[change.key] = change.value, change.if_version + 1
            return [lorajs.Outcome.DONE] * len(groups)

        def each(self, prefix: bytes) -> list[bytes]:
            return sorted(key for key in self.values if key.startswith(prefix))

    store = Broken()
    server = lorajs.JoinServer(lorajs.Vault(bytearray(marker.octets * 2)), store, anonymous=True, clear=Clear.NS | Clear.AS)
    server.import_device(lorajs.DeviceLine(line(marker)))
    kek = Marker()
    server.put_kek("kek", kek.key())
    for record, _ in store.values.values():
        assert not marker.is_in(record) and not kek.is_in(record)
    store.broken = True
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, DEV_EUI, JOIN_EUI, nonce=1).sign(marker.key())
    message = Message.join_req(0x13, JOIN_EUI, DEV_EUI, phy, mac=lorajs.Mac.V1_0_4, dev_addr=1).build()
    for call in (lambda: server.handle(message), lambda: server.put_kek("other", kek.key()),
                 lambda: server.import_device(lorajs.DeviceLine(line(marker)), replace_keys=True) or server.block(DEV_EUI)):
        shown = shown_by(call)
        assert "no disk" in shown and not marker.is_in(shown) and not kek.is_in(shown)


def test_no_log_has_it(marker: Marker, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever the package writes of itself, at any level, and what an application writes of its objects."""
    caplog.set_level(logging.DEBUG)
    told = io.StringIO()
    server = lorajs.JoinServer(lorajs.Vault(bytearray(marker.octets * 2)), lorajs.Store.memory(), anonymous=True,
                               clear=Clear.NS | Clear.AS, log=lambda decision: print(decision, file=told))
    server.import_device(lorajs.DeviceLine(line(marker)))
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, DEV_EUI, JOIN_EUI, nonce=1).sign(marker.key())
    message = Message.join_req(0x13, JOIN_EUI, DEV_EUI, phy, mac=lorajs.Mac.V1_0_4, dev_addr=1).build()
    answer = Message.parse(server.handle(message))
    assert answer.nwk_s and answer.app_s
    secrets = [answer.nwk_s.key, answer.app_s.key]
    logging.getLogger("application").info("%r %s %r", answer, answer.app_s, marker.key())
    try:
        server.handle(message[:-1])
    except lorajs.MessageError:
        logging.getLogger("application").exception("refused")
    server.flush()
    out = caplog.text + told.getvalue() + "".join(capfd.readouterr()) + repr(server.decisions(DEV_EUI))
    assert "JoinAns" in repr(answer.type) or "JOIN_ANS" in out
    for secret in (marker.octets, *secrets):
        found = Marker()
        found.octets = secret
        assert not found.is_in(out)


def test_octets_that_come_in_are_wiped(marker: Marker) -> None:
    for take, length in ((Key.from_bytes, 16), (Key.from_bytes, 17), (lorajs.Vault, 32), (lorajs.Vault, 31)):
        octets = bytearray(os.urandom(length))
        try:
            take(octets)
        except lorajs.InvalidError:
            pass
        assert octets == bytes(length)
