"""Root-key rekey: its known answers, through the package."""

from __future__ import annotations

import pathlib

import pytest

import lorajs
from lorajs import KeyName, rekey

ROOT = pathlib.Path(__file__).resolve().parents[2]
V = {
    name: value
    for name, value in (
        line.split() for line in (ROOT / "tests/vectors/rekey-1.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
}
DEV, JOIN, EPOCH = int(V["dev_eui"], 16), int(V["join_eui"], 16), int(V["epoch"], 16)


def octets(name: str) -> bytes:
    return bytes.fromhex(V[name])


def key_of(name: str) -> lorajs.Key:
    return lorajs.Key.from_bytes(bytearray(octets(name)))


def derive(name: KeyName, root: lorajs.Key) -> lorajs.Key:
    return lorajs.derive(name, root, dev_eui=DEV, join_eui=JOIN, epoch=EPOCH)


def check_roots(join_key: lorajs.Key, suite: int) -> lorajs.Key:
    roots = {"nwk": KeyName.NEXT_NWK, "app": KeyName.NEXT_APP, "gen_app": KeyName.NEXT_GEN_APP,
             "rekey": KeyName.NEXT_REKEY}
    for name, key_name in roots.items():
        key = derive(key_name, join_key)
        assert key.export() == octets(f"{suite}.{name}")
        assert rekey.rekey_kcv(key) == octets(f"{suite}.{name}_kcv")
    return derive(KeyName.NEXT_NWK, join_key)


def check_message(name: str, key: lorajs.Key) -> rekey.RekeyMessage:
    message = rekey.RekeyMessage.parse(octets(name))
    assert message.build() == octets(name)
    assert message.mic == rekey.rekey_mic(key, DEV, octets(name))
    assert message.epoch == EPOCH
    return message


def test_suite_1() -> None:
    root = key_of("rekey_key")
    assert derive(KeyName.REKEY_INT, root).export() == octets("1.rekey_int")
    join_key = derive(KeyName.REKEY_JOIN, root)
    assert join_key.export() == octets("1.join_key")
    nwk = check_roots(join_key, 1)
    req = check_message("1.req", derive(KeyName.REKEY_INT, root))
    assert (req.kind, req.suite, req.join_eui, req.kcv) == (rekey.RekeyKind.REQ, rekey.Suite.SUITE_1, JOIN,
                                                            octets("1.nwk_kcv"))
    assert req.flags == rekey.RekeyFlags.JOIN_EUI | rekey.RekeyFlags.APP_KEYS and req.data == b""
    ans = check_message("1.ans", nwk)
    assert (ans.kind, ans.status) == (rekey.RekeyKind.ANS, rekey.RekeyStatus.OK)


def test_suite_2() -> None:
    for secret in ("2.eph_secret", "2.dev_secret"):
        join_key = rekey.rekey_agree(key_of(secret), DEV, JOIN, octets("2.eph_public"), octets("2.dev_public"))
        assert join_key.export() == octets("2.join_key")
        check_roots(join_key, 2)
    req = check_message("2.req", derive(KeyName.REKEY_INT, key_of("rekey_key")))
    assert (req.suite, req.data) == (rekey.Suite.SUITE_2, octets("2.eph_public"))
    with pytest.raises(lorajs.InvalidError):
        rekey.rekey_agree(lorajs.Key.generate(32), DEV, JOIN, octets("2.eph_public"), octets("2.dev_public"))


def test_suite_4() -> None:
    parent, serial = key_of("4.parent"), octets("4.serial")
    assert rekey.rekey_temp_key(DEV, JOIN, EPOCH) == octets("4.temp_key")
    assert rekey.rekey_slot(parent, DEV, JOIN, EPOCH, serial).export() == octets("4.app") + octets("4.nwk")
    assert rekey.rekey_slot_mac(parent, serial) == octets("4.mac")
    req = check_message("4.req", key_of("4.nwk_before"))
    assert (req.suite, req.data, req.kcv) == (rekey.Suite.SUITE_4, octets("4.mac"), octets("4.nwk_kcv"))


def test_what_is_no_message() -> None:
    with pytest.raises(lorajs.FrameError):
        rekey.RekeyMessage.parse(bytes([9]) + bytes(7))
    with pytest.raises(lorajs.InvalidError):
        rekey.RekeyMessage(rekey.RekeyKind.REQ, suite=16).build()


# ---- both ends -----------------------------------------------------------------


def device_and_record(vault: lorajs.Vault) -> tuple[lorajs.SecureElement, bytes, bytes]:
    nwk, rekey_key, x25519 = lorajs.Key.generate(), lorajs.Key.generate(), lorajs.Key.generate(32)
    record = lorajs.make_device(vault, lorajs.Device(DEV, JOIN, lorajs.Mac.V1_0_4, x25519_public_key=x25519.x25519_public()),
                                nwk_key=nwk, rekey_key=rekey_key)
    element = rekey.rekey_element(nwk_key=nwk, rekey_key=rekey_key, x25519=x25519)
    return element, lorajs.EndDevice.new(lorajs.EndDeviceOptions(JOIN, DEV, lorajs.Mac.V1_0_4)), record


@pytest.mark.parametrize("suite", [rekey.Suite.SUITE_1, rekey.Suite.SUITE_2])
def test_a_rekey_and_its_end(suite: rekey.Suite) -> None:
    vault = lorajs.Vault.generate()
    element, state, record = device_and_record(vault)
    options = rekey.RekeyOptions(True, suite, rekey.RekeyFlags.REKEY_KEY, kept=True, join_eui=0x1234, now=1)
    message, record = rekey.rekey_begin(vault, record, options)
    assert rekey.rekey_status(record).state == rekey.RekeyState.PENDING
    assert rekey.rekey_begin(vault, record, options) == (message, b"")
    state, out = rekey.device_rekey(element, state, message)
    assert (out.err, out.status, out.persist, out.phase, out.epoch) == (0, rekey.RekeyStatus.OK, True, 1, 0)
    answer, record = rekey.rekey_answer(vault, record, out.answer)
    assert answer.status == rekey.RekeyStatus.OK and answer.epoch == 1
    assert rekey.rekey_status(record).state == rekey.RekeyState.ACKED
    gone, record = rekey.rekey_abort(vault, record)
    state, out = rekey.device_rekey(element, state, gone)
    assert out.status == rekey.RekeyStatus.ABORTED and out.phase == 0
    _, record = rekey.rekey_answer(vault, record, out.answer)
    status = rekey.rekey_status(record)
    assert status.state == rekey.RekeyState.ABORTING and status.confirmed and status.join_eui == 0x1234
    bad = bytes([gone[0], gone[1], gone[2] ^ 1, *gone[3:]])
    _, out = rekey.device_rekey(element, state, bad)
    assert out.err == lorajs.native.LJS_E_MIC and out.answer == b""


def test_in_place() -> None:
    vault, parent, slot0 = lorajs.Vault.generate(), lorajs.Key.generate(32), lorajs.Key.generate(32)
    serial = octets("4.serial")
    app, nwk = (lorajs.Key.from_bytes(bytearray(slot0.export()[i : i + 16])) for i in (0, 16))
    record = lorajs.make_device(vault, lorajs.Device(DEV, JOIN, lorajs.Mac.V1_1), nwk_key=nwk, app_key=app)
    element = rekey.atecc_element(slot0, parent, serial)
    state = lorajs.EndDevice.new(lorajs.EndDeviceOptions(JOIN, DEV, lorajs.Mac.V1_1))
    message, record = rekey.rekey_begin(vault, record, rekey.RekeyOptions(
        True, rekey.Suite.SUITE_4, kept=True, parent=parent, serial=serial, now=1))
    state, out = rekey.device_rekey(element, state, message)
    assert out.again and out.persist and out.phase == 3
    state, out = rekey.device_rekey(element, state, message)
    assert (out.status, out.epoch, out.phase) == (rekey.RekeyStatus.OK, 1, 0)
    _, record = rekey.rekey_answer(vault, record, out.answer)
    assert rekey.rekey_status(record).state == rekey.RekeyState.ACKED


def test_a_device_that_is_ahead() -> None:
    """The record of before is back: in a window the new keys are found, and outside not."""
    vault, nwk, rekey_key = lorajs.Vault.generate(), lorajs.Key.generate(), lorajs.Key.generate()
    record = lorajs.make_device(vault, lorajs.Device(DEV, JOIN, lorajs.Mac.V1_0_4), nwk_key=nwk, rekey_key=rekey_key)
    join_key = derive(KeyName.REKEY_JOIN, rekey_key)
    new = lorajs.derive(KeyName.NEXT_NWK, join_key, dev_eui=DEV, join_eui=JOIN, epoch=5)
    phy = bytes([0]) + JOIN.to_bytes(8, "little") + DEV.to_bytes(8, "little") + bytes(2)
    phy += new.cmac(phy)[:4]

    def join(now: int, resync: bool = True) -> bytes:
        request = lorajs.JoinRequest(phy, 1, 2, lorajs.Mac.V1_0_4, clear=lorajs.Clear.NS, now=now, resync=resync)
        return lorajs.join(record, request, vault)[0]

    with pytest.raises(lorajs.Refused):
        join(10)
    with pytest.raises(lorajs.InvalidError):
        rekey.rekey_resync(vault, record, rekey.ResyncOptions(True, 10, 10))
    record = rekey.rekey_resync(vault, record, rekey.ResyncOptions(True, 10, 20))
    status = rekey.rekey_status(record)
    assert (status.state, status.epoch, status.until, status.floor) == (rekey.RekeyState.RESYNC, 1, 20, 0)
    for now, resync in ((20, True), (11, False), (0, True)):
        with pytest.raises(lorajs.Refused):
            join(now, resync)
    found = rekey.rekey_status(join(19))
    assert (found.state, found.floor, found.until) == (rekey.RekeyState.COMMITTED, 5, 0)
    closed = rekey.rekey_step(vault, record, rekey.RekeyAct.CLOSE)
    assert rekey.rekey_status(closed).state == rekey.RekeyState.STABLE


def test_over_a_store() -> None:
    options = rekey.RekeyOptions(True, now=1)
    for experimental in (False, True):
        with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory(), experimental=experimental) as server:
            server.make_device(lorajs.Device(DEV, JOIN, lorajs.Mac.V1_0_4), nwk_key=lorajs.Key.generate(),
                               rekey_key=lorajs.Key.generate())
            if not experimental:
                with pytest.raises(lorajs.InvalidError):
                    server.rekey_begin(DEV, options)
                continue
            message = server.rekey_begin(DEV, options)
            assert rekey.RekeyMessage.parse(message).epoch == 1
            with pytest.raises(lorajs.Error):
                server.rekey_answer(DEV, message)
            assert len(server.rekey_abort(DEV)) == 8
            with pytest.raises(lorajs.Fault):
                server.rekey_step(DEV, rekey.RekeyAct.REOPEN)
            server.rekey_abort(DEV, force=True)
            server.rekey_resync(DEV, rekey.ResyncOptions(True, 1, 3600))
            with pytest.raises(lorajs.Fault):
                server.rekey_begin(DEV, options)
            server.rekey_step(DEV, rekey.RekeyAct.CLOSE)
