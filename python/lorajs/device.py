"""Device records and the pure steps over them: a record goes in, a record comes out."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from types import EllipsisType

from . import native
from .air import FrameKind
from .errors import error
from .ids import EUI, DevAddr, NetID
from .keys import Clear, Envelope, Key, Scheme, Vault, handle, handles
from .shape import read, write


class Mac(enum.IntEnum):
    """LoRaWAN versions, as numbers that compare."""

    V1_0_0 = native.LJS_MAC_1_0_0
    V1_0_1 = native.LJS_MAC_1_0_1
    V1_0_2 = native.LJS_MAC_1_0_2
    V1_0_3 = native.LJS_MAC_1_0_3
    V1_0_4 = native.LJS_MAC_1_0_4
    """From here on DevNonce is a counter."""
    V1_1 = native.LJS_MAC_1_1

    @classmethod
    def parse(cls, text: str) -> Mac:
        """From "1.0.3" and the like; InvalidError."""
        return cls(native.mac_parse(text))

    def __str__(self) -> str:
        return native.mac_text(self)


class State(enum.IntEnum):
    """Of a device's record."""

    FRESH = native.LJS_STATE_FRESH
    """Provisioned, has no session."""
    JOINED = native.LJS_STATE_JOINED
    """Has at least one session."""
    BLOCKED = native.LJS_STATE_BLOCKED
    """By an operator: nothing is answered but HomeNSReq."""
    REMOVED = native.LJS_STATE_REMOVED
    """A tombstone: keeps nonces so that a re-import cannot repeat them."""


class Has(enum.IntFlag):
    """Root keys that a record has."""

    NONE = 0
    NWK_KEY = native.LJS_HAS_NWK_KEY
    APP_KEY = native.LJS_HAS_APP_KEY
    GEN_APP_KEY = native.LJS_HAS_GEN_APP_KEY
    REKEY_KEY = native.LJS_HAS_REKEY_KEY


@dataclass(frozen=True, slots=True)
class Device:
    """A record's public half.  What stands from `state` on is read, never written."""

    dev_eui: EUI
    join_eui: EUI
    """The first of its JoinEUIs, see join_euis()."""
    mac: Mac
    """The highest LoRaWAN version that the device speaks."""
    next_join_nonce: int = 0
    """1 .. 0x1000000, the last of which means used up; 0 in a new one means 1."""
    require_1_1: bool = False
    """Refuses activation by the rules of 1.0 though it speaks 1.1."""
    home_net_id: NetID | None = None
    home_ns_id: EUI | None = None
    ns_kek_label: str = ""
    """The KEK for network keys; "" for the peer's own."""
    as_kek_label: str = ""
    """The KEK for AppSKey; "" for that of the peer that is as_id."""
    as_id: str = ""
    """The application server that may ask for AppSKey; "" for none."""
    x25519_public_key: bytes | None = None
    """32 octets, of the device's secure element, for rekeying."""
    lot: str = ""
    """The lot that its root keys come of (JoinServer.put_lot()); "" for keys of its own."""
    keys: Has = Has.NONE
    """Which it has; written for a device of a lot alone, where NONE is those that its version needs."""
    state: State = State.FRESH
    generation: int = 0
    """Of the store when it last gave a JoinNonce, see raise_generation()."""
    epoch: int = 0
    """Of the root keys; grows when they are replaced."""
    exposed: bool = False
    """Its root keys have left, or come in, in a parcel: others had them."""
    moved: bool = False
    """Blocked, since another Join Server answers for it."""
    join_euis: int = 1
    """How many."""
    sessions: int = 0
    """How many."""

    @classmethod
    def read(cls, record: bytes) -> Device:
        """Needs no key, and checks no tag."""
        return cls._of(native.device_read(record))

    @classmethod
    def _of(cls, d: native.device) -> Device:
        return read(cls, d, x25519_public_key=d.x25519_public_key if d.has_x25519 else None)

    def _native(self) -> native.device:
        d: native.device = write(native.device(), self, "x25519_public_key")
        if self.x25519_public_key is not None:
            d.has_x25519, d.x25519_public_key = 1, self.x25519_public_key
        return d


