"""Devices of secure elements: registered by their maker's manifest, and claimed with the word of the chip. In short::

    with open("manifest.json", "rb") as file:
        manifest = lorajs.Manifest(file)
        for entry, what in register_all(server, manifest, now=now, account="acme"):
            print(entry.unique_id, what.why or "registered")

    given = challenge(server, "acme", dev_eui, now=now)
    digest(dev_eui, "acme", given)  # 32 octets, of which the chip makes 64: r and s
    lorajs.claims.claim(..., chip=ChipProof(given, signature))

A manifest has no root key: a device that is registered by one joins as soon as its keys come, in whatever order."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from . import native
from .claims import ChipProof
from .device import Mac
from .errors import error
from .ids import EUI
from .manifest import Manifest, ManifestEntry
from .server import JoinServer
from .shape import read

__all__ = ["Chip", "ChipPolicy", "ChipProof", "Registered", "RegisterWhy", "challenge", "chip_of", "digest", "register",
           "register_all"]

_TOGETHER = 63  # three transactions


class ChipPolicy(enum.IntEnum):
    """Whether a device can be claimed without its chip's proof."""

    AS_IT_IS = native.LJS_CHIP_AS_IT_IS
    """What is not said stays, and is ACCEPTED at first."""
    ACCEPTED = native.LJS_CHIP_ACCEPTED
    """A proof is checked where one is given."""
    REQUIRED = native.LJS_CHIP_REQUIRED
    """Without one there is no claim by a token, and no offer is accepted."""


class RegisterWhy(enum.IntEnum):
    """Why an entry is not registered; DONE when it is."""

    DONE = native.LJS_REGISTER_DONE
    REFUSED = native.LJS_REGISTER_REFUSED
    """The entry has a verdict of its own."""
    NO_KEY = native.LJS_REGISTER_NO_KEY
    NO_DEV_EUI = native.LJS_REGISTER_NO_DEV_EUI
    NO_JOIN_EUI = native.LJS_REGISTER_NO_JOIN_EUI
    OTHER_CHIP = native.LJS_REGISTER_OTHER_CHIP
    REMOVED = native.LJS_REGISTER_REMOVED
    OWNED = native.LJS_REGISTER_OWNED
    """It is registered, and not assigned."""

    def __str__(self) -> str:
        """"no-dev-eui"."""
        return native.register_why_name(self)

    @property
    def text(self) -> str:
        """What it means, a sentence."""
        return native.register_why_text(self)


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of an entry."""

    why: RegisterWhy
    made: bool
    """The device was not there."""
    kept: bool
    """The chip was not kept with it, or not as it is now."""
    assigned: bool
    """It is the account's, now or before."""


@dataclass(frozen=True, slots=True)
class Chip:
    """What is kept of a device's chip."""

    dev_eui: EUI
    at: int
    """Since when, Unix time in seconds."""
    required: bool
    """The device is claimed with the chip's proof alone."""
    public_key: bytes
    """x and y of its key on P-256, 32 octets each."""
    unique_id: str
    model: str
    part_number: str
    group_id: str
    signer: str
    """The key identifier of who signed its manifest."""


def chip_of(server: JoinServer, dev_eui: int) -> Chip:
    """The chip of a device; NotFound for one without."""
    return read(Chip, native.server_get_chip(server._open, dev_eui))


def _opts(now: int, account: str, chip: ChipPolicy, version: Mac | None, dry: bool) -> native.register_opts:
    opts = native.register_opts()
    opts.now, opts.account, opts.chip, opts.mac, opts.dry = now, account, chip, version or 0, int(dry)
    return opts


def register(server: JoinServer, entry: ManifestEntry, *, now: int, account: str = "", chip: ChipPolicy = ChipPolicy.AS_IT_IS,
             version: Mac | None = None, dry: bool = False) -> Registered:
    """Register the device of an entry, and assign it to an account; asked again, what is done is done.

    version  what the device is taken for until its keys come and say: 1.0.4 without one
    dry      all is checked, and nothing changed

    NotFound for an account that is not there, Refused BLOCKED for one that is suspended, SealError for an entry that no
    manifest gave in this process."""
    opts = _opts(now, account, chip, version, dry)
    return read(Registered, native.server_register(server._open, opts, entry._native()))


def register_all(server: JoinServer, manifest: Manifest, *, now: int, account: str = "",
                 chip: ChipPolicy = ChipPolicy.AS_IT_IS, version: Mac | None = None) -> Iterator[tuple[ManifestEntry, Registered]]:
    """Each entry of a manifest in turn, registered or told why not, 63 at a time; at the end one entry of the audit log for all of
    them: the account, the manifest's SHA-256, and how many."""
    opts = _opts(now, account, chip, version, False)
    entries, count = iter(manifest), 0
    while some := list(itertools.islice(entries, _TOGETHER)):
        given = native.server_register_all(server._open, opts, [entry._native() for entry in some])
        for entry, result in zip(some, given, strict=True):
            if result.err:
                raise error(result.err)
            what = read(Registered, result)
            count += what.why is RegisterWhy.DONE
            yield entry, what
    if count:
        native.server_note_manifest(server._open, manifest.native, account, count)


def challenge(server: JoinServer, account: str, dev_eui: int, *, now: int) -> bytes:
    """A challenge for the chip of a device, for a claim of this account: good for ten minutes, and once."""
    return native.server_challenge(server._open, now, dev_eui, account)


def digest(dev_eui: int, account: str, challenge: bytes) -> bytes:
    """What the chip signs by ECDSA on P-256: the SHA-256 over what is claimed, for whom, and the challenge."""
    return native.chip_digest(dev_eui, account, challenge)
