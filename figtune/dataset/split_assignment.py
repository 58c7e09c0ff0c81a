"""Assignment of rows to splits: the data set's own, or one by a hash where the data set has none."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from figtune.core.errors import InputError
from figtune.dataset.records import SPLITS, Split
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.splits import expected_splits, split_of

logger = logging.getLogger(__name__)

_OWN_SPLITS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "val",
    "valid": "val",
    "val": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, kw_only=True)
class SplitAssignment:
    """The split of every row."""

    own: Mapping[str, Split]
    """Splits by the parts that are read, in the order of SPLITS; rows of other parts are left alone."""
    drawn: PrepareSettings
    """Settings with the fractions of the training part for the splits that the data set itself lacks."""

    @property
    def expected_splits(self) -> tuple[Split, ...]:
        """Return the splits that should have examples."""
        wanted = {*self.own.values(), *expected_splits(self.drawn)}
        return tuple(split for split in SPLITS if split in wanted)

    def is_drawn(self, part: str) -> bool:
        """Tell whether rows of a part are dealt out among several splits."""
        return self.own[part] == "train" and self.drawn.val_fraction + self.drawn.test_fraction > 0

    def split_of(self, part: str, group: str) -> Split:
        """Return the split of a row; rows of one group and part share it."""
        own = self.own[part]
        return split_of(group, self.drawn) if own == "train" else own


def assign_splits(parts: Sequence[str], settings: PrepareSettings, source: str) -> SplitAssignment:
    """Assign parts to splits by their names. A single part is divided whatever its name.

    Raises:
        InputError: there is nothing to train on.
    """
    known = {part: _OWN_SPLITS[part.lower()] for part in parts if part.lower() in _OWN_SPLITS}
    if len(parts) == 1:
        known = {parts[0]: "train"}
    if "train" not in known.values():
        raise InputError(f'{source} has no part "train", only {", ".join(parts)}', "name its training part train")
    for part in parts:
        if part not in known:
            logger.warning(f"{source}: the part {part} is neither train, validation nor test and is left alone")
    drawn = replace(
        settings,
        val_fraction=0.0 if "val" in known.values() else settings.val_fraction,
        test_fraction=0.0 if "test" in known.values() else settings.test_fraction,
    )
    return SplitAssignment(own=dict(sorted(known.items(), key=lambda item: SPLITS.index(item[1]))), drawn=drawn)
