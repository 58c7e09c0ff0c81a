"""Assignment of groups of examples to splits by a hash of their name, so that adding papers moves none."""

from __future__ import annotations

import hashlib

from figtune.dataset.records import SPLITS, Split
from figtune.dataset.settings import PrepareSettings


def hash_to_unit_interval(seed: int, name: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the two.

    Draws for different purposes need different names: the same name would give them the same number.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(group: str, settings: PrepareSettings) -> Split:
    """Return the split of a group."""
    place = hash_to_unit_interval(settings.split_seed, group)
    if place < settings.test_fraction:
        return "test"
    return "val" if place < settings.test_fraction + settings.val_fraction else "train"


def expected_splits(settings: PrepareSettings) -> list[Split]:
    """Return the splits that should get examples; with few groups one may stay empty."""
    wanted = {"train": True, "val": settings.val_fraction > 0, "test": settings.test_fraction > 0}
    return [split for split in SPLITS if wanted[split]]
