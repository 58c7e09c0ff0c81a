"""Assignment to splits: the data set's own, or one by a hash of a group's name, so that adding papers moves none.

Papers are grouped by their titles, or how their text begins, so that names of files decide nothing. An arXiv and a
conference copy of a paper, or a paper and its supplement, have one title and hence one split. Different papers that
share a title by chance merely share a split, which leaks nothing.
"""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from figtune.core import commands
from figtune.core.errors import InputError
from figtune.core.jsonl import stream_records
from figtune.dataset.records import SPLITS, Split
from figtune.dataset.settings import PrepareSettings
from figtune.extraction.records import PAPERS_FILE, PaperRecord

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
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_SUPPLEMENT = re.compile(
    r"\b(?:supplement(?:ary|al)?(?: (?:materials?|information|document))?|appendix|appendices)\b(?: (?:for|of|to)\b)?",
    re.IGNORECASE,
)
_FEWEST_CHARACTERS = 12
"""Fewest characters of a title that tells papers apart: "Untitled" or "Abstract" says nothing."""
_MOST_PAPERS = 8
"""Most papers with one title. Versions and supplements of a paper are fewer; a journal's name in large type stands on
all of its papers, and would send all of them to one split."""


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


class SplitKeys:
    """Split keys of the papers of a content folder."""

    def __init__(self, content_dir: Path) -> None:
        """Count titles.

        Raises:
            ArtifactMissingError, InputError: see `stream_records`.
        """
        papers = stream_records(content_dir / PAPERS_FILE, PaperRecord, commands.EXTRACT)
        self._titles = Counter(_normalized(paper.title) for paper in papers)

    def key_of(self, paper: PaperRecord) -> str:
        """Return the title in normal form, else the hash of how the text begins, else that of the file."""
        title = _normalized(paper.title)
        if len(title) >= _FEWEST_CHARACTERS and self._titles[title] <= _MOST_PAPERS:
            return title
        return paper.text_key or paper.sha256 or paper.paper_id


def _normalized(title: str) -> str:
    """Return letters and digits alone: line breaks, hyphens, ligatures, accents and case differ between copies."""
    plain = unicodedata.normalize("NFKD", title).casefold()
    return _NOT_ALPHANUMERIC.sub("", _SUPPLEMENT.sub("", _without_accents(plain)))


def _without_accents(text: str) -> str:
    return "".join(character for character in text if not unicodedata.combining(character))
