"""Lots: what joins is what `cryptography` computes of the lot's key, over a server and over records of one's own."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import lorajs

DEV, EUI = lorajs.EUI(0x70B3D5499F0A1C29), lorajs.EUI(0x70B3D57ED0000000)
LOT = os.urandom(16)


def derived(tag: int) -> lorajs.Key:
    block = bytes([tag]) + DEV.to_bytes(8, "little") + bytes(7)
    return lorajs.Key.from_bytes(bytearray(Cipher(algorithms.AES(LOT), modes.ECB()).encryptor().update(block)))


def lot_key() -> lorajs.Key:
    return lorajs.Key.from_bytes(bytearray(LOT))


def request(key: lorajs.Key, nonce: int) -> lorajs.JoinRequest:
    frame = lorajs.Frame(lorajs.FrameKind.JOIN, DEV, EUI, nonce=nonce)
    return lorajs.JoinRequest(phy=frame.sign(key), mac=lorajs.Mac.V1_1, net_id=lorajs.NetID(0x13), dev_addr=lorajs.DevAddr(1),
                              dl_settings=0x80, rx_delay=1, clear=lorajs.Clear.NS | lorajs.Clear.AS, peer="ns")


@pytest.mark.parametrize("name, tag", [(lorajs.KeyName.LOT_NWK, 0xD1), (lorajs.KeyName.LOT_APP, 0xD2),
                                       (lorajs.KeyName.LOT_GEN_APP, 0xD3), (lorajs.KeyName.LOT_REKEY, 0xD4)])
def test_who_personalizes_computes_the_same(name: lorajs.KeyName, tag: int) -> None:
    assert lorajs.derive(name, lot_key(), dev_eui=DEV).export() == derived(tag).export()


def test_a_record_of_ones_own() -> None:
    vault, other = lorajs.Vault.generate(), lorajs.Vault.generate()
    value = vault.make_lot("a lot", lot_key())
    device = lorajs.Device(DEV, EUI, lorajs.Mac.V1_1, lot="a lot")
    with pytest.raises(lorajs.Fault) as caught:
        lorajs.make_device(vault, device)
    assert caught.value.code == lorajs.Code.LOT
    vault.add_lot(value)
    with pytest.raises(lorajs.SealError):
        other.add_lot(value)
    record = lorajs.make_device(vault, device)
    assert lorajs.Device.read(record).lot == "a lot"
    assert lorajs.Device.read(record).keys == lorajs.Has.NWK_KEY | lorajs.Has.APP_KEY
    record, answer = lorajs.join(record, request(derived(0xD1), 1), vault)
    assert answer.join_nonce == 1 and answer.app_s is not None
    record = lorajs.make_device(vault, replace(lorajs.Device.read(record), as_id="as"), record=record)
    assert vault.rewrap_lot(value) is None
    vault.add(lorajs.Key.generate(32))
    newer = vault.rewrap_lot(value)
    assert newer and newer != value
    vault.add_lot(newer)
    record = lorajs.rewrap_device(record, vault)
    vault.retire()
    record, answer = lorajs.join(record, request(derived(0xD1), 2), vault)
    assert answer.join_nonce == 2


def test_over_a_server() -> None:
    vault = lorajs.Vault.generate()
    server = lorajs.JoinServer(vault, lorajs.Store.memory())
    assert server.lots() == []
    server.put_lot("b", lot_key())
    server.put_lot("b", lot_key())
    server.put_lot("a", lorajs.Key.generate())
    assert server.lots() == ["a", "b"]
    with pytest.raises(lorajs.Fault) as caught:
        server.put_lot("b", lorajs.Key.generate())
    assert caught.value.code == lorajs.Code.EXISTS
    server.import_device(lorajs.DeviceLine('{"dev_eui":"70b3d5499f0a1c29","join_eui":"70b3d57ed0000000",'
                                           '"lorawan_version":"1.1","lot":"b","lot_keys":["nwk_key","app_key","rekey_key"]}'))
    device = server.device(DEV)
    assert device.lot == "b" and device.keys == lorajs.Has.NWK_KEY | lorajs.Has.APP_KEY | lorajs.Has.REKEY_KEY
    kek = lorajs.Key.generate()
    server.put_kek("maker", kek)
    envelope = server.make_lot("c", "maker")
    assert envelope.kek_label == "maker"
    server.put_lot("c", envelope.open(kek))  # the same
    with pytest.raises(lorajs.Fault) as caught:
        server.make_lot("c", "maker")
    assert caught.value.code == lorajs.Code.EXISTS
    with pytest.raises(lorajs.Refused) as refused:
        server.make_lot("d", "nobody")
    assert refused.value.code == lorajs.Code.KEK
    assert server.lots() == ["a", "b", "c"]
    with pytest.raises(lorajs.InvalidError):
        server.make_device(device, nwk_key=derived(0xD1), app_key=derived(0xD2))
    # Of one's own, and the same.
    server.make_device(replace(device, lot=""), nwk_key=derived(0xD1), app_key=derived(0xD2), rekey_key=derived(0xD4))
    assert server.device(DEV).lot == ""
