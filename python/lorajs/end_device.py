"""The device's side of a LoRaWAN session: a pure step over a state that is yours to keep.

    device = lorajs.EndDevice(lorajs.SecureElement.software(nwk_key, app_key))
    state = device.new(lorajs.EndDeviceOptions(join_eui, dev_eui))
    state, out = device.step(state, lorajs.Start(now=0, random=random))
    send(out.frame)
    state, out = device.step(state, lorajs.Downlink(frame, now=6000, random=random))

Where the result says `persist`, the state is made durable before its frame is sent or its downlink acted on;
after a crash the last durable one is brought back with Restart.  See include/lorajs/end_device.h."""

from __future__ import annotations

import abc
import enum
from dataclasses import dataclass
from typing import ClassVar, Union

from . import native
from .air import FrameKind, JoinAccept, OctetOrder
from .device import Mac
from .ids import EUI, DevAddr, NetID
from .keys import Key, Scheme, handle, handles
from .shape import read, write

# ---- the secure element ----------------------------------------------------


class ElementKey(enum.IntEnum):
    """The keys of an element.  Session keys are in two banks, A and B: a session is derived into the one that the
    state does not use, and then the state names it."""

    NONE = native.LJS_SE_NONE
    NWK = native.LJS_SE_NWK
    """NwkKey, or the one root key of LoRaWAN 1.0.x."""
    APP = native.LJS_SE_APP
    """AppKey of LoRaWAN 1.1."""
    JS_INT = native.LJS_SE_JS_INT
    JS_ENC = native.LJS_SE_JS_ENC
    F_NWK_S_INT_A = native.LJS_SE_F_NWK_S_INT_A
    """Also NwkSKey."""
    S_NWK_S_INT_A = native.LJS_SE_S_NWK_S_INT_A
    NWK_S_ENC_A = native.LJS_SE_NWK_S_ENC_A
    APP_S_A = native.LJS_SE_APP_S_A
    F_NWK_S_INT_B = native.LJS_SE_F_NWK_S_INT_B
    S_NWK_S_INT_B = native.LJS_SE_S_NWK_S_INT_B
    NWK_S_ENC_B = native.LJS_SE_NWK_S_ENC_B
    APP_S_B = native.LJS_SE_APP_S_B
    GEN_APP = native.LJS_SE_GEN_APP
    """GenAppKey of 1.0.x; from here on for a rekey alone (lorajs.rekey)."""
    REKEY = native.LJS_SE_REKEY
    """The rekey key."""
    NWK_B = native.LJS_SE_NWK_B
    """The other place of each root key."""
    APP_B = native.LJS_SE_APP_B
    GEN_APP_B = native.LJS_SE_GEN_APP_B
    REKEY_B = native.LJS_SE_REKEY_B
    REKEY_INT = native.LJS_SE_REKEY_INT
    """RekeyIntKey."""
    JOIN_KEY = native.LJS_SE_JOIN_KEY
    """JK, for as long as a rekey takes."""


class SecureElementBase(abc.ABC):
    """Derive from this for an element of your own: it holds the root keys of one device and computes by id.

    It is called in the thread that steps the device, and what it raises comes out of that step, the same
    exception.  What it has no key for, it raises KeyError for."""

    @abc.abstractmethod
    def derive(self, to: ElementKey, from_: ElementKey, block: bytes) -> None:
        """Key `to` = aes128_encrypt(key `from_`, block of 16 octets)."""

    @abc.abstractmethod
    def encrypt(self, id: ElementKey, octets: bytes) -> bytes:
        """AES-128-ECB of a multiple of 16 octets: as many."""

    @abc.abstractmethod
    def cmac(self, id: ElementKey, octets: bytes) -> bytes:
        """aes128_cmac, 16 octets."""

    @abc.abstractmethod
    def has(self, id: ElementKey) -> bool:
        """Is there such a key?"""

    def close(self) -> None:
        """Nothing will be called any more.  What is raised here reaches nobody but sys.unraisablehook."""


