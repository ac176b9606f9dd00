"""Backend Interfaces messages [TS002 1.0 and 1.1], for both ends of the line.  No I/O.

A Join Server needs none of this: JoinServer.handle() takes and gives the JSON.  A network or application
server makes a request, sends its build() as it likes, and reads the answer with its read_answer():

    request = lorajs.Message.app_s_key_req("as.example.com", join_eui, dev_eui, session_key_id)
    answer = request.read_answer(post(url, request.build()))
    key = answer.app_s.open(kek)"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import native
from .device import Mac
from .errors import Code, MessageError, Refused, error
from .ids import EUI, DevAddr, NetID
from .keys import Envelope
from .shape import read


class MessageType(enum.IntEnum):
    """Each answer is its request plus one."""

    NONE = native.LJS_MSG_NONE
    """Absent, or one that a Join Server does not know."""
    JOIN_REQ = native.LJS_MSG_JOIN_REQ
    JOIN_ANS = native.LJS_MSG_JOIN_ANS
    REJOIN_REQ = native.LJS_MSG_REJOIN_REQ
    REJOIN_ANS = native.LJS_MSG_REJOIN_ANS
    APP_S_KEY_REQ = native.LJS_MSG_APP_S_KEY_REQ
    APP_S_KEY_ANS = native.LJS_MSG_APP_S_KEY_ANS
    HOME_NS_REQ = native.LJS_MSG_HOME_NS_REQ
    HOME_NS_ANS = native.LJS_MSG_HOME_NS_ANS

    def __str__(self) -> str:
        """"JoinReq"; "" for NONE."""
        return native.message_type_text(self)


# Members that may be absent, and the bit that says they are there.
_OPTIONAL = {
    "transaction_id": native.LJS_M_TRANSACTION_ID,
    "sender_ns_id": native.LJS_M_SENDER_NSID,
    "receiver_ns_id": native.LJS_M_RECEIVER_NSID,
    "mac": native.LJS_M_MAC_VERSION,
    "dev_eui": native.LJS_M_DEV_EUI,
    "dev_addr": native.LJS_M_DEV_ADDR,
    "dl_settings": native.LJS_M_DL_SETTINGS,
    "rx_delay": native.LJS_M_RX_DELAY,
    "cf_list": native.LJS_M_CF_LIST,
    "result": native.LJS_M_RESULT,
    "lifetime": native.LJS_M_LIFETIME,
    "h_net_id": native.LJS_M_H_NET_ID,
    "h_ns_id": native.LJS_M_H_NS_ID,
}
_TYPE = {"sender_ns_id": EUI, "receiver_ns_id": EUI, "mac": Mac, "dev_eui": EUI, "dev_addr": DevAddr,
         "result": Code, "h_net_id": NetID, "h_ns_id": EUI}
_ENVELOPES = ("nwk_s", "f_nwk_s_int", "s_nwk_s_int", "nwk_s_enc", "app_s")
_OCTETS = ("sender_token", "receiver_token", "phy", "session_key_id")


@dataclass(frozen=True, slots=True)
class Message:
    """One message; what it does not carry is None or empty."""

    type: MessageType
    sender_id: str
    """As it stands: NetID (6 digits), JoinEUI (16), or an AS-ID."""
    receiver_id: str
    transaction_id: int | None = 0
    """32 bits."""
    protocol: int = 10
    """ProtocolVersion, 10 or 11; 0 for none of these."""
    sender_ns_id: EUI | None = None
    receiver_ns_id: EUI | None = None
    sender_token: bytes = b""
    receiver_token: bytes = b""
    mac: Mac | None = None
    """MACVersion."""
    phy: bytes = b""
    """PHYPayload, air order."""
    dev_eui: EUI | None = None
    dev_addr: DevAddr | None = None
    dl_settings: int | None = None
    rx_delay: int | None = None
    """0..15"""
    cf_list: bytes | None = None
    """16 octets, air order."""
    result: Code | None = None
    """Of answers."""
    description: str = ""
    """Of answers, cut to 127 octets."""
    lifetime: int | None = None
    """Seconds."""
    nwk_s: Envelope | None = None
    f_nwk_s_int: Envelope | None = None
    s_nwk_s_int: Envelope | None = None
    nwk_s_enc: Envelope | None = None
    app_s: Envelope | None = None
    session_key_id: bytes = b""
    """Up to 64 octets, opaque."""
    h_net_id: NetID | None = None
    h_ns_id: EUI | None = None
    error: Code = Code.OK
    """Out of parse(): what is wrong with the members: PROTOCOL, or MESSAGE (a type unknown, a mandatory member
    absent, one out of its range)."""

    @classmethod
    def parse(cls, octets: bytes) -> Message:
        """Read one message; MessageError for octets that are no JSON object as TS002 wants it.

        With a fault in its members it is a message all the same, see `error`."""
        try:
            return cls._of(native.message_parse(octets))
        finally:
            del octets  # a traceback shows no key

    def build(self) -> bytes:
        """The JSON: exactly the members that its type carries.  InvalidError when a mandatory one is missing."""
        return native.message_build(self._native())

    def reply(self, code: int = Code.OK) -> Message:
        """The header of the answer to this request, with IDs and tokens swapped and `code` as its result."""
        return self._of(native.message_reply(self._native(), code))

    def answers(self, request: Message) -> bool:
        """Is this the answer to that request, whatever it says?"""
        return bool(native.message_answers(self._native(), request._native()))

    def read_answer(self, octets: bytes) -> Message:
        """Read the answer to this request, and only that.

        MessageError when it is malformed, of another type or TransactionID, or names another sender, receiver
        or device; Refused for an answer that is a refusal, with the answer as its `message`."""
        try:
            err, answer = native.message_answer(self._native(), octets)
        finally:
            del octets  # a traceback shows no key
        if not err:
            return self._of(answer)
        raised = error(err)
        if isinstance(raised, Refused) and not isinstance(raised, MessageError):
            raised.message = self._of(answer)
        try:
            raise raised
        finally:
            del raised  # or the frame in its traceback has it, and both wait for the collector

    # -- requests

    @classmethod
    def join_req(cls, net_id: int, join_eui: int, dev_eui: int, phy: bytes, *, mac: Mac, dev_addr: int,
                 dl_settings: int = 0, rx_delay: int = 1, cf_list: bytes | None = None, transaction_id: int = 0,
                 protocol: int = 10, ns_id: int | None = None) -> Message:
        """JoinReq: a network server asks for a session.  phy is the join-request as it was heard."""
        return cls(MessageType.JOIN_REQ, str(NetID(net_id)), str(EUI(join_eui)), transaction_id, protocol,
                   None if ns_id is None else EUI(ns_id), mac=mac, phy=phy, dev_eui=EUI(dev_eui),
                   dev_addr=DevAddr(dev_addr), dl_settings=dl_settings, rx_delay=rx_delay, cf_list=cf_list)

    @classmethod
    def rejoin_req(cls, net_id: int, join_eui: int, dev_eui: int, phy: bytes, *, mac: Mac = Mac.V1_1, dev_addr: int,
                   dl_settings: int = 0x80, rx_delay: int = 1, cf_list: bytes | None = None, transaction_id: int = 0,
                   protocol: int = 10, ns_id: int | None = None) -> Message:
        """RejoinReq: the same for a rejoin-request 0, 1 or 2."""
        return cls(MessageType.REJOIN_REQ, str(NetID(net_id)), str(EUI(join_eui)), transaction_id, protocol,
                   None if ns_id is None else EUI(ns_id), mac=mac, phy=phy, dev_eui=EUI(dev_eui),
                   dev_addr=DevAddr(dev_addr), dl_settings=dl_settings, rx_delay=rx_delay, cf_list=cf_list)

    @classmethod
    def app_s_key_req(cls, as_id: str, join_eui: int, dev_eui: int, session_key_id: bytes, *, transaction_id: int = 0,
                      protocol: int = 10) -> Message:
        """AppSKeyReq: an application server asks for the AppSKey of a session."""
        return cls(MessageType.APP_S_KEY_REQ, as_id, str(EUI(join_eui)), transaction_id, protocol,
                   dev_eui=EUI(dev_eui), session_key_id=session_key_id)

    @classmethod
    def home_ns_req(cls, net_id: int, join_eui: int, dev_eui: int, *, transaction_id: int = 0,
                    protocol: int = 10) -> Message:
        """HomeNSReq: a visited network asks whose device it is."""
        return cls(MessageType.HOME_NS_REQ, str(NetID(net_id)), str(EUI(join_eui)), transaction_id, protocol,
                   dev_eui=EUI(dev_eui))

    # -- between here and C

    @classmethod
    def _of(cls, m: native.message) -> Message:
        given = {
            name: _TYPE.get(name, _same)(getattr(m, name)) if m.has & bit else None for name, bit in _OPTIONAL.items()
        }
        return read(cls, m, **given, error=Code(m.err))

    def _native(self) -> native.message:
        m = native.message_init()
        m.type, m.protocol, m.err, m.description = self.type, self.protocol, self.error, self.description
        m.sender_id, m.receiver_id = self.sender_id, self.receiver_id
        has = 0
        for name, bit in _OPTIONAL.items():
            if (value := getattr(self, name)) is not None:
                has |= bit
                setattr(m, name, value)
        m.has = has
        for name in _OCTETS:
            octets = getattr(self, name)
            setattr(m, name, octets)
            setattr(m, f"{name}_len", len(octets))
        for name in _ENVELOPES:
            if (envelope := getattr(self, name)) is not None:
                setattr(m, name, envelope._native())
        return m


def _same(value: object) -> object:
    return value
