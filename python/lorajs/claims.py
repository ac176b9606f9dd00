"""Who owns a device: accounts, owner tokens, and how a device goes from one owner to the next.

    enrol(server, dev_eui)                              -> the owner token, for the label
    claim(server, "acme", dev_eui, token, routing=...)  -> the device is acme's
    offer(server, "acme", dev_eui, to="globex", ...)    -> and, once globex accepts, globex's

A device that is not there, one of somebody else and a wrong token are one refusal, Refused CLAIM; too many failed
tries are Refused LIMIT."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import native
from .device import Routing
from .ids import EUI
from .server import JoinServer
from .shape import read, write


class ClaimState(enum.IntEnum):
    """How a device stands."""

    PROVISIONED = native.LJS_CLAIM_IS_PROVISIONED
    """Nobody's, and no token makes it anybody's."""
    UNCLAIMED = native.LJS_CLAIM_IS_UNCLAIMED
    """Nobody's, and has an owner token."""
    CLAIMED = native.LJS_CLAIM_IS_CLAIMED
    OFFERED = native.LJS_CLAIM_IS_OFFERED
    """An account's, and offered to another."""
    SUSPENDED = native.LJS_CLAIM_IS_SUSPENDED
    """An account's, and blocked."""
    RETIRED = native.LJS_CLAIM_IS_RETIRED

    def __str__(self) -> str:
        """"claimed"."""
        return native.claim_state_text(self)


class ClaimAct(enum.IntEnum):
    """What can be done."""

    ENROL = native.LJS_CLAIM_ENROL
    CLAIM = native.LJS_CLAIM_CLAIM
    ASSIGN = native.LJS_CLAIM_ASSIGN
    RELEASE = native.LJS_CLAIM_RELEASE
    OFFER = native.LJS_CLAIM_OFFER
    WITHDRAW = native.LJS_CLAIM_WITHDRAW
    ACCEPT = native.LJS_CLAIM_ACCEPT
    SUSPEND = native.LJS_CLAIM_SUSPEND
    RESUME = native.LJS_CLAIM_RESUME
    RETIRE = native.LJS_CLAIM_RETIRE

    def __str__(self) -> str:
        """"assign"."""
        return native.claim_act_text(self)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may own devices."""

    name: str
    """1 to 63 letters, digits, dots and hyphens; no dot first."""
    at: int = 0
    """Since when, Unix time in seconds."""
    suspended: bool = False
    """It may not act; what it owns it keeps."""
    proven: bool = False
    """It has claimed a device by a token."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is remembered of who owns a device.  It has no room for a token."""

    dev_eui: EUI
    state: ClaimState
    owners: int
    """How many it has had."""
    at: int
    """Since when it stands so, Unix time in seconds."""
    account: str
    """The owner; "" for none."""
    offered_to: str
    offer_until: int
    valid_from: int
    """From when on the token is good; 0: at once."""
    valid_until: int
    """Until when; 0: for ever."""
    has_token: bool
    locked: bool
    """Nobody takes it from its owner, whatever token he has."""


@dataclass(frozen=True, slots=True)
class ClaimIndex:
    """What the index of what accounts own was found to be."""

    entries: int
    """That are as the claims say."""
    missing: int
    """That were not there."""
    stray: int
    """That no claim asks for."""


@dataclass(frozen=True, slots=True)
class ChipProof:
    """That the device's chip is the one that its maker certified: lorajs.chips."""

    challenge: bytes
    """As challenge() gave it."""
    signature: bytes
    """What the chip made of it: r and s, 32 octets each."""


def add_account(server: JoinServer, account: Account) -> None:
    """Make one; Fault EXISTS."""
    native.server_add_account(server._open, write(native.account(), account))


def account(server: JoinServer, name: str) -> Account:
    """One of them; NotFound."""
    return read(Account, native.server_get_account(server._open, name))


def suspend_account(server: JoinServer, name: str, suspended: bool = True) -> None:
    """It may not act from now on, or may again; NotFound."""
    native.server_suspend_account(server._open, name, int(suspended))


def remove_account(server: JoinServer, name: str) -> None:
    """The end of one that owns nothing and has no credentials, else Fault STATE; NotFound."""
    native.server_del_account(server._open, name)


def accounts(server: JoinServer) -> list[Account]:
    """All of them, names rising."""
    found: list[Account] = []
    native.server_each_account(server._open, lambda one: found.append(read(Account, one)))
    return found


def account_kek(account: str, label: str) -> str:
    """The label under which put_kek() keeps a KEK of an account: "@ACCOUNT/LABEL"."""
    return native.account_kek(account, label).decode()


def claim_of(server: JoinServer, dev_eui: int) -> Claim:
    """How a device stands; NotFound for one that is not there."""
    return read(Claim, native.server_get_claim(server._open, dev_eui))


