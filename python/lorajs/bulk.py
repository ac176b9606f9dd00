"""Devices by the thousand, in the formats of others: The Things Stack, ttjs, ChirpStack, ThingPark, Wanesy."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from . import native
from .device import DeviceLine, Mac
from .errors import error
from .ids import EUI
from .keys import Vault, handles

_PIECE = 1 << 16


class BulkFormat(enum.IntEnum):
    """Whose format a file of devices has; include/lorajs/bulk.h says what each looks like."""

    LORAJS = native.LJS_BULK_LORAJS
    TTS_CSV = native.LJS_BULK_TTS_CSV
    TTS_JSON = native.LJS_BULK_TTS_JSON
    TTJS = native.LJS_BULK_TTJS
    CHIRPSTACK = native.LJS_BULK_CHIRPSTACK
    THINGPARK = native.LJS_BULK_THINGPARK
    WANESY = native.LJS_BULK_WANESY

    @classmethod
    def parse(cls, text: str) -> BulkFormat:
        """From "tts-csv" and the like; InvalidError."""
        return cls(native.bulk_format_parse(text))

    @classmethod
    def guess(cls, octets: bytes | bytearray) -> list[BulkFormat]:
        """Those that a file can be of which these are the first octets, some 64 KiB of them or all."""
        formats = native.bulk_guess(octets)
        return [one for one in cls if formats >> one & 1]

    @property
    def names(self) -> tuple[str, ...]:
        """What write_bulk() can be told of every row."""
        return tuple(native.bulk_names(self).split())

    def __str__(self) -> str:
        return native.bulk_format_text(self)


class Loses(enum.IntFlag):
    """What of a record has no place in a format."""

    NOTHING = 0
    NONCES = native.LJS_BULK_LOSES_NONCES
    """JoinNonce, DevNonces or RJcount1, of any JoinEUI."""
    JOIN_EUIS = native.LJS_BULK_LOSES_JOIN_EUIS
    """All JoinEUIs but the first."""
    KEYS = native.LJS_BULK_LOSES_KEYS
    """GenAppKey, the rekeying key, or the one of two keys that LoRaWAN 1.0.x does not use."""
    SETTINGS = native.LJS_BULK_LOSES_SETTINGS
    VERSION = native.LJS_BULK_LOSES_VERSION
    """The LoRaWAN version."""
    ROOT_KEY = native.LJS_BULK_LOSES_ROOT_KEY
    """One of the two root keys of LoRaWAN 1.1: it cannot be written with keys."""


@dataclass(frozen=True, slots=True)
class BulkRow:
    """A row of a bulk file: a device, or why there is none."""

    number: int
    """From 1; a header, empty lines and comments are none."""
    line: int
    """In which it begins, from 1."""
    device: DeviceLine | None
    """None when the row is refused."""
    reason: str = ""
    """Why it is refused; no key is in it."""
    refused: str = ""
    """Likewise in a word: WEAK, EXISTS for a key that a row before it has, INVAL for anything else."""
    dev_eui: EUI | None = None
    """None where a refused row does not even say that."""
    name: str = ""
    """What the row calls the device."""
    has_join_nonce: bool = False
    """It says which JoinNonce comes next; else that is read_bulk()'s."""
    exposed: bool = False
    """It says that its root keys have left where it comes from."""


def _row(row: native.bulk_row) -> BulkRow:
    if row.err:
        dev_eui = EUI(row.entry.device.dev_eui) if row.entry.device.dev_eui else None
        return BulkRow(row.number, row.line, None, row.entry.fault, native.errname(row.err), dev_eui)
    line = DeviceLine._of(row.entry)
    return BulkRow(row.number, row.line, line, "", "", line.device.dev_eui, row.name, bool(row.has_join_nonce),
                   bool(row.exposed))


def _options(mac: Mac | None, join_eui: int | None, next_join_nonce: int, allow_weak: bool) -> native.bulk_opts:
    opts = native.bulk_opts()
    opts.mac, opts.next_join_nonce, opts.allow_weak = mac or 0, next_join_nonce, int(allow_weak)
    if join_eui is not None:
        opts.has_join_eui, opts.join_eui = 1, join_eui
    return opts


def read_bulk(file: BinaryIO, format: BulkFormat | str | None = None, *, mac: Mac | None = None,
              join_eui: int | None = None, next_join_nonce: int = 0, allow_weak: bool = False) -> Iterator[BulkRow]:
    """The rows of a file of any length, as they are read; JoinServer.import_device() takes their devices.

    format           None: by what the file begins with; InvalidError where that is not clear
    mac              of rows that name no LoRaWAN version
    join_eui         of rows that name none
    next_join_nonce  of rows that do not say: 1 when none of these devices ever joined, more when none can have
                     had as many joins; 0: such rows are refused, since a JoinNonce must never go back
    allow_weak       take root keys that are no secret; one of another row is refused nevertheless

    InvalidError for a file without the header of its format."""
    octets = bytearray(file.read(_PIECE))
    try:
        yield from _rows(file, octets, _opened(octets, format, _options(mac, join_eui, next_join_nonce, allow_weak)))
    finally:
        octets[:] = b""


def _wipe(octets: bytearray) -> None:
    octets[:] = bytes(len(octets))


def _opened(octets: bytearray, format: BulkFormat | str | None, opts: native.bulk_opts) -> native.bulk:
    found = BulkFormat.guess(octets) if format is None else [BulkFormat.parse(str(format))]
    if len(found) != 1:
        _wipe(octets)  # a traceback shows no key
        raise error(native.LJS_E_INVAL, "this may be any of " + ", ".join(map(str, found or BulkFormat)))
    opts.format = found[0]
    return native.bulk_new(opts)


def _rows(file: BinaryIO, octets: bytearray, bulk: native.bulk) -> Iterator[BulkRow]:
    while True:
        at = 0
        while True:
            err, row, at = native.bulk_next(at, bulk, octets or None)
            if err:
                break
            yield _row(row)
        _wipe(octets)
        if err != native.LJS_E_NOTFOUND:
            raise error(err, "this has not the header of its format" if err == native.LJS_E_INVAL else None)
        if not octets:
            return
        octets[:] = file.read(_PIECE)


def bulk_loses(record: bytes, format: BulkFormat) -> Loses:
    """What of this record has no place in the format."""
    return Loses(native.bulk_loses(format, record))


@handles("opener")
def write_bulk(file: BinaryIO, format: BulkFormat | str, records: Iterable[bytes | tuple[str, bytes]], *,
               opener: Vault | None = None, values: dict[str, str] | None = None) -> int:
    """Write records as rows, and return how many; a record may come as (name, record).

    opener  the vault of the records: root keys are written, in clear.  Mark each record with Act.EXPOSE, and save
            it, before.  None: no keys are written
    values  what every row is to have that no record knows, by BulkFormat.names

    What the format has no place for is lost: see bulk_loses()."""
    if isinstance(format, str):
        format = BulkFormat.parse(format)
    writer = native.bulk_writer_new(format)
    for name, value in (values or {}).items():
        native.bulk_set(writer, name, value)
    file.write(native.bulk_head(writer))
    count = 0
    for one in records:
        title, record = one if isinstance(one, tuple) else (None, one)
        file.write(native.bulk_put(writer, opener.native if opener else None, title, record))
        count += 1
    return count
