"""The Join Server: Backend Interfaces messages in, answers out."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, TypeVar

from . import native, shape
from .air import FrameKind
from .device import Act, Device, DeviceLine, Routing, _flags, _nonces, _root_keys
from .errors import Alone, ClosedError, Code, Error, MessageError, error
from .ids import EUI, NetID
from .keys import Clear, Envelope, Key, Vault, handles
from .message import MessageType
from .parcel import Parcel
from .rekey import RekeyAct, RekeyMessage, RekeyOptions, ResyncOptions
from .shape import read
from .store import Store, StoreBase


Self = TypeVar("Self", bound="JoinServer")  # typing.Self is of Python 3.11


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that may ask, by the name under which your transport vouches for it."""

    name: str
    net_ids: tuple[int, ...] = ()
    """It is the network server of these NetIDs."""
    ns_ids: tuple[int, ...] = ()
    """It speaks for these NSIDs, and must send one of them in a message of 1.1."""
    as_ids: tuple[str, ...] = ()
    """It is the application server of these AS-IDs."""
    keks: tuple[str, ...] = ()
    """Labels of the KEKs it holds; the first is the one for devices that name none."""
    clear: Clear = Clear.NONE
    """Which keys may reach it unwrapped."""

    def __post_init__(self) -> None:
        if isinstance(self.as_ids, str) or isinstance(self.keks, str):  # a comma was forgotten
            raise TypeError("as_ids and keks are tuples of texts, not a text")


class Alarm(enum.IntEnum):
    """What a join or rejoin was noticed for, beside its answer: signs of two devices that are one, or of recorded
    frames that somebody plays.  Nothing is ever refused for an alarm."""

    NONE = native.LJS_ALARM_NONE
    BACKWARD = native.LJS_ALARM_BACKWARD
    """More than JoinServer(alarm_refusals) counts with a good MIC below the highest one within a day."""
    INTERLEAVED = native.LJS_ALARM_INTERLEAVED
    """Two counts of one device rise in turns."""
    NETWORK = native.LJS_ALARM_NETWORK
    """Joined by one network within JoinServer(alarm_window) of another."""

    def __str__(self) -> str:
        """"backward"; "" for NONE."""
        return native.alarm_text(self)


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, as the log and decisions() tell it.  It has no room for a key, and that is on purpose."""

    at: int
    """`now` of the call."""
    code: Code
    type: MessageType
    kind: FrameKind
    """Of the frame, where there was one."""
    dev_eui: EUI
    """0 when none could be read."""
    net_id: NetID
    nonce: int
    """DevNonce, RJcount0 or RJcount1."""
    count: int
    """How often the same was seen in a row."""
    repeat: bool
    """Answered as a repeat."""
    on_word: bool
    """A rejoin taken on the peer's word."""
    alarm: Alarm
    peer: str

    @property
    def error(self) -> str:
        """The short name of the code; "OK"."""
        return self.code.name

    @property
    def text(self) -> str:
        """What the code means."""
        return self.code.text

    @property
    def remedy(self) -> str:
        """What an operator can do about it."""
        return self.code.remedy

    @classmethod
    def _from(cls, event: native.event) -> Decision:
        return read(cls, event, code=Code(event.err))


class Call(NamedTuple):
    """One message of a batch."""

    message: bytes
    """Backend Interfaces, as JSON."""
    peer: str | None = None
    """Whom the transport vouches for; None when it vouches for none."""
    now: int = 0
    """Unix time in seconds."""


