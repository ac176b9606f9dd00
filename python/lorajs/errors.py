"""Errors: faults are ours, the machine's or the caller's; refusals the peer's or the device's."""

from __future__ import annotations

from . import native


class Error(Exception):
    """Base of all.  `code` is the ljs_err, `name` its short name, `remedy` what to do about it."""

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
        """The ResultCode of Backend Interfaces, of protocol version 10 or 11."""
        return native.result_code(self.code, protocol)


class Fault(Error):
    """Of the library, the machine or the caller."""


class Refused(Error):
    """What was asked is understood, and refused."""


class InvalidError(Fault, ValueError):
    """An argument out of its range."""


class NotFound(Fault, KeyError):
    """No such record."""


class MessageError(Refused, ValueError):
    """Not a Backend Interfaces message."""


class FrameError(Refused, ValueError):
    """Not a frame of activation."""


class ClosedError(ValueError):
    """The handle is closed."""


_BY_NAME: dict[str, type[Error]] = {
    "INVAL": InvalidError,
    "NOTFOUND": NotFound,
    "MESSAGE": MessageError,
    "FRAME": FrameError,
    "SIZE": FrameError,
}


def _make(code: int, name: str, text: str, remedy: str) -> Error:
    return _BY_NAME.get(name, Refused if code < -100 else Fault)(code, name, text, remedy)


def error(code: int) -> Error:
    """The exception of an ljs_err."""
    return _make(code, native.errname(code), native.strerror(code), native.remedy(code))


native.set_raiser(_make)
