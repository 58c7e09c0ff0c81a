"""Records of the scores of short answers, a part of `metrics.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class QuestionScores:
    """Accuracy on short questions of one split."""

    split: Literal["test", "minitrain"]
    examples: int
    tuned: float
    """Share of exactly right answers, in [0, 1]."""
    base: float
    majority: float
    """Share that the most frequent answer to each kind of question would get right."""


@dataclass(frozen=True, kw_only=True)
class ReadingScores:
    """Words read off figures of one split, each mean over examples in [0, 1]."""

    split: Literal["test", "minitrain"]
    examples: int
    tuned_recall: float
    tuned_precision: float
    base_recall: float
    base_precision: float