@dataclass(frozen=True, slots=True)
class Session:
    """The inputs of a session's keys, never a key."""

    session_key_id: bytes
    """16 octets."""
    kind: FrameKind
    """Of the request that made it."""
    scheme: Scheme
    mac: Mac
    """MACVersion of the request."""
    join_eui: EUI
    join_nonce: int
    nonce: int
    """DevNonce, RJcount0 or RJcount1 of the request."""
    epoch: int
    """Of the root keys it stands on."""
    net_id: NetID
    dev_addr: DevAddr
    dl_settings: int
    rx_delay: int
    cf_list: bytes | None
    proven: bool
    """An AppSKeyReq or a rejoin MIC showed it to be in use."""
    rj_count0: int | None
    """The last RJcount0 accepted under it."""
    at: int
    """`now` of the request."""


@dataclass(frozen=True, slots=True)
class JoinEUINonces:
    """What belongs to a device under one JoinEUI."""

    join_eui: EUI
    dev_nonce: int | None
    """The last DevNonce accepted."""
    dev_nonces_used: int
    """How many are known used; counted before 1.0.4 only."""
    rj_count1: int | None
    """The last RJcount1 accepted."""
    used: tuple[int, ...]
    """The DevNonces known used, rising."""


def sessions(record: bytes) -> list[Session]:
    """Newest first: the newest eight, and the last one proven."""
    return [read(Session, native.device_session(i, record)) for i in range(native.device_read(record).sessions)]


def join_euis(record: bytes) -> list[JoinEUINonces]:
    """The JoinEUIs of a record, at most four, and what was used under each."""
    found = []
    for i in range(native.device_read(record).join_euis):
        octets = native.device_dev_nonces(i, record)
        used = tuple(int.from_bytes(octets[at : at + 2], "little") for at in range(0, len(octets), 2))
        found.append(read(JoinEUINonces, native.device_join_eui(i, record), used=used))
    return found


def device_json(record: bytes) -> bytes:
    """A record's public half as one JSON object, as `lorajs device show` prints it."""
    return native.device_json(record)


@handles("vault")
def check_record(record: bytes, vault: Vault) -> None:
    """Check the record's tag: SealError when it was tampered with."""
    native.device_check(vault.native, record)


class Act(enum.IntEnum):
    """Acts of administration."""

    BLOCK = native.LJS_DEVICE_BLOCK
    """FRESH, JOINED -> BLOCKED."""
    UNBLOCK = native.LJS_DEVICE_UNBLOCK
    """BLOCKED -> FRESH or JOINED."""
    RESET_NONCES = native.LJS_DEVICE_RESET_NONCES
    """Forget DevNonces and RJcount1; never JoinNonce."""
    REMOVE = native.LJS_DEVICE_REMOVE
    """-> REMOVED: keys and sessions go, nonces stay."""
    EXPOSE = native.LJS_DEVICE_EXPOSE
    """Its root keys are about to leave: marked until each of them is another."""
    MOVE = native.LJS_DEVICE_MOVE
    """-> BLOCKED, and everything is Refused MOVED: another Join Server answers for it."""
    MOVE_BACK = native.LJS_DEVICE_MOVE_BACK
    """Ends MOVE: the other one does no more, and what it knew was received from it."""


@handles("vault")
def raise_generation(record: bytes, generation: int, vault: Vault) -> bytes:
    """The record as a store of this generation has it: JoinNonces that the store may have given before it was
    restored from a backup are passed over.  join() does the same by JoinRequest.generation.  SealError."""
    return native.device_raise(vault.native, generation, record)


@handles("vault")
def step_device(record: bytes, act: Act, vault: Vault) -> bytes:
    """An act of administration: the next record.  Fault STATE for an act that the device's state does not allow."""
    return native.device_step(vault.native, act, record)