class _Adapter:
    """A SecureElementBase as the binding calls it."""

    def __init__(self, element: SecureElementBase) -> None:
        self._element, self.close = element, element.close

    def derive(self, to: int, from_: int, block: bytes) -> None:
        self._element.derive(ElementKey(to), ElementKey(from_), block)

    def encrypt(self, id: int, octets: bytes) -> bytes:
        return self._element.encrypt(ElementKey(id), octets)

    def cmac(self, id: int, octets: bytes) -> bytes:
        return self._element.cmac(ElementKey(id), octets)

    def has(self, id: int) -> bool:
        return self._element.has(ElementKey(id))


class SecureElement:
    """A secure element with the root keys of one device."""

    __slots__ = ("native",)

    def __init__(self, handle: native.se) -> None:
        self.native = handle

    @classmethod
    @handles("nwk_key", "app_key")
    def software(cls, nwk_key: Key | None = None, app_key: Key | None = None) -> SecureElement:
        """One in software: copies of the keys in guarded memory.

        nwk_key  NwkKey, or the root key of 1.0.x; None: app_key is the root key of 1.0.x
        app_key  AppKey of 1.1; may be None in 1.0.x"""
        return cls(native.se_software(handle(nwk_key), handle(app_key)))

    @classmethod
    def custom(cls, element: SecureElementBase) -> SecureElement:
        """One written in Python; it is closed with this."""
        return cls(native.se_custom(_Adapter(element)))

    def __repr__(self) -> str:
        return "<SecureElement>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a SecureElement is not pickled")


# ---- a device --------------------------------------------------------------


class EndDeviceState(enum.IntEnum):
    """Whether there is a session, and of what kind."""

    IDLE = native.LJS_ED_IDLE
    """No session, and none is asked for."""
    JOINING = native.LJS_ED_JOINING
    """Sends join-requests."""
    REKEYING = native.LJS_ED_REKEYING
    """A session of 1.1; RekeyInd goes with every uplink."""
    JOINED = native.LJS_ED_JOINED
    """A session in use."""


@dataclass(frozen=True, slots=True)
class EndDeviceOptions:
    """What a device is."""

    join_eui: EUI
    dev_eui: EUI
    mac: Mac = Mac.V1_1
    airtime: int = 1500
    """Of one (re)join-request, in ms, 1..4000."""
    adr_ack_limit: int = 64
    """ADR_ACK_LIMIT, 1.."""
    link_limit: int = 320
    """Uplinks without any downlink until the session is given up; 0: never."""
    fcnt_reserve: int = 32
    """FCntUp is made durable every so many uplinks, and with each one while REKEYING; a restart skips up to that."""
    adr: bool = True
    """FCtrl.ADR of uplinks."""
    join_nonce_rising: bool = False
    """A 1.0.x device wants JoinNonce to rise, as 1.1 always does; else to differ."""
    no_clock: bool = False
    """Cannot rejoin by time: answers TimeOK 0."""
    order: OctetOrder = OctetOrder.LOW_FIRST
    """Of ForceRejoinReq."""
    rejoin1_period: int = 0
    """Seconds between rejoin-requests 1, 0: none."""
    dev_nonce: int = 0
    """The first DevNonce to use (1.0.4 and later), 0..65535."""
    rj_count1: int = 0
    """The first RJcount1 to use, 0..65535."""


@dataclass(frozen=True, slots=True)
class Start:
    """Power-up, or the wish to join: a join-request at once, budget allowing."""

    kind: ClassVar[int] = native.LJS_ED_ON_START
    now: int
    """Milliseconds."""
    random: int = 0
    """32 bits; spreads what is scheduled, and the lower 16 are the DevNonce before 1.0.4."""


