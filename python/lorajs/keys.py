"""Keys are handles to guarded memory; their octets come in and go out only where it says so."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, TypeVar, cast

from . import native, shape
from .errors import Fault
from .ids import EUI, DevAddr, NetID
from .token import TokenStorage


F = TypeVar("F", bound=Callable[..., Any])


def handles(*names: str) -> Callable[[F], F]:
    """These parameters are Keys, or a Vault, or KEKs with a label.  Octets or digits that somebody gives in their
    place are a TypeError before any function of ours has them in a local, which a traceback would show."""

    def of(function: F) -> F:
        places = [(list(inspect.signature(function).parameters).index(name), name) for name in names]

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                for place, name in places:
                    if not _is_handle(args[place] if place < len(args) else kwargs.get(name)):
                        raise TypeError(f"{name} is a Vault: Vault.from_file(path) reads its key" if name in ("vault", "opener") else
                                        f"{name} is a Key, or has one: Key.from_hex() and Key.from_bytes() make a Key")
                return function(*args, **kwargs)
            finally:
                del args, kwargs

        return cast(F, checked)

    return of


def _is_handle(given: object) -> bool:
    if isinstance(given, tuple):  # (label, key)
        return bool(given) and isinstance(given[-1], Key)
    return given is None or hasattr(given, "native")


class Key:
    """One AES key of 16, 24 or 32 octets.  It shows nothing of itself, and is equal to nothing but itself."""

    __slots__ = ("native",)

    def __init__(self, handle: native.key) -> None:
        """Of the binding's handle: generate(), from_hex() and from_bytes() make a key."""
        if not isinstance(handle, native.key):
            del handle  # a traceback shows no key
            raise TypeError("generate(), from_hex() or from_bytes() makes a Key")
        self.native = handle

    @classmethod
    def generate(cls, length: int = 16) -> Key:
        """A fresh random key of 16, 24 or 32 octets."""
        return cls(native.key_generate(length))

    @classmethod
    def from_hex(cls, text: str) -> Key:
        """From hexadecimal digits.  The text itself cannot be wiped: prefer from_bytes()."""
        try:
            octets = bytearray.fromhex(text)
        except ValueError:
            raise ValueError("a key is hexadecimal digits") from None
        finally:
            del text  # a traceback shows no key
        return cls.from_bytes(octets)

    @classmethod
    def from_bytes(cls, octets: bytearray) -> Key:
        """From 16, 24 or 32 octets, which are overwritten with zeros."""
        if not isinstance(octets, bytearray):
            del octets
            raise TypeError("the octets of a key come in a bytearray, which is wiped")
        try:
            return cls(native.key_import(octets))
        finally:
            octets[:] = bytes(len(octets))

    def export(self) -> bytes:
        """The octets themselves."""
        return native.key_export(self.native)

    def x25519_public(self) -> bytes:
        """The public half of an X25519 key: 32 octets."""
        return native.x25519_public(self.native)

    def ed25519_public(self) -> bytes:
        """The public half of an Ed25519 key, of which this is the seed: 32 octets."""
        return native.ed25519_public(self.native)

    def check(self) -> None:
        """Raise Fault WEAK for a key so regular that it is no secret."""
        native.key_check(self.native)

    def encrypt(self, block: bytes) -> bytes:
        """AES of one block of 16 octets.  [FIPS 197]"""
        return native.aes_encrypt(self.native, block)

    def decrypt(self, block: bytes) -> bytes:
        """The other way."""
        return native.aes_decrypt(self.native, block)

    def cmac(self, octets: bytes) -> bytes:
        """AES-CMAC, 16 octets; a MIC is the first four.  [RFC 4493]"""
        return native.aes_cmac(self.native, octets)

    def wrap(self, octets: bytes) -> bytes:
        """Key data of 16 to 64 octets, a multiple of 8, wrapped under this key.  [RFC 3394]"""
        try:
            return native.key_wrap(self.native, octets)
        except Fault:
            del octets
            raise

    def unwrap(self, octets: bytes) -> bytes:
        """The other way; SealError when it was another key, or they were tampered with."""
        return native.key_unwrap(self.native, octets)

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
        if not isinstance(master, bytearray):
            del master
            raise TypeError("the octets of a master key come in a bytearray, which is wiped")
        try:
            self.native = native.vault_new(master)
        finally:
            master[:] = bytes(len(master))

    @classmethod
    def generate(cls) -> Vault:
        """A master key that nobody knows: records under it end with this object."""
        return cls.from_key(Key.generate(32))

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Vault:
        """From a file of 64 hexadecimal digits, as `lorajs serve` keeps it."""
        with open(path, encoding="latin-1") as file:  # whatever it is, no error shows it
            text = file.read().strip()
        try:
            master = bytearray.fromhex(text)
        except ValueError:
            master = bytearray()
        del text
        if len(master) != 32:
            raise ValueError("a file of a master key has 64 hexadecimal digits")
        return cls(master)

    @classmethod
    @handles("key")
    def from_key(cls, key: Key) -> Vault:
        """From a master key as a handle: 32 octets."""
        vault = cls.__new__(cls)
        vault.native = native.vault_from_key(key.native)
        return vault

    @classmethod
    def token(cls, uri: str, pin: bytearray) -> Vault:
        """In a token of PKCS#11 that init_token() has prepared, by its URI [RFC 7512]: keys stay in it.  The user PIN
        is overwritten with zeros."""
        if not isinstance(pin, bytearray):
            del pin
            raise TypeError("a PIN comes in a bytearray, which is wiped")
        vault = cls.__new__(cls)
        try:
            vault.native = native.vault_token(uri, pin)
        finally:
            del uri  # which may have a PIN
            pin[:] = bytes(len(pin))
        return vault

    def storage(self) -> TokenStorage:
        """Look into its token.  Fault STATE for a vault that is in none."""
        return shape.read(TokenStorage, native.token_look(self.native))

    def mark(self) -> bytes:
        """Sixteen octets by which this master key is known again; they say nothing of it."""
        return native.vault_mark(self.native)

    def check_mark(self, mark: bytes) -> None:
        """Raise Fault SEAL when this was the mark of another master key; compared in constant time."""
        native.vault_is(self.native, mark)

    @handles("key")
    def add(self, key: Key) -> None:
        """The next version of the master key, 32 octets: from now on records are sealed and tagged under it, and
        those under the versions before still open.  Fault EXISTS, STATE with four versions."""
        native.vault_add(self.native, key.native)

    @handles("key")
    def make_lot(self, label: str, key: Key) -> bytes:
        """The key of a lot, 16 octets, as a value to keep: devices whose Device.lot it is have no keys of their own in
        their records, but those that come of it by their DevEUI (KeyName.LOT_NWK and so on, include/lorajs/lot.h).
        A server keeps such values itself: JoinServer.put_lot()."""
        return native.lot_make(self.native, label, key.native)

    def add_lot(self, value: bytes) -> None:
        """From here on it knows the lot of this value of make_lot(), and joins for its devices can be answered;
        SealError."""
        native.vault_add_lot(self.native, value)

    def rewrap_lot(self, value: bytes) -> bytes | None:
        """The value under the newest master key; None when it is that already."""
        return native.lot_rewrap(self.native, value) or None

    def retire(self) -> None:
        """Leave the newest version alone: what is still under another opens no more."""
        native.vault_retire(self.native)

    @property
    def version(self) -> int:
        """The number of the newest version; of a vault that was made of a key 1, until unpack() knows better."""
        return native.vault_version(self.native)

    @property
    def versions(self) -> int:
        """How many there are, 1 to 4."""
        return native.vault_versions(self.native)

    def pack(self) -> bytes:
        """All versions, for a vault that has one of them; to be kept beside the records once there was a second."""
        return native.vault_pack(self.native)

    def unpack(self, pack: bytes) -> None:
        """Have the versions that a pack() has, and no others.  Fault SEAL when none of ours opens it."""
        native.vault_unpack(self.native, pack)

    def __repr__(self) -> str:
        return "<Vault>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Vault is not pickled")


