"""Root-key rekey over the air, lorajs-rekey-1.  EXPERIMENTAL: the protocol is ours, no standard has one.

Messages and keys, for who writes either end of it.  derive() makes the other keys: REKEY_INT and REKEY_JOIN from
the rekey key, NEXT_NWK and its like from the latter."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import native
from .end_device import SecureElement
from .ids import EUI
from .keys import Key, Vault, handle, handles
from .shape import read, write

FPORT: int = native.LJS_REKEY_FPORT
"""The port of a data frame that messages go on, unless both sides agree on another."""


class Suite(enum.IntEnum):
    """How the new keys come about."""

    SUITE_1 = native.LJS_REKEY_SUITE_1
    """From the rekey key alone: who knows that follows."""
    SUITE_2 = native.LJS_REKEY_SUITE_2
    """X25519, an ephemeral key to the device's own."""
    SUITE_3 = native.LJS_REKEY_SUITE_3
    """P-256 likewise: read and written, and not carried out."""
    SUITE_4 = native.LJS_REKEY_SUITE_4
    """DeriveKey of an ATECC608, in place."""


class RekeyFlags(enum.IntFlag):
    """What is replaced beside NwkKey, and why."""

    NONE = 0
    COMPROMISED = native.LJS_REKEY_COMPROMISED
    """C: the device does not go back to the keys of before."""
    REKEY_KEY = native.LJS_REKEY_REKEY_KEY
    """R: the rekey key, too."""
    APP_KEYS = native.LJS_REKEY_APP_KEYS
    """A: AppKey and GenAppKey, too."""
    JOIN_EUI = native.LJS_REKEY_JOIN_EUI
    """J: the device joins under another JoinEUI from then on."""


class RekeyKind(enum.IntEnum):
    """Which message."""

    REQ = native.LJS_REKEY_REQ
    ANS = native.LJS_REKEY_ANS
    ABORT = native.LJS_REKEY_ABORT


class RekeyStatus(enum.IntEnum):
    """What a device says."""

    OK = native.LJS_REKEY_OK
    AGAIN = native.LJS_REKEY_AGAIN
    """The new keys were ready already; to an abort: too late."""
    TOO_OLD = native.LJS_REKEY_TOO_OLD
    """The epoch is not above the device's, which the answer has in its place."""
    NO_SUITE = native.LJS_REKEY_NO_SUITE
    KCV = native.LJS_REKEY_KCV
    """What it derived is not what was meant."""
    ELEMENT = native.LJS_REKEY_ELEMENT
    """Its secure element failed."""
    ABORTED = native.LJS_REKEY_ABORTED
    """The new keys are gone, and this epoch is never taken any more."""
    UNSETTLED = native.LJS_REKEY_UNSETTLED
    """The last rekey is not settled yet; the answer has its epoch."""


@dataclass(frozen=True, slots=True)
class RekeyMessage:
    """A message; what its kind does not have is zero."""

    kind: RekeyKind
    suite: int = 0
    """REQ: a Suite, or one that is not known here, 0..15."""
    flags: RekeyFlags = RekeyFlags.NONE
    """REQ."""
    status: RekeyStatus = RekeyStatus.OK
    """ANS."""
    epoch: int = 0
    join_eui: EUI = EUI(0)
    """REQ with JOIN_EUI."""
    data: bytes = b""
    """REQ: of the suite, 0, 32 or 33 octets."""
    kcv: bytes = bytes(3)
    """REQ: of the new NwkKey."""
    mic: bytes = bytes(4)

    @classmethod
    def parse(cls, octets: bytes) -> RekeyMessage:
        """Read one; its MIC is not checked.  FrameError, or Fault SIZE, for what is no message."""
        return read(cls, native.rekey_parse(octets))

    def build(self) -> bytes:
        """The octets, with the MIC that it has.  InvalidError for a field out of its range."""
        return native.rekey_build(write(native.rekey_message(), self))


@handles("key")
def rekey_kcv(key: Key) -> bytes:
    """KCV(K), three octets by which a key of 16 is told from another."""
    return native.rekey_kcv(key.native)


@handles("key")
def rekey_mic(key: Key, dev_eui: int, message: bytes) -> bytes:
    """The MIC of a whole message, whose last four octets are not looked at."""
    return native.rekey_mic(key.native, dev_eui, message)


@handles("key")
def rekey_agree(key: Key, dev_eui: int, join_eui: int, ephemeral: bytes, device: bytes) -> Key:
    """What suite 2 has in the place of REKEY_JOIN, from either secret half and both public ones."""
    return Key(native.rekey_agree(key.native, dev_eui, join_eui, ephemeral + device))