def claims(server: JoinServer, first: int = 0, last: int = 2**64 - 1) -> list[Claim]:
    """Each of which something is remembered, DevEUIs rising."""
    found: list[Claim] = []
    native.server_each_claim_in(server._open, first, last, lambda one: found.append(read(Claim, one)))
    return found


def claims_of(server: JoinServer, account: str, first: int = 0, last: int = 2**64 - 1) -> list[Claim]:
    """Each of a device that an account owns or is offered, DevEUIs rising, at their cost; a database of before gets the
    index that this takes when it is first asked for."""
    found: list[Claim] = []
    native.server_each_claim_of(server._open, account, first, last, lambda one: found.append(read(Claim, one)))
    return found


def index_claims(server: JoinServer, dry: bool = False) -> ClaimIndex:
    """Compare the index of what accounts own with every claim, and mend it; dry changes nothing."""
    return read(ClaimIndex, native.server_index_claims(server._open, int(dry)))


def _act(server: JoinServer, act: ClaimAct, dev_eui: int, *, now: int, account: str = "", token: bytes | None = None,
         routing: Routing | None = None, client: str = "", to: str = "", start: int = 0, until: int = 0,
         unlocked: bool = False, keep_token: bool = False, dry: bool = False, chip: ChipProof | None = None) -> bytes:
    try:
        req = native.claim_req()
        req.now, req.act, req.dev_eui = now, act, dev_eui
        req.account, req.client, req.to = account, client, to
        req.start, req.until, req.unlocked, req.keep_token = start, until, int(unlocked), int(keep_token)
        req.dry = int(dry)
        if chip is not None:
            req.has_chip, req.challenge, req.signature = 1, chip.challenge, chip.signature
        if routing is not None:
            req.routing = routing._native()
        return native.server_claim(server._open, req, token)
    finally:
        del token  # a traceback shows locals


def enrol(server: JoinServer, dev_eui: int, token: bytes | None = None, *, now: int, valid_from: int = 0,
          valid_until: int = 0) -> bytes:
    """The device gets an owner token, in place of the one before: the one on its label already, or, without one, 80
    random bits.  Nobody can tell it a second time."""
    try:
        return _act(server, ClaimAct.ENROL, dev_eui, now=now, token=token, start=valid_from, until=valid_until)
    finally:
        del token


def claim(server: JoinServer, account: str, dev_eui: int, token: bytes | None, routing: Routing, *, now: int,
          client: str = "", unlocked: bool = False, keep_token: bool = False, dry: bool = False,
          chip: ChipProof | None = None) -> None:
    """By the token of its label the device is the account's; of one's own device, an update without a token.

    routing  where it belongs, its home network at least; KEK labels are the account's own
    client   who asks, for the limits on failed tries
    dry      all is checked, and nothing changed
    chip     the proof of its chip, which some devices need"""
    try:
        _act(server, ClaimAct.CLAIM, dev_eui, now=now, account=account, token=token, routing=routing, client=client,
             unlocked=unlocked, keep_token=keep_token, dry=dry, chip=chip)
    finally:
        del token


def assign(server: JoinServer, account: str, dev_eui: int, routing: Routing | None = None, *, now: int) -> None:
    """As a provisioner, without a token."""
    _act(server, ClaimAct.ASSIGN, dev_eui, now=now, account=account, routing=routing)


def release(server: JoinServer, account: str, dev_eui: int, *, now: int) -> None:
    """The owner lets it go."""
    _act(server, ClaimAct.RELEASE, dev_eui, now=now, account=account)


def offer(server: JoinServer, account: str, dev_eui: int, *, to: str, until: int, now: int) -> None:
    """The owner offers it to another account, for seven days at most."""
    _act(server, ClaimAct.OFFER, dev_eui, now=now, account=account, to=to, until=until)


def withdraw(server: JoinServer, account: str, dev_eui: int, *, now: int) -> None:
    """The owner takes an offer back."""
    _act(server, ClaimAct.WITHDRAW, dev_eui, now=now, account=account)


def accept(server: JoinServer, account: str, dev_eui: int, routing: Routing, *, now: int,
           chip: ChipProof | None = None) -> None:
    """Whom it was offered to takes it; all of the owner before stops at once.

    chip  the proof of its chip, which some devices need"""
    _act(server, ClaimAct.ACCEPT, dev_eui, now=now, account=account, routing=routing, chip=chip)


def suspend(server: JoinServer, dev_eui: int, *, now: int) -> None:
    """As an operator: the device is blocked, the owner stays."""
    _act(server, ClaimAct.SUSPEND, dev_eui, now=now)


def resume(server: JoinServer, dev_eui: int, *, now: int) -> None:
    """The end of that."""
    _act(server, ClaimAct.RESUME, dev_eui, now=now)


def retire(server: JoinServer, dev_eui: int, *, now: int) -> None:
    """As a provisioner: nobody's, until it is enrolled again."""
    _act(server, ClaimAct.RETIRE, dev_eui, now=now)