class JoinServer:
    """A Join Server over a vault and a store, both kept alive by it.  Any thread may call it.

    After a fork the child cannot use it: Fault STATE."""

    def __init__(self, vault: Vault, store: Store | StoreBase, *, retries: int = 0, lifetime: int = 0,
                 rejoin_window: int = 0, alarm_window: int = 0, alarm_refusals: int = 0, anonymous: bool = False,
                 clear: Clear = Clear.NONE, audit: bool | None = None, log: Callable[[Decision], object] | None = None,
                 experimental: bool = False) -> None:
        """A store that has never been used is made this vault's; any other must be, or it is SealError.

        retries        after a fault of the store, and eight times as often after a conflict; 0 means 8
        lifetime       Lifetime of answers, in seconds; 0 promises nothing
        rejoin_window  seconds; a device whose newest eight sessions were all made by rejoins within them gets
                       Refused BUSY for the next rejoin; 0: no guard
        alarm_window   seconds within which a join by another network is Alarm.NETWORK; 0: no such alarm
        alarm_refusals  more counts than these below the highest one in a day are Alarm.BACKWARD; 0: neither that
                       nor Alarm.INTERLEAVED
        anonymous      answers requests without a peer too, and `clear` is for those: a laboratory on loopback
        audit          True keeps an audit log (lorajs.audit), False ends one that was begun; None does as the store says
        log            is told each decision, in the thread of the call that made it; what it raises comes out of
                       that call, though the answer is durable
        experimental   rekeys may begin (lorajs.rekey); those that did are always carried on"""
        self._server: native.server | None = None
        self.acting = threading.RLock()  # of lorajs.admin: the audit log is told who acts
        if not isinstance(vault, Vault):
            del vault  # a traceback shows no key
            raise TypeError("vault is a Vault: Vault.from_file(path) reads its key, Vault.generate() makes one")
        if isinstance(store, StoreBase):
            store = Store.custom(store)
        if not isinstance(store, Store):
            raise TypeError("store is a Store, or a StoreBase of yours: Store.sqlite(path) opens a file, "
                            "Store.memory() is gone with the process")
        if log is not None and not callable(log):
            raise TypeError("log is a callable, or None")
        if audit is not None and not isinstance(audit, bool):
            raise TypeError("audit is True, False or None")
        opts = native.server_opts()
        opts.retries, opts.lifetime, opts.rejoin_window = retries, lifetime, rejoin_window
        opts.alarm_window, opts.alarm_refusals = alarm_window, alarm_refusals
        opts.anonymous, opts.clear, opts.experimental = int(anonymous), int(clear), int(experimental)
        opts.audit = {None: native.LJS_AUDIT_AS_STORE, True: native.LJS_AUDIT_ON,
                      False: native.LJS_AUDIT_SWITCH_OFF}[audit]
        if log is not None:
            opts.log_to(_told(log))
        self._server = native.server_new(vault.native, store._open, opts)

    @property
    def _open(self) -> native.server:
        if self._server is None:
            raise ClosedError("the join server is closed")
        return self._server

    def handle(self, message: bytes, *, peer: str | None = None, now: int = 0) -> bytes:
        """Answer one Backend Interfaces message; refusals are answers too, and so are faults of the store.

        peer  whom your transport vouches for
        now   Unix time in seconds

        MessageError for octets that are no message at all, with the JSON that says so as its `answer`; what a
        store in Python raises, as it is."""
        server = self._server  # no property here: what Python does for a call, other threads wait for
        err, answer = native.server_handle(self._open if server is None else server, peer, now, message)
        if err:
            raise _unanswered(err, answer)
        return answer

    def handle_batch(self, calls: Iterable[Call]) -> list[bytes | Exception]:
        """Answer many messages with as few commits as the devices in them allow: the answer to each, or what
        handle() would have raised.  A call of wrong types comes out of here, before anything is done.

        What a store in Python raises from get() belongs to the message that was being looked at, and the others
        go on; what it raises from commit(), to all that are not answered yet.  KeyboardInterrupt and its like
        come out of here."""
        asked = [(peer, now, message) for message, peer, now in calls]
        return [  # no name for what comes out: what a store raised has this frame in its traceback
            raised if raised is not None else _unanswered(err, answer) if err else answer
            for err, answer, raised in native.server_handle_batch(self._open, asked)
        ]

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

    @handles("nwk_key", "app_key", "gen_app_key", "rekey_key")
    def make_device(self, device: Device, *, nwk_key: Key | None = None, app_key: Key | None = None,
                    gen_app_key: Key | None = None, rekey_key: Key | None = None, replace_keys: bool = False,
                    allow_weak: bool = False, keep_settings: bool = False, last_dev_nonce: int = -1,
                    used_dev_nonces: Iterable[int] = ()) -> None:
        """lorajs.make_device() over what the store has of the device."""
        native.server_make_device(self._open, device._native(), _root_keys(nwk_key, app_key, gen_app_key, rekey_key),
                                  _flags(replace_keys, allow_weak, keep_settings), last_dev_nonce,
                                  _nonces(used_dev_nonces))

    def import_device(self, line: DeviceLine, *, replace_keys: bool = False, allow_weak: bool = False) -> None:
        """A device as a line of JSON, as `lorajs device import` takes it."""
        native.server_make_device(self._open, line.device._native(), line._root_keys(),
                                  _flags(replace_keys, allow_weak), line.last_dev_nonce,
                                  _nonces(line.used_dev_nonces))
        for join_eui in line.join_euis[1:]:
            self.add_join_eui(line.device.dev_eui, join_eui)

    def import_devices(self, lines: Iterable[DeviceLine], *, replace_keys: bool = False,
                       allow_weak: bool = False) -> list[Error | None]:
        """Many of them, each by itself, with one commit for each 64: why each was refused, None where it was not."""
        results = native.server_import(self._open, [line._imported for line in lines], _flags(replace_keys, allow_weak))
        return [error(result) if result else None for result in results]

    def add_join_eui(self, dev_eui: int, join_eui: int) -> None:
        """One more JoinEUI for the device, with nonces of its own; InvalidError when it has four."""
        native.server_add_join_eui(self._open, dev_eui, join_eui)

    def record(self, dev_eui: int) -> bytes:
        """The record itself, its tag checked; NotFound for a DevEUI never seen."""
        return native.server_get_device(self._open, dev_eui)

    def device(self, dev_eui: int) -> Device:
        """Its public half; NotFound for a DevEUI never seen."""
        return Device.read(self.record(dev_eui))

    def devices(self) -> list[EUI]:
        """Every DevEUI, rising, removed ones too."""
        found: list[EUI] = []
        self.each_device(found.append)
        return found

    def each_device(self, row: Callable[[EUI], object], first: int = 0, last: int = 0xffffffffffffffff) -> None:
        """Give every DevEUI from `first` to `last` to `row`, rising, removed ones too.  What it raises comes out of
        here, and ends it."""
        native.server_each_device_in(self._open, first, last, lambda dev_eui: row(EUI(dev_eui)))

    def land(self, parcel: Parcel, *, replace_keys: bool = False, allow_weak: bool = False) -> None:
        """Parcel.land() of the device that comes by, over what the store has of it."""
        with parcel.alone:
            native.server_land_device(self._open, parcel.native, _flags(replace_keys, allow_weak))

    def land_held(self, parcel: Parcel, *, replace_keys: bool = False, allow_weak: bool = False) -> None:
        """land() of all that Parcel.hold() has kept, with one commit: all of them or none."""
        with parcel.alone:
            native.server_land_held(self._open, parcel.native, _flags(replace_keys, allow_weak))

    def step(self, dev_eui: int, act: Act) -> None:
        """lorajs.step_device() over the store."""
        native.server_step_device(self._open, dev_eui, act)

    def step_devices(self, dev_euis: Iterable[int], act: Act) -> list[Error | None]:
        """step() for many, each by itself, with one commit for each 64: why each was refused, None where it was not."""
        return [error(result) if result else None for result in native.server_step_devices(self._open, dev_euis, act)]

    def route(self, dev_eui: int, routing: Routing) -> None:
        """lorajs.route_device() over the store."""
        native.server_route_device(self._open, dev_eui, routing._native())

    def rekey_begin(self, dev_eui: int, options: RekeyOptions) -> bytes:
        """lorajs.rekey.rekey_begin() over the store: the command is durable.  InvalidError without `experimental`."""
        return native.server_rekey_begin(self._open, dev_eui, options.native_opts())

    def rekey_answer(self, dev_eui: int, octets: bytes) -> RekeyMessage:
        """lorajs.rekey.rekey_answer() over the store."""
        return shape.read(RekeyMessage, native.server_rekey_answer(self._open, dev_eui, octets))

    def rekey_abort(self, dev_eui: int, *, force: bool = False) -> bytes:
        """lorajs.rekey.rekey_abort() over the store."""
        return native.server_rekey_abort(self._open, dev_eui, int(force))

    def rekey_step(self, dev_eui: int, act: RekeyAct) -> None:
        """lorajs.rekey.rekey_step() over the store."""
        native.server_rekey_step(self._open, dev_eui, act)

    def rekey_resync(self, dev_eui: int, options: ResyncOptions) -> None:
        """lorajs.rekey.rekey_resync() over the store; once in four seconds at most.  InvalidError without `experimental`."""
        native.server_rekey_resync(self._open, dev_eui, options.native_opts())

    def block(self, dev_eui: int) -> None:
        """Nothing is answered to it any more but HomeNSReq."""
        self.step(dev_eui, Act.BLOCK)

    def unblock(self, dev_eui: int) -> None:
        """Take block() back."""
        self.step(dev_eui, Act.UNBLOCK)

    def reset_nonces(self, dev_eui: int) -> None:
        """Forget DevNonces and RJcount1; never the JoinNonce."""
        self.step(dev_eui, Act.RESET_NONCES)

    def remove(self, dev_eui: int) -> None:
        """Keys and sessions go, nonces stay."""
        self.step(dev_eui, Act.REMOVE)

    def decisions(self, dev_eui: int) -> list[Decision]:
        """The last decisions about a device other than new sessions, newest first, as flush() wrote them."""
        found: list[Decision] = []
        while True:
            err, event = native.server_decision(self._open, dev_eui, len(found))
            if err == Code.NOTFOUND:
                return found
            if err:
                raise error(err)
            found.append(Decision._from(event))

    def each_decision(self, row: Callable[[Decision], object], first: int = 0, last: int = 0xffffffffffffffff) -> None:
        """Give decisions() of every device from `first` to `last` to `row`, DevEUIs rising, of each the newest first.
        Of a device whose decisions cannot be read there is one with code SEAL or VERSION and a count of 0.  What `row`
        raises comes out of here, and ends it."""
        native.server_each_decision(self._open, first, last, lambda event: row(Decision._from(event)))

    # -- KEKs

    @handles("kek")
    def put_kek(self, label: str, kek: Key, *, replace: bool = False) -> None:
        """Keep a KEK under a label of 1 to 127 octets; Fault EXISTS when another key has it."""
        native.server_put_kek(self._open, label, kek.native, int(replace))

    def del_kek(self, label: str) -> None:
        """NotFound."""
        native.server_del_kek(self._open, label)

    def rotate_kek(self, label: str, to: str, *, peer: str | None = None, use: KekUse | None = None) -> None:
        """From the next message on `to` is used wherever `label` is named, for this peer or for all; for `label`
        itself none is any more.  NotFound; Fault STATE when `to` is retired or leads back."""
        native.server_rotate_kek(self._open, label, to, peer, KekUse.NS | KekUse.AS if use is None else use)

    def retire_kek(self, label: str, *, retired: bool = True) -> None:
        """It wraps nothing any more, or does so again.  NotFound."""
        native.server_retire_kek(self._open, label, int(retired))

    def kek(self, label: str) -> Kek:
        """What there is to tell of it; NotFound."""
        found = native.server_get_kek(self._open, label)
        nexts = (native.server_kek_next(self._open, label, i) for i in range(found.nexts))
        return Kek(found.label, found.len, bool(found.retired),
                   tuple(KekNext(n.label, n.peer or None, KekUse(n.use)) for n in nexts))

    def keks(self) -> list[tuple[str, int]]:
        """(label, octets) of each."""
        found: list[tuple[str, int]] = []
        native.server_each_kek(self._open, lambda label, octets: found.append((label, octets)))
        return found

    # -- lots

    @handles("key")
    def put_lot(self, label: str, key: Key) -> None:
        """Keep the key of a lot, 16 octets, for devices whose Device.lot it is.  It stays for good: Fault EXISTS when
        another key has this label, or had, in a lot that is lost."""
        native.server_put_lot(self._open, label, key.native)

    def make_lot(self, label: str, kek_label: str) -> Envelope:
        """Make a lot whose key nobody has seen, in the token where keys are in one.  It leaves this once, under a KEK of
        put_kek(), for whoever personalizes the devices.  Fault EXISTS when the label is taken, Refused KEK for no such
        KEK or a retired one."""
        envelope = Envelope._of(native.server_make_lot(self._open, label, kek_label))
        assert envelope
        return envelope

    def lots(self) -> list[str]:
        """Their labels."""
        found: list[str] = []
        native.server_each_lot(self._open, found.append)
        return found

    # -- another master key

    @handles("to")
    def rotate(self, to: Key) -> None:
        """The store's new master key, 32 octets, which must be durable elsewhere: from now on both open it, and the
        new one seals and tags.  Then rewrap().  Fault EXISTS while a change to another is under way."""
        native.server_rotate(self._open, to.native)

    def refresh(self) -> None:
        """Look whether the store has another master key, and take it, as flush() does; SealError when the vault has
        none any more that opens it."""
        native.server_refresh(self._open)

    def rewrap(self) -> Rewrap:
        """A walk that brings every value under the newest master key, while others go on serving."""
        return Rewrap(self._open)

    # -- operation

    def ready(self) -> None:
        """Raise when the store cannot be read."""
        native.server_ready(self._open)

    def count(self, type: MessageType, code: int = Code.OK) -> int:
        """How many messages of a type were answered with this code so far."""
        return native.server_count(self._open, type, code)

    def alarms(self, alarm: Alarm) -> int:
        """How many of a kind there were so far."""
        return native.server_alarms(self._open, alarm)

    def flush(self) -> None:
        """Write what decisions() tells of refusals: call it every few seconds, and before the end."""
        native.server_flush(self._open)

    def close(self) -> None:
        """Let go of the server; it is freed when the last call in flight returns."""
        self._server = None

    __del__ = close  # before vault and store go, whatever order the collector takes

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class KekUse(enum.IntFlag):
    """What a KEK is used for."""

    NS = native.LJS_USE_NS
    """Network keys, to a network server."""
    AS = native.LJS_USE_AS
    """AppSKey, to an application server."""


