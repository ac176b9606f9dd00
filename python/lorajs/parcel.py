"""Devices on their way to another Join Server: sealed to one recipient, signed by the sender."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from . import native
from .device import Device, _flags
from .errors import Alone, InvalidError
from .keys import Key, Vault, handles


@handles("vault", "sign")
def pack(file: BinaryIO, records: Iterable[bytes], vault: Vault, *, to: bytes, sign: Key, now: int) -> int:
    """Write a parcel of these records, and return how many.

    `to` is the recipient's public X25519 key, 32 octets; `sign` the sender's Ed25519 key; `now` Unix time in
    seconds.  Mark each record with Act.EXPOSE, and save it, before: its root keys leave."""
    parcel = native.parcel_pack(sign.native, now, to)
    count = 0
    file.write(native.parcel_head(parcel))
    for record in records:
        file.write(native.parcel_put(parcel, vault.native, record))
        count += 1
    file.write(native.parcel_close(parcel))
    return count


class Parcel:
    """A parcel that was read from its first octet to its last, and is whole, unaltered and from this sender.

    To take what is in it, iterate: each device comes by, and while it does, land() makes its record, as
    JoinServer.land() does over a store.  One thread at a time: Fault STATE for another."""

    @handles("key")
    def __init__(self, file: BinaryIO, key: Key, sender: bytes) -> None:
        """`file` can seek; it stays the caller's.  `key` is the recipient's X25519 key, `sender` the public
        Ed25519 key of who must have sent it, 32 octets.

        Raises SealError for a parcel that was altered, Refused (RECEIVER, SENDER) for one to or from somebody
        else, Fault VERSION for one of a newer lorajs, InvalidError for what is no parcel, is cut short, or has something
        behind it."""
        self.native = native.parcel_open(key.native, sender)
        self.alone = Alone()
        self._file = file
        self._start = file.tell()
        for _ in self._round():
            pass

    def _round(self) -> Iterator[None]:
        self._file.seek(self._start)
        while wanted := native.parcel_wants(self.native):
            octets = self._read(wanted)
            with self.alone:
                native.parcel_feed(self.native, octets)
            yield
        if self._file.read(1):
            raise _invalid("something stands behind the parcel")

    def _read(self, wanted: int) -> bytes:
        got = b""
        while len(got) < wanted:
            more = self._file.read(wanted - len(got))
            if not more:
                raise _invalid("the parcel is cut short")
            got += more
        return got

    @property
    def packed_at(self) -> int:
        """Unix time in seconds, as the sender told it."""
        return native.parcel_time(self.native)

    def __iter__(self) -> Iterator[Device]:
        with self.alone:
            native.parcel_again(self.native)
        for _ in self._round():
            try:
                with self.alone:
                    device = native.parcel_device(self.native)
            except KeyError:  # the head, the length of a piece, or the end
                continue
            yield Device._of(device)

    @handles("vault")
    def land(self, vault: Vault, record: bytes | None = None, *, replace_keys: bool = False,
             allow_weak: bool = False) -> bytes:
        """The device that comes by as a record under this vault, over the one that is there, by the rules of make_device()
        and with all its JoinEUIs and nonces.  Marked as exposed."""
        with self.alone:
            return native.parcel_land(self.native, vault.native, _flags(replace_keys, allow_weak), record)

    def hold(self) -> None:
        """Keep the device that comes by beside those kept before, until JoinServer.land_held().  Fault EXISTS where it is
        kept already, or 64 are."""
        with self.alone:
            native.parcel_hold(self.native)

    def __repr__(self) -> str:
        return "<Parcel>"


def _invalid(text: str) -> InvalidError:
    return InvalidError(native.LJS_E_INVAL, "INVAL", text, "have it sent again")
