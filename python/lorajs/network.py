"""The network's side of a LoRaWAN session: pure steps over a state that is yours to keep.

    ns = lorajs.NetworkSide(vault)
    state = ns.new(lorajs.NetworkOptions(dev_eui, net_id))
    state, joined = ns.join_accepted(state, accepted, keys)    # save the state, then send the join-accept
    state, up = ns.uplink(state, phy, now=now)                 # ... then do what `up` says
    state, down = ns.downlink(state, now=now)

Each step takes a state and gives the next one and what is to be done; nothing is sent and no clock is read
here.  A step that is refused raises, and the old state stands.  See include/lorajs/network.h."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import native
from .air import FrameKind, OctetOrder
from .ids import EUI, DevAddr, NetID
from .keys import Key, Scheme, Vault, handle, handles
from .shape import read, write


class NetworkState(enum.IntEnum):
    """Which contexts there are, and which is in use."""

    NONE = native.LJS_NS_NONE
    """No context."""
    PENDING = native.LJS_NS_PENDING
    """A join-accept was made, the device was not heard under it."""
    REKEYING = native.LJS_NS_REKEYING
    """In use (1.1); the device still asks for RekeyConf."""
    ACTIVE = native.LJS_NS_ACTIVE
    """In use."""
    SWITCHING = native.LJS_NS_SWITCHING
    """In use, and another is pending."""


class Due(enum.IntFlag):
    """Why a downlink should be sent."""

    NOTHING = 0
    ACK = native.LJS_NS_DUE_ACK
    """A confirmed uplink."""
    REKEY_CONF = native.LJS_NS_DUE_REKEY_CONF
    """RekeyInd."""
    FORCE_REJOIN = native.LJS_NS_DUE_FORCE_REJOIN
    """NetworkSide.force_rejoin()."""
    REJOIN_PARAMS = native.LJS_NS_DUE_REJOIN_PARAMS
    """NetworkSide.rejoin_params()."""
    ADR_ACK = native.LJS_NS_DUE_ADR_ACK
    """ADRACKReq: any downlink will do."""


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """A device as its network server knows it."""

    dev_eui: EUI
    net_id: NetID
    """Ours: rejoin 0 and 2 of another are refused."""
    minor: int = 1
    """The highest LoRaWAN 1.minor that the network speaks, 1..15."""
    order: OctetOrder = OctetOrder.LOW_FIRST
    """Of ForceRejoinReq, as the device reads it."""
    rejoins_per_hour: int = 16
    """Rejoin 0 and 2 sent on at most within an hour; 0: no limit."""
    rejoins1_per_hour: int = 6
    """The same of rejoin 1, which the network cannot check; 0 leaves them all to the Join Server."""

    def _native(self) -> native.ns_opts:
        opts: native.ns_opts = write(native.ns_opts_init(), self)
        return opts


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was answered to a JoinReq or RejoinReq."""

    now: int
    """Milliseconds."""
    kind: FrameKind
    """Of the request."""
    scheme: Scheme
    """V1_1: MACVersion 1.1 and OptNeg set; always so after a rejoin."""
    mac: int
    """MACVersion of the request."""
    nonce: int
    """Of the request: DevNonce, RJcount0 or RJcount1."""
    dev_addr: int
    """As it stands in the join-accept."""
    session_key_id: bytes = bytes(16)
    """Zero where there is none."""


@dataclass(frozen=True, slots=True)
class NetworkKeys:
    """The network keys of JoinAns or RejoinAns."""

    f_nwk_s_int: Key
    """NwkSKey in Scheme.V1_0, where the others are not looked at."""
    s_nwk_s_int: Key | None = None
    nwk_s_enc: Key | None = None


setattr(NetworkKeys, "__init__", handles("f_nwk_s_int", "s_nwk_s_int", "nwk_s_enc")(NetworkKeys.__init__))


@dataclass(frozen=True, slots=True)
class Joined:
    """Of NetworkSide.join_accepted()."""

    state: NetworkState
    """After the step."""
    repeat: bool
    """These are the keys of a context that there is already: nothing changed."""
    replaced: bool
    """A pending context that was never heard of is gone."""
    wake_at: int | None
    """When to call timer()."""


