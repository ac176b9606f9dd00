"""lorajs: a LoRaWAN Join Server.

The pure join:        make_device(), join(): a record goes in, a record comes out
The server:           JoinServer over a Vault and a Store; handle() answers a message
The other end of it:  Message builds requests and reads their answers
Sessions:             NetworkSide and EndDevice, each a pure step over a state
What is on air:       Frame, JoinAccept, CFList, DataFrame, MacCommand; derive()

Importing it reads no file, opens no socket and logs nothing.  It works in the main interpreter of
a process alone; what was made before a fork is of no use after it in the child, which makes its own."""

from . import _native  # type: ignore[attr-defined]  # it has no stub

_native.main_interpreter()  # before `native` makes classes

from .air import (  # noqa: E402
    CID,
    AcceptOf,
    CFList,
    DataFrame,
    DataOf,
    Direction,
    DLSettings,
    Frame,
    FrameKind,
    JoinAccept,
    MacCommand,
    OctetOrder,
    Stream,
    data_crypt,
    data_mic,
)
from .bulk import BulkFormat, BulkRow, Loses, bulk_loses, read_bulk, write_bulk
from .device import (
    KEK,
    Act,
    Device,
    DeviceLine,
    Has,
    JoinAnswer,
    JoinEUINonces,
    JoinRequest,
    Mac,
    Routing,
    Session,
    State,
    add_join_eui,
    app_s_key,
    check_record,
    device_json,
    join,
    join_euis,
    make_device,
    raise_generation,
    rewrap_device,
    route_device,
    sessions,
    step_device,
)
from .end_device import (
    Downlink,
    ElementKey,
    EndDevice,
    EndDeviceOptions,
    EndDeviceOutput,
    EndDeviceSession,
    EndDeviceState,
    Event,
    Heard,
    Lost,
    Restart,
    SecureElement,
    SecureElementBase,
    Send,
    SendAgain,
    Sends,
    Start,
    Stop,
    Tick,
)
from .errors import (
    ClosedError,
    Code,
    Error,
    Fault,
    FrameError,
    InvalidError,
    MessageError,
    NotFound,
    Refused,
    SealError,
)
from .explained import Explained, Field, explain, explain_accept
from .ids import EUI, DevAddr, NetID
from .keys import (
    Clear,
    Envelope,
    Key,
    KeyName,
    Scheme,
    Vault,
    derive,
    mc_key_decrypt,
    mc_key_encrypt,
    open_master,
    seal_master,
)
from .message import Message, MessageType
from .native import version
from .manifest import Manifest, ManifestEntry, ManifestSecret, ManifestVerdict
from .network import (
    Accepted,
    Down,
    Due,
    Joined,
    NetworkContext,
    NetworkKeys,
    NetworkOptions,
    NetworkSession,
    NetworkSide,
    NetworkState,
    Route,
    Up,
    Woken,
)
from .parcel import Parcel, pack
from .qr import QR, QRForm
from .server import Alarm, Call, Decision, JoinServer, Kek, KekNext, KekUse, Peer, Rewrap, Rewrapped
from .store import Change, Outcome, Store, StoreBase
from .token import TokenFault, TokenPolicy, TokenReport, TokenStorage, check_token, init_token, next_storage_key

__version__ = version()

__all__ = [
    "AcceptOf", "Accepted", "Act", "Alarm", "BulkFormat", "BulkRow", "CFList", "CID", "Call", "Change", "Clear", "ClosedError",
    "Code", "DLSettings",
    "DataFrame", "DataOf", "Decision", "DevAddr", "Device", "DeviceLine", "Direction", "Down", "Downlink", "Due",
    "EUI", "ElementKey", "EndDevice", "EndDeviceOptions", "EndDeviceOutput", "EndDeviceSession", "EndDeviceState",
    "Envelope", "Error", "Event", "Explained", "Fault", "Field", "Frame", "FrameError", "FrameKind", "Has", "Heard",
    "InvalidError", "JoinAccept", "JoinAnswer", "JoinEUINonces", "JoinRequest", "JoinServer", "Joined", "KEK",
    "Kek", "KekNext", "KekUse", "Key", "KeyName", "Loses", "Lost", "Mac", "MacCommand", "Manifest", "ManifestEntry",
    "ManifestVerdict", "Message", "MessageError", "MessageType", "NetID",
    "NetworkContext", "NetworkKeys", "NetworkOptions", "NetworkSession", "NetworkSide", "NetworkState", "NotFound",
    "OctetOrder", "Outcome", "Parcel", "Peer", "QR", "QRForm", "Refused", "Restart", "Rewrap", "Rewrapped", "Route",
    "Routing", "Scheme", "SealError", "SecureElement", "SecureElementBase", "Send", "SendAgain", "Sends", "Session", "Start",
    "State", "Stop",
    "Store", "StoreBase", "Stream", "Tick", "TokenFault", "TokenPolicy", "TokenReport", "TokenStorage", "Up", "Vault", "Woken",
    "add_join_eui", "app_s_key", "bulk_loses", "check_record", "check_token", "data_crypt", "data_mic", "derive", "device_json",
    "explain", "explain_accept", "init_token", "join", "join_euis", "make_device", "mc_key_decrypt",
    "mc_key_encrypt", "next_storage_key", "open_master", "pack", "raise_generation", "read_bulk", "rewrap_device", "route_device", "seal_master",
    "sessions", "step_device", "version", "write_bulk",
]
