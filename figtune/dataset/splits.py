"""Assignment of groups of examples to splits by a hash of their name, so that adding papers moves none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from figtune.dataset.records import SPLITS, Split


@dataclass(frozen=True, kw_only=True)
class Fractions:
    """Shares of the groups that are held out, on average."""

    val: float
    test: float
    seed: int
    """Seed of the hash; another one assigns anew."""


def hash_to_unit_interval(seed: int, name: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the two.

    Draws for different purposes need different names: the same name would give them the same number.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(group: str, fractions: Fractions) -> Split:
    """Return the split of a group."""
    place = hash_to_unit_interval(fractions.seed, group)
    if place < fractions.test:
        return "test"
    return "val" if place < fractions.test + fractions.val else "train"


def expected_splits(fractions: Fractions) -> list[Split]:
    """Return the splits that should get examples; with few groups one may stay empty."""
    wanted = {"train": True, "val": fractions.val > 0, "test": fractions.test > 0}
    return [split for split in SPLITS if wanted[split]]
