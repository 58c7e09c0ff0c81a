"""All different pictures of a data set, and which of them must go since a copy stands in an earlier split.

Kept in a database on the disk, so that memory does not grow with them; only while near copies are looked for, their
perceptual hashes are all in memory.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from figtune.examples.duplicates import Hashes, leaks
from figtune.examples.images import HASH_BITS
from figtune.examples.records import SPLITS, Split
from figtune.pipeline.files import TEMPORARY_PREFIX

_FILE = f"{TEMPORARY_PREFIX}pictures.sqlite"
_UNSAFE_BUT_FAST = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
_TABLE = """
CREATE TABLE pictures (
    key BLOB PRIMARY KEY, place INTEGER, split INTEGER, rank REAL, tie TEXT, name TEXT, hash BLOB
) WITHOUT ROWID
"""
# One that comes to stand in an earlier split keeps its place.
_ADD = """
INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    place = CASE WHEN split = excluded.split THEN excluded.place ELSE place END,
    split = excluded.split, rank = excluded.rank, tie = excluded.tie, name = excluded.name
WHERE (excluded.rank, excluded.tie) < (rank, tie)
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A picture where it was seen."""

    key: bytes
    """What is equal for pictures of which one is kept."""
    split: Split
    rank: float
    """The lowest is kept,"""
    tie: str
    """and among equals the first in the order of these, or else the first seen."""
    name: str
    """Of the figure or example."""
    perceptual_hash: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The one that is kept of pictures with the same key."""

    name: str
    split: Split
    near: tuple[str, Split] | None
    """Name and split of a near copy in an earlier split, if there is one: then it must go as well."""


class Pictures:
    """Pictures by their keys. First all are added, then near copies are looked for, then it tells what is kept."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._count = 0
        self._near: dict[int, tuple[str, Split]] = {}

    def __contains__(self, key: object) -> bool:
        return self._database.execute("SELECT 1 FROM pictures WHERE key = ?", (key,)).fetchone() is not None

    def add(self, seen: Seen) -> None:
        """A picture, or another one with the same key."""
        self._count += 1
        bits = seen.perceptual_hash.to_bytes(HASH_BITS // 8, "little")
        split = SPLITS.index(seen.split)
        self._database.execute(_ADD, (seen.key, self._count, split, seen.rank, seen.tie, seen.name, bits))

    def find_near(self, at_most: int) -> None:
        """Look for near copies among those that are kept.

        Args:
            at_most: so many bits of their perceptual hashes differ between near copies.
        """
        near = leaks({split: self._hashes(split) for split in SPLITS}, at_most)
        wanted = {place for place, _ in near.values()}
        rows = self._database.execute("SELECT place, name FROM pictures")
        names = {place: name for place, name in rows if place in wanted}
        self._near = {place: (names[kept], split) for place, (kept, split) in near.items()}

    def kept(self, key: bytes) -> Kept:
        """What is kept of the pictures with a key, one of which was added."""
        row = self._database.execute("SELECT place, split, name FROM pictures WHERE key = ?", (key,)).fetchone()
        place, split, name = row
        return Kept(name=name, split=SPLITS[split], near=self._near.get(place))

    def _hashes(self, split: Split) -> Hashes:
        places, data = array("q"), bytearray()
        rows = self._database.execute("SELECT place, hash FROM pictures WHERE split = ?", (SPLITS.index(split),))
        for place, bits in rows:
            places.append(place)
            data += bits
        return Hashes.of(np.frombuffer(places, dtype=np.int64), data, HASH_BITS)


@contextmanager
def pictures_beside(dataset_dir: Path) -> Iterator[Pictures]:
    """Yield a collection of pictures that lies in the folder until the block ends."""
    path = dataset_dir / _FILE
    dataset_dir.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        with _full_disk_told(path), closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.executescript(_UNSAFE_BUT_FAST + _TABLE + "; BEGIN")
            yield Pictures(database)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
    """As for any other file, where SQLite has errors of its own."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
