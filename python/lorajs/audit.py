"""The audit log: what was done with keys, by whom and when, and whether anybody altered the telling of it.

A JoinServer(audit=True) keeps one in its store; `entries()` reads it, `verify()` checks it and every record that
it tells of, and `Report.anchor`, kept where the store's writers cannot reach it, finds what was cut off."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from . import native
from .errors import Code
from .ids import EUI, NetID
from .server import JoinServer
from .shape import read


class Kind(enum.IntEnum):
    """What an entry tells."""

    BEGIN = native.LJS_AUDIT_BEGIN
    END = native.LJS_AUDIT_END
    FOUND = native.LJS_AUDIT_FOUND
    OFF = native.LJS_AUDIT_OFF
    MISSED = native.LJS_AUDIT_MISSED
    JOIN = native.LJS_AUDIT_JOIN
    REJOIN = native.LJS_AUDIT_REJOIN
    APP_S_KEY = native.LJS_AUDIT_APP_S_KEY
    REPEAT = native.LJS_AUDIT_REPEAT
    REFUSED = native.LJS_AUDIT_REFUSED
    ALARM = native.LJS_AUDIT_ALARM
    """A sign of a cloned device; `text` says which."""
    DEVICE_MAKE = native.LJS_AUDIT_DEVICE_MAKE
    DEVICE_LAND = native.LJS_AUDIT_DEVICE_LAND
    JOIN_EUI = native.LJS_AUDIT_JOIN_EUI
    BLOCK = native.LJS_AUDIT_BLOCK
    UNBLOCK = native.LJS_AUDIT_UNBLOCK
    RESET_NONCES = native.LJS_AUDIT_RESET_NONCES
    REMOVE = native.LJS_AUDIT_REMOVE
    EXPOSE = native.LJS_AUDIT_EXPOSE
    REWRAP = native.LJS_AUDIT_REWRAP
    RAISE = native.LJS_AUDIT_RAISE
    ROUTE = native.LJS_AUDIT_ROUTE
    REKEY = native.LJS_AUDIT_REKEY
    MOVE = native.LJS_AUDIT_MOVE
    MOVE_BACK = native.LJS_AUDIT_MOVE_BACK
    KEK_PUT = native.LJS_AUDIT_KEK_PUT
    KEK_REMOVE = native.LJS_AUDIT_KEK_REMOVE
    KEK_ROTATE = native.LJS_AUDIT_KEK_ROTATE
    """Another KEK is used in the place of this one."""
    KEK_RETIRE = native.LJS_AUDIT_KEK_RETIRE
    """A KEK was retired, or taken back."""
    ENROL = native.LJS_AUDIT_ENROL
    CLAIM = native.LJS_AUDIT_CLAIM
    ASSIGN = native.LJS_AUDIT_ASSIGN
    RELEASE = native.LJS_AUDIT_RELEASE
    OFFER = native.LJS_AUDIT_OFFER
    WITHDRAW = native.LJS_AUDIT_WITHDRAW
    ACCEPT = native.LJS_AUDIT_ACCEPT
    SUSPEND = native.LJS_AUDIT_SUSPEND
    RESUME = native.LJS_AUDIT_RESUME
    RETIRE = native.LJS_AUDIT_RETIRE
    ACCOUNT = native.LJS_AUDIT_ACCOUNT
    CHIP = native.LJS_AUDIT_CHIP
    EXPORT = native.LJS_AUDIT_EXPORT
    RECEIVE = native.LJS_AUDIT_RECEIVE
    BACKUP = native.LJS_AUDIT_BACKUP
    RESTORE = native.LJS_AUDIT_RESTORE
    FORCED = native.LJS_AUDIT_FORCED
    MASTER = native.LJS_AUDIT_MASTER
    ROLE = native.LJS_AUDIT_ROLE
    DENIED = native.LJS_AUDIT_DENIED
    NOTE = native.LJS_AUDIT_NOTE
    LOT_PUT = native.LJS_AUDIT_LOT_PUT
    """The key of a lot was added."""
    MANIFEST = native.LJS_AUDIT_MANIFEST

    def __str__(self) -> str:
        """"join", "kek-put"."""
        return native.audit_kind_text(self)


class Fault(enum.IntEnum):
    """What is wrong with a log, or with a record that it tells of."""

    BAD_LINK = native.LJS_AUDIT_BAD_LINK
    GAP = native.LJS_AUDIT_GAP
    BROKEN = native.LJS_AUDIT_BROKEN
    CHAIN_END = native.LJS_AUDIT_CHAIN_END
    CUT_SHORT = native.LJS_AUDIT_CUT_SHORT
    FORKED = native.LJS_AUDIT_FORKED
    WORD = native.LJS_AUDIT_WORD
    RECORD_BAD = native.LJS_AUDIT_RECORD_BAD
    RECORD_OLD = native.LJS_AUDIT_RECORD_OLD
    RECORD_GONE = native.LJS_AUDIT_RECORD_GONE
    RECORD_ALIEN = native.LJS_AUDIT_RECORD_ALIEN
    OWNED_MISSING = native.LJS_AUDIT_OWNED_MISSING
    OWNED_STRAY = native.LJS_AUDIT_OWNED_STRAY
    RECORD_NEWER = native.LJS_AUDIT_RECORD_NEWER

    def __str__(self) -> str:
        """"cut-short"."""
        return native.audit_fault_name(self)

    @property
    def text(self) -> str:
        """In words."""
        return native.audit_fault_text(self)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.  It has no room for a key."""

    writer: int
    """Of its chain."""
    sequence: int
    """Of its link there."""
    at: int
    """Unix time in seconds; 0 when nobody told it."""
    kind: Kind
    code: Code
    """OK, or why not."""
    dev_eui: EUI
    """0 for none."""
    join_nonce: int
    nonce: int
    net_id: NetID
    count: int
    who: str
    """The peer, or who acted."""
    text: str
    before: bytes | None
    """The tag of the device's record until then."""
    after: bytes | None
    """And from then on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, and where it is."""

    fault: Fault
    writer: int
    """In which chain; 0 for a record."""
    sequence: int
    """At which link."""
    dev_eui: EUI
    """Of a record."""