@dataclass(frozen=True, slots=True)
class KekNext:
    """A KEK that is used in the place of another."""

    label: str
    peer: str | None
    """For whom; None for all."""
    use: KekUse


@dataclass(frozen=True, slots=True)
class Kek:
    """A KEK, but for its key."""

    label: str
    octets: int
    retired: bool
    nexts: tuple[KekNext, ...]
    """What is used in its place."""


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """How far a walk has come."""

    values: int
    """Of this pass, as they were counted at its beginning."""
    looked: int
    """So many of them were opened, or tried."""
    changed: int
    """Written again, in all passes."""
    damaged: int
    """Of this pass, that no version of the master key opens."""
    passes: int
    """From 1; the last one is that in which nothing had to be written."""
    done: bool
    """Everything but what is damaged is under the newest master key."""
    what: str
    """The last that was damaged, in words; "" for none."""


class Rewrap:
    """A walk over all values of a store, of which each is brought under the newest master key.

        server.rotate(new)
        walk = server.rewrap()
        while not walk.step().done: ...
        walk.retire()

    One thread at a time: Fault STATE for another.  Cut off anywhere, another walk goes on."""

    def __init__(self, server: native.server) -> None:
        """JoinServer.rewrap() makes it."""
        self._alone = Alone()
        self._rewrap = native.rewrap_new(server)

    def step(self, n: int = 64) -> Rewrapped:
        """The next n values, 1 to 1024; Fault VERSION for one of a newer lorajs."""
        with self._alone:
            s = native.rewrap_step(self._rewrap, n)
        return Rewrapped(s.values, s.looked, s.changed, s.damaged, s.passes, bool(s.done), s.what)

    def retire(self, *, leave_damaged: bool = False) -> None:
        """End the old master key; in a token, destroy the older storage keys for good.  Fault STATE when the walk is
        not done, or values are damaged and not to be left."""
        with self._alone:
            native.rewrap_retire(self._rewrap, native.LJS_REWRAP_LEAVE_DAMAGED if leave_damaged else 0)


def _told(log: Callable[[Decision], object]) -> Callable[[native.event], object]:
    return lambda event: log(Decision._from(event))


def _unanswered(err: int, answer: bytes) -> Exception:
    raised = error(err)
    if isinstance(raised, MessageError):
        raised.answer = answer
    return raised
