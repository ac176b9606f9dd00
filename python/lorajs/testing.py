"""Simulated devices on a channel as bad as you like, for tests of what is built around a Join Server.

    device      SimulatedDevice: joins, checks what it is answered, sends data, rekeys and rejoins
    channel     Channel: loses, doubles, holds back; in front of a network, and itself one
    network     yours: a callable from an Uplink to the downlinks that answer it
    trace       Trace: what was said by whom, as text or as a Mermaid sequence diagram

Nobody sleeps: time is a Clock that the test moves.  All that is drawn follows from a seed, so that
what failed fails again.  pytest has these as fixtures, see lorajs.pytest_plugin; nothing here needs
pytest."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Iterable, Iterator, Union

from . import native
from .air import Frame, FrameKind
from .device import Device, Mac
from .errors import Error, FrameError, Refused
from .ids import EUI
from .keys import Clear, Envelope, Key, Scheme, Vault
from .server import JoinServer
from .store import Store

DEVICE, NETWORK, JOIN_SERVER = "device", "network", "join server"
AIRTIME = 1500  # of each frame, in ms
RX = {True: 5000, False: 1000}  # ms until the answer to a (re)join-request, and to data


class Clock:
    """Milliseconds since the test began."""

    def __init__(self) -> None:
        self.now = 0

    def advance(self, ms: int) -> None:
        """ValueError for a step back."""
        if ms < 0:
            raise ValueError("a clock does not go back")
        self.now += ms


# -- what was said


@dataclass(frozen=True)
class Entry:
    """A message, or a note where `to` is None."""

    at: int  # ms
    whose: str
    to: str | None
    text: str
    lost: bool = False


def _time(ms: int) -> str:
    return (f"{ms // 86_400_000:3}d {ms // 3_600_000 % 24:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}"
            f".{ms % 1000:03}")


class Trace:
    """What was said, in its order; as `lorajs simulate --trace` and `--diagram` tell it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def message(self, at: int, whose: str, to: str, text: str, *, lost: bool = False) -> None:
        self.entries.append(Entry(at, whose, to, text, lost))

    def note(self, at: int, whose: str, text: str) -> None:
        self.entries.append(Entry(at, whose, None, text))

    def actors(self) -> list[str]:
        """Devices first, Join Server last."""
        rank = {NETWORK: 1, JOIN_SERVER: 2}
        names = dict.fromkeys(name for entry in self.entries for name in (entry.whose, entry.to) if name)
        return sorted(names, key=lambda name: rank.get(name, 0))

    def text(self) -> str:
        """A line for each entry."""
        width = max((len(name) for name in self.actors()), default=0)
        lines = []
        for entry in self.entries:
            arrow = "  " if entry.to is None else "-x" if entry.lost else "->"
            line = f"{_time(entry.at)}  {entry.whose:{width}} {arrow} {entry.to or '':{width if entry.to else 0}}"
            lines.append(f"{line}  {entry.text}" if entry.to else f"{line}{entry.text}")
        return "".join(line + "\n" for line in lines)

    def mermaid(self) -> str:
        """A sequence diagram."""
        ids = {name: f"A{i}" for i, name in enumerate(self.actors())}
        lines = ["sequenceDiagram", *(f"    participant {ids[name]} as {_plain(name)}" for name in ids)]
        for entry in self.entries:
            if entry.to is None:
                lines.append(f"    Note over {ids[entry.whose]}: {_plain(entry.text)}")
            else:
                arrow = "-x" if entry.lost else "->>"
                lines.append(f"    {ids[entry.whose]}{arrow}{ids[entry.to]}: "
                             f"{_time(entry.at).strip()} {_plain(entry.text)}")
        return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Semicolons end a statement of Mermaid, # begins an entity."""
    return "".join(f"#{ord(c)};" if c in ";#" else " " if c in "\r\n" else c for c in text)


# -- frames on air


