"""Pairs of near-identical pictures among very many, without comparing each with each.

Two hashes that differ in at most k bits agree wholly on one of k + 1 bands of bits (pigeonhole), so only hashes that
share a band are compared (Manku et al., "Detecting near-duplicates for web crawling", 2007).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from itertools import combinations, pairwise
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def near_pairs(hashes: Mapping[Key, int], bits: int, at_most: int) -> Iterator[tuple[Key, Key]]:
    """Yield each pair of keys whose hashes of `bits` bits differ in `at_most` of them, once.

    Takes time in proportion to the number of hashes as long as few share a band.
    """
    same: defaultdict[int, list[Key]] = defaultdict(list)
    for key, value in hashes.items():
        same[value].append(key)
    for keys in same.values():
        yield from combinations(keys, 2)
    for one, other in _near_values(list(same), bits, at_most):
        for key in same[one]:
            for near in same[other]:
                yield key, near


def _near_values(values: list[int], bits: int, at_most: int) -> Iterator[tuple[int, int]]:
    bands = _bands(bits, at_most + 1)
    for number, (shift, mask) in enumerate(bands):
        buckets: defaultdict[int, list[int]] = defaultdict(list)
        for value in values:
            buckets[value >> shift & mask].append(value)
        for bucket in buckets.values():
            for one, other in combinations(bucket, 2):
                difference = one ^ other
                # A pair that shares several bands is reported by the first of them.
                met_before = any(not difference >> before & first for before, first in bands[:number])
                if difference.bit_count() <= at_most and not met_before:
                    yield one, other


def _bands(bits: int, count: int) -> list[tuple[int, int]]:
    """`count` bands as (shift, mask), which together cover all bits."""
    edges = [bits * number // count for number in range(count + 1)]
    return [(start, (1 << (end - start)) - 1) for start, end in pairwise(edges)]