@dataclass(frozen=True, slots=True)
class Up:
    """An uplink that was accepted."""

    state: NetworkState
    """After the step."""
    scheme: Scheme
    dev_addr: DevAddr
    session_key_id: bytes
    """Of the context, for the application server."""
    fcnt: int
    """The whole counter."""
    again: int
    """0: a new frame; else the last one, for the nth time after the first: no payload, no port and no MAC commands
    are told, since they were.  Who has told the device NbTrans drops the step, with its new state, when this reaches it."""
    confirmed: bool
    """The frame asks for an ACK."""
    adr: bool
    class_b: bool
    switched: bool
    """The pending context is the current one now; the old one is gone."""
    rekey: bool
    """RekeyInd was in it, and is answered."""
    minor: int
    """What RekeyConf says; 0 without RekeyInd."""
    acked: bool
    """The last confirmed downlink arrived."""
    params_answered: bool
    """RejoinParamSetupAns to what was asked."""
    time_ok: bool
    """TimeOK of it."""
    due: Due
    """Not 0: call downlink() for this uplink."""
    fport: int | None
    payload: bytes
    """FRMPayload of ports above 0, still under AppSKey."""
    mac: bytes
    """All MAC commands in clear, also those dealt with here."""
    wake_at: int | None
    """When to call timer()."""


@dataclass(frozen=True, slots=True)
class Down:
    """A downlink to be sent."""

    state: NetworkState
    """After the step."""
    phy: bytes
    """The frame, complete."""
    dev_addr: DevAddr
    fcnt: int
    """The counter it took."""
    sent: Due
    """What is in it."""
    wake_at: int | None
    """When to call timer()."""


@dataclass(frozen=True, slots=True)
class Route:
    """A rejoin-request that is to be sent on to the Join Server as RejoinReq."""

    state: NetworkState
    """After the step."""
    kind: FrameKind
    nonce: int
    """RJcount0, or RJcount1."""
    checked: bool
    """MIC, NetID and RJcount0 were checked here; not of rejoin 1, which the Join Server checks."""
    forced: bool
    """It ends the run of force_rejoin()."""
    wake_at: int | None
    """When to call timer()."""


@dataclass(frozen=True, slots=True)
class Woken:
    """Of NetworkSide.timer()."""

    state: NetworkState
    """After the step."""
    due: Due
    """A downlink, as soon as the device can hear."""
    spent: bool
    """ForceRejoinReq was sent as often as wished, and no rejoin came: given up."""
    wake_at: int | None
    """When to call again."""


@dataclass(frozen=True, slots=True)
class NetworkContext:
    """A security context without its keys."""

    scheme: Scheme
    mac: int
    kind: FrameKind
    """Of the request that made it."""
    dev_addr: DevAddr
    session_key_id: bytes
    minor: int
    """As RekeyConf says; 0 before RekeyInd, and under 1.0."""
    fcnt_up: int | None
    """Of the last uplink accepted."""
    n_fcnt_down: int
    """Of the next downlink without payload; 2^32 when used up."""
    a_fcnt_down: int
    """Of the next downlink with payload; under 1.0 the same counter."""
    rj_count0: int | None
    """The last accepted."""
    at: int
    """`now` of its join-accept."""

    @classmethod
    def _of(cls, context: native.ns_context) -> NetworkContext | None:
        return read(cls, context) if context.present else None


@dataclass(frozen=True, slots=True)
class NetworkSession:
    """A state's public half."""

    opts: NetworkOptions
    state: NetworkState
    current: NetworkContext | None
    pending: NetworkContext | None
    due: Due
    force_left: int
    """How often ForceRejoinReq may still be sent."""
    rejoin2: bool
    """Rejoin 2 was asked for under the current context."""
    has_params: bool
    """rejoin_params() was called."""
    params_known: bool
    """The device has answered them."""
    max_time_n: int
    max_count_n: int
    time_ok: bool
    """The device's answer."""
    wake_at: int | None

    @classmethod
    def read(cls, state: bytes) -> NetworkSession:
        """Needs no vault, and checks no tag; SealError for octets that are no state."""
        ns = native.ns_read(state)
        return read(cls, ns, opts=read(NetworkOptions, ns.opts))


