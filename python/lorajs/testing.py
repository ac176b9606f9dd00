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
import random
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Iterable, Iterator, Union

from . import (
    EUI,
    Accepted,
    Clear,
    Code,
    DataFrame,
    Decision,
    DevAddr,
    Device,
    Direction,
    Downlink,
    EndDevice,
    EndDeviceOptions,
    EndDeviceOutput,
    EndDeviceSession,
    EndDeviceState,
    Envelope,
    Error,
    Event,
    Frame,
    FrameError,
    FrameKind,
    JoinServer,
    Key,
    KeyName,
    Lost,
    Mac,
    Message,
    MessageType,
    NetID,
    NetworkKeys,
    NetworkOptions,
    NetworkSession,
    NetworkSide,
    NetworkState,
    Refused,
    Restart,
    Scheme,
    SecureElement,
    Send,
    SendAgain,
    Sends,
    Start,
    Stop,
    Store,
    Tick,
    Vault,
    data_crypt,
    derive,
)

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
        data = DataFrame.parse(phy)
    except FrameError:
        return f"{len(phy)} octets"
    return f"downlink {data.fcnt}{', ACK' if data.ack else ''}{', payload' if data.fport else ''}"


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


class SimulatedDevice:
    """A LoRaWAN end device of any version: lorajs.EndDevice, on a simulated clock.

    It believes nothing: an accept that does not verify, a JoinNonce that does not rise, a downlink
    of another session or counter is refused, told in the trace and counted in `refused`.

    A test that has a network of its own uses join(), say(), wait(), which carry frames both ways;
    one that does it by itself uses start(), send(), wake() for what goes up, hear() for what comes
    down, and lost() when nothing came.  It says nothing again by itself: that is say_again() and
    send_again()."""

    def __init__(self, dev_eui: int, join_eui: int, mac: Mac | str = Mac.V1_1, *, nwk_key: Key | None = None,
                 app_key: Key | None = None, seed: object = 0, clock: Clock | None = None, trace: Trace | None = None,
                 actor: str = DEVICE, **options: Any) -> None:
        """Root keys that are not given follow from `seed`; before LoRaWAN 1.1 there is app_key alone.

        `options` are those of lorajs.EndDeviceOptions."""
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
        self._wake: int | None = None  # of its own clock
        self._state = self._durable = EndDevice.new(EndDeviceOptions(self.join_eui, self.dev_eui, self.mac, **options))
        self._shown = EndDeviceState.IDLE
        self._sent = b""  # the last data frame
        self._machine = self._powered()

    def _powered(self) -> EndDevice:
        return EndDevice(SecureElement.software(self.nwk_key, self.app_key))

    def __repr__(self) -> str:
        return f"<SimulatedDevice {self.dev_eui} of LoRaWAN {self.mac}, {self.state.name}>"

    # -- what it is

    def provision(self, server: JoinServer, **members: Any) -> None:
        """Tell a Join Server of it; `members` are those of lorajs.Device."""
        server.make_device(Device(self.dev_eui, self.join_eui, self.mac, **members), nwk_key=self.nwk_key,
                           app_key=self.app_key)

    @property
    def session(self) -> EndDeviceSession:
        """All of its state that matters to others."""
        return EndDeviceSession.read(self._state)

    @property
    def state(self) -> EndDeviceState:
        return self.session.state

    @property
    def joined(self) -> bool:
        """Has it a session?"""
        return self.session.scheme is not None

    @property
    def dev_addr(self) -> DevAddr | None:
        return self.session.dev_addr if self.joined else None

    def session_keys(self) -> dict[str, Key]:
        """The keys of its session as it has derived them, by the specification's names; {} without one."""
        session = self.session
        if session.scheme is None:
            return {}
        root, names = self.nwk_key or self.app_key, {"NwkSKey": KeyName.F_NWK_S_INT}
        if session.scheme == Scheme.V1_1:
            names = {"FNwkSIntKey": KeyName.F_NWK_S_INT, "SNwkSIntKey": KeyName.S_NWK_S_INT,
                     "NwkSEncKey": KeyName.NWK_S_ENC}
        inputs: Any = {"scheme": session.scheme, "join_eui": self.join_eui, "net_id": session.net_id,
                       "join_nonce": session.join_nonce, "nonce": session.session_nonce}
        keys = {text: derive(name, root, **inputs) for text, name in names.items()}
        keys["AppSKey"] = derive(KeyName.APP_S, self.app_key if session.scheme == Scheme.V1_1 else root, **inputs)
        return keys

    # -- with a network

    def join(self, network: Network, *, tries: int = 100) -> bool:
        """Join, as often as it takes; the clock moves on.  Has it a session then?"""
        uplink = self.start() if self.state == EndDeviceState.IDLE else self.wake()
        for _ in range(tries):
            if uplink:
                self.exchange(network, uplink)
            if self.joined:
                break
            uplink = self.wake()
        return self.joined

    def say(self, network: Network, payload: bytes = b"", *, port: int = 1, confirmed: bool = False,
            data_rate: int = 0, channel: int = 0) -> list[EndDeviceOutput]:
        """An uplink, and what it hears in answer.  lorajs.Fault STATE without a session: join() first."""
        uplink = self.send(payload, port=port, confirmed=confirmed, data_rate=data_rate, channel=channel)
        return self.exchange(network, uplink) if uplink else []

    def say_again(self, network: Network, *, data_rate: int = 0, channel: int = 0) -> list[EndDeviceOutput]:
        """The last uplink once more, and what it hears in answer; see send_again()."""
        return self.exchange(network, self.send_again(data_rate=data_rate, channel=channel))

    def wait(self, network: Network) -> list[EndDeviceOutput]:
        """The clock moves on to what it has planned next, which it then does: join again, or rejoin."""
        uplink = self.wake()
        return self.exchange(network, uplink) if uplink else []

    def exchange(self, network: Network, uplink: Uplink) -> list[EndDeviceOutput]:
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
        return self._step(Start(self._now(), self._draw()))[1]

    def send(self, payload: bytes = b"", *, port: int = 1, confirmed: bool = False, data_rate: int = 0,
             channel: int = 0) -> Uplink | None:
        """Data; None when it gives up its session over it.  lorajs.Fault STATE without a session."""
        return self._step(Send(self._now(), payload, port, confirmed=confirmed, tx_dr=data_rate, tx_ch=channel))[1]

    def send_again(self, *, data_rate: int = 0, channel: int = 0) -> Uplink:
        """The last data frame once more, under the same counter.  lorajs.Fault STATE when it was answered (a confirmed
        one by its ACK), went out before a power loss, or has been on air 15 times."""
        uplink = self._step(SendAgain(self._sent, self._now(), tx_dr=data_rate, tx_ch=channel))[1]
        assert uplink  # refused, or sent
        return uplink

    def wake(self) -> Uplink | None:
        """Move the clock to what it has planned next, and do that; None when that is nothing to send."""
        if self._wake is None:
            return None
        self.clock.now = max(self.clock.now, self._boot + self._wake)
        return self._step(Tick(self._now(), self._draw()))[1]

    def hear(self, phy: bytes) -> EndDeviceOutput:
        """One downlink.  NotHeard when it is none for this device and session, or not any more."""
        self.trace.message(self.clock.now, NETWORK, self.actor, _downlink_text(phy))
        try:
            return self._step(Downlink(phy, self._now(), self._draw()))[0]
        except Error as err:
            if not _is_refusal(err):
                raise
            self.refused += 1
            self.trace.note(self.clock.now, self.actor, f"refused: {err}")
            raise NotHeard(str(err)) from err

    def lost(self) -> None:
        """The receive windows are over, and nothing came."""
        self._step(Lost(self._now()))

    def stop(self) -> None:
        """The session, or the wish for one, is given up."""
        self._step(Stop(self._now()))

    def power_loss(self) -> None:
        """It goes on from the last state that was durable, with a clock that begins anew."""
        self.trace.note(self.clock.now, self.actor, "power lost")
        self._state, self._boot, self._machine = self._durable, self.clock.now, self._powered()
        self._step(Restart(self._now(), self._draw()))

    def _now(self) -> int:
        return self.clock.now - self._boot

    def _draw(self) -> int:
        return self._random.getrandbits(32)

    def _step(self, event: Event) -> tuple[EndDeviceOutput, Uplink | None]:
        self._state, out = self._machine.step(self._state, event)
        if out.persist:
            self._durable = self._state
        if out.sends == Sends.DATA:
            self._sent = out.frame
        self._wake = out.wake_at
        self._note(out)
        return out, self._uplink(event, out) if out.sends else None

    def _note(self, out: EndDeviceOutput) -> None:
        if out.session_lost:
            self.trace.note(self.clock.now, self.actor, "session given up")
        if out.accept:
            self.trace.note(self.clock.now, self.actor, f"{'joined' if out.joined else 'rejoined'}: {out.state.name}, "
                            f"DevAddr {out.accept.dev_addr}, JoinNonce {out.accept.join_nonce}")
        elif out.state != self._shown:
            self.trace.note(self.clock.now, self.actor, f"{'RekeyConf: ' if out.rekeyed else ''}{out.state.name}")
        self._shown = out.state

    def _uplink(self, event: Event, out: EndDeviceOutput) -> Uplink:
        data_rate, channel, text = out.tx_dr or 0, 0, ""
        if isinstance(event, SendAgain):
            channel, text = event.tx_ch, f"uplink {out.fcnt}, again"
        elif isinstance(event, Send) and out.sends == Sends.DATA:
            channel = event.tx_ch
            text = f"uplink {out.fcnt}{', confirmed' if event.confirmed else ''}"
            text += ", RekeyInd" if out.state == EndDeviceState.REKEYING else ""
        else:
            text = f"{_REQUESTS[out.sends]} {out.nonce}{', as told' if out.forced else ''}"
        return Uplink(out.frame, self.dev_eui, self.mac, out.sends != Sends.DATA, self.clock.now + AIRTIME, data_rate,
                      channel, text, self.actor)


