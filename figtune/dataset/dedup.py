"""Search for near-identical pictures among very many.

Two hashes that differ in at most k bits agree in one of k + 1 bands of bits (Manku et al., "Detecting near-duplicates
for web crawling", 2007), so of half a million figures one pair in two thousand has to be looked at. Pictures of one
kind, such as brain scans, crowd into few values of a band; where that makes as many pairs as there are, every hash is
compared with every other instead, some 100 million pairs a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from figtune.core.log import progress_bar
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
