"""What is on air: frames of activation, data frames, MAC commands; in clear and under keys.

Octets are in air order everywhere, little-endian; numbers are numbers."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace

from . import native
from .errors import NotFound
from .explained import Explained, explain, explain_accept
from .ids import EUI, DevAddr, NetID
from .keys import Key, Scheme, handle, handles
from .shape import read, write


class FrameKind(enum.IntEnum):
    """The values are the JoinReqType octets of [L2 1.1 §6.2.3]."""

    REJOIN0 = native.LJS_FRAME_REJOIN0
    REJOIN1 = native.LJS_FRAME_REJOIN1
    REJOIN2 = native.LJS_FRAME_REJOIN2
    JOIN = native.LJS_FRAME_JOIN


class Direction(enum.IntEnum):
    """Of a data frame or MAC command: from the device, or to it."""

    UP = native.LJS_UP
    DOWN = native.LJS_DOWN


# ---- activation ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """A join-request (23 octets), rejoin-request 0 or 2 (19) or 1 (24)."""

    kind: FrameKind
    dev_eui: EUI
    join_eui: EUI = EUI(0)
    """0 for REJOIN0 and REJOIN2, which carry none."""
    net_id: NetID = NetID(0)
    """Of REJOIN0 and REJOIN2."""
    nonce: int = 0
    """DevNonce, RJcount0 or RJcount1, 16 bits."""
    mic: bytes = bytes(4)

    @classmethod
    def parse(cls, phy: bytes) -> Frame:
        """From a whole PHYPayload; FrameError."""
        return read(cls, native.frame_parse(phy))

    def build(self) -> bytes:
        """The PHYPayload, with the MIC as it stands; InvalidError for a field that the kind does not carry."""
        return native.frame_build(self._native())

    @handles("key")
    def sign(self, key: Key) -> bytes:
        """The PHYPayload, with its MIC computed.

        The key is AppKey or NwkKey for JOIN, JSIntKey for REJOIN1, SNwkSIntKey for REJOIN0 and REJOIN2."""
        return native.frame_sign(self._native(), key.native)

    @handles("key")
    def verify(self, key: Key) -> None:
        """Raise Refused MIC when the MIC does not match."""
        native.frame_verify(key.native, self.build())

    def explain(self) -> Explained:
        """Field by field, as an annotated table."""
        return explain(self.build())

    def _native(self) -> native.frame:
        frame: native.frame = write(native.frame(), self)
        return frame


@dataclass(frozen=True, slots=True)
class DLSettings:
    """DLSettings, one octet."""

    opt_neg: bool = False
    """Bit 7; RFU before LoRaWAN 1.1."""
    rx1_dr_offset: int = 0
    """0..7"""
    rx2_data_rate: int = 0
    """0..15"""

    @classmethod
    def parse(cls, octet: int) -> DLSettings:
        """Every octet is one."""
        return read(cls, native.dl_settings_parse(octet))

    def build(self) -> int:
        """The octet; InvalidError for a field out of its range."""
        return native.dl_settings_build(write(native.dl_settings(), self))


@dataclass(frozen=True, slots=True)
class CFList:
    """A CFList [RP002]: frequencies (type 0) or channel masks (type 1)."""

    type: int = 0
    frequency: tuple[int, ...] = (0, 0, 0, 0, 0)
    """Up to five, in Hz, multiples of 100 from 100 MHz up; 0 is unused."""
    mask: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
    """Up to six of 16 bits, channels 0..15 first."""

    @classmethod
    def parse(cls, octets: bytes) -> CFList:
        """From 16 octets; FrameError."""
        return read(cls, native.cf_list_parse(octets))

    def build(self) -> bytes:
        """16 octets; InvalidError."""
        return native.cf_list_build(write(native.cf_list(), self))


@dataclass(frozen=True, slots=True)
class AcceptOf:
    """What a join-accept answers: the MIC of LoRaWAN 1.1 covers it."""

    kind: FrameKind = FrameKind.JOIN
    """The request's."""
    scheme: Scheme = Scheme.V1_0
    join_eui: EUI = EUI(0)
    """The device's, also after rejoin 0 and 2."""
    nonce: int = 0
    """DevNonce, RJcount0 or RJcount1 of the request."""


