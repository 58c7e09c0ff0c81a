"""What evaluation writes: `predictions.jsonl`, one line an example, and `metrics.json`.

Losses are nats per completion token, the end token included. CIDEr-D runs from 0 to 10; BLEU-4, chrF and ROUGE-L run
from 0 to 100. A "paper" of a data set is what its rows share: an id, or the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from figtune.metrics.short_answer_records import QuestionScores, ReadingScores

EvaluatedSplit = Literal["test", "minitrain"]
EVALUATED_SPLITS: tuple[EvaluatedSplit, ...] = ("test", "minitrain")

Baseline = Literal["frequent words", "typical text", "nearest picture", "nearest prompt"]
"""Answers that need no model: the most frequent words of the task's training texts; the training text that is most like
all others; the text of the training picture that looks most alike; that of the training prompt with the likest words.
"""
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
System = Literal["base", "tuned"] | Baseline

Source = Literal["papers", "images", "groups"]
"""Where the examples come from: papers, images each for itself, or rows of a data set that share ids."""
Score = Literal["loss", "CIDEr-D", "BLEU-4", "ROUGE-L", "chrF"]
Change = Literal["better", "worse", "not shown"]
Looking = Literal["looks", "ignores", "at known ones only", "not shown", "untested"]
"""Whether the right picture helps the tuned model; "at known ones only": those that it was trained on."""
SIGNIFICANT = 0.05
"""A change that chance makes at least as large less often than this is called one."""

EVALUATION_VERSION = 2
"""Bumped by hand when a rule of evaluation changes: evaluations are made anew then."""

EVALUATION_FOLDER = "evaluation"
PREDICTIONS_FILE = "predictions.jsonl"
METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
EVALUATION_CONTENTS = (PREDICTIONS_FILE, METRICS_FILE, REPORT_FILE)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one model, base or tuned, made of one example."""

    loss: float | None
    """Of the reference, given image and prompt; None where it was no finite number."""
    answer: str
    answer_tokens: int
    stopped: bool
    """Whether the answer ended by itself, rather than at the longest length allowed."""
    chrf: float
    rouge_l: float


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What a baseline says to one example."""

    baseline: Baseline
    answer: str
    chrf: float
    rouge_l: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Base and tuned model on one example."""

    schema: Literal[2] = 2
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
    """Of the tuned model, with another image of the split in place of the right one; None too where not finite."""
    grey_image_loss: float | None
    """Of the tuned model, with an even grey in place of the right image; None where not finite."""
    guesses: tuple[Guess, ...]
    """Without those whose nearest example would be of the same paper, there being no other."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean and its 95 % bootstrap interval over papers, which takes two papers or more."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A difference that is positive where fine-tuning, or the right picture, is better."""

    value: float
    low: float | None
    high: float | None
    p: float
    """How often chance makes a difference at least as large: paired sign-flip test over papers, two-sided. Not
    corrected for the number of comparisons."""

    @property
    def change(self) -> Change:
        """What the test allows to be said."""
        if self.p >= SIGNIFICANT or self.value == 0:
            return "not shown"
        return "better" if self.value > 0 else "worse"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One model or baseline over a slice of the predictions."""

    system: System
    loss: Estimate | None
    """Mean over tokens, of the examples where both models have a finite loss; None for baselines, and where there are
    none."""
    perplexity: Estimate | None
    """exp of the loss and of the ends of its interval."""
    cider: Estimate
    """Mean over answers; how rare words are is counted over the references of the split."""
    bleu4: Estimate
    """Of all answers together."""
    rouge_l: Estimate
    """Mean over answers."""
    chrf: Estimate
    """Mean over answers."""
    words: float
    """Mean length of an answer."""
    repetition: float
    """Share of the 4-word sequences of an answer that it has said before, mean over answers."""
    variety: float
    """Share of different pairs of words among all pairs of all answers."""
    stopped: float | None
    """Share of answers that ended by themselves; None for baselines."""


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
    baselines: tuple[Scores, ...]
    """Those that have an answer to every example of the split."""
    gains: dict[Score, Gain]
    """Of the tuned model over the base model; of the loss its drop. Without the loss where there is no finite one."""
    image_gain: Gain | None
    """Loss of the tuned model with a wrong image less that with the right one: positive if it looks."""
    grey_gain: Gain | None
    """The same against an even grey."""
    not_finite: int
    """Examples where a loss was no finite number: they are left out of the means that it belongs to."""

    @property
    def systems(self) -> tuple[Scores, ...]:
        """Everything that answered."""
        return (self.tuned, self.base, *self.baselines)


@dataclass(frozen=True, kw_only=True)
class FactScores:
    """How often answers agree with references on a fact that rules can read off both."""

    split: EvaluatedSplit
    fact: str
    stated: int
    """Examples whose reference states it."""
    examples: int
    agreement: dict[System, Estimate]
    """Share of the stated ones in which the answer states the same, and nothing else of its kind."""
    silent: dict[System, float]
    """Share of the stated ones in which the answer states nothing of the kind."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the numbers say, in words."""

    headline: str
    """What must not be overlooked: that the model ignores its pictures. Empty otherwise."""
    sentence: str
    helped: Change
    """By the loss."""
    looking: Looking
    notes: tuple[str, ...]
    """What must be known to read the sentence rightly, one plain sentence each."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSummary:
    """`metrics.json`: the whole evaluation in numbers."""

    schema: Literal[2] = 2
    base_model: str
    demo: bool
    """Whether the base model is the tiny one with random weights."""
    source: Source
    verdict: Verdict
    left_out: int
    """Examples whose prompts leave no room for an answer."""
    not_finite: tuple[str, ...]
    """Ids of the examples where a loss was no finite number."""
    slices: tuple[Slice, ...]
    facts: tuple[FactScores, ...]
    """Of data sets in whose references any are stated."""
    questions: tuple[QuestionScores, ...] = ()
    """Accuracy on short questions, by split that has any."""
    readings: tuple[ReadingScores, ...] = ()
    """Words read off figures, by split that has any."""
