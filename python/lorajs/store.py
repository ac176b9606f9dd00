"""Where records live: a store that is built in, or one of yours."""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from os import PathLike, fspath
from types import TracebackType

from . import native
from .errors import ClosedError, Code, error

KEY_MAX = native.LJS_STORE_KEY_MAX
"""Octets of a key, at most."""
VALUE_MAX = native.LJS_STORE_VALUE_MAX
"""Octets of a value, at most."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one value."""

    key: bytes
    """1 to 255 octets."""
    value: bytes | None
    """Up to 1 MiB; None deletes."""
    if_version: int
    """0 creates; else exactly this version is replaced or deleted."""


class Outcome(enum.IntEnum):
    """What became of a group of changes."""

    DONE = native.LJS_OK
    """All of it, and it survives power loss."""
    CONFLICT = native.LJS_E_CONFLICT
    """Nothing of it: another version is there."""
    UNKNOWN = native.LJS_E_STORE
    """The caller loads again before it decides."""


class StoreBase(abc.ABC):
    """Derive from this to keep records in a storage of your own.

    A store is a map from short keys to versioned values, which are opaque: nothing in them may be logged.
    Every method may be called from any thread, at once; it is called in the thread that called the JoinServer,
    and what it raises comes out of that call, the same exception."""

    @abc.abstractmethod
    def get(self, key: bytes) -> tuple[bytes, int] | None:
        """(value, version), of what survives power loss alone; None for no such key.

        Versions are never 0, and never repeat for a key, even after a delete."""

    @abc.abstractmethod
    def commit(self, groups: Sequence[Sequence[Change]]) -> Sequence[Outcome]:
        """Do what is asked, and return when it survives power loss: an outcome for each group.

        The changes of a group stand or fall together.  Groups apply in order, so that the second of two on one
        key sees a conflict.  Raise when the fate of all is unknown."""

    @abc.abstractmethod
    def each(self, prefix: bytes) -> Iterable[bytes]:
        """The keys that begin with a prefix, rising in octet order: at least all that stay there throughout.
        get() and commit() may be called meanwhile."""

    def close(self) -> None:
        """Nothing will be called any more.  What is raised here reaches nobody but sys.unraisablehook."""


class _Adapter:
    """A StoreBase as the binding calls it."""

    def __init__(self, store: StoreBase) -> None:
        self._commit = store.commit
        self.get, self.each, self.close = store.get, store.each, store.close

    def commit(self, changes: list[tuple[bytes, bytes | None, int, int]]) -> list[int]:
        groups = [[Change(*change[:3]) for change in group] for _, group in groupby(changes, lambda change: change[3])]
        outcomes = self._commit(groups)
        if len(outcomes) != len(groups):
            raise ValueError("commit() gives an outcome for each group")
        if any(isinstance(outcome, bool) for outcome in outcomes):  # False is 0, and that says DONE
            raise TypeError("commit() gives outcomes, not whether it was done")
        return [outcome for outcome, group in zip(outcomes, groups) for _ in group]


class Store:
    """A store, as a JoinServer takes it.  Any thread may call it."""

    __slots__ = ("_handle",)

    def __init__(self, handle: native.store) -> None:
        self._handle: native.store | None = handle

    @classmethod
    def memory(cls) -> Store:
        """Gone with the process: for tests."""
        return cls(native.store_memory())

    @classmethod
    def sqlite(cls, path: str | PathLike[str]) -> Store:
        """One SQLite file (WAL, synchronous=FULL), made with mode 0600 when it is not there.

        Several processes may use it at once.  Fault STORE when it cannot be opened, is no database, or is one of
        something else; Fault VERSION when a newer lorajs laid it out."""
        return cls(native.store_sqlite(fspath(path)))

    @classmethod
    def custom(cls, store: StoreBase) -> Store:
        """One written in Python; it is closed with this."""
        return cls(native.store_custom(_Adapter(store)))

    @property
    def _open(self) -> native.store:
        if self._handle is None:
            raise ClosedError("the store is closed")
        return self._handle

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        """See StoreBase; InvalidError for a key out of its range."""
        err, value, version = native.store_get(self._open, key)
        if err and err != Code.NOTFOUND:
            raise error(err)
        return None if err else (value, version)

    def commit(self, groups: Iterable[Iterable[Change]]) -> list[Outcome]:
        """See StoreBase; InvalidError for changes out of their ranges."""
        found = [list(group) for group in groups]
        changes = [(c.key, c.value, c.if_version, n) for n, group in enumerate(found) for c in group]
        results = iter(native.store_commit(self._open, changes))
        return [[Outcome(next(results)) for _ in group][0] if group else Outcome.DONE for group in found]

    def each(self, prefix: bytes = b"", row: Callable[[bytes], object] | None = None) -> list[bytes]:
        """The keys that begin with a prefix, rising; given to `row` one by one where there is one.

        What `row` raises comes out of here, and ends it."""
        keys: list[bytes] = []
        native.store_each(self._open, prefix, row or keys.append)
        return keys

    def close(self) -> None:
        """Let go of it; it is closed when nothing uses it any more."""
        self._handle = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
