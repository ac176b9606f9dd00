"""Root-key rekey over the air, lorajs-rekey-1.  EXPERIMENTAL: the protocol is ours, no standard has one.

Messages and keys, for who writes either end of it.  derive() makes the other keys: REKEY_INT and REKEY_JOIN from
the rekey key, NEXT_NWK and its like from the latter."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import native
from .ids import EUI
from .keys import Key, handles
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