_REQUESTS = {
    Sends.JOIN: "join-request, DevNonce",
    Sends.REJOIN0: "rejoin-request 0, RJcount0",
    Sends.REJOIN1: "rejoin-request 1, RJcount1",
    Sends.REJOIN2: "rejoin-request 2, RJcount0",
}


def _drawn_key(seed: object, dev_eui: int, name: str) -> Key:
    text = f"{seed} {int(dev_eui)} {name}"
    return Key.from_bytes(bytearray(hashlib.blake2b(text.encode(), digest_size=16).digest()))


def _is_refusal(err: Error) -> bool:
    """Of a frame that is not for this session, or not any more."""
    return isinstance(err, Refused) or err.code == Code.STATE


# -- a network


@dataclass(frozen=True)
class Data:
    """What the application server gets of an uplink: its payload as it travels, under AppSKey."""

    dev_eui: EUI
    dev_addr: DevAddr
    session_key_id: bytes
    fcnt: int
    port: int
    payload: bytes
    confirmed: bool
    app_s: Envelope | None
    """AppSKey as the Join Server gave it with this session; None where it is to be asked for."""

    def open(self, app_s_key: Key) -> bytes:
        """The payload in clear."""
        return data_crypt(self.payload, app_s_key, direction=Direction.UP, dev_addr=self.dev_addr, fcnt=self.fcnt)


