"""What evaluation writes: `predictions.jsonl`, one line an example, and `metrics.json`.

Losses are nats per completion token, the end token included. BLEU-4, chrF and ROUGE-L run from 0 to 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EvaluatedSplit = Literal["test", "minitrain"]
EVALUATED_SPLITS: tuple[EvaluatedSplit, ...] = ("test", "minitrain")

EVALUATION_VERSION = 1
"""Bumped by hand when a rule of evaluation changes: evaluations are made anew then."""

EVALUATION_FOLDER = "evaluation"
PREDICTIONS_FILE = "predictions.jsonl"
METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
EVALUATION_CONTENTS = (PREDICTIONS_FILE, METRICS_FILE, REPORT_FILE)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one model, base or tuned, made of one example."""

    loss: float
    """Of the reference, given image and prompt."""
    answer: str
    answer_tokens: int
    stopped: bool
    """Whether the answer ended by itself, rather than at the longest length allowed."""
    chrf: float
    rouge_l: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Base and tuned model on one example."""

    schema: Literal[1] = 1
    example_id: str
    split: EvaluatedSplit
    task: str
    kind: str
    group: str
    """The paper, or the row of a data set."""
    source: str
    image: str
    """Relative to the data set folder."""
    wrong_image: str | None
    """The image that `wrong_image_loss` is about; None where the split has only one image."""
    prompt: str
    reference: str
    tokens: int
    """Of the reference as the losses count them: cut to the longest length, with its end token."""
    base: Outcome
    tuned: Outcome
    wrong_image_loss: float | None
    """Of the tuned model, with another image of the split in place of the right one."""
    grey_image_loss: float
    """Of the tuned model, with an even grey in place of the right image."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean and its 95 % bootstrap interval over papers, which takes two papers or more."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One model over a slice of the predictions."""

    loss: float
    """Mean over tokens."""
    perplexity: float
    bleu4: float
    """Of all answers together."""
    chrf: float
    """Mean over answers."""
    rouge_l: float
    """Mean over answers."""
    words: float
    """Mean length of an answer."""
    repetition: float
    """Share of the 4-word sequences of an answer that it has said before, mean over answers."""
    variety: float
    """Share of different pairs of words among all pairs of all answers."""
    stopped: float
    """Share of answers that ended by themselves."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Base against tuned model over one split: all of it, one task of it, or one kind of figure."""

    split: EvaluatedSplit
    by: Literal["all", "task", "kind"]
    name: str
    """The task or the kind; empty for all."""
    examples: int
    papers: int
    tokens: int
    reference_words: float
    base: Scores
    tuned: Scores
    loss_drop: Estimate
    """Loss of the base model less that of the tuned one: positive is better."""
    chrf_gain: Estimate
    rouge_l_gain: Estimate
    image_gain: Estimate | None
    """Loss of the tuned model with a wrong image less that with the right one: positive if it looks."""
    grey_gain: Estimate
    """The same against an even grey."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the numbers say, in words."""

    sentence: str
    notes: tuple[str, ...]
    """What must be known to read the sentence rightly, one plain sentence each."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSummary:
    """`metrics.json`: the whole evaluation in numbers."""

    schema: Literal[1] = 1
    base_model: str
    demo: bool
    """Whether the base model is the tiny one with random weights."""
    verdict: Verdict
    left_out: int
    """Examples whose prompts leave no room for an answer."""
    slices: tuple[Slice, ...]
