"""Pairs of near-identical pictures among very many, without comparing each with each.

Two hashes that differ in at most k bits agree wholly on one of k + 1 bands of bits (pigeonhole), so only hashes that
share a band are compared (Manku et al., "Detecting near-duplicates for web crawling", 2007).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from itertools import pairwise
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def near_pairs(
    some: Mapping[Key, int], others: Mapping[Key, int], bits: int, at_most: int
) -> Iterator[tuple[Key, Key]]:
    """Yield each key of `some` with each key of `others` whose hash differs from its own in `at_most` bits, once.

    Takes time in proportion to the number of hashes as long as few share a band.

    Args:
        bits: of a hash.
    """
    bands = _bands(bits, at_most + 1)
    for number, (shift, mask) in enumerate(bands):
        buckets: defaultdict[int, list[tuple[Key, int]]] = defaultdict(list)
        for key, value in some.items():
            buckets[value >> shift & mask].append((key, value))
        for other, value in others.items():
            for key, near in buckets.get(value >> shift & mask, ()):
                difference = value ^ near
                # A pair that shares several bands is reported by the first of them.
                if difference.bit_count() <= at_most and not _share_one(difference, bands[:number]):
                    yield key, other


def _share_one(difference: int, bands: list[tuple[int, int]]) -> bool:
    return any(not difference >> shift & mask for shift, mask in bands)


def _bands(bits: int, count: int) -> list[tuple[int, int]]:
    """`count` bands as (shift, mask), which together cover all bits."""
    edges = [bits * number // count for number in range(count + 1)]
    return [(start, (1 << (end - start)) - 1) for start, end in pairwise(edges)]