@handles("key")
def seal_master(key: Key, passphrase: bytes | bytearray, *, memory: int = 0, passes: int = 0) -> bytes:
    """A master key of 32 octets under a passphrase of 12 to 1024, by Argon2id [RFC 9106].

    `memory` is in KiB, 8192 to 4194304; `passes` 1 to 64; 0 is 256 MiB and three.  Raises Fault
    WEAK for a shorter passphrase, InvalidError for what is out of range."""
    try:
        return native.master_seal(key.native, memory, passes, passphrase)
    finally:
        del passphrase  # a traceback shows none


def open_master(sealed: bytes, passphrase: bytes | bytearray) -> Key:
    """What seal_master() sealed.  Raises Fault SEAL for another passphrase, InvalidError for octets
    that are damaged, whatever the passphrase, and Fault VERSION for what a newer lorajs sealed."""
    try:
        return Key(native.master_open(passphrase, sealed))
    finally:
        del passphrase  # a traceback shows none


class Clear(enum.IntFlag):
    """To whom keys may go unwrapped."""

    NONE = 0
    NS = native.LJS_CLEAR_NS
    AS = native.LJS_CLEAR_AS


def handle(key: Key | None) -> native.key | None:
    """What the binding takes."""
    return None if key is None else key.native


@dataclass(frozen=True, slots=True)
class Envelope:
    """A KeyEnvelope [TS002 §21]: a key on its way to another server."""

    kek_label: str
    """"" when the key is in clear."""
    key: bytes = field(repr=False)
    """24 octets wrapped [RFC 3394], 16 in clear."""

    @classmethod
    @handles("key", "kek")
    def seal(cls, key: Key, kek: Key | None = None, kek_label: str = "") -> Envelope:
        """Wrap a key of 16 octets under a KEK; without one it is in clear, and has no label."""
        envelope = cls._of(native.envelope_seal(key.native, handle(kek), kek_label))
        assert envelope
        return envelope

    @handles("kek")
    def open(self, kek: Key | None = None) -> Key:
        """The key inside; without a KEK for one in clear.

        SealError when the KEK is another one or the envelope was tampered with, InvalidError for a
        length that does not go with the KEK."""
        return Key(native.envelope_open(self._native(), handle(kek)))

    def _native(self) -> native.envelope:
        envelope = native.envelope()
        envelope.kek_label, envelope.key, envelope.key_len = self.kek_label, self.key, len(self.key)
        return envelope

    @classmethod
    def _of(cls, envelope: native.envelope) -> Envelope | None:
        if not envelope.key_len:
            return None
        return cls(envelope.kek_label, envelope.key[: envelope.key_len])

    def __reduce__(self) -> tuple[object, ...]:
        if not self.kek_label:
            raise TypeError("an Envelope in clear is not pickled")
        return type(self), (self.kek_label, self.key)


