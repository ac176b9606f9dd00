"""Chips from Python: devices of a manifest are registered, and claimed with signatures that another implementation of
ECDSA makes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

import lorajs
from lorajs import chips, claims
from lorajs.admin import AdminRequest, handle
from lorajs.audit import Kind, entries
from lorajs.chips import ChipPolicy, ChipProof, RegisterWhy
from lorajs.claims import Account, ClaimState
from lorajs.roles import Credential, Role, add_credential

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from manifests import JOIN_EUI, Chip, Maker, point, text_of  # noqa: E402

NOW = 1_800_000_000
TOKEN = b"C05EA29C"
HERE = lorajs.Routing(home_net_id=0x13)


class World:
    def __init__(self) -> None:
        self.maker = Maker()
        self.chips = [Chip(self.maker, n) for n in range(3)]
        self.text = text_of([self.maker.entry(self.maker.payload(chip)) for chip in self.chips] + [self.maker.light(1)])
        self.server = lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory(), audit=True)
        for name in ("acme", "globex"):
            claims.add_account(self.server, Account(name, at=NOW))

    def manifest(self) -> lorajs.Manifest:
        return lorajs.Manifest(io.BytesIO(self.text.encode()), signers=[self.maker.log], roots=[self.maker.root])

    def eui(self, n: int) -> int:
        return int(self.chips[n].dev_eui, 16)

    def proof(self, n: int, account: str = "acme", *, by: Chip | None = None, of: int | None = None,
              now: int = NOW) -> ChipProof:
        """Of the n-th device, as the specification says what is signed."""
        dev_eui = self.eui(n if of is None else of)
        given = chips.challenge(self.server, account, dev_eui, now=now)
        octets = hashlib.sha256(b"lorajs chip claim 1\0" + dev_eui.to_bytes(8, "big") + given + account.encode()).digest()
        assert chips.digest(dev_eui, account, given) == octets
        r, s = decode_dss_signature((by or self.chips[n]).key.sign(octets, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return ChipProof(given, r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def claim(self, n: int, proof: ChipProof | None, account: str = "acme", *, now: int = NOW,
              token: bytes = TOKEN) -> str:
        """The name of what came of it."""
        try:
            claims.claim(self.server, account, self.eui(n), token, HERE, now=now, client=f"of-{account}-{now}", chip=proof)
        except lorajs.Refused as refused:
            return lorajs.Code(refused.code).name
        return "OK"


@pytest.fixture
def world() -> World:
    return World()


def test_a_manifest_for_an_account(world: World) -> None:
    manifest = world.manifest()
    with pytest.raises(lorajs.Fault):
        manifest.sha256  # noqa: B018
    done = list(chips.register_all(world.server, manifest, now=NOW, account="acme"))
    assert [what.why for _, what in done] == [RegisterWhy.DONE] * 3 + [RegisterWhy.NO_KEY]
    assert [(what.made, what.kept, what.assigned) for _, what in done][0] == (True, True, True)
    assert str(RegisterWhy.NO_KEY) == "no-key" and "light" in RegisterWhy.NO_KEY.text
    assert manifest.sha256 == hashlib.sha256(world.text.encode()).digest()
    assert [(c.account, c.state) for c in claims.claims(world.server)] == [("acme", ClaimState.CLAIMED)] * 3
    chip = chips.chip_of(world.server, world.eui(1))
    assert (chip.unique_id, chip.public_key, chip.required) == (world.chips[1].unique_id, point(world.chips[1].key), False)
    told = list(entries(world.server))
    assert [(e.kind, e.count, e.text) for e in told if e.kind == Kind.MANIFEST] == [
        (Kind.MANIFEST, 3, "acme sha256:" + manifest.sha256.hex()[:48])]
    assert [e.text for e in told if e.kind == Kind.CHIP] == [chip.unique_id for chip in world.chips]
    again = [what for _, what in chips.register_all(world.server, world.manifest(), now=NOW, account="acme")]
    assert [(what.made, what.kept, what.assigned) for what in again[:3]] == [(False, False, True)] * 3
    assert {what.why for _, what in chips.register_all(world.server, world.manifest(), now=NOW, account="globex")} == {
        RegisterWhy.OWNED, RegisterWhy.NO_KEY}
    with pytest.raises(lorajs.NotFound):
        next(chips.register_all(world.server, world.manifest(), now=NOW, account="nobody"))
    with pytest.raises(lorajs.NotFound):
        chips.chip_of(world.server, 1)


def test_keys_come_later(world: World) -> None:
    list(chips.register_all(world.server, world.manifest(), now=NOW, version=lorajs.Mac.V1_1))
    device = world.server.device(world.eui(0))
    assert (device.keys, device.mac, f"{device.join_eui:016x}") == (0, lorajs.Mac.V1_1, JOIN_EUI)
    line = {"dev_eui": world.chips[0].dev_eui, "join_eui": JOIN_EUI, "lorawan_version": "1.0.3",
            "nwk_key": "a7c1f36e58d90b42e6137cf85a2d9e04"}
    world.server.import_device(lorajs.DeviceLine(json.dumps(line).encode()))
    assert world.server.device(world.eui(0)).mac == lorajs.Mac.V1_0_3
    assert chips.chip_of(world.server, world.eui(0)).unique_id == world.chips[0].unique_id


def enrolled(world: World, policy: ChipPolicy) -> None:
    list(chips.register_all(world.server, world.manifest(), now=NOW, chip=policy))
    for n in range(3):
        claims.enrol(world.server, world.eui(n), TOKEN, now=NOW)


@pytest.mark.parametrize("policy", [ChipPolicy.ACCEPTED, ChipPolicy.REQUIRED])
def test_what_is_no_proof(world: World, policy: ChipPolicy) -> None:
    enrolled(world, policy)
    good = world.proof(0)
    low = bytes([*good.signature[:63], good.signature[63] ^ 1])
    wrong = {
        "another signature": ChipProof(good.challenge, low),
        "nothing": ChipProof(good.challenge, bytes(64)),
        "another challenge": ChipProof(good.challenge[:31] + bytes([good.challenge[31] ^ 1]), good.signature),
        "of our own": ChipProof(bytes(32), good.signature),
        "another chip's": world.proof(0, by=world.chips[1]),
        "of another device": world.proof(0, of=1),
        "for another account": world.proof(0, "globex"),
        "too late": world.proof(0, now=NOW - lorajs.native.LJS_CHIP_CHALLENGE_SECONDS),
    }
    # Each as a client of his own, at a time at which the device can be tried again.
    got = {what: world.claim(0, proof, now=NOW if what != "too late" else NOW) for what, proof in list(wrong.items())[:4]}
    got |= {what: world.claim(0, wrong[what], "acme", now=NOW + 1) for what in list(wrong)[4:]}
    assert got == dict.fromkeys(wrong, "CLAIM")
    assert world.claim(0, None) == ("OK" if policy is ChipPolicy.ACCEPTED else "CLAIM")


def test_a_proof(world: World) -> None:
    enrolled(world, ChipPolicy.REQUIRED)
    proof = world.proof(0)
    assert world.claim(0, proof, token=b"00000000") == "CLAIM"  # a proof is not a token
    assert world.claim(0, world.proof(1)) == "CLAIM"
    assert world.claim(0, proof) == "OK"
    assert claims.claim_of(world.server, world.eui(0)).account == "acme"
    assert world.claim(0, None) == "OK"  # his own: an update
    # It was good once: released and enrolled anew, the device wants another.
    claims.release(world.server, "acme", world.eui(0), now=NOW)
    claims.enrol(world.server, world.eui(0), TOKEN, now=NOW)
    assert world.claim(0, proof) == "CLAIM"
    assert world.claim(0, world.proof(0)) == "OK"
    # The same where none is needed.
    list(chips.register_all(world.server, world.manifest(), now=NOW, chip=ChipPolicy.ACCEPTED))
    assert world.claim(1, world.proof(1)) == "OK"
    assert world.claim(2, None) == "OK"


def test_an_offer(world: World) -> None:
    """Where the chip's word is needed, whoever takes an offer has it; each word is for one change of hands."""
    list(chips.register_all(world.server, world.manifest(), now=NOW, account="acme", chip=ChipPolicy.REQUIRED))

    def accept(n: int, proof: ChipProof | None) -> str:
        try:
            claims.accept(world.server, "globex", world.eui(n), HERE, now=NOW, chip=proof)
        except lorajs.Refused as refused:
            return lorajs.Code(refused.code).name
        return "OK"

    early = world.proof(0, "globex")
    for n in range(2):
        claims.offer(world.server, "acme", world.eui(n), to="globex", until=NOW + 60, now=NOW)
    wrong = [None, world.proof(0, "acme"), world.proof(1, "globex"), world.proof(0, "globex", by=world.chips[1])]
    assert [accept(0, proof) for proof in wrong] == ["CLAIM"] * 4
    assert accept(0, early) == "OK"
    assert claims.claim_of(world.server, world.eui(0)).account == "globex"
    assert accept(1, world.proof(1, "globex")) == "OK"