@dataclass(frozen=True, slots=True)
class Report:
    """What verify() looked at, and found."""

    findings: tuple[Finding, ...]
    anchor: bytes
    """The last link of every chain, for the next verify()."""
    chains: int
    links: int
    entries: int
    devices: int
    generation: int
    """How often a log was begun here; 0: never."""
    kept: bool
    """A log is kept; where none is, records are not compared."""


def set_actor(server: JoinServer, who: str | None, now: int) -> None:
    """Who acts from now on, and when: of all acts that have no time or peer of their own."""
    native.server_set_actor(server._open, now, who)


def note(server: JoinServer, kind: Kind, text: str, *, dev_eui: int = 0, code: int = Code.OK) -> None:
    """An entry of its own, of EXPORT or a kind after it; durable when this returns.

    InvalidError for a text of more than 127 octets, or one that looks like a key."""
    native.server_note(server._open, kind, dev_eui, code, text)


def flush(server: JoinServer, now: int = 0) -> None:
    """Write what was counted, if a minute has passed since it was written last, or `now` is 0."""
    native.server_flush_audit(server._open, now)


def heads(server: JoinServer) -> bytes:
    """The last link of each chain that this server has written to, as an anchor."""
    return native.server_heads(server._open)


def entries(server: JoinServer, writer: int = 0, sequence: int = 0) -> Iterator[Entry]:
    """Every entry, chain by chain and each chain from its first on, or from this link of this chain on; SealError at a
    link that was altered."""
    places: list[tuple[int, int]] = []
    native.server_each_link_from(server._open, writer, sequence, lambda of, at: places.append((of, at)))
    for writer, sequence in places:
        octets = native.server_get_link(server._open, writer, sequence)
        link = native.audit_link_read(octets)
        for i in range(link.entries):
            entry = native.audit_link_entry(i, octets)
            yield read(Entry, entry, writer=writer, sequence=sequence, at=link.at, code=Code(entry.err))


def verify(server: JoinServer, anchor: bytes | None = None) -> Report:
    """Check every link, every chain, and every device's record against them; others may go on to write.

    InvalidError for an anchor that is none."""
    report = native.server_verify_audit(server._open, anchor)
    totals = native.audit_report_totals(report)
    findings = []
    for i in range(totals.findings):
        findings.append(read(Finding, native.audit_report_finding(report, i)))
    return read(Report, totals, findings=tuple(findings), anchor=native.audit_report_anchor(report))
