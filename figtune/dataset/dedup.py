"""Index of the different pictures of a data set, and of the copies that must leave later splits.

It is a database on disk, so that memory does not grow with the pictures; only the search for near copies loads all
perceptual hashes. Two hashes that differ in at most k bits agree in one of k + 1 bands of bits (Manku et al.,
"Detecting near-duplicates for web crawling", 2007), so of half a million figures one pair in two thousand has to be
looked at. Pictures of one kind, such as brain scans, crowd into few values of a band; where that makes as many pairs as
there are, every hash is compared with every other instead, some 100 million pairs a second.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from array import array
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from figtune.core.io import TEMPORARY_PREFIX
from figtune.core.log import progress_bar
from figtune.dataset.image_store import HASH_BITS
from figtune.dataset.records import SPLITS, Split

_WORD_BITS = 64
_KEY_BITS = 32
"""Bits of a band that are compared; more would hardly separate more pictures."""
_RANDOM_ACCESS_COST = 20
"""Cost of a pair found by a band, read from scattered memory, relative to one of the comparison of all with all."""
_AT_ONCE = 1 << 18
"""Pairs compared at a time: some ten megabytes."""
_SLOW_COMPARISONS = 10**8
"""Number of comparisons from which a progress bar is shown; they take about a second."""

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
class Hashes:
    """Perceptual hashes of many pictures: with words of 256 bits 40 bytes each."""

    places: NDArray[np.int64]
    """int64[N]: identifiers of the pictures, ascending."""
    words: NDArray[np.uint64]
    """uint64[W, N]: the bits."""

    @classmethod
    def of(cls, places: NDArray[np.int64], data: bytes | bytearray, bits: int) -> Hashes:
        """Build from hashes of `bits` bits (a multiple of 64), concatenated in `data` in the order of `places`."""
        order = np.argsort(places)
        given = np.frombuffer(data, dtype="<u8").reshape(len(places), bits // _WORD_BITS)
        words = np.empty((bits // _WORD_BITS, len(places)), dtype=np.uint64)
        for number, word in enumerate(words):  # one by one, lest there be two more copies of all
            word[:] = given[order, number]
        return cls(places=places[order], words=words)

    def __len__(self) -> int:
        return len(self.places)


def cross_split_duplicates(hashes: Mapping[Split, Hashes], at_most: int) -> dict[int, tuple[int, Split]]:
    """Return the pictures with a near copy in an earlier split, each with the first such copy and its split.

    A picture that is trained on must not be tested on. Pairs are judged one by one, not in chains, so that one odd
    picture cannot empty a split.

    Args:
        at_most: number of differing bits up to which two pictures are near copies.
    """
    found: dict[int, tuple[int, Split]] = {}
    for earlier, later in combinations(SPLITS, 2):
        some, others = hashes[earlier], hashes[later]
        near = first_near_duplicate(some, others, at_most)
        for index in np.flatnonzero(near < len(some)):
            found.setdefault(int(others.places[index]), (int(some.places[near[index]]), earlier))
    return found


def first_near_duplicate(some: Hashes, others: Hashes, at_most: int) -> NDArray[np.int64]:
    """Return int64[len(others)]: for each the first of `some` within `at_most` bits; `len(some)` where none is."""
    if not len(some) or not len(others):
        return np.full(len(others), len(some))
    pairs = sum(int(matches.counts.sum()) for matches in _matches(some, others, at_most))
    by_bands = pairs * _RANDOM_ACCESS_COST < len(some) * len(others)
    return (near_duplicates_by_bands if by_bands else near_duplicates_brute_force)(some, others, at_most)


def near_duplicates_brute_force(some: Hashes, others: Hashes, at_most: int) -> NDArray[np.int64]:
    """Compute `first_near_duplicate` by comparing every hash with every other."""
    found = np.full(len(others), len(some))
    slow = len(some) * len(others) > _SLOW_COMPARISONS
    numbers = range(len(others))
    for number in (
        progress_bar(numbers, total=len(others), title="Looking for copies", unit="picture") if slow else numbers
    ):
        differing = np.bitwise_count(some.words[0] ^ others.words[0, number]).astype(np.uint16)
        # Few are near in the first word alone, so the others are looked at for those only.
        near = np.flatnonzero(differing <= at_most)
        total = differing[near]
        for column, word in zip(some.words[1:], others.words[1:, number], strict=True):
            total += np.bitwise_count(column[near] ^ word)
        found[number] = near[total <= at_most].min(initial=len(some))
    return found


def near_duplicates_by_bands(some: Hashes, others: Hashes, at_most: int) -> NDArray[np.int64]:
    """Compute `first_near_duplicate` by comparing only hashes that agree in a band."""
    found = np.full(len(others), len(some))
    for matches in _matches(some, others, at_most):
        for one, other in matches.pairs():
            total = np.zeros(len(one), dtype=np.uint16)
            for ours, theirs in zip(some.words, others.words, strict=True):
                total += np.bitwise_count(ours[one] ^ theirs[other])
            near = total <= at_most
            np.minimum.at(found, other[near], one[near])
    return found


@dataclass(frozen=True, kw_only=True)
class _Matches:
    """Hashes that agree in one band: for each of the others, a run in `order`, which sorts the first ones by band."""

    order: NDArray[np.int64]
    first: NDArray[np.int64]
    counts: NDArray[np.int64]

    def pairs(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield pairs as indices (among the first, among the others), at most about `_AT_ONCE` at a time."""
        ends = np.cumsum(self.counts)
        start = 0
        while start < len(ends):
            before = ends[start] - self.counts[start]
            stop = max(start + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
            counts = self.counts[start:stop]
            runs = np.repeat(self.first[start:stop] - (ends[start:stop] - counts - before), counts)
            yield self.order[runs + np.arange(len(runs))], np.repeat(np.arange(start, stop), counts)
            start = stop


def _matches(some: Hashes, others: Hashes, at_most: int) -> Iterator[_Matches]:
    """Yield the matches of each of `at_most` + 1 bands."""
    for band in range(at_most + 1):
        ours, theirs = (_band_key(hashes.words, band, at_most + 1) for hashes in (some, others))
        order = np.argsort(ours)
        ours = ours[order]
        first = np.searchsorted(ours, theirs, side="left")
        yield _Matches(order=order, first=first, counts=np.searchsorted(ours, theirs, side="right") - first)


def _band_key(words: NDArray[np.uint64], band: int, bands: int) -> NDArray[np.uint32]:
    """Return uint32[N]: every `bands`-th bit, since neighbouring bits are correlated."""
    key = np.zeros(words.shape[1], dtype=np.uint32)
    for bit in range(band, len(words) * _WORD_BITS, bands)[:_KEY_BITS]:
        key = (key << np.uint32(1)) | ((words[bit // _WORD_BITS] >> np.uint64(bit % _WORD_BITS)).astype(np.uint32) & 1)
    return key


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
