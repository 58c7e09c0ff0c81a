"""Pairs of near-identical pictures among very many.

Every hash of one side is compared with every hash of the other, by vectors of 64 bits: some 100 million pairs a second
whatever the pictures are like. Bands of bits that must agree (Manku et al., "Detecting near-duplicates for web
crawling", 2007) leave pictures of one kind, such as brain scans, in a few crowded bands, and took ten times longer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from figtune.examples.records import SPLITS, Split
from figtune.pipeline.progress import track

_WORD_BITS = 64
_SLOW = 10**8
"""So many comparisons take a second or more."""

Key = TypeVar("Key", bound=Hashable)


def leaks(hashes: Mapping[Split, Mapping[Key, int]], bits: int, at_most: int) -> dict[Key, tuple[Key, Split]]:
    """Pictures that must go since a near copy stands in an earlier split, each with that copy and its split.

    A picture that is trained on must not be tested on. Pairs are judged one by one, not in chains, so that one odd
    picture cannot empty a split.

    Args:
        hashes: perceptual hashes of the pictures of every split.
        bits: of a hash.
        at_most: so many bits of near copies differ.
    """
    found: dict[Key, tuple[Key, Split]] = {}
    for earlier, later in combinations(SPLITS, 2):
        for kept, dropped in near_pairs(hashes[earlier], hashes[later], bits, at_most):
            found.setdefault(dropped, (kept, earlier))
    return found


def near_pairs(
    some: Mapping[Key, int], others: Mapping[Key, int], bits: int, at_most: int
) -> Iterator[tuple[Key, Key]]:
    """Yield each key of `some` with each key of `others` whose hash differs from its own in `at_most` bits, once.

    Args:
        bits: of a hash.
    """
    keys = list(some)
    first, *rest = _words(some.values(), bits)
    items: Iterable[tuple[Key, int]] = others.items()
    if len(some) * len(others) > _SLOW:
        items = track(items, total=len(others), title="Looking for copies", unit="picture")
    for other, value in items:
        wanted = _words((value,), bits)[:, 0]
        differing = np.bitwise_count(first ^ wanted[0]).astype(np.uint16)
        # Few are near in the first word alone, so the others are looked at for those only.
        near = np.flatnonzero(differing <= at_most)
        total = differing[near]
        for column, word in zip(rest, wanted[1:], strict=True):
            total += np.bitwise_count(column[near] ^ word)
        for index in near[total <= at_most]:
            yield keys[index], other


def _words(values: Iterable[int], bits: int) -> NDArray[np.uint64]:
    """Hashes as columns: uint64[W, N]."""
    width = -(-bits // _WORD_BITS)
    data = b"".join(value.to_bytes(width * _WORD_BITS // 8, "little") for value in values)
    return np.ascontiguousarray(np.frombuffer(data, dtype="<u8").reshape(-1, width).T)
