"""Candidates: every example and figure as the rules leave it, with what a person needs to decide on it.

They are written whatever was decided before, so that a rejected one can be looked at again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from figtune.core.errors import NothingProducedError
from figtune.core.jsonl import jsonl_writer
from figtune.dataset.decisions import DecisionKey
from figtune.dataset.quality import Quality
from figtune.dataset.records import CANDIDATES_FILE, Example, Split

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A line of `candidates.jsonl`."""

    schema: Literal[1] = 1
    key: DecisionKey
    item_id: str
    """The example_id that it has or would have; of a whole figure its figure_id."""
    figure_id: str
    """Empty for a row of a data set."""
    split: Split | Literal[""]
    """Empty where the whole figure is left out."""
    rule: str
    """The rule against it; empty where there is none."""
    detail: str
    acceptable: bool
    """True if a person may accept it; without a target that takes a text."""
    prompt: str
    image: str
    """The value in `Example`, where there is an image to look at; empty otherwise."""
    source: str
    kind: str
    quality: Quality | None
    """None where no text is judged."""

    @property
    def score(self) -> float:
        """The value in `Example`."""
        return 1.0 if self.quality is None else self.quality.score


def folder_with_rejected(dataset_dir: Path, nothing: NothingProducedError) -> Path:
    """Return the folder of a preparation that kept nothing, if there are candidates to review, and say so.

    Raises:
        NothingProducedError: the given one, where there is none.
    """
    path = dataset_dir / CANDIDATES_FILE
    if not (path.is_file() and path.stat().st_size):
        raise nothing
    logger.warning(f"{nothing.problem}; the review shows what was rejected, and what it accepts is kept next time")
    return dataset_dir


@contextmanager
def writing_candidates(dataset_dir: Path) -> Iterator[Callable[[Candidate], None]]:
    """Yield a function that adds a candidate; the file is there, whole, when the block ends well."""
    with jsonl_writer(dataset_dir / CANDIDATES_FILE) as write:
        yield write


def row_candidate(example: Example, split: Split, key: DecisionKey, rule: str, detail: str) -> Candidate:
    """Return the candidate for a row of a data set; a rule against it keeps copies of its picture apart."""
    return Candidate(
        key=key,
        item_id=example.example_id,
        figure_id="",
        split=split,
        rule=rule,
        detail=detail,
        acceptable=not rule,
        prompt=example.prompt,
        image=example.image,
        source=example.source,
        kind=example.kind,
        quality=None,
    )