@dataclass(frozen=True)
class Uplink:
    """A frame that a device sends."""

    phy: bytes
    dev_eui: EUI  # whose it is: no network server can know that of a data frame
    mac: Mac  # its version, which a network server knows from its device profile
    is_request: bool  # a join- or rejoin-request; else data
    at: int  # when it has been sent, in ms
    data_rate: int = 0
    channel: int = 0
    text: str = ""
    actor: str = DEVICE


Downlinks = Union[Iterable[bytes], bytes, None]
Network = Callable[[Uplink], Downlinks]


def _listed(downlinks: Downlinks) -> list[bytes]:
    if downlinks is None:
        return []
    if isinstance(downlinks, (bytes, bytearray, memoryview)):
        return [bytes(downlinks)]
    return list(downlinks)


def _downlink_text(phy: bytes) -> str:
    if phy[:1] and phy[0] >> 5 == 1:
        return "join-accept"
    try:
        data = native.data_parse(phy)
    except Error:
        return f"{len(phy)} octets"
    return f"downlink {data.fcnt}{', ACK' if data.ack else ''}{', payload' if data.has_fport and data.fport else ''}"


class Channel:
    """Between devices and a network: what it loses, doubles and holds back follows from `seed`.

    Percentages of frames, each way.  What is held back comes after the next one to four uplinks, and
    its answers with theirs.  heal(): from then on all arrives, once and in order."""

    def __init__(self, network: Network, *, seed: object = 0, loss: float = 0, duplicate: float = 0,
                 reorder: float = 0, trace: Trace | None = None) -> None:
        if not all(0 <= share <= 100 for share in (loss, duplicate, reorder)):
            raise ValueError("loss, duplicate and reorder are percentages")
        self.network = network
        self.loss, self.duplicate, self.reorder = loss, duplicate, reorder
        self.lost = self.copies = self.held_back = 0
        self._trace = trace if trace is not None else Trace()
        self._random = random.Random(f"{seed}")
        self._uplinks: list[tuple[int, Uplink]] = []
        self._downlinks: list[tuple[int, EUI, bytes]] = []

    def heal(self) -> None:
        """What is held back still comes."""
        self.loss = self.duplicate = self.reorder = 0

    def _chance(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

    def _copies(self) -> int:
        if not self._chance(self.duplicate):
            return 1
        self.copies += 1
        return 2

    def __call__(self, uplink: Uplink) -> list[bytes]:
        """The downlinks that the device hears, in their order."""
        arrived: list[Uplink] = []
        for _ in range(self._copies()):
            if self._chance(self.loss):
                self.lost += 1
                self._trace.message(uplink.at, uplink.actor, NETWORK, uplink.text, lost=True)
            elif self._chance(self.reorder):
                self.held_back += 1
                self._uplinks.append((self._random.randint(1, 4), uplink))
            else:
                arrived.append(uplink)
        arrived += [late for left, late in self._uplinks if left == 0]
        self._uplinks = [(left - 1, late) for left, late in self._uplinks if left]
        heard = [phy for left, whose, phy in self._downlinks if left <= 0 and whose == uplink.dev_eui]
        self._downlinks = [(left - 1, whose, phy) for left, whose, phy in self._downlinks
                           if left > 0 or whose != uplink.dev_eui]
        for one in arrived:
            self._trace.message(uplink.at, one.actor, NETWORK, one.text + ("" if one is uplink else " (late)"))
            for phy in _listed(self.network(one)):
                heard += self._down(uplink, one, phy)
        return heard

    def _down(self, now: Uplink, to: Uplink, phy: bytes) -> list[bytes]:
        """Of one downlink, what its device hears now."""
        heard: list[bytes] = []
        text, at = _downlink_text(phy), now.at + RX[to.is_request]
        for _ in range(self._copies()):
            if self._chance(self.loss):
                self.lost += 1
                self._trace.message(at, NETWORK, to.actor, text, lost=True)
            elif to.dev_eui != now.dev_eui or self._chance(self.reorder):
                self.held_back += 1
                self._downlinks.append((self._random.randint(0, 3), to.dev_eui, phy))
            else:
                heard.append(phy)
        return heard


# -- a device


class NotHeard(ValueError):
    """A downlink that the device refuses; the lorajs.Error is its cause."""


@dataclass(frozen=True)
class Heard:
    """A downlink that the device has accepted."""

    joined: bool = False  # a session, after a join-request
    rejoined: bool = False  # a session, after a rejoin-request
    rekeyed: bool = False  # RekeyConf
    acked: bool = False  # the last confirmed uplink arrived
    confirmed: bool = False  # the next uplink acknowledges it
    port: int | None = None
    payload: bytes = b""  # in clear
    mac: bytes = b""  # MAC commands, in clear


class SimulatedDevice:
    """A LoRaWAN end device of any version: the device's side of a session, on a simulated clock.

    It believes nothing: an accept that does not verify, a JoinNonce that does not rise, a downlink
    of another session or counter is refused, told in the trace and counted in `refused`.

    A test that has a network of its own uses join(), say(), wait(), which carry frames both ways;
    one that does it by itself uses start(), send(), wake() for what goes up, hear() for what comes
    down, and lost() when nothing came."""

    def __init__(self, dev_eui: int, join_eui: int, mac: Mac | str = Mac.V1_1, *, nwk_key: Key | None = None,
                 app_key: Key | None = None, seed: object = 0, clock: Clock | None = None, trace: Trace | None = None,
                 actor: str = DEVICE, **options: int) -> None:
        """Root keys that are not given follow from `seed`; before LoRaWAN 1.1 there is app_key alone.

        `options`: airtime, adr_ack_limit, link_limit, fcnt_reserve, adr, join_nonce_rising, no_clock,
        order, rejoin1_period, dev_nonce, rj_count1, of ljs_ed_opts in end_device.h."""
        self.dev_eui, self.join_eui = EUI(dev_eui), EUI(join_eui)
        self.mac = Mac.parse(mac) if isinstance(mac, str) else Mac(mac)
        if self.mac < Mac.V1_1 and nwk_key:
            raise ValueError("before LoRaWAN 1.1 the one root key is app_key")
        self.app_key = app_key or _drawn_key(seed, self.dev_eui, "AppKey")
        self.nwk_key = nwk_key or (_drawn_key(seed, self.dev_eui, "NwkKey") if self.mac >= Mac.V1_1 else None)
        self.clock = clock if clock is not None else Clock()
        self.trace = trace if trace is not None else Trace()
        self.actor = actor
        self.refused = 0
        self._random = random.Random(f"{seed} {self.dev_eui}")
        self._boot = self.clock.now
        self._wake = -1  # of its own clock; -1: no need
        self._state = self._durable = native.ed_new(self._options(options))
        self._shown = native.LJS_ED_IDLE
        self._element = self._new_element()

    def _options(self, options: dict[str, int]) -> native.ed_opts:
        opts = native.ed_opts_init()
        opts.dev_eui, opts.join_eui, opts.mac = self.dev_eui, self.join_eui, int(self.mac)
        for name, value in options.items():
            if name in ("dev_eui", "join_eui", "mac", "struct_size") or not hasattr(opts, name):
                raise TypeError(f"an end device has no option {name!r}")
            setattr(opts, name, value)
        return opts

    def _new_element(self) -> native.se:
        root = self.nwk_key or self.app_key
        return native.se_software(root.native, self.app_key.native if self.nwk_key else None)

    def __repr__(self) -> str:
        return f"<SimulatedDevice {self.dev_eui} of LoRaWAN {self.mac}, {self.state}>"

    # -- what it is

    def provision(self, server: JoinServer, **members: Any) -> None:
        """Tell a Join Server of it; `members` are those of lorajs.Device."""
        server.make_device(Device(self.dev_eui, self.join_eui, self.mac, **members), nwk_key=self.nwk_key,
                           app_key=self.app_key)

    @property
    def state(self) -> str:
        """IDLE, JOINING, REKEYING or JOINED."""
        return native.ed_state_text(native.ed_read(self._state).state)

    @property
    def joined(self) -> bool:
        """Has it a session?"""
        return native.ed_read(self._state).scheme != 0

    @property
    def dev_addr(self) -> int | None:
        shown = native.ed_read(self._state)
        return shown.dev_addr if shown.scheme else None

    def session_keys(self) -> dict[str, Key]:
        """The keys of its session as it has derived them, by the specification's names; {} without one."""
        shown = native.ed_read(self._state)
        if not shown.scheme:
            return {}
        new = shown.scheme == native.LJS_SCHEME_1_1
        names = {"FNwkSIntKey" if new else "NwkSKey": native.LJS_KEY_F_NWK_S_INT, "AppSKey": native.LJS_KEY_APP_S}
        if new:
            names.update(SNwkSIntKey=native.LJS_KEY_S_NWK_S_INT, NwkSEncKey=native.LJS_KEY_NWK_S_ENC)
        what = native.derivation()
        what.scheme, what.join_eui, what.net_id = shown.scheme, self.join_eui, shown.net_id
        what.join_nonce, what.nonce = shown.join_nonce, shown.session_nonce
        keys = {}
        for name, what.name in names.items():
            root = self.app_key if (new and name == "AppSKey") or not self.nwk_key else self.nwk_key
            keys[name] = Key(native.derive(what, root.native))
        return keys

    # -- with a network

    def join(self, network: Network, *, tries: int = 100) -> bool:
        """Join, as often as it takes; the clock moves on.  Has it a session then?"""
        uplink = self.start() if self.state == "IDLE" else self.wake()
        for _ in range(tries):
            if uplink:
                self.exchange(network, uplink)
            if self.joined:
                break
            uplink = self.wake()
        return self.joined

    def say(self, network: Network, payload: bytes = b"", *, port: int = 1, confirmed: bool = False,
            data_rate: int = 0, channel: int = 0) -> list[Heard]:
        """An uplink, and what it hears in answer.  lorajs.Fault STATE without a session: join() first."""
        uplink = self.send(payload, port=port, confirmed=confirmed, data_rate=data_rate, channel=channel)
        return self.exchange(network, uplink) if uplink else []

    def wait(self, network: Network) -> list[Heard]:
        """The clock moves on to what it has planned next, which it then does: join again, or rejoin."""
        uplink = self.wake()
        return self.exchange(network, uplink) if uplink else []

    def exchange(self, network: Network, uplink: Uplink) -> list[Heard]:
        """One of its uplinks, by a network or Channel, and what it accepts of what comes back."""
        air = network if isinstance(network, Channel) else Channel(network, trace=self.trace)
        self.clock.advance(AIRTIME)
        downlinks = air(uplink)
        self.clock.advance(RX[uplink.is_request])
        heard = []
        for phy in downlinks:
            with contextlib.suppress(NotHeard):
                heard.append(self.hear(phy))
        if not heard:
            self.clock.advance(RX[False])
            self.lost()
        return heard

    # -- step by step

    def start(self) -> Uplink | None:
        """Power-up, or the wish to join: a join-request, unless it must wait: see wake()."""
        return self._step(native.ed_event_init(native.LJS_ED_ON_START, 0))[1]

    def send(self, payload: bytes = b"", *, port: int = 1, confirmed: bool = False, data_rate: int = 0,
             channel: int = 0) -> Uplink | None:
        """Data; None when it gives up its session over it.  lorajs.Fault STATE without a session."""
        event = native.ed_event_init(native.LJS_ED_ON_SEND, 0)
        event.fport, event.payload, event.payload_len, event.confirmed = port, payload, len(payload), int(confirmed)
        event.tx_dr, event.tx_ch = data_rate, channel
        return self._step(event)[1]

    def wake(self) -> Uplink | None:
        """Move the clock to what it has planned next, and do that; None when that is nothing to send."""
        if self._wake < 0:
            return None
        self.clock.now = max(self.clock.now, self._boot + self._wake)
        return self._step(native.ed_event_init(native.LJS_ED_ON_TICK, 0))[1]

    def hear(self, phy: bytes) -> Heard:
        """One downlink.  NotHeard when it is none for this device and session, or not any more."""
        self.trace.message(self.clock.now, NETWORK, self.actor, _downlink_text(phy))
        event = native.ed_event_init(native.LJS_ED_ON_DOWNLINK, 0)
        try:
            event.frame, event.frame_len = phy, len(phy)
            out, _ = self._step(event)
        except Error as err:
            if not isinstance(err, Refused) and err.code != native.LJS_E_STATE:
                raise
            self.refused += 1
            self.trace.note(self.clock.now, self.actor, f"refused: {err}")
            raise NotHeard(str(err)) from err
        return Heard(bool(out.joined), bool(out.rejoined), bool(out.rekeyed), bool(out.acked), bool(out.confirmed),
                     out.fport if out.has_fport else None, out.payload[: out.payload_len], out.mac[: out.mac_len])

    def lost(self) -> None:
        """The receive windows are over, and nothing came."""
        self._step(native.ed_event_init(native.LJS_ED_ON_LOST, 0))

    def stop(self) -> None:
        """The session, or the wish for one, is given up."""
        self._step(native.ed_event_init(native.LJS_ED_ON_STOP, 0))

    def power_loss(self) -> None:
        """It goes on from the last state that was durable, with a clock that begins anew."""
        self.trace.note(self.clock.now, self.actor, "power lost")
        self._state, self._boot, self._element = self._durable, self.clock.now, self._new_element()
        self._step(native.ed_event_init(native.LJS_ED_ON_RESTART, 0))

    def _step(self, event: native.ed_event) -> tuple[native.ed_out, Uplink | None]:
        event.now, event.random = self.clock.now - self._boot, self._random.getrandbits(32)
        out, self._state = native.ed_step(self._element, event, self._state)
        if out.persist:
            self._durable = self._state
        self._wake = out.wake_at
        self._note(out)
        return out, self._uplink(event, out) if out.sends else None

    def _note(self, out: native.ed_out) -> None:
        text = native.ed_state_text(out.state)
        if out.session_lost:
            self.trace.note(self.clock.now, self.actor, "session given up")
        if out.joined or out.rejoined:
            self.trace.note(self.clock.now, self.actor, f"{'joined' if out.joined else 'rejoined'}: {text}, DevAddr "
                            f"{out.accept.dev_addr:08x}, JoinNonce {out.accept.join_nonce}")
        elif out.state != self._shown:
            self.trace.note(self.clock.now, self.actor, f"{'RekeyConf: ' if out.rekeyed else ''}{text}")
        self._shown = out.state

    def _uplink(self, event: native.ed_event, out: native.ed_out) -> Uplink:
        data = out.sends == native.LJS_ED_SENDS_DATA
        if data:
            text = f"uplink {out.fcnt}{', confirmed' if event.confirmed else ''}"
            text += ", RekeyInd" if out.state == native.LJS_ED_REKEYING else ""
        else:
            text = f"{_REQUESTS[out.sends]} {out.nonce}{', as told' if out.forced else ''}"
        data_rate = event.tx_dr if out.tx_dr == native.LJS_ED_DR_ANY else out.tx_dr
        return Uplink(out.frame[: out.frame_len], self.dev_eui, self.mac, not data, self.clock.now + AIRTIME, data_rate,
                      event.tx_ch, text, self.actor)


_REQUESTS = {
    native.LJS_ED_SENDS_JOIN: "join-request, DevNonce",
    native.LJS_ED_SENDS_REJOIN0: "rejoin-request 0, RJcount0",
    native.LJS_ED_SENDS_REJOIN1: "rejoin-request 1, RJcount1",
    native.LJS_ED_SENDS_REJOIN2: "rejoin-request 2, RJcount0",
}


def _drawn_key(seed: object, dev_eui: int, name: str) -> Key:
    return Key.from_bytes(bytearray(hashlib.blake2b(f"{seed} {dev_eui} {name}".encode(), digest_size=16).digest()))


# -- a network


@dataclass(frozen=True)
class Data:
    """What the application server gets of an uplink: its payload as it travels, under AppSKey."""

    dev_eui: EUI
    dev_addr: int
    session_key_id: bytes
    fcnt: int
    port: int
    payload: bytes
    confirmed: bool
    app_s_key: Envelope | None  # as the Join Server gave it for this session; None where it is to be asked for

    def open(self, app_s_key: Key) -> bytes:
        """The payload in clear."""
        return native.data_crypt(native.LJS_STREAM_FRM_PAYLOAD, native.LJS_UP, self.dev_addr, self.fcnt,
                                 app_s_key.native, self.payload)


class SimulatedNetwork:
    """A network server, for tests of Join Servers and application servers: asks for sessions, hears
    data, answers RekeyInd, lets devices rejoin.

    `ask` takes a Backend Interfaces request to a Join Server and gives the answer: JoinServer.handle,
    or an HTTP POST of yours.  Whatever is no request of a device it knows, or not acceptable, is dropped
    and told in the trace."""

    def __init__(self, ask: Callable[[bytes], bytes], *, net_id: int = 0x000013, mac: Mac | str = Mac.V1_1,
                 kek: Key | None = None, clock: Clock | None = None, trace: Trace | None = None) -> None:
        """`kek` opens what the Join Server wraps for us; `mac` is the highest version that we speak."""
        self.ask, self.net_id, self.kek = ask, net_id, kek
        self.mac = Mac.parse(mac) if isinstance(mac, str) else Mac(mac)
        self.clock = clock if clock is not None else Clock()
        self.trace = trace if trace is not None else Trace()
        self.heard: list[Data] = []
        self.answers: list[dict[str, Any]] = []  # of the Join Server, newest last
        self._vault = Vault.generate()
        self._states: dict[EUI, bytes] = {}
        self._join_euis: dict[EUI, EUI] = {}  # rejoin-requests 0 and 2 do not say it
        self._app_s_keys: dict[bytes, Envelope] = {}
        self._to_say: dict[EUI, tuple[int, bytes, Key]] = {}
        self._requests = 0

    def __call__(self, uplink: Uplink) -> list[bytes]:
        """One frame as a gateway hears it; the downlinks for its receive windows."""
        try:
            try:
                frame = Frame.parse(uplink.phy)
            except FrameError:
                return self._data(uplink)
            return self._request(frame, uplink.phy, min(self.mac, uplink.mac))
        except Error as err:
            if not isinstance(err, Refused) and err.code != native.LJS_E_STATE:
                raise
            self.trace.note(self.clock.now, NETWORK, f"refused: {err}")
            return []

    def say(self, dev_eui: int, payload: bytes, app_s_key: Key, *, port: int = 1) -> None:
        """A payload for the device, in clear, to go with its next downlink in place of any before."""
        self._to_say[EUI(dev_eui)] = port, payload, app_s_key

    def force_rejoin(self, dev_eui: int, kind: int = 0) -> None:
        """ForceRejoinReq with the next downlink: rejoin-request 0, or 2.  lorajs.Error without a session of 1.1."""
        force = native.ns_force()
        force.rejoin_type, force.tries = kind, 1
        self._save(dev_eui, native.ns_force_rejoin(self._vault.native, force, self._states[EUI(dev_eui)]))

    def session_key_id(self, dev_eui: int) -> bytes:
        """Of the session in use; zeros when there is none.  KeyError for a device that never joined."""
        shown = native.ns_read(self._states[EUI(dev_eui)])  # what is in it lives no longer
        return shown.current.session_key_id

    def state(self, dev_eui: int) -> str:
        """NONE, PENDING, REKEYING, ACTIVE or SWITCHING."""
        return native.ns_state_text(native.ns_read(self._states[EUI(dev_eui)]).state)

    def _save(self, dev_eui: int, state: bytes) -> None:
        self._states[EUI(dev_eui)] = state

    # -- joins and rejoins

    def _state_of(self, dev_eui: EUI) -> bytes:
        if dev_eui not in self._states:
            opts = native.ns_opts_init()
            opts.dev_eui, opts.net_id = dev_eui, self.net_id
            return native.ns_new(self._vault.native, opts)
        return self._states[dev_eui]

    def _request(self, frame: Frame, phy: bytes, mac: Mac) -> list[bytes]:
        state = self._state_of(frame.dev_eui)
        if frame.kind != FrameKind.JOIN:
            _, state = native.ns_rejoin(self._vault.native, self.clock.now, phy, state)
            self._save(frame.dev_eui, state)
        # The same for the same frame: then it is the same request to the Join Server, too.
        drawn = int.from_bytes(hashlib.blake2b(phy, digest_size=4).digest(), "big")
        dev_addr = (self.net_id & 0x3F) << 25 | drawn & 0x1FFFFFF  # of a NetID of type 0
        if frame.kind in (FrameKind.JOIN, FrameKind.REJOIN1):
            self._join_euis[frame.dev_eui] = frame.join_eui
        answer = self._ask(frame, phy, mac, dev_addr)
        if answer["Result"]["ResultCode"] != "Success":
            return []
        keys, new = native.ns_keys(), "FNwkSIntKey" in answer
        opened = [self._open(answer[name]) for name in (_NETWORK_KEYS if new else _NETWORK_KEYS_10)]
        keys.f_nwk_s_int = opened[0].native
        if new:
            keys.s_nwk_s_int, keys.nwk_s_enc = opened[1].native, opened[2].native
        accepted = native.ns_accepted()
        accepted.now, accepted.kind, accepted.nonce, accepted.dev_addr = self.clock.now, frame.kind, frame.nonce, dev_addr
        accepted.scheme = int(Scheme.V1_1 if new else Scheme.V1_0)
        accepted.mac = int(mac)
        session_key_id = bytes.fromhex(answer.get("SessionKeyID", ""))
        accepted.session_key_id = session_key_id[:16]
        joined, state = native.ns_join_accepted(self._vault.native, accepted, keys, state)
        self._save(frame.dev_eui, state)
        if "AppSKey" in answer:
            envelope = answer["AppSKey"]
            self._app_s_keys[session_key_id] = Envelope(envelope.get("KEKLabel", ""), bytes.fromhex(envelope["AESKey"]))
        self.trace.note(self.clock.now, NETWORK, native.ns_state_text(joined.state))
        return [bytes.fromhex(answer["PHYPayload"])]

    def _open(self, envelope: dict[str, str]) -> Key:
        label = envelope.get("KEKLabel", "")
        return Envelope(label, bytes.fromhex(envelope["AESKey"])).open(self.kek if label else None)

    def _ask(self, frame: Frame, phy: bytes, mac: Mac, dev_addr: int) -> dict[str, Any]:
        self._requests += 1
        kind = "JoinReq" if frame.kind == FrameKind.JOIN else "RejoinReq"
        answer: dict[str, Any] = json.loads(self.ask(json.dumps({
            "ProtocolVersion": "1.0", "SenderID": f"{self.net_id:06x}", "ReceiverID": str(self._join_euis[frame.dev_eui]),
            "TransactionID": self._requests, "MessageType": kind, "MACVersion": str(mac), "PHYPayload": phy.hex(),
            "DevEUI": str(frame.dev_eui), "DevAddr": f"{dev_addr:08x}",
            "DLSettings": "80" if mac >= Mac.V1_1 else "00",  # OptNeg
            "RxDelay": 1}).encode()))
        self.answers.append(answer)
        return answer

    # -- data

    def _data(self, uplink: Uplink) -> list[bytes]:
        dev_addr = native.data_parse(uplink.phy).dev_addr
        for dev_eui, state in self._states.items():
            shown = native.ns_read(state)
            if dev_addr not in [c.dev_addr for c in (shown.current, shown.pending) if c.present]:
                continue
            try:
                up, state = native.ns_uplink(self._vault.native, self.clock.now, uplink.data_rate, uplink.channel,
                                             uplink.phy, state)
            except Refused as err:
                if err.code != native.LJS_E_MIC:
                    raise
                continue  # of another device with that DevAddr, perhaps
            self._save(dev_eui, state)
            return self._heard(dev_eui, up, shown.state)
        self.trace.note(self.clock.now, NETWORK, f"nobody with DevAddr {dev_addr:08x} and that key")
        return []

    def _heard(self, dev_eui: EUI, up: native.ns_up, before: int) -> list[bytes]:
        state = native.ns_state_text(up.state)
        if up.switched:
            self.trace.note(self.clock.now, NETWORK, f"the new keys are in use: {state}")
        elif up.state != before:
            self.trace.note(self.clock.now, NETWORK, state)
        if up.has_fport and up.fport:
            self.heard.append(Data(dev_eui, up.dev_addr, up.session_key_id, up.fcnt, up.fport,
                                   up.payload[: up.payload_len], bool(up.confirmed),
                                   self._app_s_keys.get(up.session_key_id)))
        if not up.due and dev_eui not in self._to_say:
            return []
        tx = native.ns_tx()
        tx.now = self.clock.now
        if dev_eui in self._to_say:
            tx.fport, payload, key = self._to_say.pop(dev_eui)
            shown = native.ns_read(self._states[dev_eui])
            tx.fcnt, tx.payload_len = shown.current.a_fcnt_down, len(payload)
            tx.payload = native.data_crypt(native.LJS_STREAM_FRM_PAYLOAD, native.LJS_DOWN, shown.current.dev_addr,
                                           tx.fcnt, key.native, payload)
        down, after = native.ns_downlink(self._vault.native, tx, self._states[dev_eui])
        self._save(dev_eui, after)
        return [down.phy[: down.phy_len]]


_NETWORK_KEYS = "FNwkSIntKey", "SNwkSIntKey", "NwkSEncKey"
_NETWORK_KEYS_10 = ("NwkSKey",)


# -- a Join Server


class SimulatedJoinServer(JoinServer):
    """A JoinServer in memory, under a master key that nobody knows, whose messages are in a trace.

    A laboratory: it answers anybody, with keys in clear, until set_peers() says who may ask."""

    def __init__(self, *, clock: Clock | None = None, trace: Trace | None = None) -> None:
        super().__init__(Vault.generate(), Store.memory(), anonymous=True, clear=Clear.NS | Clear.AS)
        self.clock = clock if clock is not None else Clock()
        self.trace = trace if trace is not None else Trace()

    def handle(self, message: bytes, *, peer: str | None = None, now: int = 0) -> bytes:
        self._tell(message, "request", NETWORK, JOIN_SERVER)
        answer = super().handle(message, peer=peer, now=now)
        self._tell(answer, "answer", JOIN_SERVER, NETWORK)
        return answer

    def _tell(self, message: bytes, what: str, whose: str, to: str) -> None:
        try:
            told = json.loads(message)
            text = str(told["MessageType"])
            code = told["Result"]["ResultCode"] if "Result" in told else "Success"
        except (ValueError, LookupError, TypeError):
            text, code = what, "Success"
        self.trace.message(self.clock.now, whose, to, text if code == "Success" else f"{text}: {code}")


@contextlib.contextmanager
def serve(application: Callable[..., Any]) -> Iterator[str]:
    """An ASGI application over HTTP on a free port of the loopback address, from threads of its own: its URL.

    For tests: a body has to have a Content-Length, and nothing is limited."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def log_message(self, format: str, *args: object) -> None:
            """Not to standard error."""

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            events = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def receive() -> dict[str, Any]:
                return next(events, {"type": "http.disconnect"})

            async def send(event: dict[str, Any]) -> None:
                if event["type"] == "http.response.body":
                    self.wfile.write(event.get("body", b""))
                    return
                self.send_response(event["status"])
                for name, value in event["headers"]:
                    self.send_header(name.decode("latin-1"), value.decode("latin-1"))
                self.end_headers()

            path, _, query = self.path.partition("?")
            asyncio.run(application({
                "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
                "method": self.command, "scheme": "http", "path": path, "raw_path": path.encode("latin-1"),
                "query_string": query.encode("latin-1"), "root_path": "",
                "headers": [(name.lower().encode("latin-1"), value.encode("latin-1"))
                            for name, value in self.headers.items()],
                "client": self.client_address, "server": self.server.server_address}, receive, send))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
