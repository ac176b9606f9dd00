"""Frames, devices and the pure steps: a record goes in, a record comes out."""

from __future__ import annotations

import enum
import operator
from dataclasses import dataclass
from typing import Iterable

from . import native
from .errors import NotFound
from .keys import Clear, Envelope, Key, Vault


class EUI(int):
    """A DevEUI or JoinEUI: a number that prints as 16 hexadecimal digits."""

    def __new__(cls, value: int | str) -> EUI:
        number = native.eui_parse(value) if isinstance(value, str) else operator.index(value)
        if not 0 <= number < 1 << 64:
            raise OverflowError("an EUI has 64 bits")
        return super().__new__(cls, number)

    def __str__(self) -> str:
        return f"{int(self):016x}"

    def __repr__(self) -> str:
        return f"EUI('{self}')"


class Mac(enum.IntEnum):
    """LoRaWAN versions."""

    V1_0_0 = native.LJS_MAC_1_0_0
    V1_0_1 = native.LJS_MAC_1_0_1
    V1_0_2 = native.LJS_MAC_1_0_2
    V1_0_3 = native.LJS_MAC_1_0_3
    V1_0_4 = native.LJS_MAC_1_0_4
    V1_1 = native.LJS_MAC_1_1

    @classmethod
    def parse(cls, text: str) -> Mac:
        """From "1.0.3" and the like."""
        return cls(native.mac_parse(text))

    def __str__(self) -> str:
        return native.mac_text(self)


class State(enum.IntEnum):
    FRESH = native.LJS_STATE_FRESH
    JOINED = native.LJS_STATE_JOINED
    BLOCKED = native.LJS_STATE_BLOCKED
    REMOVED = native.LJS_STATE_REMOVED


class FrameKind(enum.IntEnum):
    JOIN = native.LJS_FRAME_JOIN
    REJOIN0 = native.LJS_FRAME_REJOIN0
    REJOIN1 = native.LJS_FRAME_REJOIN1
    REJOIN2 = native.LJS_FRAME_REJOIN2


class Scheme(enum.IntEnum):
    V1_0 = native.LJS_SCHEME_1_0
    V1_1 = native.LJS_SCHEME_1_1


@dataclass(frozen=True)
class Frame:
    """A join-request or rejoin-request."""

    kind: FrameKind
    dev_eui: EUI
    join_eui: EUI = EUI(0)
    net_id: int = 0
    nonce: int = 0
    mic: bytes = bytes(4)

    @classmethod
    def parse(cls, phy: bytes) -> Frame:
        f = native.frame_parse(phy)
        return cls(FrameKind(f.kind), EUI(f.dev_eui), EUI(f.join_eui), f.net_id, f.nonce, f.mic)

    def _native(self) -> native.frame:
        f = native.frame()
        f.kind, f.dev_eui, f.join_eui = self.kind, self.dev_eui, self.join_eui
        f.net_id, f.nonce, f.mic = self.net_id, self.nonce, self.mic
        return f

    def build(self) -> bytes:
        """The PHYPayload, with the MIC as it stands."""
        return native.frame_build(self._native())

    def sign(self, key: Key) -> bytes:
        """The PHYPayload, with its MIC computed."""
        return native.frame_sign(self._native(), key.native)


@dataclass(frozen=True)
class Device:
    """A record's public half.  What stands below `as_id` is read, never written."""

    dev_eui: EUI
    join_eui: EUI
    mac: Mac
    next_join_nonce: int = 0
    require_1_1: bool = False
    home_net_id: int | None = None
    home_ns_id: EUI | None = None
    ns_kek_label: str = ""
    as_kek_label: str = ""
    as_id: str = ""
    state: State = State.FRESH
    epoch: int = 0
    join_euis: int = 1
    sessions: int = 0

    @classmethod
    def read(cls, record: bytes) -> Device:
        """Needs no key, and checks no tag."""
        d = native.device_read(record)
        return cls(EUI(d.dev_eui), EUI(d.join_eui), Mac(d.mac), d.next_join_nonce, bool(d.require_1_1),
                   d.home_net_id if d.has_home_net_id else None, EUI(d.home_ns_id) if d.has_home_ns_id else None,
                   d.ns_kek_label, d.as_kek_label, d.as_id, State(d.state), d.epoch, d.join_euis, d.sessions)

    def _native(self) -> native.device:
        d = native.device()
        d.dev_eui, d.join_eui, d.mac = EUI(self.dev_eui), EUI(self.join_eui), self.mac
        d.next_join_nonce, d.require_1_1 = self.next_join_nonce, int(self.require_1_1)
        if self.home_net_id is not None:
            d.has_home_net_id, d.home_net_id = 1, self.home_net_id
        if self.home_ns_id is not None:
            d.has_home_ns_id, d.home_ns_id = 1, EUI(self.home_ns_id)
        d.ns_kek_label, d.as_kek_label, d.as_id = self.ns_kek_label, self.as_kek_label, self.as_id
        return d


