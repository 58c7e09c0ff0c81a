"""All different pictures of a data set, and which of them must go since a copy stands in an earlier split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from figtune.examples.duplicates import leaks
from figtune.examples.images import HASH_BITS
from figtune.examples.records import SPLITS, Split
from figtune.examples.screening import Fault, near_copy

_ORDER = {split: place for place, split in enumerate(SPLITS)}


@dataclass(frozen=True, slots=True)
class _Seen:
    split: Split
    """The earliest one that has it."""
    example_id: str
    """An example there."""
    perceptual_hash: int


class Pictures:
    """Pictures by the sha256 of their files, in hex; some 400 bytes of memory each."""

    def __init__(self) -> None:
        self._seen: dict[bytes, _Seen] = {}

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and bytes.fromhex(sha256) in self._seen

    def add(self, sha256: str, split: Split, example_id: str, perceptual_hash: int) -> None:
        """A picture, or another row with the same one."""
        key = bytes.fromhex(sha256)
        known = self._seen.get(key)
        if known is None or _ORDER[split] < _ORDER[known.split]:
            self._seen[key] = _Seen(split, example_id, perceptual_hash)

    def judge(self, bits: int) -> Callable[[str, Split], Fault | None]:
        """When all have been added: a function that tells what is against a picture in a split.

        Args:
            bits: so many bits of their perceptual hashes differ between near copies at most.
        """
        hashes: dict[Split, dict[bytes, int]] = {split: {} for split in SPLITS}
        for key, seen in self._seen.items():
            hashes[seen.split][key] = seen.perceptual_hash
        near = leaks(hashes, HASH_BITS, bits)

        def fault(sha256: str, split: Split) -> Fault | None:
            key = bytes.fromhex(sha256)
            seen = self._seen[key]
            if split != seen.split:
                return Fault("copy_across_splits", f"the same picture as {seen.example_id} in {seen.split}")
            if key in near:
                kept, earlier = near[key]
                return near_copy(self._seen[kept].example_id, earlier)
            return None

        return fault