class SimulatedNetwork:
    """A network server, for tests of Join Servers and application servers: asks for sessions, hears
    data, answers RekeyInd, lets devices rejoin.

    `ask` takes a Backend Interfaces request to a Join Server and gives the answer: JoinServer.handle,
    or an HTTP POST of yours.  What is not acceptable is dropped, and told in the trace."""

    def __init__(self, ask: Callable[[bytes], bytes], *, net_id: int = 0x000013, mac: Mac | str = Mac.V1_1,
                 kek: Key | None = None, clock: Clock | None = None, trace: Trace | None = None) -> None:
        """`kek` opens what the Join Server wraps for us; `mac` is the highest version that we speak."""
        self.ask, self.net_id, self.kek = ask, NetID(net_id), kek
        self.mac = Mac.parse(mac) if isinstance(mac, str) else Mac(mac)
        self.clock = clock if clock is not None else Clock()
        self.trace = trace if trace is not None else Trace()
        self.heard: list[Data] = []
        self.answers: list[Message] = []
        """Of the Join Server, refusals too, newest last."""
        self._side = NetworkSide(Vault.generate())
        self._states: dict[EUI, bytes] = {}
        self._join_euis: dict[EUI, EUI] = {}  # rejoin-requests 0 and 2 do not say it
        self._app_s: dict[bytes, Envelope] = {}
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
            if not _is_refusal(err):
                raise
            self.trace.note(self.clock.now, NETWORK, f"refused: {err}")
            return []

    def session(self, dev_eui: int) -> NetworkSession:
        """What it has of a device.  KeyError for one that never joined."""
        return NetworkSession.read(self._states[EUI(dev_eui)])

    def say(self, dev_eui: int, payload: bytes, app_s_key: Key, *, port: int = 1) -> None:
        """A payload for the device, in clear, to go with its next downlink in place of any before."""
        self._to_say[EUI(dev_eui)] = port, payload, app_s_key

    def force_rejoin(self, dev_eui: int, rejoin_type: int = 0, **more: int) -> None:
        """ForceRejoinReq with the next downlink; `more` as of lorajs.NetworkSide.force_rejoin()."""
        state = self._states[EUI(dev_eui)]
        self._states[EUI(dev_eui)] = self._side.force_rejoin(state, rejoin_type=rejoin_type, **more)

    # -- joins and rejoins

    def _request(self, frame: Frame, phy: bytes, mac: Mac) -> list[bytes]:
        dev_eui = frame.dev_eui
        state = self._states.get(dev_eui) or self._side.new(NetworkOptions(dev_eui, self.net_id))
        if frame.kind != FrameKind.JOIN:
            state, _ = self._side.rejoin(state, phy, now=self.clock.now)
            self._states[dev_eui] = state
        if frame.kind in (FrameKind.JOIN, FrameKind.REJOIN1):
            self._join_euis[dev_eui] = frame.join_eui
        request = self._message(frame, phy, mac)
        try:
            answer = request.read_answer(self.ask(request.build()))
        except Refused as refused:
            if refused.message:
                self.answers.append(refused.message)
            raise
        self.answers.append(answer)
        new = answer.f_nwk_s_int is not None
        envelopes = (answer.f_nwk_s_int, answer.s_nwk_s_int, answer.nwk_s_enc) if new else (answer.nwk_s,)
        keys = [self._open(envelope) for envelope in envelopes if envelope]
        assert request.dev_addr is not None  # we have said it
        session_key_id = answer.session_key_id[:16].ljust(16, b"\0")  # as our machine has it
        accepted = Accepted(self.clock.now, frame.kind, Scheme.V1_1 if new else Scheme.V1_0, mac, frame.nonce,
                            request.dev_addr, session_key_id)
        self._states[dev_eui], joined = self._side.join_accepted(state, accepted, NetworkKeys(*keys))
        if answer.app_s:
            self._app_s[session_key_id] = answer.app_s
        self.trace.note(self.clock.now, NETWORK, joined.state.name)
        return [answer.phy]

    def _message(self, frame: Frame, phy: bytes, mac: Mac) -> Message:
        self._requests += 1
        # The same for the same frame: then it is the same request to the Join Server, too.
        drawn = int.from_bytes(hashlib.blake2b(phy, digest_size=4).digest(), "big")
        dev_addr = (self.net_id & 0x3F) << 25 | drawn & 0x1FFFFFF  # of a NetID of type 0
        make: Callable[..., Message] = Message.join_req if frame.kind == FrameKind.JOIN else Message.rejoin_req
        return make(self.net_id, self._join_euis[frame.dev_eui], frame.dev_eui, phy, mac=mac, dev_addr=dev_addr,
                    dl_settings=0x80 if mac >= Mac.V1_1 else 0, transaction_id=self._requests)  # OptNeg

    def _open(self, envelope: Envelope) -> Key:
        return envelope.open(self.kek if envelope.kek_label else None)

    # -- data

    def _data(self, uplink: Uplink) -> list[bytes]:
        dev_addr = DataFrame.parse(uplink.phy).dev_addr
        for dev_eui, state in self._states.items():
            before = NetworkSession.read(state)
            if dev_addr not in [context.dev_addr for context in (before.current, before.pending) if context]:
                continue
            try:
                state, up = self._side.uplink(state, uplink.phy, now=self.clock.now, tx_dr=uplink.data_rate,
                                              tx_ch=uplink.channel)
            except Refused as refused:
                if refused.code != Code.MIC:
                    raise
                continue  # of another device with that DevAddr, perhaps
            self._states[dev_eui] = state
            if up.switched:
                self.trace.note(self.clock.now, NETWORK, f"the new keys are in use: {up.state.name}")
            elif up.state != before.state:
                self.trace.note(self.clock.now, NETWORK, up.state.name)
            if up.fport:
                self.heard.append(Data(dev_eui, up.dev_addr, up.session_key_id, up.fcnt, up.fport, up.payload,
                                       up.confirmed, self._app_s.get(up.session_key_id)))
            return self._down(dev_eui) if up.due or dev_eui in self._to_say else []
        self.trace.note(self.clock.now, NETWORK, f"nobody with DevAddr {dev_addr} and that key")
        return []

    def _down(self, dev_eui: EUI) -> list[bytes]:
        state, more = self._states[dev_eui], {}
        if dev_eui in self._to_say:
            port, payload, key = self._to_say.pop(dev_eui)
            context = NetworkSession.read(state).current
            assert context  # the device was heard under it
            fcnt = context.a_fcnt_down
            more = {"fport": port, "fcnt": fcnt, "payload": data_crypt(
                payload, key, direction=Direction.DOWN, dev_addr=context.dev_addr, fcnt=fcnt)}
        self._states[dev_eui], down = self._side.downlink(state, now=self.clock.now, **more)  # type: ignore[arg-type]
        return [down.phy]


