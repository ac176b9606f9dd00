"""Roles and credentials from Python: whose a token is, and that nothing of it is kept."""

from __future__ import annotations

import traceback

import pytest

import lorajs
from lorajs.roles import (AdminAct, Credential, Role, add_credential, check_certificate, check_token, credentials,
                          remove_credential)

NOW = 1_800_000_000


@pytest.fixture
def server() -> lorajs.JoinServer:
    return lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory())


def test_roles_and_acts() -> None:
    assert {r.name for r in Role} == {"PROVISION", "CLAIM", "OPERATE", "EXPORT", "AUDIT"}
    assert len(AdminAct) == lorajs.native.LJS_ACTS
    assert Role.parse("audit,claim") == Role.AUDIT | Role.CLAIM
    assert Role.EXPORT.allows(AdminAct.EXPORT) and not Role.PROVISION.allows(AdminAct.EXPORT)
    assert (Role.PROVISION | Role.EXPORT).allows(AdminAct.EXPORT)
    with pytest.raises(lorajs.InvalidError):
        Role.parse("root")


def test_a_token(server: lorajs.JoinServer) -> None:
    ops = Credential("ops", Role.OPERATE | Role.AUDIT, at=NOW, expires=NOW + 10)
    token = add_credential(server, ops)
    assert token.startswith(b"ljs_ops_") and len(token) == 8 + 64
    assert check_token(server, token, now=NOW) == ops
    assert credentials(server) == [ops]
    with pytest.raises(lorajs.Fault) as taken:
        add_credential(server, ops)
    assert taken.value.code == lorajs.Code.EXISTS
    for wrong, now in ((token, NOW + 10), (token[:-1], NOW), (b"", NOW), (token[:-64] + b"0" * 64, NOW)):
        with pytest.raises(lorajs.NotFound) as refused:
            check_token(server, wrong, now=now)
        frames = [f.f_locals for f, _ in traceback.walk_tb(refused.value.__traceback__) if f.f_code.co_name == "check_token"]
        assert frames and all("token" not in local for local in frames)
    remove_credential(server, "ops")
    with pytest.raises(lorajs.NotFound):
        check_token(server, token, now=NOW)
    with pytest.raises(lorajs.NotFound):
        remove_credential(server, "ops")


def test_a_certificate(server: lorajs.JoinServer) -> None:
    audit = Credential("audit.example", Role.AUDIT, certificate=True)
    assert add_credential(server, audit) == b""
    assert check_certificate(server, "audit.example", now=NOW) == audit
    with pytest.raises(lorajs.NotFound):
        check_certificate(server, "other.example", now=NOW)
