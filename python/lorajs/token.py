"""Tokens of PKCS#11: keys made in one for a vault (Vault.token()), and what it is worth."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import native, shape


class TokenPolicy(enum.IntEnum):
    """What a token lets happen to keys under its storage key."""

    SEALED = native.LJS_TOKEN_SEALED
    """Never to leave it again: the storage key stays for good."""
    ROTATABLE = native.LJS_TOKEN_ROTATABLE
    """To leave it under another storage key that its security officer trusts; the price is that storage keys can be
    used without a PIN."""


class TokenFault(enum.IntFlag):
    """What check_token() can find wrong."""

    NO_MECHANISM = native.LJS_TOKEN_NO_MECHANISM
    WRONG = native.LJS_TOKEN_WRONG
    READABLE = native.LJS_TOKEN_READABLE
    CLEAR = native.LJS_TOKEN_CLEAR
    DECRYPTS = native.LJS_TOKEN_DECRYPTS
    CHANGEABLE = native.LJS_TOKEN_CHANGEABLE
    LEAVES = native.LJS_TOKEN_LEAVES
    NO_PIN = native.LJS_TOKEN_NO_PIN


@dataclass(frozen=True)
class TokenStorage:
    """The storage keys of a vault in a token."""

    policy: TokenPolicy
    version: int
    """Of the newest."""
    versions: int
    """How many there are."""


@dataclass(frozen=True)
class TokenReport:
    """A token, and what is wrong with it."""

    faults: TokenFault
    """None of them when all is well."""
    policy: TokenPolicy
    version: int
    """Of the newest storage key."""
    label: str
    model: str
    manufacturer: str
    serial: str


def init_token(uri: str, pin: bytearray, *, policy: TokenPolicy = TokenPolicy.SEALED) -> None:
    """Make the keys of a vault in a token that has a user PIN already.  `pin` is that of the user, and of the security
    officer for TokenPolicy.ROTATABLE; it is overwritten with zeros.  Fault EXISTS when the token has them."""
    if not isinstance(pin, bytearray):
        del pin
        raise TypeError("a PIN comes in a bytearray, which is wiped")
    try:
        native.token_init(uri, policy, pin)
    finally:
        del uri  # which may have a PIN
        pin[:] = bytes(len(pin))


def next_storage_key(uri: str, pin: bytearray) -> int:
    """Make the next storage key in a token of TokenPolicy.ROTATABLE, and tell its number: keys are sealed under it from
    then on, and JoinServer.rewrap() brings the others there, inside the token.  `pin` is that of the security officer;
    it is overwritten with zeros.  NotFound under TokenPolicy.SEALED, Fault STATE while this process has a vault in
    a token of the module."""
    if not isinstance(pin, bytearray):
        del pin
        raise TypeError("a PIN comes in a bytearray, which is wiped")
    try:
        return native.token_next(uri, pin)
    finally:
        del uri  # which may have a PIN
        pin[:] = bytes(len(pin))


def check_token(uri: str, pin: bytearray) -> TokenReport:
    """Try known answers, and every attack of TokenFault, with a key of no device.  The user PIN is overwritten with
    zeros."""
    if not isinstance(pin, bytearray):
        del pin
        raise TypeError("a PIN comes in a bytearray, which is wiped")
    try:
        return shape.read(TokenReport, native.token_check(uri, pin))
    finally:
        del uri  # which may have a PIN
        pin[:] = bytes(len(pin))
