"""Manifests of secure elements: what their maker says of them, verified entry by entry."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from . import native
from .errors import Alone, error
from .ids import EUI
from .keys import Key, handles
from .shape import write

_PIECE = 1 << 16


class ManifestVerdict(enum.IntEnum):
    """Why an entry is refused; GOOD when it is not."""

    GOOD = native.LJS_MANIFEST_GOOD
    TOO_LONG = native.LJS_MANIFEST_TOO_LONG
    NOT_JSON = native.LJS_MANIFEST_NOT_JSON
    NOT_JWS = native.LJS_MANIFEST_NOT_JWS
    UNSIGNED_HEADER = native.LJS_MANIFEST_UNSIGNED_HEADER
    NOT_ES256 = native.LJS_MANIFEST_NOT_ES256
    CRITICAL = native.LJS_MANIFEST_CRITICAL
    SIGNER = native.LJS_MANIFEST_SIGNER
    SIGNER_CERTIFICATE = native.LJS_MANIFEST_SIGNER_CERTIFICATE
    SIGNATURE = native.LJS_MANIFEST_SIGNATURE
    PAYLOAD = native.LJS_MANIFEST_PAYLOAD
    VERSION = native.LJS_MANIFEST_VERSION
    UNIQUE_ID = native.LJS_MANIFEST_UNIQUE_ID
    HEADER_ID = native.LJS_MANIFEST_HEADER_ID
    KEY = native.LJS_MANIFEST_KEY
    CERTIFICATE = native.LJS_MANIFEST_CERTIFICATE
    ROLE = native.LJS_MANIFEST_ROLE
    ROOT = native.LJS_MANIFEST_ROOT
    CHAIN = native.LJS_MANIFEST_CHAIN
    CERTIFIED_KEY = native.LJS_MANIFEST_CERTIFIED_KEY
    CERTIFIED_ID = native.LJS_MANIFEST_CERTIFIED_ID
    DEV_EUI = native.LJS_MANIFEST_DEV_EUI
    JOIN_EUI = native.LJS_MANIFEST_JOIN_EUI
    DUPLICATE = native.LJS_MANIFEST_DUPLICATE
    DUPLICATE_DEV_EUI = native.LJS_MANIFEST_DUPLICATE_DEV_EUI

    @property
    def text(self) -> str:
        """What it means, a sentence."""
        return native.manifest_verdict_text(self)


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """An entry of a manifest.  Of a refused one only the first five are set, and nobody vouches for `unique_id`."""

    index: int
    """From 0."""
    offset: int
    """Of its first octet in the manifest."""
    verdict: ManifestVerdict
    unique_id: str
    """The chip's serial number, 18 hexadecimal digits; "" when it names none."""
    detail: str = ""
    """More of why it is refused."""
    version: int = 0
    dev_eui: EUI | None = None
    """As its certificate names it."""
    join_eui: EUI | None = None
    model: str = ""
    part_number: str = ""
    group_id: str = ""
    timestamp: str = ""
    """When it was provisioned, RFC 3339."""
    suffix: int = 0
    """The last octet of `unique_id`: whom it was made for; 0x27 The Things Industries, 0x10 Actility."""
    public_key: bytes | None = None
    """x and y of the chip's key on P-256, 32 octets each."""
    signer: str = ""
    """The key identifier of who signed it."""
    stamp: bytes = field(default=bytes(16), repr=False)
    """That this process has believed it, for `lorajs.chips.register`."""

    @property
    def good(self) -> bool:
        return self.verdict is ManifestVerdict.GOOD

    def _native(self) -> native.manifest_entry:
        made: native.manifest_entry = write(native.manifest_entry(), self)
        made.has_key = int(self.public_key is not None)
        return made


@dataclass(frozen=True, slots=True)
class ManifestSecret:
    """A key of an entry's encryptedSecretKeySet, which was encrypted to the manifest's recipient."""

    kid: str
    """By what name its maker calls it; "" for none."""
    key: Key | None
    """None when it is refused."""
    detail: str = ""
    """Why it is refused, without any key."""


def _entry(e: native.manifest_entry) -> ManifestEntry:
    return ManifestEntry(
        index=e.index,
        offset=e.offset,
        verdict=ManifestVerdict(e.verdict),
        unique_id=e.unique_id,
        detail=e.detail,
        version=e.version,
        dev_eui=EUI(e.dev_eui) if e.has_dev_eui else None,
        join_eui=EUI(e.join_eui) if e.has_join_eui else None,
        model=e.model,
        part_number=e.part_number,
        group_id=e.group_id,
        timestamp=e.timestamp,
        suffix=e.suffix,
        public_key=e.public_key if e.has_key else None,
        signer=e.signer,
        stamp=e.stamp,
    )


class Manifest:
    """A manifest of secure elements, of any length: iterate for its entries, good or refused, as they are read.

    No entry has a root key.  `signers` and `roots` are certificates, PEM or DER, of who is trusted besides Microchip;
    with `join_euis`, entries of another JoinEUI are refused.  Once, and one thread at a time:
    Fault STATE for another."""

    def __init__(self, file: BinaryIO, *, signers: Iterable[bytes] = (), roots: Iterable[bytes] = (),
                 join_euis: Iterable[int] = ()) -> None:
        """`file` stays the caller's.  InvalidError for a certificate that is none of the kind."""
        self.native = native.manifest_new()
        self._alone = Alone()
        self._file = file
        for signer in signers:
            native.manifest_trust_signer(self.native, signer)
        for root in roots:
            native.manifest_trust_root(self.native, root)
        for join_eui in join_euis:
            native.manifest_expect_join_eui(self.native, join_eui)

    def __iter__(self) -> Iterator[ManifestEntry]:
        """InvalidError, behind the last entry that could be read, for what is no JSON array or is cut short."""
        while octets := self._file.read(_PIECE):
            at = 0
            while True:
                with self._alone:
                    err, entry, at = native.manifest_next(at, self.native, octets)
                if err == native.LJS_E_NOTFOUND:
                    break
                if err:
                    raise error(err, "this is no JSON array of entries, or something stands behind it")
                yield _entry(entry)
        with self._alone:
            native.manifest_end(self.native)

    @handles("recipient")
    def secrets(self, recipient: Key) -> list[ManifestSecret]:
        """What the entry that came last has encrypted to the recipient, whose key on P-256 this is: its number, 32 octets.
        Each key is opened or refused for itself.  Fault STATE for an entry that was refused.

        Unproven: no maker has published a manifest that has such keys."""
        found: list[ManifestSecret] = []
        while True:
            with self._alone:
                err, secret, key = native.manifest_open_secret(self.native, len(found), recipient.native)
            if err == native.LJS_E_NOTFOUND:
                return found
            if err not in (native.LJS_OK, native.LJS_E_INVAL, native.LJS_E_SEAL):
                raise error(err)
            found.append(ManifestSecret(secret.kid, None if key is None else Key(key), secret.detail))

    @property
    def sha256(self) -> bytes:
        """Of the whole manifest, once it was read to its end; Fault STATE before."""
        return native.manifest_digest(self.native)

    def __repr__(self) -> str:
        return "<Manifest>"
