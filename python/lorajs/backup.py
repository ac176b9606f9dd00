"""Backups of a store, and what keeps a restored one from giving a JoinNonce twice.

A backup is the past: the store that it is restored to has forgotten what it gave since.  So a store has a
generation, which rises with each restore by more JoinNonces than one device can have been given, and a record passes
over as many at its next join.  How many that are is known by a marker, a file that is not where the store is.

    with Store.sqlite(path) as plain, marked(plain, vault, marker) as store, JoinServer(vault, store) as server:
        ...
        make_backup(store, vault, "backup", int(time.time()))"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from os import PathLike, fspath

from . import native
from .keys import Vault, handles
from .shape import read
from .store import Store

GUARD = native.LJS_GUARD
"""JoinNonces that a restore passes over, at least."""
MARKER_EVERY = native.LJS_MARKER_EVERY
"""How far a marker runs ahead of the changes that are committed."""

Path = str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a store stands."""

    name: bytes
    """16 octets, random; the same in its backups."""
    count: int
    """Changes that were committed, in earlier generations too; 0 where the store counts none."""
    generation: int
    """0 in a store that was never restored."""
    marked: bool
    """A marker goes with it."""

    @classmethod
    def _of(cls, standing: native.standing) -> Standing:
        return read(cls, standing)

    def _native(self) -> native.standing:
        out = native.standing()
        out.name, out.count, out.generation, out.marked = self.name, self.count, self.generation, int(self.marked)
        return out


class MarkerVerdict(enum.IntEnum):
    """What a marker says of a store."""

    GOOD = native.LJS_MARKER_GOOD
    """The store is where the marker saw it, or further."""
    NEW = native.LJS_MARKER_NEW
    """There is none, and the store never had one."""
    LOST = native.LJS_MARKER_LOST
    """There is none, though the store goes with one."""
    BROKEN = native.LJS_MARKER_BROKEN
    """It is damaged, or of another master key."""
    OTHER = native.LJS_MARKER_OTHER
    """It is of another store."""
    BEFORE = native.LJS_MARKER_BEFORE
    """The store is of an earlier generation."""
    BEHIND = native.LJS_MARKER_BEHIND
    """The store has fewer changes than the marker saw: it was put back."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker as it was read; zero where there was nothing to be read."""

    verdict: MarkerVerdict
    name: bytes
    """Of the store it belongs to."""
    generation: int
    """In which it was written."""
    reserved: int
    """The highest that a restore was about to begin."""
    at: int
    """Changes that the store had when it was written."""
    bound: int
    """Changes that it has at most, as long as every commit is marked."""

    @classmethod
    def _of(cls, marker: native.marker) -> Marker:
        return read(cls, marker)

    def _native(self) -> native.marker:
        out = native.marker()
        out.verdict, out.name, out.generation = self.verdict, self.name, self.generation
        out.reserved, out.at, out.bound = self.reserved, self.at, self.bound
        return out


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup says of itself."""

    standing: Standing
    """Of the store at that moment."""
    at: int
    """When, Unix time."""
    devices: int
    """Records, tombstones too."""
    size: int
    """Octets of the database in it."""

    @classmethod
    def _of(cls, backup: native.backup) -> Backup:
        return read(cls, backup)

    def _native(self) -> native.backup:
        out = native.backup()
        out.standing, out.at, out.devices, out.size = self.standing._native(), self.at, self.devices, self.size
        return out


@handles("vault")
def standing(store: Store, vault: Vault) -> Standing:
    """NotFound for a store that no server has used; SealError."""
    return Standing._of(native.standing_read(vault.native, store._open))


@handles("vault")
def raise_standing(store: Store, vault: Vault, generation: int, *, count: int = 0, marked: bool = False) -> None:
    """Begin a generation: for a store that was put back by other means.  Servers over it are to be made after that.

    InvalidError for one that is not above the store's."""
    native.standing_raise(vault.native, store._open, generation, count, marked)


@handles("vault")
def look_at_marker(path: Path, vault: Vault, store: Store | None = None) -> Marker:
    """What it says, of a store where one is given."""
    return Marker._of(native.marker_look(vault.native, store._open if store else None, fspath(path)))


@handles("vault")
def marked(store: Store, vault: Vault, path: Path, *, every: int = 0) -> Store:
    """A store that writes its marker before it commits what the marker does not cover.

    every  how many changes it runs ahead, and that a store which was put back may lack unseen; 0: MARKER_EVERY

    Fault STATE when the marker says that the store was put back; Fault MISSING for a store that does not count."""
    return Store(native.store_marked(store._open, vault.native, fspath(path), every))


@handles("vault")
def reserve(path: Path, vault: Vault, plan: Standing) -> None:
    """A generation is about to begin: noted in the marker, so that none begins twice."""
    native.marker_reserve(vault.native, fspath(path), plan.generation, plan.name)


@handles("vault")
def make_backup(store: Store, vault: Vault, path: Path, now: int) -> Backup:
    """All of the store at one moment, while others use it, in a new file of mode 0600, durable and read back.

    FileExists when it is there; SealError when the store has a record without its tag."""
    return Backup._of(native.backup_make(vault.native, store._open, fspath(path), now))


@handles("vault")
def check_backup(path: Path, vault: Vault) -> Backup:
    """Reads all of it.  SealError when an octet is not as it was written, or it is none of this master key."""
    return Backup._of(native.backup_check(vault.native, fspath(path)))


def plan_restore(backup: Backup, now: int, *, marker: Marker | None = None, known: Standing | None = None,
                 guard: int = 0) -> Standing:
    """Which generation a restore begins: above any that the store can have had.

    known  the database that is to be replaced
    guard  JoinNonces to pass over at least; 0: GUARD"""
    return Standing._of(native.backup_plan(backup._native(), marker._native() if marker else None,
                                           known._native() if known else None, guard, now))


@handles("vault")
def extract_backup(path: Path, to: Path, vault: Vault, plan: Standing) -> Backup:
    """The database of a backup as a new file, for Store.sqlite(), that stands as the plan says."""
    return Backup._of(native.backup_extract(vault.native, fspath(path), fspath(to), plan._native()))


def fold(path: Path) -> None:
    """All of a database of Store.sqlite() into its one file.  Fault STATE while somebody has it open."""
    native.store_sqlite_fold(fspath(path))