@dataclass(frozen=True, slots=True)
class Tick:
    """`wake_at` has come; too early or for nothing is no harm."""

    kind: ClassVar[int] = native.LJS_ED_ON_TICK
    now: int
    random: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """The application, or MAC commands of the caller's own, go up."""

    kind: ClassVar[int] = native.LJS_ED_ON_SEND
    now: int
    payload: bytes = b""
    """In clear."""
    fport: int = 0
    """1..255 with a payload, which may be empty; 0: none."""
    mac: bytes = b""
    """MAC commands of the caller's own, in clear."""
    confirmed: bool = False
    tx_dr: int = 0
    """Data rate and channel index it will be sent with: the MIC of 1.1 covers them."""
    tx_ch: int = 0


@dataclass(frozen=True, slots=True)
class SendAgain:
    """The last data frame once more, under the same counter."""

    kind: ClassVar[int] = native.LJS_ED_ON_SEND_AGAIN
    frame: bytes
    """As it was sent, then or since."""
    now: int
    tx_dr: int = 0
    """Data rate and channel index it will be sent with: the MIC of 1.1 covers them."""
    tx_ch: int = 0


@dataclass(frozen=True, slots=True)
class Downlink:
    """A frame was heard: join-accept or data."""

    kind: ClassVar[int] = native.LJS_ED_ON_DOWNLINK
    frame: bytes
    now: int
    random: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """The receive windows of the last frame are over: no answer will come to it."""

    kind: ClassVar[int] = native.LJS_ED_ON_LOST
    now: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The session, or the wish for one, is given up."""

    kind: ClassVar[int] = native.LJS_ED_ON_STOP
    now: int


@dataclass(frozen=True, slots=True)
class Restart:
    """This state was read back after a crash or power loss; `now` may begin anew."""

    kind: ClassVar[int] = native.LJS_ED_ON_RESTART
    now: int
    random: int = 0


Event = Union[Start, Tick, Send, SendAgain, Downlink, Lost, Stop, Restart]
"""What happens to a device."""


class Sends(enum.IntEnum):
    """What a frame to be sent is."""

    NOTHING = native.LJS_ED_SENDS_NOTHING
    JOIN = native.LJS_ED_SENDS_JOIN
    REJOIN0 = native.LJS_ED_SENDS_REJOIN0
    REJOIN1 = native.LJS_ED_SENDS_REJOIN1
    REJOIN2 = native.LJS_ED_SENDS_REJOIN2
    DATA = native.LJS_ED_SENDS_DATA


@dataclass(frozen=True, slots=True)
class Heard:
    """A data downlink."""

    confirmed: bool
    """It wants an ACK: the next uplink has it."""
    acked: bool
    """The last confirmed uplink arrived."""
    pending: bool
    """FPending."""
    fport: int | None
    payload: bytes
    """Of ports above 0, in clear."""
    mac: bytes
    """All MAC commands in clear, also those dealt with here."""

    @classmethod
    def _of(cls, out: native.ed_out) -> Heard | None:
        return read(cls, out) if out.heard else None


@dataclass(frozen=True, slots=True)
class EndDeviceOutput:
    """What is to be done."""

    state: EndDeviceState
    """After the step."""
    persist: bool
    """Make the state durable before anything below is done."""
    sends: Sends
    frame: bytes
    """To be sent, complete."""
    tx_dr: int | None
    """Of the frame: of the event, of ForceRejoinReq, or None: the caller chooses."""
    nonce: int
    """Of a (re)join-request sent, or of the one that an accept answers."""
    fcnt: int
    """Of a data frame sent or heard."""
    wake_at: int | None
    """When to step Tick."""
    joined: bool
    """There is a new session, after a join-request."""
    rejoined: bool
    """There is a new session, after a rejoin-request."""
    rekeyed: bool
    """RekeyConf was heard."""
    session_lost: bool
    """The session was given up; what was to be sent was not."""
    forced: bool
    """ForceRejoinReq was heard, or the frame sent obeys it."""
    reset_radio: bool
    """Channels and MAC parameters go back to their defaults, then `accept` applies."""
    scheme: Scheme | None
    """Of the session."""
    accept: JoinAccept | None
    """With joined or rejoined: what the network says."""
    heard: Heard | None

    @classmethod
    def _from(cls, out: native.ed_out) -> EndDeviceOutput:
        return read(
            cls, out,
            tx_dr=None if out.tx_dr == native.LJS_ED_DR_ANY else out.tx_dr,
            scheme=Scheme(out.scheme) if out.scheme else None,
            accept=read(JoinAccept, out.accept) if out.joined or out.rejoined else None,
            heard=Heard._of(out),
        )


@dataclass(frozen=True, slots=True)
class EndDeviceSession:
    """A state, all of it that matters to others.  There is no key in it."""

    opts: EndDeviceOptions
    state: EndDeviceState
    dev_nonce: int
    """The next; 65536 when used up."""
    rj_count0: int
    """The next; 65536 when used up."""
    rj_count1: int
    """The next; 65536 when used up."""
    join_nonce: int | None
    """The last accepted."""
    waiting: bool
    """A join-accept may come."""
    kind: FrameKind
    """Waiting: of the request."""
    nonce: int
    """Waiting: of the request."""
    scheme: Scheme | None
    """Of the session; without one the rest is 0."""
    session_kind: FrameKind
    session_nonce: int
    net_id: NetID
    dev_addr: DevAddr
    bank: int
    """Of the element: 0 for A, 1 for B."""
    fcnt_up: int
    """The next."""
    n_fcnt_down: int | None
    """The last; under 1.0 the only one."""
    a_fcnt_down: int | None
    """The last."""
    silent: int
    """Uplinks since the last downlink."""
    ack_due: bool
    """The next uplink acknowledges a downlink."""
    again_left: int
    """How often the last data frame may be sent again, 0..14."""
    force_left: int
    """Rejoin-requests that ForceRejoinReq still wants."""
    force_type: int
    """0 or 2."""
    has_params: bool
    """RejoinParamSetupReq was heard."""
    max_time_n: int
    max_count_n: int
    wake_at: int | None

    @classmethod
    def read(cls, state: bytes) -> EndDeviceSession:
        """SealError for octets that are no state."""
        ed = native.ed_read(state)
        return read(cls, ed, opts=read(EndDeviceOptions, ed.opts), scheme=Scheme(ed.scheme) if ed.scheme else None)


class EndDevice:
    """A device over a secure element."""

    __slots__ = ("_element",)

    def __init__(self, element: SecureElement | SecureElementBase) -> None:
        self._element = SecureElement.custom(element) if isinstance(element, SecureElementBase) else element

    @staticmethod
    def new(opts: EndDeviceOptions) -> bytes:
        """The state of a device that never joined: IDLE.  InvalidError."""
        return native.ed_new(write(native.ed_opts_init(), opts))

    def step(self, state: bytes, event: Event) -> tuple[bytes, EndDeviceOutput]:
        """One event: the next state, and what is to be done.

        Fault STATE for an event that the state does not know (also SendAgain of any frame but the last, of one that
        was answered, or beyond 15 times in all); Refused SPENT when DevNonce or FCntUp is used up;
        NOKEY; InvalidError; SealError.  Of a join-accept: Refused MIC, REPLAY, MAC, FrameError.  Of a data frame:
        Refused SESSION for another DevAddr, MIC, REPLAY, FrameError.  Of Send: FrameError when MAC commands and
        payload do not go into one frame."""
        given = write(native.ed_event_init(event.kind, event.now), event)
        out, state = native.ed_step(self._element.native, given, state)
        return state, EndDeviceOutput._from(out)

    def load(self, state: bytes) -> None:
        """Derive again in the element whatever the state stands on.  Restart does it."""
        native.ed_load(self._element.native, state)
