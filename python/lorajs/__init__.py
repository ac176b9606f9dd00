"""lorajs: a LoRaWAN Join Server.

The pure join:   make_device(), join(): a record goes in, a record comes out
The server:      JoinServer over a Vault and a Store; handle() answers a message

Importing it reads no file, opens no socket and logs nothing."""

from .device import (
    EUI,
    Device,
    Frame,
    FrameKind,
    JoinAnswer,
    JoinRequest,
    Mac,
    Scheme,
    Session,
    State,
    join,
    make_device,
    sessions,
)
from .errors import ClosedError, Error, Fault, FrameError, InvalidError, MessageError, NotFound, Refused
from .keys import Clear, Envelope, Key, Vault, open_master, seal_master
from .native import version
from .server import Decision, JoinServer, MessageType, Peer, Store

__version__ = version()

__all__ = [
    "ClosedError", "Clear", "Decision", "Device", "EUI", "Envelope", "Error", "Fault", "Frame", "FrameError",
    "FrameKind", "InvalidError", "JoinAnswer", "JoinRequest", "JoinServer", "Key", "Mac", "MessageError",
    "MessageType", "NotFound", "Peer", "Refused", "Scheme", "Session", "State", "Store", "Vault", "join",
    "make_device", "open_master", "seal_master", "sessions", "version",
]