def test_entries_come_of_manifests(world: World) -> None:
    entry = next(iter(world.manifest()))
    with pytest.raises(lorajs.SealError):
        chips.register(world.server, dataclasses.replace(entry, dev_eui=lorajs.EUI(world.eui(1))), now=NOW)
    with pytest.raises(lorajs.SealError):
        chips.register(world.server, dataclasses.replace(entry, stamp=bytes(16)), now=NOW)
    assert "stamp=b" not in repr(entry)
    assert chips.register(world.server, entry, now=NOW).made


def test_a_last_second(world: World) -> None:
    enrolled(world, ChipPolicy.REQUIRED)
    proof, last = world.proof(0), NOW + lorajs.native.LJS_CHIP_CHALLENGE_SECONDS
    assert world.claim(0, proof, now=last) == "CLAIM"
    assert world.claim(0, proof, now=last - 1) == "OK"


def test_the_owner_has_the_join_log(world: World) -> None:
    """What was refused, by outcome and time; and nobody else's credential."""
    server = lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory(), anonymous=True, clear=lorajs.Clear.NS | lorajs.Clear.AS)
    tokens = {}
    for name in ("acme", "globex"):
        claims.add_account(server, Account(name, at=NOW))
        tokens[name] = add_credential(server, Credential(f"{name}-1", Role.CLAIM, account=name))
    list(chips.register_all(server, world.manifest(), now=NOW, account="acme"))
    eui = world.eui(0)
    phy = b"\0" + int(JOIN_EUI, 16).to_bytes(8, "little") + eui.to_bytes(8, "little") + bytes(6)

    def ask(now: int, transaction: int) -> None:
        server.handle(json.dumps({
            "ProtocolVersion": "1.0", "SenderID": "000013", "ReceiverID": JOIN_EUI, "TransactionID": transaction,
            "MessageType": "JoinReq", "MACVersion": "1.0.3", "PHYPayload": phy.hex(), "DevEUI": f"{eui:016x}",
            "DevAddr": "01020304", "DLSettings": "00", "RxDelay": 1}).encode(), now=now)
        server.flush()

    ask(NOW, 1)

    def log(query: str, by: str = "acme") -> list[str] | int:
        answer = handle(server, AdminRequest("GET", f"/v1/devices/{eui:016x}/decisions{query}", NOW,
                                             authorization=f"Bearer {tokens[by].decode()}"))
        return [row["result"] for row in json.loads(answer.body)["decisions"]] if answer.status == 200 else answer.status

    def sessions(by: str) -> list[object] | int:
        answer = handle(server, AdminRequest("GET", f"/v1/devices/{eui:016x}", NOW, authorization=f"Bearer {tokens[by].decode()}"))
        return json.loads(answer.body)["sessions"] if answer.status == 200 else answer.status

    assert log("") == log("?outcome=refused") == log(f"?since={NOW}") == ["NOKEY"]
    assert log("?outcome=repeated") == log(f"?since={NOW + 1}") == []
    assert log("?outcome=accepted") == 400 and log("", by="globex") == 404

    # Whose it is next has what was refused since, and nothing of before.
    claims.offer(server, "acme", eui, to="globex", until=NOW + 60, now=NOW)
    claims.accept(server, "globex", eui, HERE, now=NOW)
    assert log("") == 404 and log("", by="globex") == log("?since=1", by="globex") == sessions("globex") == []
    ask(NOW + 1, 2)
    assert log("", by="globex") == ["NOKEY"]
    # An offer that is taken back, or a suspension, begins nothing anew.
    claims.suspend(server, eui, now=NOW + 5)
    claims.resume(server, eui, now=NOW + 6)
    assert log("", by="globex") == ["NOKEY"]