# -- a Join Server


class SimulatedJoinServer(JoinServer):
    """A JoinServer in memory, under a master key that nobody knows, whose messages are in a trace.

    A laboratory: it answers anybody, with keys in clear, until set_peers() says who may ask."""

    def __init__(self, *, clock: Clock | None = None, trace: Trace | None = None) -> None:
        self.clock = clock if clock is not None else Clock()
        self.trace = trace if trace is not None else Trace()
        super().__init__(Vault.generate(), Store.memory(), anonymous=True, clear=Clear.NS | Clear.AS, log=self._tell)

    def _tell(self, decision: Decision) -> None:
        request, answer = str(decision.type) or "request", str(MessageType(decision.type + 1)) if decision.type else "answer"
        self.trace.message(self.clock.now, NETWORK, JOIN_SERVER, request)
        self.trace.message(self.clock.now, JOIN_SERVER, NETWORK,
                           answer if decision.code == Code.OK else f"{answer}: {decision.code.result_code(10)}")


@contextlib.contextmanager
def serve(application: Callable[..., Any], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """An ASGI application over HTTP on a free port of the loopback address, from threads of its own: its URL.

    With a context it speaks TLS, and has ASGI's extension `tls` as far as lorajs.asgi.certificates() needs it.
    For tests: a body has to have a Content-Length, and nothing is limited."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def log_message(self, format: str, *args: object) -> None:
            """Not to standard error."""

        def _extensions(self) -> dict[str, Any]:
            if not isinstance(self.connection, ssl.SSLSocket):
                return {}
            shown = self.connection.getpeercert(True)  # none unless it was verified
            chain = [ssl.DER_cert_to_PEM_cert(shown)] if shown else []
            return {"tls": {"client_cert_chain": chain, "client_cert_error": None}}

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
                "method": self.command, "scheme": "https" if tls else "http", "path": path, "raw_path": path.encode("latin-1"),
                "query_string": query.encode("latin-1"), "root_path": "",
                "headers": [(name.lower().encode("latin-1"), value.encode("latin-1"))
                            for name, value in self.headers.items()],
                "client": self.client_address, "server": self.server.server_address,
                "extensions": self._extensions()}, receive, send))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls:  # shakes hands with the first read, in the thread of the connection
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