class Scheme(enum.IntEnum):
    """Which rules a session or device follows."""

    V1_0 = native.LJS_SCHEME_1_0
    """LoRaWAN 1.0.x, and a 1.1 device whose join-accept has OptNeg clear."""
    V1_1 = native.LJS_SCHEME_1_1
    """LoRaWAN 1.1 with OptNeg set, and every rejoin."""


class KeyName(enum.IntEnum):
    """Each key that LoRaWAN derives, and from which root."""

    JS_INT = native.LJS_KEY_JS_INT
    """JSIntKey, from NwkKey [L2 1.1 §6.1.1.3]."""
    JS_ENC = native.LJS_KEY_JS_ENC
    """JSEncKey, from NwkKey."""
    F_NWK_S_INT = native.LJS_KEY_F_NWK_S_INT
    """FNwkSIntKey; NwkSKey before LoRaWAN 1.1."""
    S_NWK_S_INT = native.LJS_KEY_S_NWK_S_INT
    """SNwkSIntKey."""
    NWK_S_ENC = native.LJS_KEY_NWK_S_ENC
    """NwkSEncKey."""
    APP_S = native.LJS_KEY_APP_S
    """AppSKey; from AppKey in LoRaWAN 1.1 with OptNeg, else from the one root."""
    MC_ROOT = native.LJS_KEY_MC_ROOT
    """McRootKey, from GenAppKey (1.0.x) or AppKey (1.1) [TS005]."""
    MC_KE = native.LJS_KEY_MC_KE
    """McKEKey, from McRootKey."""
    MC_APP_S = native.LJS_KEY_MC_APP_S
    """McAppSKey, from McKey."""
    MC_NET_S = native.LJS_KEY_MC_NET_S
    """McNetSKey, from McKey."""
    ROOT_WOR_S = native.LJS_KEY_ROOT_WOR_S
    """RootWorSKey, from NwkSEncKey (1.1) or NwkSKey [TS011]."""
    DATA_BLOCK_INT = native.LJS_KEY_DATA_BLOCK_INT
    """DataBlockIntKey, from GenAppKey (1.0.x) or AppKey (1.1) [TS004]."""
    REKEY_INT = native.LJS_KEY_REKEY_INT
    """RekeyIntKey, from the rekey key (lorajs.rekey, as those below)."""
    REKEY_JOIN = native.LJS_KEY_REKEY_JOIN
    """JK of suite 1, from the rekey key."""
    NEXT_NWK = native.LJS_KEY_NEXT_NWK
    """The next NwkKey, from JK."""
    NEXT_APP = native.LJS_KEY_NEXT_APP
    """The next AppKey, from JK."""
    NEXT_GEN_APP = native.LJS_KEY_NEXT_GEN_APP
    """The next GenAppKey, from JK."""
    NEXT_REKEY = native.LJS_KEY_NEXT_REKEY
    """The next rekey key, from JK."""
    LOT_NWK = native.LJS_KEY_LOT_NWK
    """NwkKey of a device, from the key of its lot; likewise those below."""
    LOT_APP = native.LJS_KEY_LOT_APP
    LOT_GEN_APP = native.LJS_KEY_LOT_GEN_APP
    LOT_REKEY = native.LJS_KEY_LOT_REKEY