@dataclass(frozen=True)
class Session:
    """The inputs of a session's keys, never a key."""

    session_key_id: bytes
    kind: FrameKind
    scheme: Scheme
    join_nonce: int
    nonce: int
    net_id: int
    dev_addr: int
    proven: bool
    at: int


def sessions(record: bytes) -> list[Session]:
    """Newest first."""
    found: list[Session] = []
    try:
        while True:
            s = native.device_session(len(found), record)
            found.append(Session(s.session_key_id, FrameKind(s.kind), Scheme(s.scheme), s.join_nonce, s.nonce,
                                 s.net_id, s.dev_addr, bool(s.proven), s.at))
    except NotFound:
        return found


def _root_keys(nwk: Key | None, app: Key | None, gen_app: Key | None, rekey: Key | None) -> native.root_keys:
    """Borrows them: the caller keeps the keys until the call that takes this is over."""
    keys = native.root_keys()
    keys.nwk, keys.app = nwk and nwk.native, app and app.native
    keys.gen_app, keys.rekey = gen_app and gen_app.native, rekey and rekey.native
    return keys


def _flags(replace_keys: bool, allow_weak: bool) -> int:
    return (native.LJS_MAKE_REPLACE_KEYS if replace_keys else 0) | (native.LJS_MAKE_ALLOW_WEAK if allow_weak else 0)


def _nonces(used: Iterable[int]) -> bytes | None:
    return b"".join(nonce.to_bytes(2, "little") for nonce in used) or None


def make_device(vault: Vault, device: Device, *, nwk_key: Key | None = None, app_key: Key | None = None,
                gen_app_key: Key | None = None, rekey_key: Key | None = None, record: bytes | None = None,
                replace_keys: bool = False, allow_weak: bool = False, last_dev_nonce: int = -1,
                used_dev_nonces: Iterable[int] = ()) -> bytes:
    """The record of a new device, or `record` brought up to date."""
    return native.device_make(vault.native, device._native(), _root_keys(nwk_key, app_key, gen_app_key, rekey_key),
                              _flags(replace_keys, allow_weak), last_dev_nonce, _nonces(used_dev_nonces), record)


@dataclass(frozen=True)
class JoinRequest:
    """A join- or rejoin-request, and what the network wants in the answer."""

    phy: bytes
    net_id: int
    dev_addr: int
    mac: Mac = Mac.V1_0_0
    rejoin: bool = False
    rx_delay: int = 1
    dl_settings: int = 0
    cf_list: bytes = b""
    clear: Clear = Clear.NONE
    ns_id: EUI | None = None
    peer: str = ""
    now: int = 0  # Unix time, kept with the session; 0 when unknown

    def _native(self) -> native.join_req:
        r = native.join_req_init()
        r.phy, r.phy_len = self.phy, len(self.phy)
        r.net_id, r.dev_addr, r.mac, r.rejoin = self.net_id, self.dev_addr, self.mac, int(self.rejoin)
        r.rx_delay, r.dl_settings, r.clear = self.rx_delay, self.dl_settings, int(self.clear)
        r.cf_list, r.cf_list_len = self.cf_list, len(self.cf_list)
        if self.ns_id is not None:
            r.has_ns_id, r.ns_id = 1, EUI(self.ns_id)
        r.peer, r.now = self.peer, self.now
        return r


@dataclass(frozen=True)
class JoinAnswer:
    """The join-accept, and the session keys on their way to the servers."""

    phy: bytes
    scheme: Scheme
    mac: Mac
    f_nwk_s_int: Envelope | None
    s_nwk_s_int: Envelope | None
    nwk_s_enc: Envelope | None
    app_s: Envelope | None
    session_key_id: bytes
    kind: FrameKind
    dev_eui: EUI
    join_nonce: int
    nonce: int
    repeat: bool
    on_word: bool


def _kek(kek: tuple[str, Key] | None) -> tuple[native.key | None, str | None]:
    return (kek[1].native, kek[0]) if kek else (None, None)


def join(vault: Vault, request: JoinRequest, record: bytes, *, ns_kek: tuple[str, Key] | None = None,
         as_kek: tuple[str, Key] | None = None) -> tuple[JoinAnswer, bytes]:
    """(request, record) -> (answer, record to save before the answer is sent).

    A KEK is its label and its key.  The record is the same object when nothing changed."""
    a, after = native.join(vault.native, request._native(), *_kek(ns_kek), *_kek(as_kek), record)
    answer = JoinAnswer(a.phy[: a.phy_len], Scheme(a.scheme), Mac(a.mac), Envelope._of(a.f_nwk_s_int),
                        Envelope._of(a.s_nwk_s_int), Envelope._of(a.nwk_s_enc), Envelope._of(a.app_s),
                        a.session_key_id, FrameKind(a.kind), EUI(a.dev_eui), a.join_nonce, a.nonce, bool(a.repeat),
                        bool(a.on_word))
    return answer, after or record