@dataclass(frozen=True, slots=True)
class Routing:
    """Which servers a device belongs to.  What is left out (...) stays as it was, None takes it away."""

    home_net_id: int | None | EllipsisType = ...
    """The one network that may activate it."""
    home_ns_id: int | None | EllipsisType = ...
    """Its NSID."""
    ns_kek_label: str | None | EllipsisType = ...
    """The KEK for network keys; None for the peer's own."""
    as_kek_label: str | None | EllipsisType = ...
    """The KEK for AppSKey; None for that of the peer that is as_id."""
    as_id: str | None | EllipsisType = ...
    """The application server that may ask for AppSKey."""

    def _native(self) -> native.routing:
        made = native.routing()
        for bit, name in ((native.LJS_ROUTE_HOME_NET_ID, "home_net_id"), (native.LJS_ROUTE_HOME_NS_ID, "home_ns_id"),
                          (native.LJS_ROUTE_NS_KEK_LABEL, "ns_kek_label"),
                          (native.LJS_ROUTE_AS_KEK_LABEL, "as_kek_label"), (native.LJS_ROUTE_AS_ID, "as_id")):
            value = getattr(self, name)
            if value is ...:
                continue
            made.set |= bit
            if value is not None:
                setattr(made, name, value)
            if hasattr(native.routing, f"has_{name}"):
                setattr(made, f"has_{name}", int(value is not None))
        return made


@handles("vault")
def route_device(record: bytes, routing: Routing, vault: Vault) -> bytes:
    """Say where a device belongs: the next record.  Fault STATE for one that was removed."""
    return native.device_route(vault.native, routing._native(), record)


@handles("vault")
def rewrap_device(record: bytes, vault: Vault) -> bytes:
    """Bring a record under the vault's newest master key (Vault.add): the record to save, or the same object when
    there is nothing to do.  Fault SEAL when a part of it does not open."""
    return native.device_rewrap(vault.native, record) or record


@handles("vault")
def make_keyless_device(vault: Vault, dev_eui: int, join_eui: int, version: Mac) -> bytes:
    """The record of a device that is known by who it is, as by a manifest, and whose root keys are not here yet: until
    make_device() brings the first, a join is Refused NOKEY."""
    return native.device_make_keyless(vault.native, dev_eui, join_eui, version)


@handles("vault")
def add_join_eui(record: bytes, join_eui: int, vault: Vault) -> bytes:
    """One more JoinEUI, with nonces of its own; InvalidError when there are four."""
    return native.device_add_join_eui(vault.native, join_eui, record)


def _root_keys(nwk: Key | None, app: Key | None, gen_app: Key | None, rekey: Key | None) -> native.root_keys:
    """Borrows them: the caller keeps the keys until the call that takes this is over."""
    keys = native.root_keys()
    keys.nwk, keys.app, keys.gen_app, keys.rekey = handle(nwk), handle(app), handle(gen_app), handle(rekey)
    return keys


def _flags(replace_keys: bool, allow_weak: bool, keep_settings: bool = False) -> int:
    return ((native.LJS_MAKE_REPLACE_KEYS if replace_keys else 0) | (native.LJS_MAKE_ALLOW_WEAK if allow_weak else 0)
            | (native.LJS_MAKE_KEEP if keep_settings else 0))


def _nonces(used: Iterable[int]) -> bytes | None:
    return b"".join(nonce.to_bytes(2, "little") for nonce in used) or None


