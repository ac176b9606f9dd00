"""Between the structs of C and dataclasses: the fields of a dataclass are those of the struct,
by name, and their types say how each is taken over.

    X | None    in C has_x says whether there is one; where it has none, -1 says there is not
    bytes       in C with x_len, where the length is not fixed
    others      the type itself is called: bool, EUI, an enum"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_AS_IT_IS = (int, str, tuple)


def _same(value: Any) -> Any:
    return value


def _reader(struct: type, name: str, hint: Any) -> Callable[[Any], Any]:
    """How to read this field of a struct."""
    if isinstance(hint, types.UnionType):  # X | None
        kind = next(arg for arg in typing.get_args(hint) if arg is not types.NoneType)
        if hasattr(kind, "_of"):  # a dataclass that knows itself when there is nothing to it
            return lambda s: kind._of(getattr(s, name))
        convert = _same if kind in _AS_IT_IS or kind is bytes else kind
        if hasattr(struct, has := f"has_{name}"):
            return lambda s: convert(getattr(s, name)) if getattr(s, has) else None
        return lambda s: None if getattr(s, name) == -1 else convert(getattr(s, name))
    if hint is bytes and hasattr(struct, length := f"{name}_len"):
        return lambda s: getattr(s, name)[: getattr(s, length)]
    if hasattr(hint, "_of"):
        return lambda s: hint._of(getattr(s, name))
    if hint is bytes or hint in _AS_IT_IS or typing.get_origin(hint) is tuple:
        return lambda s: getattr(s, name)
    return lambda s: hint(getattr(s, name))


@functools.cache
def _readers(cls: Any, struct: Any, given: frozenset[str]) -> list[tuple[str, Callable[[Any], Any]]]:
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls) if f.name not in given]
    return [(name, _reader(struct, name, hints[name])) for name in names]


def read(cls: type[T], struct: object, **given: object) -> T:
    """The dataclass of a struct; `given` are fields that are not in it under their name."""
    kinds: tuple[Any, Any] = cls, type(struct)
    for name, reader in _readers(*kinds, frozenset(given)):
        given[name] = reader(struct)
    return cls(**given)


def write(struct: Any, values: Any, *but: str) -> Any:
    """The fields of a dataclass into the struct, which is given back; `but` are those that are not in it."""
    kind = type(struct)
    for field in dataclasses.fields(values):
        name = field.name
        if name in but:
            continue
        value = getattr(values, name)
        if hasattr(kind, has := f"has_{name}"):
            setattr(struct, has, int(value is not None))
        if value is None:
            continue
        if isinstance(value, bytes) and hasattr(kind, length := f"{name}_len"):
            setattr(struct, length, len(value))
        try:
            setattr(struct, name, int(value) if isinstance(value, bool) else value)
        finally:
            del value  # a traceback shows none
    return struct
