"""Accounts and claims from Python: from an owner token to the next owner, and that no token is kept."""

from __future__ import annotations

import json
import traceback

import pytest

import lorajs
from lorajs import claims
from lorajs.claims import Account, ClaimAct, ClaimState
from lorajs.roles import Credential, Role, add_credential, check_token

NOW = 1_800_000_000
EUI = 0x0102030405060708
LINE = {"dev_eui": f"{EUI:016x}", "join_eui": "70b3d57ed0000000", "lorawan_version": "1.0.3",
        "nwk_key": "a7c1f36e58d90b42e6137cf85a2d9e04"}
HERE = lorajs.Routing(home_net_id=0x13, as_id="as.example", as_kek_label="main")


@pytest.fixture
def server() -> lorajs.JoinServer:
    made = lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory())
    made.import_device(lorajs.DeviceLine(json.dumps(LINE).encode()))
    for name in ("acme", "globex"):
        claims.add_account(made, Account(name, at=NOW))
    return made


def test_words() -> None:
    assert [str(state) for state in ClaimState] == ["provisioned", "unclaimed", "claimed", "offered", "suspended", "retired"]
    assert len(ClaimState) == lorajs.native.LJS_CLAIM_STATES and len(ClaimAct) == lorajs.native.LJS_CLAIM_ACTS
    assert [str(act) for act in ClaimAct] == [act.name.lower() for act in ClaimAct]
    assert claims.account_kek("acme", "main") == "@acme/main"


def test_from_hand_to_hand(server: lorajs.JoinServer) -> None:
    assert claims.claim_of(server, EUI).state == ClaimState.PROVISIONED
    token = claims.enrol(server, EUI, now=NOW, valid_until=NOW + 100)
    assert len(token) == 16
    claims.claim(server, "acme", EUI, token, HERE, now=NOW)
    claim = claims.claim_of(server, EUI)
    assert (claim.state, claim.account, claim.owners, claim.locked, claim.has_token) == (ClaimState.CLAIMED, "acme", 1, True, False)
    assert claims.claims(server) == [claim] and claims.claims(server, EUI + 1) == []
    assert claims.claims_of(server, "acme") == [claim] and claims.claims_of(server, "globex") == []
    assert claims.index_claims(server, dry=True) == claims.ClaimIndex(entries=1, missing=0, stray=0)
    assert server.device(EUI).as_kek_label == "@acme/main"
    claims.claim(server, "acme", EUI, None, lorajs.Routing(home_net_id=0x60), now=NOW)
    claims.offer(server, "acme", EUI, to="globex", until=NOW + 60, now=NOW)
    assert claims.claim_of(server, EUI).offered_to == "globex"
    claims.withdraw(server, "acme", EUI, now=NOW)
    claims.offer(server, "acme", EUI, to="globex", until=NOW + 60, now=NOW)
    claims.accept(server, "globex", EUI, lorajs.Routing(home_net_id=1), now=NOW + 1)
    device = server.device(EUI)
    assert (device.home_net_id, device.as_id, device.as_kek_label) == (1, "", "")
    with pytest.raises(lorajs.Refused) as refused:
        claims.release(server, "acme", EUI, now=NOW)
    assert refused.value.code == lorajs.Code.CLAIM
    claims.suspend(server, EUI, now=NOW)
    assert server.device(EUI).state == lorajs.State.BLOCKED
    claims.resume(server, EUI, now=NOW)
    claims.release(server, "globex", EUI, now=NOW)
    claims.assign(server, "acme", EUI, now=NOW)
    claims.retire(server, EUI, now=NOW)
    assert claims.claim_of(server, EUI).state == ClaimState.RETIRED
    with pytest.raises(lorajs.NotFound):
        claims.claim_of(server, EUI + 1)


def test_wrong_tokens(server: lorajs.JoinServer) -> None:
    claims.enrol(server, EUI, b"C05EA29C", now=NOW)
    said = set()
    for dev_eui in (EUI, EUI + 1):
        for _ in range(lorajs.native.LJS_CLAIM_DEVICE_TRIES):
            with pytest.raises(lorajs.Refused) as refused:
                claims.claim(server, "acme", dev_eui, b"C05EA29D", HERE, now=NOW, client="acme-1")
            frames = [f.f_locals for f, _ in traceback.walk_tb(refused.value.__traceback__) if "claims" in f.f_code.co_filename]
            assert frames and all("token" not in local for local in frames if "refused" not in local)
            said.add((refused.value.code, str(refused.value)))
        with pytest.raises(lorajs.Refused) as limited:
            claims.claim(server, "acme", dev_eui, b"C05EA29C", HERE, now=NOW, client="acme-1")
        assert limited.value.code == lorajs.Code.LIMIT
    assert len(said) == 1
    claims.claim(server, "acme", EUI, b"C05EA29C", HERE, now=NOW, client="acme-2")


def test_accounts(server: lorajs.JoinServer) -> None:
    with pytest.raises(lorajs.Fault) as taken:
        claims.add_account(server, Account("acme"))
    assert taken.value.code == lorajs.Code.EXISTS
    assert [account.name for account in claims.accounts(server)] == ["acme", "globex"]
    token = add_credential(server, Credential("acme-1", Role.CLAIM, at=NOW, account="acme"))
    assert check_token(server, token, now=NOW).account == "acme"
    with pytest.raises(lorajs.Fault):
        claims.remove_account(server, "acme")
    claims.suspend_account(server, "acme")
    assert claims.account(server, "acme").suspended
    with pytest.raises(lorajs.Refused) as refused:
        claims.assign(server, "acme", EUI, now=NOW)
    assert refused.value.code == lorajs.Code.BLOCKED
    claims.suspend_account(server, "acme", False)
    claims.remove_account(server, "globex")
    with pytest.raises(lorajs.NotFound):
        claims.account(server, "globex")