@handles("vault", "nwk_key", "app_key", "gen_app_key", "rekey_key")
def make_device(vault: Vault, device: Device, *, nwk_key: Key | None = None, app_key: Key | None = None,
                gen_app_key: Key | None = None, rekey_key: Key | None = None, record: bytes | None = None,
                replace_keys: bool = False, allow_weak: bool = False, keep_settings: bool = False,
                last_dev_nonce: int = -1, used_dev_nonces: Iterable[int] = ()) -> bytes:
    """The record of a new device, or `record` (also a tombstone) brought up to date.

    For LoRaWAN 1.0.x the one root key is nwk_key where present, else app_key; a 1.1 device needs both.  A device of a
    lot has none, and the vault must know the lot: Fault LOT.
    JoinNonce is never lowered, and used DevNonces are only ever added to while the root key that signs
    join-requests is the same.

    replace_keys     other root keys than the record has begin a new epoch, else they are Fault EXISTS
    keep_settings    what is set of a device that is there stays; of `device` only root keys, JoinNonce and version count
    allow_weak       take keys that are no secret, else Fault WEAK
    last_dev_nonce   used elsewhere, -1 for none (1.0.4 and later)
    used_dev_nonces  used elsewhere (before 1.0.4)"""
    return native.device_make(vault.native, device._native(), _root_keys(nwk_key, app_key, gen_app_key, rekey_key),
                              _flags(replace_keys, allow_weak, keep_settings), last_dev_nonce, _nonces(used_dev_nonces),
                              record)


class DeviceLine:
    """A device as a line of JSON, as `lorajs device import` reads it (include/lorajs/import.h); its root keys
    stay in guarded memory, and are gone with this object."""

    __slots__ = ("device", "join_euis", "last_dev_nonce", "used_dev_nonces", "_imported")

    device: Device
    join_euis: tuple[EUI, ...]
    last_dev_nonce: int
    """-1 for none."""
    used_dev_nonces: tuple[int, ...]

    def __init__(self, line: bytes | str) -> None:
        """InvalidError names the member that is wrong, and says what is wrong with it."""
        try:
            octets = bytearray(line.encode(errors="surrogatepass") if isinstance(line, str) else memoryview(line))
        finally:
            del line  # a traceback shows no key
        try:
            err, imported = native.import_parse(octets)
        finally:
            octets[:] = bytes(len(octets))
        if err:
            raise error(err, imported.fault)
        self._take(imported)

    @classmethod
    def _of(cls, imported: native.imported) -> DeviceLine:
        line = cls.__new__(cls)
        line._take(imported)
        return line

    def _take(self, imported: native.imported) -> None:
        d = imported.device
        self.device = Device._of(d)
        self.join_euis = tuple(EUI(eui) for eui in imported.join_eui[: d.join_euis])
        self.last_dev_nonce = imported.dev_nonce
        nonces = imported.dev_nonces
        self.used_dev_nonces = tuple(int.from_bytes(nonces[at : at + 2], "little") for at in range(0, len(nonces), 2))
        self._imported = imported

    def _root_keys(self) -> native.root_keys:
        """Borrowed from this object."""
        keys = native.root_keys()
        i = self._imported
        keys.nwk, keys.app, keys.gen_app, keys.rekey = i.nwk, i.app, i.gen_app, i.rekey
        return keys

    @handles("vault")
    def make(self, vault: Vault, record: bytes | None = None, *, replace_keys: bool = False,
             allow_weak: bool = False) -> bytes:
        """make_device() and add_join_eui() for all that the line says."""
        made = native.device_make(vault.native, self.device._native(), self._root_keys(),
                                  _flags(replace_keys, allow_weak), self.last_dev_nonce,
                                  _nonces(self.used_dev_nonces), record)
        for join_eui in self.join_euis[1:]:
            made = add_join_eui(made, join_eui, vault)
        return made

    @staticmethod
    def example() -> str:
        """Lines that can be imported, one for each LoRaWAN version."""
        return native.import_example()

    def __repr__(self) -> str:
        device = getattr(self, "device", None)  # a traceback shows one that could not be read, too
        return f"<DeviceLine of {device.dev_eui}>" if device else "<DeviceLine>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a DeviceLine is not pickled: it has keys")


