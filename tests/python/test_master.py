"""Master keys from Python: under a passphrase, and known again by their marks."""

from __future__ import annotations

import os

import pytest

import lorajs

WORDS = b"orbit velvet canyon magnet ripple thirteen"
CHEAP = {"memory": 8192, "passes": 1}


def test_seal_and_open() -> None:
    key = lorajs.Key.generate(32)
    sealed = lorajs.seal_master(key, WORDS, **CHEAP)
    assert lorajs.open_master(sealed, bytearray(WORDS)).export() == key.export()
    assert key.export() not in sealed and sealed != lorajs.seal_master(key, WORDS, **CHEAP)
    assert sealed[5:13] == (8192).to_bytes(4, "little") + (1).to_bytes(4, "little")


def test_what_is_wrong_is_told_apart() -> None:
    sealed = lorajs.seal_master(lorajs.Key.generate(32), WORDS, **CHEAP)
    with pytest.raises(lorajs.Fault) as wrong:
        lorajs.open_master(sealed, WORDS + b" ")
    assert wrong.value.name == "SEAL"
    for bit in range(0, 8 * len(sealed), 7):
        bad = bytearray(sealed)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(lorajs.InvalidError):
            lorajs.open_master(bytes(bad), WORDS)
    with pytest.raises(lorajs.Fault) as weak:
        lorajs.seal_master(lorajs.Key.generate(32), b"too short", **CHEAP)
    assert weak.value.name == "WEAK"
    for key, costs in ((lorajs.Key.generate(16), CHEAP), (lorajs.Key.generate(32), {"memory": 1024}),
                       (lorajs.Key.generate(32), {"memory": 8192, "passes": 65})):
        with pytest.raises(lorajs.InvalidError):
            lorajs.seal_master(key, WORDS, **costs)


def test_marks() -> None:
    octets = os.urandom(32)
    vault, same = lorajs.Vault(bytearray(octets)), lorajs.Vault.from_key(lorajs.Key.from_bytes(bytearray(octets)))
    assert len(vault.mark()) == 16 and vault.mark() == same.mark()
    same.check_mark(vault.mark())
    for mark in (lorajs.Vault.generate().mark(), vault.mark()[:15], b""):
        with pytest.raises(lorajs.Fault) as other:
            vault.check_mark(mark)
        assert other.value.name == "SEAL"
    with pytest.raises(lorajs.InvalidError):
        lorajs.Vault.from_key(lorajs.Key.generate(16))


def test_records_of_one_open_with_the_other() -> None:
    octets = os.urandom(32)
    vault, same = lorajs.Vault(bytearray(octets)), lorajs.Vault.from_key(lorajs.Key.from_bytes(bytearray(octets)))
    key = lorajs.Key.generate()
    device = lorajs.Device(lorajs.EUI(1), lorajs.EUI(2), lorajs.Mac.V1_0_4)
    record = lorajs.make_device(vault, device, app_key=key)
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, device.dev_eui, device.join_eui, nonce=1).sign(key)
    request = lorajs.JoinRequest(phy, net_id=0x13, dev_addr=0x26011234, mac=device.mac, clear=lorajs.Clear.NS)
    _, answer = lorajs.join(record, request, same)
    assert answer.join_nonce == 1


def test_versions_of_a_master_key() -> None:
    old, new = lorajs.Key.generate(32), lorajs.Key.generate(32)
    vault, key = lorajs.Vault.from_key(old), lorajs.Key.generate()
    record = lorajs.make_device(vault, lorajs.Device(lorajs.EUI(1), lorajs.EUI(2), lorajs.Mac.V1_0_4), app_key=key)
    assert (vault.version, vault.versions) == (1, 1) and lorajs.rewrap_device(record, vault) is record
    vault.add(new)
    assert (vault.version, vault.versions) == (2, 2)
    with pytest.raises(lorajs.Fault) as twice:
        vault.add(old)
    assert twice.value.name == "EXISTS"
    pack, after = vault.pack(), lorajs.rewrap_device(record, vault)
    assert after != record and lorajs.rewrap_device(after, vault) is after
    for mine in old, new:  # whoever has one of them has both
        other = lorajs.Vault.from_key(mine)
        other.unpack(pack)
        assert (other.version, other.versions) == (2, 2)
        lorajs.check_record(record, other)
        lorajs.check_record(after, other)
    vault.retire()
    with pytest.raises(lorajs.SealError):
        lorajs.check_record(record, vault)
    with pytest.raises(lorajs.SealError):
        lorajs.Vault.from_key(old).unpack(vault.pack())
    alone = lorajs.Vault.from_key(new)
    alone.unpack(vault.pack())
    assert alone.version == 2
    lorajs.check_record(after, alone)


