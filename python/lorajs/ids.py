"""Identifiers: numbers that read and print themselves as hexadecimal digits, the highest first."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import ClassVar, TypeVar

from . import native

Self = TypeVar("Self", bound="_Id")  # typing.Self is of Python 3.11


class _Id(int):
    _bits: ClassVar[int]
    _parse: ClassVar[Callable[[str], int]]

    def __new__(cls: type[Self], value: int | str) -> Self:
        number = cls._parse(value) if isinstance(value, str) else operator.index(value)
        if not 0 <= number < 1 << cls._bits:
            raise OverflowError(f"{cls.__name__} has {cls._bits} bits")
        return super().__new__(cls, number)

    def __str__(self) -> str:
        return f"{int(self):0{self._bits // 4}x}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self}')"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec) if not spec or spec[-1] not in "bcdoxXn" else format(int(self), spec)


class EUI(_Id):
    """A DevEUI or JoinEUI, 64 bits: EUI("70b3d57ed0000000"), either case, one leading 0x allowed.

    ValueError for other text, OverflowError for a number that is none."""

    _bits = 64
    _parse = staticmethod(native.eui_parse)


class DevAddr(_Id):
    """A device address, 32 bits: DevAddr("26011234")."""

    _bits = 32
    _parse = staticmethod(native.dev_addr_parse)


class NetID(_Id):
    """The NetID of a network, 24 bits: NetID("000013")."""

    _bits = 24
    _parse = staticmethod(native.net_id_parse)