# ---- joining ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A JoinReq or RejoinReq, and what the network wants in the answer."""

    phy: bytes
    """PHYPayload, air order: 19, 23 or 24 octets."""
    net_id: int
    """Of the network server; Home_NetID of the accept."""
    dev_addr: int
    mac: Mac = Mac.V1_0_0
    """MACVersion: the highest common to device and network."""
    rejoin: bool = False
    """The message is a RejoinReq."""
    rx_delay: int = 1
    """0..15"""
    dl_settings: int = 0
    """OptNeg is bit 7."""
    cf_list: bytes = b""
    """None, or 16 octets in air order."""
    clear: Clear = Clear.NONE
    """To whom keys may go without a KEK."""
    join_eui: int = EUI(0)
    """ReceiverID, for a rejoin 0 or 2, whose frame names none; 0: the device's first."""
    ns_id: int | None = None
    """SenderNSID."""
    peer: str = ""
    """Whom the transport vouches for."""
    generation: int = 0
    """Of the store that the record is in: the JoinNonces of a record of an earlier one are passed over, see
    raise_generation(); 0 in a store that was never restored."""
    session_key_id: bytes | None = None
    """16 octets for the session to be; None: drawn at random."""
    now: int = 0
    """Unix time, kept with the session; 0 when unknown."""
    resync: bool = False
    """Look for the keys of a device that is ahead, while its window is open (lorajs.rekey.rekey_resync()); whoever says so
    sees that this is not done too often."""

    def _native(self) -> native.join_req:
        request: native.join_req = write(native.join_req_init(), self)
        return request


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """The join-accept, and the session keys on their way to the servers."""

    phy: bytes
    """The join-accept, as the device is to receive it: 17 or 33 octets."""
    scheme: Scheme
    mac: Mac
    """By whose MACVersion the keys are to be sent."""
    f_nwk_s_int: Envelope | None
    """FNwkSIntKey; NwkSKey where mac is below 1.1."""
    s_nwk_s_int: Envelope | None
    """Absent where mac is below 1.1."""
    nwk_s_enc: Envelope | None
    """Absent where mac is below 1.1."""
    app_s: Envelope | None
    """Absent where there is no KEK for it and clear is not allowed."""
    session_key_id: bytes
    kind: FrameKind
    """Of the request."""
    dev_eui: EUI
    join_nonce: int
    nonce: int
    """DevNonce, RJcount0 or RJcount1 of the request."""
    repeat: bool
    """The same request again, answered with the same session."""
    on_word: bool
    """A rejoin 0 or 2 without a session of ours to check it: on the peer's word."""


KEK = tuple[str, Key]
"""A KEK: its label, and the key."""


def _kek(kek: KEK | None) -> tuple[native.key | None, str | None]:
    return (kek[1].native, kek[0]) if kek else (None, None)


@handles("vault", "ns_kek", "as_kek")
def join(record: bytes, request: JoinRequest, vault: Vault, *, ns_kek: KEK | None = None,
         as_kek: KEK | None = None) -> tuple[bytes, JoinAnswer]:
    """The join procedure: (record, request) -> (record to save before the answer is sent, answer).

    ns_kek  the KEK shared with the network server; without one Refused KEK, unless request.clear allows it
    as_kek  likewise for AppSKey; without one the answer has none but its SessionKeyID

    The record is the same object when nothing changed: the answer is that of a repeat.  Refused leaves it as
    it was: FrameError, Refused DEVICE, JOINEUI, BLOCKED, HOME, KEK, MAC, NOKEY, MIC, REPLAY, SPENT; SealError."""
    answer, after = native.join(vault.native, request._native(), *_kek(ns_kek), *_kek(as_kek), record)
    return after or record, read(JoinAnswer, answer)


@handles("vault", "as_kek")
def app_s_key(record: bytes, session_key_id: bytes, vault: Vault, *, as_id: str, as_kek: KEK | None = None,
              clear: Clear = Clear.NONE) -> tuple[bytes, Envelope]:
    """One AppSKeyReq: (record to save, AppSKey of a session we keep, for the application server as_id).

    The record is the same object when the session was proven before.  Refused SENDER, SESSION, KEK, BLOCKED,
    DEVICE."""
    envelope, after = native.app_s_key(vault.native, as_id, clear, *_kek(as_kek), session_key_id, record)
    opened = Envelope._of(envelope)
    assert opened
    return after or record, opened