def rekey_temp_key(dev_eui: int, join_eui: int, epoch: int) -> bytes:
    """TempKey of suite 4; no secret."""
    return native.rekey_temp_key(dev_eui, join_eui, epoch)


@handles("parent")
def rekey_slot(parent: Key, dev_eui: int, join_eui: int, epoch: int, serial: bytes) -> Key:
    """What DeriveKey makes of slot 0: AppKey, then NwkKey, as one key of 32 octets."""
    return Key(native.rekey_slot(parent.native, dev_eui, join_eui, epoch, serial))


@handles("parent")
def rekey_slot_mac(parent: Key, serial: bytes) -> bytes:
    """The MAC that authorises DeriveKey of the element with this serial number, whatever the epoch."""
    return native.rekey_slot_mac(parent.native, serial)


# ---- the Join Server's side ---------------------------------------------------


class RekeyState(enum.IntEnum):
    """Where a rekey stands."""

    STABLE = native.LJS_REKEY_STABLE
    """There is none."""
    PENDING = native.LJS_REKEY_PENDING
    """The command may be on its way."""
    ACKED = native.LJS_REKEY_ACKED
    """The device said that it has the new keys."""
    ABORTING = native.LJS_REKEY_ABORTING
    """It was told to forget them."""
    COMMITTED = native.LJS_REKEY_COMMITTED
    """It joined under them, once."""
    TRANSFER_OUT = native.LJS_REKEY_TRANSFER_OUT
    """The new keys are for another Join Server."""
    RESYNC = native.LJS_REKEY_RESYNC
    """The device may be ahead: keys of further epochs are tried (rekey_resync())."""


class RekeyAct(enum.IntEnum):
    """What an operator says."""

    REOPEN = native.LJS_REKEY_ACT_REOPEN
    """COMMITTED by a MIC that was guessed, it may be: try both sets again."""
    RELEASE = native.LJS_REKEY_ACT_RELEASE
    """TRANSFER_OUT: the other Join Server has the device; keys go, a tombstone stays."""
    CLOSE = native.LJS_REKEY_ACT_CLOSE
    """RESYNC: look no more."""


@dataclass(frozen=True, slots=True)
class Rekey:
    """How a rekey stands."""

    state: RekeyState
    suite: int
    flags: RekeyFlags
    confirmed: bool
    """ABORTING: the device said that it has forgotten the new keys."""
    answer: int
    """The last RekeyStatus, -1 for none."""
    epoch: int
    """Of the new keys; COMMITTED: of the old ones; RESYNC: the first that is tried."""
    floor: int
    """No epoch up to this one is used again."""
    join_eui: EUI
    join_nonce_end: int
    """TRANSFER_OUT: the first JoinNonce that is not given here any more."""
    at: int
    """When the last one began, Unix time in seconds."""
    until: int
    """RESYNC: when the window ends; else 0."""


@dataclass(frozen=True, slots=True)
class RekeyOptions:
    """What is to be done.  `experimental` is to be True: whoever calls knows that it is."""

    experimental: bool
    suite: Suite = Suite.SUITE_1
    flags: RekeyFlags = RekeyFlags.NONE
    """COMPROMISED, REKEY_KEY, APP_KEYS."""
    transfer: bool = False
    """`join_eui` is of another Join Server."""
    force: bool = False
    """Also less than a day after the last one."""
    kept: bool = False
    """The store is replicated, or backed up before the command is sent: suites 2 and 4 want that."""
    join_eui: int = EUI(0)
    """To join under from then on; 0: it stays."""
    now: int = 0
    """Unix time in seconds."""
    parent: Key | None = None
    """Suite 4: slot 13, 32 octets."""
    serial: bytes = bytes(9)
    """Suite 4: the element's serial number."""

    def native_opts(self) -> native.rekey_opts:
        """What the binding takes; suite 2 gets its ephemeral key."""
        opts = native.rekey_opts()
        opts.suite, opts.flags, opts.join_eui, opts.now = self.suite, self.flags, self.join_eui, self.now
        opts.experimental, opts.transfer = int(self.experimental), int(self.transfer)
        opts.force, opts.kept, opts.serial = int(self.force), int(self.kept), self.serial
        if self.suite == Suite.SUITE_2:
            opts.ephemeral = Key.generate(32).native
        if self.parent is not None:
            opts.parent = self.parent.native
        return opts