class NetworkSide:
    """The network's side of sessions, whose keys are sealed in their states under a vault.  Any thread may use it.

    Every step raises SealError for a state that was changed on the way."""

    __slots__ = ("_vault",)

    @handles("vault")
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def new(self, opts: NetworkOptions) -> bytes:
        """The state of a device that has no context: NONE.  InvalidError."""
        return native.ns_new(self._vault.native, opts._native())

    def join_accepted(self, state: bytes, accepted: Accepted, keys: NetworkKeys) -> tuple[bytes, Joined]:
        """The Join Server has answered: the context becomes the pending one.  Then send the join-accept.

        Fault STATE for a rejoin 0 or 2 without a current context; Refused REPLAY for one whose RJcount0 is not
        the last that rejoin() let through, or for keys of a context that is gone; MAC when scheme, MACVersion and
        kind do not go together; NOKEY."""
        borrowed = native.ns_keys()
        borrowed.f_nwk_s_int = keys.f_nwk_s_int.native
        borrowed.s_nwk_s_int = handle(keys.s_nwk_s_int)
        borrowed.nwk_s_enc = handle(keys.nwk_s_enc)
        what = write(native.ns_accepted(), accepted)
        out, state = native.ns_join_accepted(self._vault.native, what, borrowed, state)
        return state, read(Joined, out)

    def uplink(self, state: bytes, phy: bytes, *, now: int, tx_dr: int = 0, tx_ch: int = 0) -> tuple[bytes, Up]:
        """One uplink data frame, whole.

        tx_dr, tx_ch  data rate and channel index of the reception: the MIC of 1.1 covers them

        Take together what several gateways heard of one transmission before this: a frame that was sent again
        and one that was heard twice, or replayed, are the same octets (see docs/sessions.md).

        Refused SESSION for a DevAddr that is neither context's; MIC; REPLAY for a counter that is not greater,
        unless the frame is the last one again and not too often so; Fault STATE for an uplink of a pending 1.1
        context without RekeyInd: drop it; FrameError."""
        out, state = native.ns_uplink(self._vault.native, now, tx_dr, tx_ch, phy, state)
        return state, read(Up, out)

    def downlink(self, state: bytes, *, now: int, confirmed: bool = False, adr: bool = False, pending: bool = False,
                 fport: int = 0, fcnt: int = 0, payload: bytes = b"", mac: bytes = b"") -> tuple[bytes, Down]:
        """The next downlink, with what is due and with what is given.  Save the state before it is sent.

        confirmed  not while the last one may still be acknowledged: under 1.1 an uplink that does is MIC then
        fport      1..255 with a payload, which may be empty; 0: no payload
        fcnt       that the payload, under AppSKey, is encrypted with: a_fcnt_down of the context or more
        mac        MAC commands of the network server's own, in clear

        NotFound when there is nothing to send; Fault STATE without a current context; Refused REPLAY for an fcnt
        below the next; SPENT for counters used up; FrameError when it does not fit into one frame."""
        tx = native.ns_tx()
        tx.now, tx.confirmed, tx.adr, tx.pending = now, int(confirmed), int(adr), int(pending)
        tx.fport, tx.fcnt = fport, fcnt
        tx.payload, tx.payload_len, tx.mac, tx.mac_len = payload, len(payload), mac, len(mac)
        out, state = native.ns_downlink(self._vault.native, tx, state)
        return state, read(Down, out)

    def rejoin(self, state: bytes, phy: bytes, *, now: int) -> tuple[bytes, Route]:
        """One rejoin-request, whole: whether it is to be sent on.

        Fault STATE for rejoin 0 or 2 without a current context of 1.1, and for rejoin 2 that was not asked for:
        drop it; Refused HOME for another NetID; MIC; REPLAY; BUSY when there were too many within an hour; DEVICE
        for another DevEUI; FrameError."""
        out, state = native.ns_rejoin(self._vault.native, now, phy, state)
        return state, read(Route, out)

    def force_rejoin(self, state: bytes, *, rejoin_type: int = 0, period: int = 0, max_retries: int = 0,
                     data_rate: int = 0, tries: int = 1, wait: int = 0) -> bytes:
        """A wish that the device rejoin soon, in place of any such wish before.  A downlink is due at once.

        rejoin_type  0 or 2
        period       0..7, for the device: 32 s * 2^period and up to 32 s between its tries
        max_retries  0..7, for the device: its tries are one more
        data_rate    0..15, for the device
        tries        how often ForceRejoinReq is sent at most; 0 takes the wish back
        wait         ms after the first; 0: as long as the device's own tries take

        Fault STATE without a current context; Refused MAC under 1.0; InvalidError."""
        force = native.ns_force()
        force.rejoin_type, force.period, force.max_retries = rejoin_type, period, max_retries
        force.data_rate, force.tries, force.wait = data_rate, tries, wait
        return native.ns_force_rejoin(self._vault.native, force, state)

    def rejoin_params(self, state: bytes, max_time_n: int, max_count_n: int) -> bytes:
        """How often the device is to rejoin by itself: every 2^(max_time_n+10) seconds and every
        2^(max_count_n+4) uplinks at least.  Fault STATE without a current context; Refused MAC under 1.0."""
        return native.ns_rejoin_params(self._vault.native, max_time_n, max_count_n, state)

    def timer(self, state: bytes, *, now: int) -> tuple[bytes, Woken]:
        """The `wake_at` of the last result has come.  Too early or for nothing changes nothing."""
        out, state = native.ns_timer(self._vault.native, now, state)
        return state, read(Woken, out)
