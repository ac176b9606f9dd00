"""Frames of joining as annotated tables: what `lorajs inspect` prints, without keys.

    print(lorajs.explain(phy))"""

from __future__ import annotations

from dataclasses import dataclass

from . import native
from .errors import Code, error


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a frame."""

    first: int
    """Where it begins, from 0."""
    octets: bytes
    name: str
    """"DevNonce"."""
    value: str
    """A number, or the hexadecimal digits that people write, the highest first."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Explained:
    """A frame, field by field; as text, a table."""

    is_frame: bool
    """A frame of joining."""
    text: str
    """Its name: "join-request"; or why it is none."""
    fields: tuple[Field, ...]
    """MHDR alone of what is no frame of joining."""

    def __str__(self) -> str:
        length = sum(len(field.octets) for field in self.fields)
        lines = [f"{self.text}, {length} octets", ""] if self.is_frame else [self.text, ""]
        lines.append(_line("octets", "as sent", "field", "value", "meaning"))
        for field in self.fields:
            last = field.first + len(field.octets) - 1
            place = str(last) if last == field.first else f"{field.first}-{last}"
            lines.append(_line(place, field.octets[:8].hex(), field.name, field.value, field.meaning))
            lines += [" " * 9 + field.octets[at : at + 8].hex() for at in range(8, len(field.octets), 8)]
        return "\n".join(lines)


def _line(place: str, octets: str, name: str, value: str, meaning: str) -> str:
    return f"{place:<7}  {octets:<16}  {name:<12}  {value:<18}  {meaning}".rstrip()


def _field(field: native.field, octets: bytes) -> Field:
    return Field(field.first, octets[field.first : field.first + field.len], field.name, field.value, field.meaning)


def explain(phy: bytes) -> Explained:
    """A PHYPayload, or a join-accept in clear without its MIC, whatever it is: it raises nothing.

    A join-accept is encrypted; JoinAccept.explain() tells of one that was opened."""
    told = native.explain(phy)
    fields = (_field(native.explain_field(i, phy), bytes(phy)) for i in range(told.fields))
    return Explained(bool(told.is_frame), told.text, tuple(fields))


def explain_accept(clear: bytes) -> Explained:
    """A join-accept in clear: MHDR and the fields, CFList and MIC as far as the octets reach: 13, 17, 29 or 33.

    FrameError for another length or MHDR."""
    fields: list[Field] = []
    while True:
        err, field = native.explain_accept(len(fields), clear)
        if err == Code.NOTFOUND:
            return Explained(True, "join-accept, decrypted", tuple(fields))
        if err:
            raise error(err)
        fields.append(_field(field, bytes(clear)))