@handles("root")
def derive(name: KeyName, root: Key, *, scheme: Scheme = Scheme.V1_0, dev_eui: int = EUI(0), join_eui: int = EUI(0),
           net_id: int = NetID(0), join_nonce: int = 0, nonce: int = 0, mc_addr: int = DevAddr(0),
           epoch: int = 0) -> Key:
    """Derive a key.  Inputs that it does not take are not looked at.

    name        which; `root` is the key named there, 16 octets
    dev_eui     of JSIntKey, JSEncKey, RekeyIntKey
    join_eui    of session keys of Scheme.V1_1, and of JK
    net_id      of session keys of Scheme.V1_0
    join_nonce  of session keys
    nonce       of session keys: DevNonce, RJcount0 or RJcount1
    mc_addr     of McAppSKey, McNetSKey
    epoch       of the next root keys"""
    what = native.derivation()
    what.name, what.scheme, what.dev_eui, what.join_eui, what.net_id = name, scheme, dev_eui, join_eui, net_id
    what.join_nonce, what.nonce, what.mc_addr, what.epoch = join_nonce, nonce, mc_addr, epoch
    return Key(native.derive(what, root.native))


@handles("mc_ke_key", "mc_key")
def mc_key_encrypt(mc_ke_key: Key, mc_key: Key) -> bytes:
    """McKey_encrypted of McGroupSetupReq: aes128_decrypt(McKEKey, McKey) [TS005]."""
    return native.mc_key_encrypt(mc_ke_key.native, mc_key.native)


@handles("mc_ke_key")
def mc_key_decrypt(mc_ke_key: Key, octets: bytes) -> Key:
    """What a device does with it."""
    return Key(native.mc_key_decrypt(mc_ke_key.native, octets))