@dataclass(frozen=True, slots=True)
class JoinAccept:
    """A join-accept in clear."""

    join_nonce: int
    """24 bits."""
    net_id: NetID
    dev_addr: DevAddr
    dl_settings: int = 0
    """The octet, as DLSettings.parse() reads it."""
    rx_delay: int = 0
    """Del in bits 3..0, in seconds; 0 means 1."""
    cf_list: bytes | None = None
    """16 octets, as CFList.parse() reads them."""

    @classmethod
    def parse(cls, octets: bytes) -> JoinAccept:
        """From MHDR and the fields in clear, without MIC: 13 or 29 octets; FrameError."""
        return read(cls, native.accept_parse(octets))

    def build(self) -> bytes:
        """The way back: 13 or 29 octets; InvalidError for a field over its bits."""
        return native.accept_build(self._native())

    @handles("mic_key")
    def mic(self, of: AcceptOf, mic_key: Key) -> bytes:
        """Four octets.  The key is JSIntKey in Scheme.V1_1, else NwkKey or AppKey."""
        return native.accept_mic(self._native(), write(native.accept_of(), of), mic_key.native)

    @handles("mic_key", "enc_key")
    def seal(self, of: AcceptOf, mic_key: Key, enc_key: Key | None = None) -> bytes:
        """Sign and encrypt: the 17 or 33 octets that a device is sent.

        enc_key is NwkKey or AppKey in answer to a join-request, JSEncKey to a rejoin; mic_key where it is
        left out."""
        enc_key = enc_key or mic_key
        return native.accept_seal(self._native(), write(native.accept_of(), of), mic_key.native, enc_key.native)

    @classmethod
    @handles("mic_key", "enc_key")
    def open(cls, phy: bytes, of: AcceptOf, mic_key: Key, enc_key: Key | None = None) -> JoinAccept:
        """What a device does with it.  Refused MIC, FrameError."""
        enc_key = enc_key or mic_key
        what = write(native.accept_of(), of)
        return read(cls, native.accept_open(what, mic_key.native, enc_key.native, phy))

    @handles("mic_key")
    def explain(self, of: AcceptOf | None = None, mic_key: Key | None = None) -> Explained:
        """Field by field, as an annotated table; with its MIC where both are given."""
        return explain_accept(self.build() + (self.mic(of, mic_key) if of and mic_key is not None else b""))

    def _native(self) -> native.accept:
        accept: native.accept = write(native.accept(), self)
        return accept


# ---- data ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DataOf:
    """What the MIC of a data frame covers beside the frame."""

    scheme: Scheme
    fcnt: int
    """The whole 32-bit counter: FCntUp, NFCntDown or AFCntDown."""
    conf_fcnt: int = 0
    """1.1: FCnt modulo 2^16 of the confirmed frame that an ACK bit answers."""
    tx_dr: int = 0
    """1.1, uplink: data rate index of the transmission."""
    tx_ch: int = 0
    """1.1, uplink: channel index of the transmission."""


@dataclass(frozen=True, slots=True)
class DataFrame:
    """An unconfirmed or confirmed data frame, FOpts and FRMPayload as they travel."""

    direction: Direction
    dev_addr: DevAddr
    fcnt: int
    """The lower 16 bits of the counter."""
    confirmed: bool = False
    adr: bool = False
    adr_ack_req: bool = False
    """Uplink; RFU in a downlink."""
    ack: bool = False
    pending: bool = False
    """FPending of a downlink, ClassB of an uplink."""
    fopts: bytes = b""
    """Up to 15 octets."""
    fport: int | None = None
    frm_payload: bytes = b""
    """Up to 242 octets."""
    mic: bytes = bytes(4)

    @classmethod
    def parse(cls, phy: bytes) -> DataFrame:
        """From a whole PHYPayload; FrameError."""
        return read(cls, native.data_parse(phy))

    def build(self) -> bytes:
        """The PHYPayload, with the MIC as it stands; InvalidError for a field out of its range."""
        return native.data_build(write(native.data(), self))

    @handles("f_nwk_s_int", "s_nwk_s_int")
    def sign(self, of: DataOf, f_nwk_s_int: Key | None, s_nwk_s_int: Key | None = None) -> bytes:
        """The PHYPayload, with its MIC computed; the keys are those of data_mic()."""
        return replace(self, mic=data_mic(self.build(), of, f_nwk_s_int, s_nwk_s_int)).build()