def test_a_walk_is_not_gone_into_twice() -> None:
    """Nor by another thread: it has one place."""

    class Restless(lorajs.StoreBase):
        def __init__(self) -> None:
            self.values: dict[bytes, tuple[bytes, int]] = {}
            self.walk: lorajs.Rewrap | None = None

        def get(self, key: bytes) -> tuple[bytes, int] | None:
            if self.walk:
                self.walk.step()
            return self.values.get(key)

        def commit(self, groups):  # type: ignore[no-untyped-def]
            for change in (change for group in groups for change in group):
                self.values[change.key] = change.value, change.if_version + 1
            return [lorajs.Outcome.DONE] * len(groups)

        def each(self, prefix: bytes) -> list[bytes]:
            return sorted(key for key in self.values if key.startswith(prefix))

    store = Restless()
    with lorajs.JoinServer(lorajs.Vault.generate(), store) as server:
        server.make_device(lorajs.Device(lorajs.EUI(1), lorajs.EUI(2), lorajs.Mac.V1_0_4), app_key=lorajs.Key.generate())
        store.walk = walk = server.rewrap()
        for call in (walk.step, walk.retire):
            with pytest.raises(lorajs.Fault, match="in use" if call == walk.step else None) as busy:
                call()
            assert busy.value.name == "STATE"
        store.walk = None
        assert walk.step().done


def test_another_master_key_for_a_store() -> None:
    old, new = lorajs.Key.generate(32), lorajs.Key.generate(32)
    store, key = lorajs.Store.memory(), lorajs.Key.generate()
    with lorajs.JoinServer(lorajs.Vault.from_key(old), store) as server:
        for eui in range(1, 101):
            server.make_device(lorajs.Device(lorajs.EUI(eui), lorajs.EUI(2), lorajs.Mac.V1_0_4), app_key=key)
        server.put_kek("ns", lorajs.Key.generate())
        server.rotate(new)
        with pytest.raises(lorajs.Fault) as other:
            server.rotate(lorajs.Key.generate(32))
        assert other.value.name == "EXISTS"
        walk = server.rewrap()
        assert not (first := walk.step(50)).done and (first.values, first.looked, first.changed) == (101, 50, 50)
        with pytest.raises(lorajs.Fault) as early:
            walk.retire()
        assert early.value.name == "STATE"
        while not (so_far := walk.step(1000)).done:
            pass
        assert (so_far.changed, so_far.damaged, so_far.passes, so_far.what) == (101, 0, 2, "")
        walk.retire()
        server.refresh()
    with pytest.raises(lorajs.SealError):
        lorajs.JoinServer(lorajs.Vault.from_key(old), store)
    with lorajs.JoinServer(lorajs.Vault.from_key(new), store) as server:
        assert len(server.devices()) == 100 and server.device(1).dev_eui == 1 and server.keks() == [("ns", 16)]


def test_which_kek_is_used() -> None:
    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory()) as server:
        for label in ("old", "new"):
            server.put_kek(label, lorajs.Key.generate())
        server.rotate_kek("old", "new", peer="acme", use=lorajs.KekUse.NS)
        server.rotate_kek("old", "new")
        server.retire_kek("old")
        both = lorajs.KekUse.NS | lorajs.KekUse.AS
        assert server.kek("old") == lorajs.Kek("old", 16, True, (
            lorajs.KekNext("new", "acme", lorajs.KekUse.NS), lorajs.KekNext("new", None, both)))
        server.retire_kek("old", retired=False)
        server.rotate_kek("old", "old", peer="acme")
        assert server.kek("old") == lorajs.Kek("old", 16, False, (lorajs.KekNext("new", None, both),))
        with pytest.raises(lorajs.Fault) as round_and_round:
            server.rotate_kek("new", "old")
        assert round_and_round.value.name == "STATE"
        with pytest.raises(lorajs.NotFound):
            server.rotate_kek("old", "none")
