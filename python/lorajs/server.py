"""The Join Server: Backend Interfaces messages in, answers out."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from os import PathLike, fspath
from types import TracebackType
from typing import Iterable

from . import native
from .device import EUI, Device, _flags, _nonces, _root_keys
from .errors import ClosedError, NotFound, error
from .keys import Clear, Key, Vault


class Store:
    """Where records live."""

    __slots__ = ("native",)

    def __init__(self, handle: native.store) -> None:
        self.native = handle

    @classmethod
    def memory(cls) -> Store:
        """Gone with the process."""
        return cls(native.store_memory())

    @classmethod
    def sqlite(cls, path: str | PathLike[str]) -> Store:
        """One SQLite file, made when it is not there."""
        return cls(native.store_sqlite(fspath(path)))


class MessageType(enum.IntEnum):
    NONE = native.LJS_MSG_NONE
    JOIN_REQ = native.LJS_MSG_JOIN_REQ
    REJOIN_REQ = native.LJS_MSG_REJOIN_REQ
    APP_S_KEY_REQ = native.LJS_MSG_APP_S_KEY_REQ
    HOME_NS_REQ = native.LJS_MSG_HOME_NS_REQ


@dataclass(frozen=True)
class Peer:
    """A server that may ask, by the name under which your transport vouches for it."""

    name: str
    net_ids: tuple[int, ...] = ()
    ns_ids: tuple[int, ...] = ()
    as_ids: tuple[str, ...] = ()
    keks: tuple[str, ...] = ()  # labels of the KEKs it holds
    clear: Clear = Clear.NONE


@dataclass(frozen=True)
class Decision:
    """What was decided about a device, and why."""

    at: int
    error: str  # short name of the error; "OK"
    text: str
    remedy: str
    type: int
    nonce: int
    count: int
    peer: str


class JoinServer:
    """A Join Server over a vault and a store, both kept alive by it.  Any thread may call it."""

    def __init__(self, vault: Vault, store: Store, *, retries: int = 0, lifetime: int = 0, anonymous: bool = False,
                 clear: Clear = Clear.NONE) -> None:
        """`anonymous` answers requests without a peer too, and `clear` is for those: a laboratory."""
        self._server: native.server | None = None
        opts = native.server_opts()
        opts.retries, opts.lifetime, opts.anonymous, opts.clear = retries, lifetime, int(anonymous), int(clear)
        self._keep = (vault, store)
        self._server = native.server_new(vault.native, store.native, opts)

    @property
    def _open(self) -> native.server:
        if self._server is None:
            raise ClosedError("the join server is closed")
        return self._server

    def handle(self, message: bytes, *, peer: str | None = None, now: int = 0) -> bytes:
        """Answer one Backend Interfaces message; refusals are answers too.

        `peer` is whom your transport vouches for.  MessageError for octets that are no message at all."""
        err, answer = native.server_handle(self._open, peer, now, message)
        if err:
            raise error(err)
        return answer

    def set_peers(self, peers: Iterable[Peer]) -> None:
        """Who may ask, from the next message on."""
        made = native.peers_new()
        for peer in peers:
            native.peers_add(made, peer.name, int(peer.clear))
            for net_id in peer.net_ids:
                native.peers_add_net_id(made, peer.name, net_id)
            for ns_id in peer.ns_ids:
                native.peers_add_ns_id(made, peer.name, ns_id)
            for as_id in peer.as_ids:
                native.peers_add_as_id(made, peer.name, as_id)
            for label in peer.keks:
                native.peers_add_kek(made, peer.name, label)
        native.server_set_peers(self._open, made)

    # -- devices

    def make_device(self, device: Device, *, nwk_key: Key | None = None, app_key: Key | None = None,
                    gen_app_key: Key | None = None, rekey_key: Key | None = None, replace_keys: bool = False,
                    allow_weak: bool = False, last_dev_nonce: int = -1, used_dev_nonces: Iterable[int] = ()) -> None:
        """lorajs.make_device() over what the store has of the device."""
        native.server_make_device(self._open, device._native(), _root_keys(nwk_key, app_key, gen_app_key, rekey_key),
                                  _flags(replace_keys, allow_weak), last_dev_nonce, _nonces(used_dev_nonces))

    def add_join_eui(self, dev_eui: int, join_eui: int) -> None:
        native.server_add_join_eui(self._open, dev_eui, join_eui)

    def record(self, dev_eui: int) -> bytes:
        """The record itself; NotFound for a DevEUI never seen."""
        return native.server_get_device(self._open, dev_eui)

    def device(self, dev_eui: int) -> Device:
        return Device.read(self.record(dev_eui))

    def devices(self) -> list[EUI]:
        """Every DevEUI, rising, removed ones too."""
        found: list[EUI] = []
        native.server_each_device(self._open, lambda dev_eui: found.append(EUI(dev_eui)))
        return found

    def block(self, dev_eui: int) -> None:
        native.server_step_device(self._open, dev_eui, native.LJS_DEVICE_BLOCK)

    def unblock(self, dev_eui: int) -> None:
        native.server_step_device(self._open, dev_eui, native.LJS_DEVICE_UNBLOCK)

    def reset_nonces(self, dev_eui: int) -> None:
        """Forget DevNonces and RJcount1; never the JoinNonce."""
        native.server_step_device(self._open, dev_eui, native.LJS_DEVICE_RESET_NONCES)

    def remove(self, dev_eui: int) -> None:
        """Keys and sessions go, nonces stay."""
        native.server_step_device(self._open, dev_eui, native.LJS_DEVICE_REMOVE)

    def decisions(self, dev_eui: int) -> list[Decision]:
        """The last decisions about a device other than new sessions, as flush() wrote them."""
        found: list[Decision] = []
        try:
            while True:
                e = native.server_decision(self._open, dev_eui, len(found))
                found.append(Decision(e.at, native.errname(e.err), native.strerror(e.err), native.remedy(e.err),
                                      e.type, e.nonce, e.count, e.peer))
        except NotFound:
            return found

    # -- KEKs

    def put_kek(self, label: str, kek: Key, *, replace: bool = False) -> None:
        native.server_put_kek(self._open, label, kek.native, int(replace))

    def del_kek(self, label: str) -> None:
        native.server_del_kek(self._open, label)

    def keks(self) -> list[tuple[str, int]]:
        """(label, octets) of each."""
        found: list[tuple[str, int]] = []
        native.server_each_kek(self._open, lambda label, octets: found.append((label, octets)))
        return found

    # -- operation

    def ready(self) -> None:
        """Raise when the store cannot be read."""
        native.server_ready(self._open)

    def count(self, type: MessageType, code: int = 0) -> int:
        """How many messages of a type were answered with this ljs_err so far."""
        return native.server_count(self._open, type, code)

    def flush(self) -> None:
        """Write what decisions() tells of refusals."""
        native.server_flush(self._open)

    def close(self) -> None:
        """Let go of the server; it is freed when the last call in flight returns."""
        self._server = None

    __del__ = close  # before vault and store go, whatever order the collector takes

    def __enter__(self) -> JoinServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
