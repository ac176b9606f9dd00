"""A network server in front of a Join Server, and such a Join Server in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Callable

from .. import (
    EUI,
    Accepted,
    Clear,
    Code,
    DataFrame,
    Decision,
    DevAddr,
    Direction,
    Envelope,
    Error,
    Frame,
    FrameError,
    FrameKind,
    JoinServer,
    Key,
    Mac,
    Message,
    MessageType,
    NetID,
    NetworkKeys,
    NetworkOptions,
    NetworkSession,
    NetworkSide,
    Refused,
    Scheme,
    Store,
    Vault,
    data_crypt,
)
from .channel import Uplink, is_refusal
from .trace import JOIN_SERVER, NETWORK, Clock, Trace


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
            if not is_refusal(err):
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
