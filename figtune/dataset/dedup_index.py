"""Index of the different pictures of a data set, and of the copies that must leave later splits.

It is a database on disk, so that memory does not grow with the pictures; only the search for near copies loads all
perceptual hashes.
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

from figtune.core.io import TEMPORARY_PREFIX
from figtune.dataset.dedup import Hashes, cross_split_duplicates
from figtune.dataset.image_store import HASH_BITS
from figtune.dataset.records import SPLITS, Split

_FILE = f"{TEMPORARY_PREFIX}pictures.sqlite"
_LONGEST_PATH = 500
"""Bytes of a path that SQLite opens; it refuses more than 512."""
_UNSAFE_BUT_FAST = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
_TABLE = """
CREATE TABLE pictures (
    key BLOB PRIMARY KEY, place INTEGER, split INTEGER, rank REAL, tie TEXT, name TEXT, hash BLOB
) WITHOUT ROWID
"""
# A picture that moves to an earlier split keeps its place.
_ADD = """
INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    place = CASE WHEN split = excluded.split THEN excluded.place ELSE place END,
    split = excluded.split, rank = excluded.rank, tie = excluded.tie, name = excluded.name
WHERE (excluded.rank, excluded.tie) < (rank, tie)
"""


@dataclass(frozen=True, kw_only=True)
class IndexedImage:
    """One occurrence of a picture."""

    key: bytes
    """Equal for pictures of which only one is kept."""
    split: Split
    rank: float
    """Sort key: the lowest rank is kept."""
    tie: str
    """Sort key among equal ranks; then the first one added is kept."""
    name: str
    """Name of the figure or example."""
    perceptual_hash: int


@dataclass(frozen=True, kw_only=True)
class KeptImage:
    """The picture that is kept among those with the same key."""

    name: str
    split: Split
    near_duplicate: tuple[str, Split] | None
    """Name and split of a near copy in an earlier split, because of which this one must go too; None without any."""


class ImageIndex:
    """Pictures by key. Use in this order: `add` all, `find_near_duplicates` once, then `kept`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._count = 0
        self._near: dict[int, tuple[str, Split]] = {}

    def __contains__(self, key: object) -> bool:
        return self._database.execute("SELECT 1 FROM pictures WHERE key = ?", (key,)).fetchone() is not None

    def add(self, seen: IndexedImage) -> None:
        """Add a picture; of those with the same key the one of the lowest rank is kept."""
        self._count += 1
        bits = seen.perceptual_hash.to_bytes(HASH_BITS // 8, "little")
        split = SPLITS.index(seen.split)
        self._database.execute(_ADD, (seen.key, self._count, split, seen.rank, seen.tie, seen.name, bits))

    def find_near_duplicates(self, at_most: int) -> None:
        """Find near copies among the pictures that are kept.

        Args:
            at_most: number of differing bits of their perceptual hashes up to which two pictures are near copies.
        """
        near = cross_split_duplicates({split: self._hashes(split) for split in SPLITS}, at_most)
        wanted = {place for place, _ in near.values()}
        rows = self._database.execute("SELECT place, name FROM pictures")
        names = {place: name for place, name in rows if place in wanted}
        self._near = {place: (names[kept], split) for place, (kept, split) in near.items()}

    def kept(self, key: bytes) -> KeptImage:
        """Return the picture that is kept for a key that was added."""
        row = self._database.execute("SELECT place, split, name FROM pictures WHERE key = ?", (key,)).fetchone()
        place, split, name = row
        return KeptImage(name=name, split=SPLITS[split], near_duplicate=self._near.get(place))

    def _hashes(self, split: Split) -> Hashes:
        places, data = array("q"), bytearray()
        rows = self._database.execute("SELECT place, hash FROM pictures WHERE split = ?", (SPLITS.index(split),))
        for place, bits in rows:
            places.append(place)
            data += bits
        return Hashes.of(np.frombuffer(places, dtype=np.int64), data, HASH_BITS)


@contextmanager
def open_index(dataset_dir: Path) -> Iterator[ImageIndex]:
    """Yield an empty index whose database lies in the folder until the block ends, or in the folder for temporary files
    where the path is too long."""
    path = dataset_dir / _FILE
    dataset_dir.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    # SQLite gives a database without a name a temporary file.
    name = path if len(os.fsencode(path.resolve())) <= _LONGEST_PATH else ""
    try:
        with _translate_full_disk(path), closing(sqlite3.connect(name, isolation_level=None)) as database:
            database.executescript(_UNSAFE_BUT_FAST + _TABLE + "; BEGIN")
            yield ImageIndex(database)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _translate_full_disk(path: Path) -> Iterator[None]:
    """Raise the OSError of a full disk in place of SQLite's own errors."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
