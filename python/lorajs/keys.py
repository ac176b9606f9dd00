"""Keys are handles to guarded memory; their octets come in and go out only where it says so."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from os import PathLike

from . import native


class Key:
    """One AES key.  It shows nothing of itself, and is equal to nothing but itself."""

    __slots__ = ("native",)

    def __init__(self, handle: native.key) -> None:
        self.native = handle

    @classmethod
    def generate(cls, length: int = 16) -> Key:
        """A fresh random key of 16, 24 or 32 octets."""
        return cls(native.key_generate(length))

    @classmethod
    def from_hex(cls, text: str) -> Key:
        """From hexadecimal digits.  The text itself cannot be wiped: prefer from_bytes()."""
        return cls.from_bytes(bytearray.fromhex(text))

    @classmethod
    def from_bytes(cls, octets: bytearray) -> Key:
        """From 16, 24 or 32 octets, which are overwritten with zeros."""
        try:
            return cls(native.key_import(octets))
        finally:
            octets[:] = bytes(len(octets))

    def export(self) -> bytes:
        """The octets themselves."""
        return native.key_export(self.native)

    def check(self) -> None:
        """Raise Fault WEAK for a key so regular that it is no secret."""
        native.key_check(self.native)

    def __len__(self) -> int:
        return native.key_len(self.native)

    def __repr__(self) -> str:
        return f"<Key of {len(self)} octets>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Key is not pickled: it would be written in clear")


class Vault:
    """The master key that seals root keys inside records."""

    __slots__ = ("native",)

    def __init__(self, master: bytearray) -> None:
        """From the 32 octets of the master key, which are overwritten with zeros."""
        try:
            self.native = native.vault_new(master)
        finally:
            master[:] = bytes(len(master))

    @classmethod
    def generate(cls) -> Vault:
        """A master key that nobody knows: records under it end with this object."""
        return cls(bytearray(Key.generate(32).export()))

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Vault:
        """From a file of 64 hexadecimal digits, as `lorajs serve` keeps it."""
        with open(path, encoding="ascii") as file:
            return cls(bytearray.fromhex(file.read().strip()))

    @classmethod
    def from_key(cls, key: Key) -> Vault:
        """From a master key as a handle: 32 octets."""
        vault = cls.__new__(cls)
        vault.native = native.vault_from_key(key.native)
        return vault

    def mark(self) -> bytes:
        """Sixteen octets by which this master key is known again; they say nothing of it."""
        return native.vault_mark(self.native)

    def check_mark(self, mark: bytes) -> None:
        """Raise Fault SEAL when this was the mark of another master key; compared in constant time."""
        native.vault_is(self.native, mark)

    def __repr__(self) -> str:
        return "<Vault>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Vault is not pickled")


def seal_master(key: Key, passphrase: bytes | bytearray, *, memory: int = 0, passes: int = 0) -> bytes:
    """A master key of 32 octets under a passphrase of 12 to 1024, by Argon2id [RFC 9106].

    `memory` is in KiB, 8192 to 4194304; `passes` 1 to 64; 0 is 256 MiB and three.  Raises Fault
    WEAK for a shorter passphrase, InvalidError for what is out of range."""
    return native.master_seal(key.native, memory, passes, passphrase)


def open_master(sealed: bytes, passphrase: bytes | bytearray) -> Key:
    """What seal_master() sealed.  Raises Fault SEAL for another passphrase, InvalidError for octets
    that are damaged, whatever the passphrase."""
    return Key(native.master_open(passphrase, sealed))


class Clear(enum.IntFlag):
    """To whom keys may go unwrapped."""

    NONE = 0
    NS = native.LJS_CLEAR_NS
    AS = native.LJS_CLEAR_AS


@dataclass(frozen=True)
class Envelope:
    """A KeyEnvelope: a key on its way to another server."""

    kek_label: str  # "" when the key is in clear
    key: bytes = field(repr=False)

    def open(self, kek: Key | None = None) -> Key:
        """The key inside; without a KEK for one in clear."""
        envelope = native.envelope()
        envelope.kek_label = self.kek_label
        envelope.key = self.key
        envelope.key_len = len(self.key)
        return Key(native.envelope_open(envelope, kek and kek.native))

    @classmethod
    def _of(cls, envelope: native.envelope) -> Envelope | None:
        if not envelope.key_len:
            return None
        return cls(envelope.kek_label, envelope.key[: envelope.key_len])
