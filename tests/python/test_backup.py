"""Backups from Python: a restored store gives no JoinNonce twice, and one that was put back is refused."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

import lorajs
from lorajs import backup, native

NOW = 1767225600
DEV, EUI = 0x70B3D5499F0A1C27, 0x70B3D57ED00019E4
KEY = lorajs.Key.from_hex("8d3c1f6a5b7e90214fd2a6c3b8e17095")


def frame(nonce: int) -> bytes:
    return lorajs.Frame(lorajs.FrameKind.JOIN, join_eui=lorajs.EUI(EUI), dev_eui=lorajs.EUI(DEV), nonce=nonce).sign(KEY)


def join(server: lorajs.JoinServer, nonce: int) -> int:
    """The JoinNonce that it gives."""
    message = {"ProtocolVersion": "1.0", "SenderID": "000013", "ReceiverID": f"{EUI:016x}", "TransactionID": 1,
               "MessageType": "JoinReq", "MACVersion": "1.0.3", "PHYPayload": frame(nonce).hex(),
               "DevEUI": f"{DEV:016x}", "DevAddr": "01020304", "DLSettings": "00", "RxDelay": 1}
    answer = json.loads(server.handle(json.dumps(message).encode(), now=NOW))
    assert answer["Result"]["ResultCode"] == "Success"
    return lorajs.sessions(server.record(DEV))[0].join_nonce


def lab(vault: lorajs.Vault, store: lorajs.Store) -> lorajs.JoinServer:
    return lorajs.JoinServer(vault, store, anonymous=True, clear=lorajs.Clear.NS | lorajs.Clear.AS)


def test_from_backup_to_backup(tmp_path: pathlib.Path) -> None:
    vault = lorajs.Vault.generate()
    db, marker, saved = tmp_path / "db", tmp_path / "marker", tmp_path / "saved"
    given = []
    with lorajs.Store.sqlite(db) as plain, backup.marked(plain, vault, marker) as store, lab(vault, store) as server:
        server.make_device(lorajs.Device(lorajs.EUI(DEV), lorajs.EUI(EUI), lorajs.Mac.V1_0_3), nwk_key=KEY)
        given.append(join(server, 1))
        made = backup.make_backup(store, vault, saved, NOW)
        assert made.devices == 1 and made.standing.generation == 0 and made == backup.check_backup(saved, vault)
        with pytest.raises(lorajs.Fault) as there:
            backup.make_backup(store, vault, saved, NOW)
        assert there.value.name == "EXISTS"
        given.append(join(server, 2))
        assert backup.standing(store, vault).marked
    shutil.copy(db, tmp_path / "later")

    for _ in range(2):
        known = backup.look_at_marker(marker, vault)
        plan = backup.plan_restore(made, NOW, marker=known)
        assert plan.generation >= known.generation + backup.GUARD and plan.name == made.standing.name
        backup.reserve(marker, vault, plan)
        (tmp_path / "new").unlink(missing_ok=True)
        backup.extract_backup(saved, tmp_path / "new", vault, plan)
        backup.fold(db)
        (tmp_path / "new").rename(db)
        with lorajs.Store.sqlite(db) as plain, backup.marked(plain, vault, marker) as store, lab(vault, store) as server:
            assert backup.standing(store, vault).generation == plan.generation
            given.append(join(server, 2))  # played back, and given another number
    assert len(set(given)) == len(given) and given == sorted(given)

    shutil.copy(tmp_path / "later", db)
    with lorajs.Store.sqlite(db) as plain:
        assert backup.look_at_marker(marker, vault, plain).verdict is backup.MarkerVerdict.BEFORE
        with pytest.raises(lorajs.Fault) as refused:
            backup.marked(plain, vault, marker)
        assert refused.value.name == "STATE"
        backup.raise_standing(plain, vault, known.generation + 100_000, count=known.bound, marked=True)
        with backup.marked(plain, vault, marker, every=1) as store, lab(vault, store) as server:
            given.append(join(server, 3))
    assert len(set(given)) == len(given)


def test_what_is_refused(tmp_path: pathlib.Path) -> None:
    vault = lorajs.Vault.generate()
    with lorajs.Store.sqlite(tmp_path / "db") as store, lab(vault, store):
        made = backup.make_backup(store, vault, tmp_path / "saved", NOW)
        with pytest.raises(lorajs.SealError):
            backup.check_backup(tmp_path / "saved", lorajs.Vault.generate())
        octets = bytearray((tmp_path / "saved").read_bytes())
        octets[5000] ^= 1
        (tmp_path / "saved").write_bytes(octets)
        with pytest.raises(lorajs.SealError):
            backup.extract_backup(tmp_path / "saved", tmp_path / "new", vault, backup.plan_restore(made, NOW))
        assert not (tmp_path / "new").exists()
    with pytest.raises(lorajs.NotFound):
        backup.check_backup(tmp_path / "none", vault)
    with lorajs.Store.memory() as store, lab(vault, store):
        for call in (lambda: backup.make_backup(store, vault, tmp_path / "memory", NOW),
                     lambda: native.store_copy(store._open, str(tmp_path / "memory"))):
            with pytest.raises(lorajs.Fault) as missing:
                call()
            assert missing.value.name == "MISSING"


def test_a_generation_of_ones_own() -> None:
    """Records without a store: the request says which generation it is."""
    vault = lorajs.Vault.generate()
    record = lorajs.make_device(vault, lorajs.Device(lorajs.EUI(DEV), lorajs.EUI(EUI), lorajs.Mac.V1_0_3), nwk_key=KEY)
    request = lorajs.JoinRequest(frame(1), 0x13, 1, lorajs.Mac.V1_0_3, clear=lorajs.Clear.NS | lorajs.Clear.AS,
                                 generation=4096)
    after, answer = lorajs.join(record, request, vault)
    assert answer.join_nonce == 4097 and lorajs.Device.read(after).generation == 4096
    raised = lorajs.raise_generation(record, 4096, vault)
    assert lorajs.Device.read(raised).next_join_nonce == 4097
    assert lorajs.raise_generation(raised, 4096, vault) == raised
