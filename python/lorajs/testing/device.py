"""An end device that joins, checks what it is answered, sends data, rekeys and rejoins."""

from __future__ import annotations

import contextlib
import hashlib
import random
from typing import Any

from .. import (
    EUI,
    DevAddr,
    Device,
    Downlink,
    EndDevice,
    EndDeviceOptions,
    EndDeviceOutput,
    EndDeviceSession,
    EndDeviceState,
    Error,
    Event,
    JoinServer,
    Key,
    KeyName,
    Lost,
    Mac,
    Restart,
    Scheme,
    SecureElement,
    Send,
    SendAgain,
    Sends,
    Start,
    Stop,
    Tick,
    derive,
)
from .channel import AIRTIME, RX, Channel, Network, Uplink, downlink_text, is_refusal
from .trace import DEVICE, NETWORK, Clock, Trace


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
        self.trace.message(self.clock.now, NETWORK, self.actor, downlink_text(phy))
        try:
            return self._step(Downlink(phy, self._now(), self._draw()))[0]
        except Error as err:
            if not is_refusal(err):
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