@handles("f_nwk_s_int", "s_nwk_s_int")
def data_mic(phy: bytes, of: DataOf, f_nwk_s_int: Key | None, s_nwk_s_int: Key | None = None) -> bytes:
    """The MIC of a whole data frame, whose last four octets are not looked at.  [L2 1.1 §4.4]

    f_nwk_s_int  NwkSKey in Scheme.V1_0; in 1.1 uplinks alone need it
    s_nwk_s_int  looked at in Scheme.V1_1 alone"""
    return native.data_mic(write(native.data_of(), of), handle(f_nwk_s_int), handle(s_nwk_s_int), phy)


class Stream(enum.IntEnum):
    """Which key stream."""

    FRM_PAYLOAD = native.LJS_STREAM_FRM_PAYLOAD
    """AppSKey; on port 0 NwkSEncKey, or NwkSKey in 1.0 [L2 1.1 §4.3.3]."""
    FOPTS = native.LJS_STREAM_FOPTS
    """1.1, NwkSEncKey: uplinks, and downlinks counted by NFCntDown."""
    FOPTS_A = native.LJS_STREAM_FOPTS_A
    """1.1, NwkSEncKey: downlinks counted by AFCntDown (FPort > 0) [errata of 1.1]."""


@handles("key")
def data_crypt(octets: bytes, key: Key, *, direction: Direction, dev_addr: int, fcnt: int,
               stream: Stream = Stream.FRM_PAYLOAD) -> bytes:
    """Encrypt or decrypt a payload: the same.  InvalidError over 242 octets, over 15 of FOpts."""
    return native.data_crypt(stream, direction, dev_addr, fcnt, key.native, octets)


# ---- MAC commands ----------------------------------------------------------


class CID(enum.IntEnum):
    """The commands whose fields this library knows."""

    RESET = native.LJS_CID_RESET
    REKEY = native.LJS_CID_REKEY
    DEVICE_TIME = native.LJS_CID_DEVICE_TIME
    FORCE_REJOIN = native.LJS_CID_FORCE_REJOIN
    REJOIN_PARAM_SETUP = native.LJS_CID_REJOIN_PARAM_SETUP


class OctetOrder(enum.IntEnum):
    """Of ForceRejoinReq's two octets, in which implementations differ: a property of the device."""

    LOW_FIRST = native.LJS_LOW_FIRST
    """As the specification's general rule says; brocaar's stack and ChirpStack."""
    HIGH_FIRST = native.LJS_HIGH_FIRST
    """The Things Stack and the LoRaMac-node device."""


@dataclass(frozen=True, slots=True)
class MacCommand:
    """A MAC command; fields that the command does not have are 0."""

    cid: int
    """A CID, or another one that is known by its length."""
    direction: Direction
    payload: bytes = b""
    """As it travels; not looked at where a command that has fields below is built."""
    minor: int = 0
    """Reset..., Rekey...: LoRaWAN 1.minor."""
    period: int = 0
    """ForceRejoinReq: 0..7; 32 s * 2^period between tries."""
    max_retries: int = 0
    """ForceRejoinReq: 0..7; tries in all are one more."""
    rejoin_type: int = 0
    """ForceRejoinReq: 0 or 1 for type 0, 2 for type 2."""
    data_rate: int = 0
    """ForceRejoinReq: 0..15."""
    max_time_n: int = 0
    """RejoinParamSetupReq: 0..15; a rejoin every 2^(n+10) s at least."""
    max_count_n: int = 0
    """RejoinParamSetupReq: 0..15; every 2^(n+4) uplinks at least."""
    time_ok: bool = False
    """RejoinParamSetupAns."""

    @property
    def name(self) -> str:
        """"RekeyInd"; "?" for one that is not known."""
        return native.mac_command_text(self.cid, self.direction)

    @classmethod
    def each(cls, octets: bytes, direction: Direction,
             order: OctetOrder = OctetOrder.LOW_FIRST) -> Iterator[MacCommand]:
        """The commands of a stream: FOpts in clear, or FRMPayload of port 0.

        FrameError at a command of unknown length, or one cut short: the rest cannot be read."""
        at = 0
        while True:
            try:
                command, at = native.mac_command_parse(at, direction, order, octets)
            except NotFound:
                return
            yield read(cls, command, payload=command.payload[: command.len])

    def build(self, order: OctetOrder = OctetOrder.LOW_FIRST) -> bytes:
        """CID and payload; InvalidError for a field over its range, or a command that does not travel that way."""
        command = write(native.mac_command(), self)
        command.len = len(self.payload)
        return native.mac_command_build(command, order)
