"""Errors: faults are ours, the machine's or the caller's; refusals the peer's or the device's."""

from __future__ import annotations

import enum
import threading
import types
from typing import TYPE_CHECKING

from . import native

if TYPE_CHECKING:
    from .message import Message


class Code(enum.IntEnum):
    """Every way a call can end: 0, faults from -1 down, refusals from -101 down."""

    OK = native.LJS_OK
    INVAL = native.LJS_E_INVAL
    NOMEM = native.LJS_E_NOMEM
    CRYPTO = native.LJS_E_CRYPTO
    STORE = native.LJS_E_STORE
    CONFLICT = native.LJS_E_CONFLICT
    NOTFOUND = native.LJS_E_NOTFOUND
    SEAL = native.LJS_E_SEAL
    VERSION = native.LJS_E_VERSION
    STATE = native.LJS_E_STATE
    EXISTS = native.LJS_E_EXISTS
    WEAK = native.LJS_E_WEAK
    MISSING = native.LJS_E_MISSING
    TOKEN = native.LJS_E_TOKEN
    PIN = native.LJS_E_PIN
    INSIDE = native.LJS_E_INSIDE
    LOT = native.LJS_E_LOT
    MESSAGE = native.LJS_E_MESSAGE
    FRAME = native.LJS_E_FRAME
    SIZE = native.LJS_E_SIZE
    MIC = native.LJS_E_MIC
    REPLAY = native.LJS_E_REPLAY
    DEVICE = native.LJS_E_DEVICE
    BLOCKED = native.LJS_E_BLOCKED
    HOME = native.LJS_E_HOME
    JOINEUI = native.LJS_E_JOINEUI
    PROTOCOL = native.LJS_E_PROTOCOL
    SENDER = native.LJS_E_SENDER
    RECEIVER = native.LJS_E_RECEIVER
    KEK = native.LJS_E_KEK
    MAC = native.LJS_E_MAC
    NOKEY = native.LJS_E_NOKEY
    SPENT = native.LJS_E_SPENT
    SESSION = native.LJS_E_SESSION
    ROAMING = native.LJS_E_ROAMING
    BUSY = native.LJS_E_BUSY
    CLAIM = native.LJS_E_CLAIM
    LIMIT = native.LJS_E_LIMIT
    MOVED = native.LJS_E_MOVED

    @property
    def text(self) -> str:
        """What it means: "message integrity code does not match"."""
        return native.strerror(self)

    @property
    def remedy(self) -> str:
        """What an operator can do about it."""
        return native.remedy(self)

    def result_code(self, protocol: int = 11) -> str:
        """The ResultCode of Backend Interfaces [TS002 §23.5], of protocol version 10 or 11."""
        return native.result_code(self, protocol)

    @classmethod
    def of_result(cls, result_code: str) -> Code:
        """The other way, from either spelling; MESSAGE for a code that a Join Server does not send."""
        return cls(native.result_err(result_code))


class Error(Exception):
    """Base of all.  `code` is the number, `name` its short name, `remedy` what to do about it."""

    def __init__(self, code: int, name: str, text: str, remedy: str) -> None:
        super().__init__(text)
        self.code = code
        self.name = name
        self.remedy = remedy

    def __str__(self) -> str:  # KeyError would quote it
        return str(self.args[0])

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.code, self.name, self.args[0], self.remedy)

    def result_code(self, protocol: int = 11) -> str:
        """The ResultCode of Backend Interfaces [TS002 §23.5], of protocol version 10 or 11."""
        return native.result_code(self.code, protocol)


class Fault(Error):
    """Of the library, the machine or the caller."""


class Refused(Error):
    """What was asked is understood, and refused.

    `message` is the answer that says so, where one was read (Message.read_answer)."""

    message: Message | None = None


class InvalidError(Fault, ValueError):
    """An argument out of its range."""


class NotFound(Fault, KeyError):
    """No such record."""


class SealError(Fault, ValueError):
    """Another master key or KEK, or octets that were tampered with."""


class MessageError(Refused, ValueError):
    """Not a Backend Interfaces message.

    `answer` is the JSON that a server says so with (HTTP 400), where it is one that says it."""

    answer: bytes = b""


class FrameError(Refused, ValueError):
    """Not a frame of this kind."""


class ClosedError(ValueError):
    """The handle is closed."""


_BY_NAME: dict[str, type[Error]] = {
    "INVAL": InvalidError,
    "NOTFOUND": NotFound,
    "SEAL": SealError,
    "MESSAGE": MessageError,
    "FRAME": FrameError,
    "SIZE": FrameError,
}


def _make(code: int, name: str, text: str, remedy: str) -> Error:
    return _BY_NAME.get(name, Refused if code < -100 else Fault)(code, name, text, remedy)


def error(code: int, text: str | None = None) -> Error:
    """The exception of a code; `text` where more is known than the code says."""
    return _make(code, native.errname(code), text or native.strerror(code), native.remedy(code))


class Alone:
    """Around the calls of a handle that one thread at a time may use.  Another thread, or a callback of the call
    that has it, is Fault STATE: C would write where the other reads."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise error(Code.STATE, "in use by another thread, or by the call that this is called back by")

    def __exit__(self, *raised: object) -> None:
        self._lock.release()


def _call_directly() -> None:
    """The functions of C themselves, in place of those that SWIG may have written around them, in whose locals a
    traceback would show keys."""
    built_in = getattr(native, "_native")
    for name, function in list(vars(native).items()):
        if isinstance(function, types.FunctionType) and hasattr(built_in, name):
            setattr(native, name, getattr(built_in, name))


_call_directly()
native.set_raiser(_make)