@dataclass(frozen=True, slots=True)
class ResyncOptions:
    """What a device may be ahead by: the one rekey that its record does not know of, and the window in which it is looked
    for.  `experimental` is to be True: whoever calls knows that it is."""

    experimental: bool
    now: int
    """Unix time in seconds."""
    until: int
    """When the window ends, at most seven days after `now`."""
    suite: Suite = Suite.SUITE_1
    """SUITE_1 or SUITE_4."""
    flags: RekeyFlags = RekeyFlags.NONE
    """REKEY_KEY, APP_KEYS: what it replaced beside NwkKey."""
    first: int = 0
    """Of the eight epochs to try; 0: the one after the current."""
    join_eui: int = EUI(0)
    """That the device joins under by now; 0: it stayed."""
    parent: Key | None = None
    """Suite 4: slot 13, 32 octets."""
    serial: bytes = bytes(9)
    """Suite 4: the element's serial number."""

    def native_opts(self) -> native.resync_opts:
        """What the binding takes."""
        opts = native.resync_opts()
        opts.suite, opts.flags, opts.join_eui, opts.first = self.suite, self.flags, self.join_eui, self.first
        opts.now, opts.until, opts.experimental, opts.serial = self.now, self.until, int(self.experimental), self.serial
        if self.parent is not None:
            opts.parent = self.parent.native
        return opts


def rekey_status(record: bytes) -> Rekey:
    """How the rekey of a record stands; needs no vault, checks no tag."""
    return read(Rekey, native.rekey_read(record))


@handles("vault")
def rekey_begin(vault: Vault, record: bytes, options: RekeyOptions) -> tuple[bytes, bytes]:
    """A command for the device, and the new record, empty when nothing changed: save that first.

    Fault STATE when another is under way; Refused NOKEY, BUSY, SPENT; InvalidError."""
    message, made = native.rekey_begin(vault.native, options.native_opts(), record)
    return message, made


@handles("vault")
def rekey_answer(vault: Vault, record: bytes, octets: bytes) -> tuple[RekeyMessage, bytes]:
    """What the device answered, and the new record, empty when nothing changed."""
    message, made = native.rekey_answer(vault.native, octets, record)
    return read(RekeyMessage, message), made


@handles("vault")
def rekey_abort(vault: Vault, record: bytes, *, force: bool = False) -> tuple[bytes, bytes]:
    """A command for the device, and the new record, empty when nothing changed."""
    message, made = native.rekey_abort(vault.native, int(force), record)
    return message, made


@handles("vault")
def rekey_step(vault: Vault, record: bytes, act: RekeyAct) -> bytes:
    """The new record."""
    return native.rekey_step(vault.native, act, record)


@handles("vault")
def rekey_resync(vault: Vault, record: bytes, options: ResyncOptions) -> bytes:
    """The new record, with an open window: joins of JoinRequest.resync are tried under further epochs' keys, too.

    Fault STATE under a rekey; Refused MOVED, NOKEY, SPENT; InvalidError."""
    return native.rekey_resync(vault.native, options.native_opts(), record)


# ---- the device's side --------------------------------------------------------


@handles("nwk_key", "app_key", "gen_app_key", "rekey_key", "x25519")
def rekey_element(*, nwk_key: Key | None = None, app_key: Key | None = None, gen_app_key: Key | None = None,
                  rekey_key: Key, x25519: Key | None = None) -> SecureElement:
    """An element in software that can be rekeyed: by suite 1, and by suite 2 with an X25519 key."""
    return SecureElement(native.se_software_rekey(handle(nwk_key), handle(app_key), handle(gen_app_key),
                                                  rekey_key.native, handle(x25519)))


@handles("slot0", "parent")
def atecc_element(slot0: Key, parent: Key, serial: bytes) -> SecureElement:
    """A model of an ATECC608, which is rekeyed by suite 4: AppKey and NwkKey as one key of 32 octets, slot 13, and
    the serial number."""
    return SecureElement(native.se_atecc(slot0.native, parent.native, serial))


@dataclass(frozen=True, slots=True)
class DeviceRekey:
    """What came of a message."""

    err: int
    """0, or why there is no answer: LJS_E_MIC and its like of lorajs.native."""
    phase: int
    """After it: 0 settled, 1 ready, 2 tried, 3 suite 4 under way."""
    persist: bool
    """Make the state durable before anything below is done."""
    again: bool
    """Call once more, with the same octets."""
    answer: bytes
    """To be sent; empty: none."""
    status: RekeyStatus
    epoch: int
    """Of the keys in use, 0 for those that the device was born with."""


def device_rekey(element: SecureElement, state: bytes, octets: bytes = b"", *, now: int = 0) -> tuple[bytes, DeviceRekey]:
    """One message at the device: its next state, and what is to be done.  After a restart once without octets."""
    out, made = native.ed_rekey(element.native, now, octets, state)
    return made, read(DeviceRekey, out)
