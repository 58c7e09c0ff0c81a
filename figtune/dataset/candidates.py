"""Candidates: every example and figure as the rules leave it, with what a person needs to decide on it.

They are written whatever was decided before, so that a rejected one can be looked at again.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from figtune.core.errors import NothingProducedError
from figtune.dataset.citing_text import content_words
from figtune.dataset.cleaning import depends_on_previous
from figtune.dataset.decisions import DecisionKey
from figtune.dataset.records import CANDIDATES_FILE, Example, Split
from figtune.dataset.sentence_faults import has_wrong_symbols, is_pointer
from figtune.dataset.sentences import count_words, is_closed, split_sentences

logger = logging.getLogger(__name__)

_WORDS_ENOUGH = 25
_SUPPORT_ENOUGH = 3
_FAULT_COST = 0.25
_WEIGHTS = {"length": 0.3, "new": 0.3, "support": 0.2, "telling": 0.2}
_POINTS = re.compile(
    r"(?i)^(?:\S+\s+){0,3}?(?:the\s+figure|the\s+table)\s+(?:also\s+)?(?:shows?|presents?|illustrates?|depicts?)\b"
)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Quality of a target in [0, 1], by rules that a reader can follow; no model judges it.

    The score is the weighted mean of four shares, less 0.25 for each kind of fault found:

        length    0.3  words of the target / 25, at most 1
        new       0.3  share of its topical words that the prompt does not hold, twofold, at most 1
        support   0.2  topical words that figure, caption or other paragraphs about the figure hold too / 3, at most 1
        telling   0.2  share of its sentences that do not merely point at the figure

    Faults: an opening that leans on a sentence that is not there, odd symbols, an end without a mark.
    """

    length: float
    new: float
    support: float
    telling: float
    faults: tuple[str, ...]

    @property
    def score(self) -> float:
        """Weighted mean of the shares less the cost of the faults, in [0, 1], rounded to 0.01."""
        mean = sum(weight * float(getattr(self, name)) for name, weight in _WEIGHTS.items())
        return round(max(0.0, mean - _FAULT_COST * len(self.faults)), 2)


def quality_of(completion: str, prompt: str, known: str) -> Quality:
    """Judge a target of sentences.

    Args:
        known: words of the figure, its caption and the paragraphs that cite it.
    """
    sentences = split_sentences(completion)
    words = content_words(completion)
    faults = {
        "dangling_opening": bool(sentences) and depends_on_previous(sentences[0]),
        "odd_symbols": has_wrong_symbols(completion),
        "open_end": not is_closed(completion),
    }
    pointing = sum(is_pointer(sentence) or _POINTS.match(sentence) is not None for sentence in sentences)
    return Quality(
        length=min(1.0, count_words(completion) / _WORDS_ENOUGH),
        new=min(1.0, 2 * len(words - content_words(prompt)) / len(words)) if words else 0.0,
        support=min(1.0, len(words & content_words(known)) / _SUPPORT_ENOUGH),
        telling=1 - pointing / len(sentences) if sentences else 0.0,
        faults=tuple(name for name, found in faults.items() if found),
    )


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
