"""Who may administer, and what: roles, acts, and the credentials that hold roles."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import native
from .server import JoinServer
from .shape import read, write


class Role(enum.IntFlag):
    """What somebody is for; a credential may have several."""

    PROVISION = native.LJS_ROLE_PROVISION
    CLAIM = native.LJS_ROLE_CLAIM
    OPERATE = native.LJS_ROLE_OPERATE
    EXPORT = native.LJS_ROLE_EXPORT
    AUDIT = native.LJS_ROLE_AUDIT

    @classmethod
    def parse(cls, text: str) -> Role:
        """Of "provision,operate"; InvalidError for other words."""
        return cls(native.roles_parse(text))

    def allows(self, act: AdminAct) -> bool:
        """Does one of the roles allow it?"""
        return bool(native.roles_allow(self, act))


class AdminAct(enum.IntEnum):
    """What can be done.  No act reads a key."""

    LIST = native.LJS_ACT_LIST
    READ = native.LJS_ACT_READ
    PROVISION = native.LJS_ACT_PROVISION
    REMOVE = native.LJS_ACT_REMOVE
    ROUTE = native.LJS_ACT_ROUTE
    BLOCK = native.LJS_ACT_BLOCK
    UNBLOCK = native.LJS_ACT_UNBLOCK
    RESET_NONCES = native.LJS_ACT_RESET_NONCES
    EXPORT = native.LJS_ACT_EXPORT
    LIST_KEKS = native.LJS_ACT_LIST_KEKS
    PUT_KEK = native.LJS_ACT_PUT_KEK
    REMOVE_KEK = native.LJS_ACT_REMOVE_KEK
    DECISIONS = native.LJS_ACT_DECISIONS
    ASSIGN = native.LJS_ACT_ASSIGN
    ENROL = native.LJS_ACT_ENROL
    CLAIM = native.LJS_ACT_CLAIM
    SUSPEND = native.LJS_ACT_SUSPEND
    LIST_CLAIMS = native.LJS_ACT_LIST_CLAIMS
    ACCOUNTS = native.LJS_ACT_ACCOUNTS
    LIST_ACCOUNTS = native.LJS_ACT_LIST_ACCOUNTS
    LIST_LOTS = native.LJS_ACT_LIST_LOTS
    LIST_DECISIONS = native.LJS_ACT_LIST_DECISIONS
    AUDIT = native.LJS_ACT_AUDIT


@dataclass(frozen=True, slots=True)
class Credential:
    """Who somebody is.  It has no room for a secret."""

    name: str
    """1 to 63 letters, digits, dots and hyphens."""
    roles: Role
    at: int = 0
    """Since when, Unix time in seconds."""
    expires: int = 0
    """From when on it is nothing; 0 for never."""
    certificate: bool = False
    """It is shown by a client certificate of this name, not by a token."""
    account: str = ""
    """For which account (lorajs.claims) it acts, and for nothing else; its one role is then CLAIM."""


def add_credential(server: JoinServer, credential: Credential) -> bytes:
    """Make one.  Its token, which nobody can tell a second time; empty for a certificate.

    Fault EXISTS when the name is taken."""
    return native.server_add_credential(server._open, write(native.credential(), credential))


def remove_credential(server: JoinServer, name: str) -> None:
    """From now on it is nothing; NotFound."""
    native.server_del_credential(server._open, name)


def credentials(server: JoinServer) -> list[Credential]:
    """All of them, names rising, expired ones too."""
    found: list[Credential] = []
    native.server_each_credential(server._open, lambda credential: found.append(read(Credential, credential)))
    return found


def check_token(server: JoinServer, token: bytes, *, now: int) -> Credential:
    """Whose token is it?  NotFound for whatever is nobody's."""
    try:
        found = native.server_check_token(server._open, now, token)
    finally:
        del token  # a traceback shows locals
    return read(Credential, found)


def check_certificate(server: JoinServer, name: str, *, now: int) -> Credential:
    """The credential of a name in a certificate, which your transport has verified; NotFound likewise."""
    return read(Credential, native.server_check_certificate(server._open, now, name))
