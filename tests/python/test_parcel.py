"""Parcels from Python: from one vault to another, whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

import lorajs

NOW = 1767225600
SENDER, RECIPIENT, STRANGER = (lorajs.Key.generate(32) for _ in range(3))
ROOT = lorajs.Key.generate()


def records(vault: lorajs.Vault, n: int) -> list[bytes]:
    return [lorajs.make_device(vault, lorajs.Device(lorajs.EUI(0x100 + i), lorajs.EUI(1), lorajs.Mac.V1_0_4,
                                                    next_join_nonce=5 + i, as_id="as"), app_key=ROOT, last_dev_nonce=40 + i)
            for i in range(n)]


def packed(vault: lorajs.Vault, n: int) -> bytes:
    file = io.BytesIO()
    assert lorajs.pack(file, records(vault, n), vault, to=RECIPIENT.x25519_public(), sign=SENDER, now=NOW) == n
    return file.getvalue()


def opened(octets: bytes, key: lorajs.Key = RECIPIENT, sender: lorajs.Key = SENDER) -> lorajs.Parcel:
    return lorajs.Parcel(io.BytesIO(octets), key, sender.ed25519_public())


def test_there() -> None:
    here, there = lorajs.Vault.generate(), lorajs.Vault.generate()
    parcel = opened(packed(here, 3))
    assert parcel.packed_at == NOW
    for _ in range(2):
        landed = []
        for device in parcel:
            record = parcel.land(there)
            assert lorajs.Device.read(record) == device.__class__(
                device.dev_eui, device.join_eui, device.mac, next_join_nonce=device.next_join_nonce, as_id="as",
                keys=lorajs.Has.APP_KEY, exposed=True)
            assert lorajs.join_euis(record)[0].dev_nonce == 40 + len(landed)
            landed.append(record)
        assert len(landed) == 3
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, lorajs.EUI(0x100), lorajs.EUI(1), nonce=41).sign(ROOT)
    request = lorajs.JoinRequest(phy, net_id=0x13, dev_addr=1, mac=lorajs.Mac.V1_0_4, clear=lorajs.Clear.NS)
    with pytest.raises(lorajs.SealError):
        lorajs.join(landed[0], request, here)
    _, answer = lorajs.join(landed[0], request, there)
    assert answer.join_nonce == 5


def test_into_a_server() -> None:
    parcel = opened(packed(lorajs.Vault.generate(), 2))
    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory()) as server:
        for _ in parcel:
            server.land(parcel)
        assert server.devices() == [0x100, 0x101]
        assert server.device(0x101).next_join_nonce == 6 and server.device(0x101).exposed
        with pytest.raises(lorajs.NotFound):  # none comes by any more
            server.land(parcel)


def test_many_land_with_one_commit() -> None:
    parcel = opened(packed(lorajs.Vault.generate(), 70))
    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory()) as server:
        with pytest.raises(lorajs.NotFound):  # none comes by
            parcel.hold()
        for _ in parcel:
            try:
                parcel.hold()
            except lorajs.Fault as full:
                assert full.name == "EXISTS" and server.devices() == []
                server.land_held(parcel)
                assert len(server.devices()) == 64
                parcel.hold()
        server.land_held(parcel)
        assert server.devices() == [0x100 + i for i in range(70)] and server.device(0x145).exposed


def test_one_at_a_time() -> None:
    """The store of a server that takes a device asks for the next one meanwhile."""

    class Restless(lorajs.StoreBase):
        def get(self, key: bytes) -> None:
            if devices:
                next(devices[0])

        def commit(self, groups):  # type: ignore[no-untyped-def]
            return [lorajs.Outcome.DONE] * len(groups)

        def each(self, prefix: bytes) -> list[bytes]:
            return []

    devices: list[Iterator[lorajs.Device]] = []
    parcel = opened(packed(lorajs.Vault.generate(), 2))
    with lorajs.JoinServer(lorajs.Vault.generate(), Restless()) as server:
        devices.append(iter(parcel))
        next(devices[0])
        with pytest.raises(lorajs.Fault, match="in use") as busy:
            server.land(parcel)
    assert busy.value.name == "STATE"


def test_what_is_refused() -> None:
    octets = packed(lorajs.Vault.generate(), 1)
    for at in range(0, len(octets), 7):
        bad = bytearray(octets)
        bad[at] ^= 1
        with pytest.raises(lorajs.Error):
            opened(bytes(bad))
    for bad, says in ((octets[:-1], "cut short"), (b"", "cut short"), (octets + b"x", "behind")):
        with pytest.raises(lorajs.InvalidError, match=says):
            opened(bad)
    with pytest.raises(lorajs.Refused) as other:
        opened(octets, key=STRANGER)
    assert other.value.name == "RECEIVER"
    with pytest.raises(lorajs.Refused) as other:
        opened(octets, sender=STRANGER)
    assert other.value.name == "SENDER"


def test_nothing_lands_before_the_end() -> None:
    vault, octets = lorajs.Vault.generate(), packed(lorajs.Vault.generate(), 1)
    handle = lorajs.native.parcel_open(RECIPIENT.native, SENDER.ed25519_public())
    at = 0
    while wanted := lorajs.native.parcel_wants(handle):
        with pytest.raises(lorajs.Fault) as early:
            lorajs.native.parcel_land(handle, vault.native, 0, None)
        assert early.value.name == "STATE"
        lorajs.native.parcel_feed(handle, octets[at:at + wanted])
        at += wanted
    lorajs.native.parcel_again(handle)


def test_exposed() -> None:
    vault = lorajs.Vault.generate()
    [record] = records(vault, 1)
    assert not lorajs.Device.read(record).exposed
    assert lorajs.Device.read(lorajs.step_device(record, lorajs.Act.EXPOSE, vault)).exposed


def test_moved() -> None:
    """Another Join Server answers for it: whatever is asked here is refused, until it is moved back."""
    vault = lorajs.Vault.generate()
    [record] = records(vault, 1)
    moved = lorajs.step_device(record, lorajs.Act.MOVE, vault)
    assert lorajs.Device.read(moved).moved and lorajs.Device.read(moved).state is lorajs.State.BLOCKED
    with pytest.raises(lorajs.Refused) as refused:
        lorajs.step_device(moved, lorajs.Act.UNBLOCK, vault)
    assert refused.value.code == lorajs.Code.MOVED
    assert lorajs.Device.read(lorajs.step_device(moved, lorajs.Act.MOVE_BACK, vault)) == lorajs.Device.read(record)
