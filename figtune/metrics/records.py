"""Records of evaluation: `predictions.jsonl`, one line per example, and `metrics.json`.

Losses are in nats per completion token, EOS included. CIDEr-D is in [0, 10]; BLEU-4, chrF and ROUGE-L are in [0, 100].
For a data set, "paper" means the split group of a row: its id, or its image. Differences are positive where the tuned
model is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

EvaluatedSplit = Literal["test", "minitrain"]
EVALUATED_SPLITS: tuple[EvaluatedSplit, ...] = ("test", "minitrain")

Baseline = Literal["frequent words", "typical text", "nearest picture", "nearest prompt"]
"""Model-free answers: the most frequent words of the task's training texts; the most central training text; the text of
the training image with the nearest perceptual hash; the text of the training prompt with the nearest TF-IDF vector.
"""
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
System = Literal["base", "tuned", "served"] | Baseline

Source = Literal["papers", "images", "groups"]
"""Source of the examples: papers, single images, or rows of a data set grouped by id."""
Score = Literal["loss", "CIDEr-D", "BLEU-4", "ROUGE-L", "chrF", "choice"]
"""Loss, scores of answers, and choice: the share of examples whose right text is the likeliest of five."""
Change = Literal["better", "worse", "not shown"]
Effect = Literal["better", "worse", "mixed", "not shown"]
"""Effect of fine-tuning on loss and answers together; "mixed" where they, or answers and baselines, disagree."""
ImageUse = Literal["uses image", "ignores", "memorised only", "not shown", "untested"]
"""Use of the image by the tuned model; "memorised only": the right image lowers the loss on training images alone."""
SIGNIFICANCE_LEVEL = 0.05
"""Significance level alpha."""


@dataclass(frozen=True)
class AnswerScore:
    """A score of answers, higher for better ones."""

    field: str
    """Field of `Scores`; of `ModelResult` and `BaselineAnswer` too, where each answer has a score of its own."""
    digits: int
    """Decimals that are shown."""
    min_effect: float
    """Smallest difference that counts, see `MIN_EFFECT`."""


ANSWER_SCORES: Mapping[Score, AnswerScore] = {
    "CIDEr-D": AnswerScore("cider", 2, 0.05),
    "BLEU-4": AnswerScore("bleu4", 1, 0.5),
    "ROUGE-L": AnswerScore("rouge_l", 1, 0.5),
    "chrF": AnswerScore("chrf", 1, 0.5),
}
"""Scores of answers, in the order in which they are shown."""
MIN_EFFECT: Mapping[Score, float] = {
    "loss": 0.02,
    **{name: score.min_effect for name, score in ANSWER_SCORES.items()},
    "choice": 0.02,
}
"""Smallest difference that counts, however significant. Loss: 0.02 nats per token, 2 % of the perplexity. Answers:
half a point of 100, and of CIDEr-D the same share of its range. Choice: 2 of 100 examples. Chosen, not measured."""

NEGATIVES = 4
"""Wrong texts beside the right one; by chance one choice in five is right."""
NegativeRule = Literal["group and kind", "group", "kind", "length", "any"]
"""Features that a wrong text shares with the right one, beside its task, in the order in which they are tried: the
paper, the kind of figure, a similar length; "any" has no similar length."""
NEGATIVE_RULES: tuple[NegativeRule, ...] = get_args(NegativeRule)

EVALUATION_VERSION = 8
"""Version of the rules of evaluation, bumped by hand; another version makes evaluations stale."""

EVALUATION_FOLDER = "evaluation"
SERVED_FOLDER = "evaluation-served"
"""Evaluation of a server's answers, beside that of the model that it serves."""
PREDICTIONS_FILE = "predictions.jsonl"
METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
EVALUATION_CONTENTS = (PREDICTIONS_FILE, METRICS_FILE, REPORT_FILE)

_NAMES_ON_DISK = {
    "ended_with_eos": "stopped",
    "rep_4": "repetition",
    "distinct_2": "variety",
    "image_use": "looking",
}
"""Fields that have another name in the files of an evaluation than here."""


class ModelResult(msgspec.Struct, frozen=True, kw_only=True, rename=_NAMES_ON_DISK):
    """Result of one model, base or tuned, on one example."""

    loss: float | None
    """Loss of the reference given image and prompt; None if not finite."""
    answer: str
    answer_tokens: int
    ended_with_eos: bool
    """True if the answer ended with EOS, False if it was cut at the length limit."""
    chrf: float
    rouge_l: float


@dataclass(frozen=True, kw_only=True)
class BaselineAnswer:
    """Answer of a baseline to one example."""

    baseline: Baseline
    answer: str
    chrf: float
    rouge_l: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Losses of the tuned model of five completions of one prompt, the reference first; None if not finite."""

    negatives: tuple[str, ...]
    """Ids of the examples that the others are from."""
    rules: tuple[NegativeRule, ...]
    """Rules by which these were chosen."""
    losses: tuple[float | None, ...]
    """Losses given the right image, in nats per token."""
    wrong_image_losses: tuple[float | None, ...] | None
    """Losses given a mismatched image; None if the split has only one image."""
    grey_image_losses: tuple[float | None, ...]
    """Losses given a uniform grey image."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Results of base and tuned model on one example."""

    schema: Literal[2] = 2
    example_id: str
    split: EvaluatedSplit
    task: str
    kind: str
    group: str
    """Split group: the paper, or a row's id or image."""
    source: str
    image: str
    """Image path relative to the data set folder."""
    wrong_image: str | None
    """Image used for `wrong_image_loss`; None if the split has only one image."""
    prompt: str
    reference: str
    tokens: int
    """Tokens of the reference in the losses: truncated to the length limit, EOS included."""
    base: ModelResult
    tuned: ModelResult
    wrong_image_loss: float | None
    """Loss of the tuned model given a mismatched image of the split; None also if not finite."""
    grey_image_loss: float | None
    """Loss of the tuned model given a uniform grey image; None if not finite."""
    guesses: tuple[BaselineAnswer, ...]
    """Answers of baselines; nearest-neighbour ones only if an example of another group exists."""
    served: ModelResult | None = None
    """Answer of a server, without a loss; None where none was asked, or it gave none."""
    choice: Choice | None = None
    """None for short questions, and where there are too few other texts."""
    grey_answer: str | None = None
    """Answer of the tuned model given a uniform grey image; None where answers are not right or wrong."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Mean with its 95 % bootstrap interval over papers; the interval needs at least two papers."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class PairedDifference(Estimate):
    """Paired difference, positive where fine-tuning (or the right image) is better: the drop of a loss, the rise of a
    score. Tables, report, comparison and JSON all use this sign."""

    p: float
    """p-value of the two-sided paired sign-flip test over papers, not corrected for multiple comparisons."""

    def change(self, least: float) -> Change:
        """Return the change if it is significant and at least `least` in size."""
        if self.p >= SIGNIFICANCE_LEVEL or self.value == 0 or abs(self.value) < least:
            return "not shown"
        return "better" if self.value > 0 else "worse"


class Scores(msgspec.Struct, frozen=True, kw_only=True, rename=_NAMES_ON_DISK):
    """Scores of one model or baseline over a slice."""

    system: System
    loss: Estimate | None
    """Mean over tokens of the examples where both models have a finite loss; None for baselines, or without any."""
    perplexity: Estimate | None
    """exp of the loss and of its interval."""
    cider: Estimate
    """Mean over answers; document frequencies are counted over the references of the split."""
    bleu4: Estimate
    """Corpus score over all answers."""
    rouge_l: Estimate
    """Mean over answers."""
    chrf: Estimate
    """Mean over answers."""
    words: float
    """Mean length of an answer in words."""
    rep_4: float
    """Share of repeated 4-grams within an answer, mean over answers."""
    distinct_2: float
    """Distinct word bigrams / all word bigrams, over all answers."""
    ended_with_eos: float | None
    """Share of answers that ended with EOS; None for baselines."""

    def of_answers(self, score: Score) -> Estimate:
        """Return one of `ANSWER_SCORES`."""
        found: Estimate = getattr(self, ANSWER_SCORES[score].field)
        return found


@dataclass(frozen=True, kw_only=True)
class ChoiceScores:
    """Share of examples whose reference is chosen of five completions, each in [0, 1]; 0.2 by chance.

    Chosen is the likeliest completion, or, for the scores named `information`, the one whose likelihood the image
    raises most above that given grey: pointwise mutual information, which takes out how likely a text is without any
    image (Holtzman et al. 2021, arXiv:2104.08315; for images Lin et al. 2024, arXiv:2306.01879). Grey chooses none.
    """

    examples: int
    """Examples with a choice."""
    accuracy: Estimate
    """Share given the right image."""
    wrong_image: Estimate | None
    """Share given a mismatched image; None if the split has only one image."""
    grey: Estimate
    """Share given a uniform grey image."""
    gain: PairedDifference
    """Accuracy given the right image minus given a mismatched one, or grey where there is none."""
    information_accuracy: Estimate
    """Share by information given the right image."""
    information_wrong_image: Estimate | None
    """Share by information given a mismatched image; None if the split has only one image."""
    information_gain: PairedDifference
    """Share by information given the right image minus given a mismatched one, or 0.2 where there is none."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Scores of base and tuned model over a split, or over one task or kind of figure in it."""

    split: EvaluatedSplit
    by: Literal["all", "task", "kind"]
    name: str
    """Task or kind; empty for the whole split."""
    examples: int
    papers: int
    tokens: int
    reference_words: float
    base: Scores
    tuned: Scores
    baselines: tuple[Scores, ...]
    """Baselines that have an answer to every example of the split."""
    gains: dict[Score, PairedDifference]
    """Tuned against base model by score; without the loss if no example has a finite one."""
    image_gain: PairedDifference | None
    """Loss of the tuned model given a mismatched image minus given the right one."""
    grey_gain: PairedDifference | None
    """Loss of the tuned model given a grey image minus given the right one."""
    not_finite: int
    """Examples with a loss that is not finite, which are left out of its mean."""
    served: Scores | None = None
    """Scores of a server's answers, if one was asked."""
    choice: ChoiceScores | None = None
    """None where no example has a choice."""

    @property
    def systems(self) -> tuple[Scores, ...]:
        """Tuned model, the same behind a server, base model, then baselines."""
        return (self.tuned, *(() if self.served is None else (self.served,)), self.base, *self.baselines)


@dataclass(frozen=True, kw_only=True)
class FactScores:
    """Scores of answers on one extracted fact."""

    split: EvaluatedSplit
    fact: str
    measure: Literal["F1", "specificity"]
    """F1: over the values that references and answers assert. Specificity: share of the scans whose reference is
    healthy for which the answer asserts no finding."""
    stated: int
    """Examples whose reference states the fact."""
    examples: int
    scores: dict[System, Estimate]
    """Scores in [0, 1], by system."""


@dataclass(frozen=True, kw_only=True)
class ShortScores:
    """Share of short answers that are right, or of words that are, over one split; each in [0, 1]."""

    split: EvaluatedSplit
    measure: Literal["questions", "read recall", "read precision"]
    """Questions: exactly right answers. Read: words of the figure in the answer, and of the answer in the figure."""
    examples: int
    papers: int
    tuned: Estimate
    base: Estimate
    grey: Estimate
    """Share of the tuned model given a uniform grey image."""
    majority: float | None
    """Share that the most frequent answer to each kind of question would get right; None for words."""
    gain: PairedDifference
    """Share of the tuned model given the image minus given grey."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, rename=_NAMES_ON_DISK):
    """Verdict on an evaluation, in words."""

    headline: str
    """Warning above the sentence: loss and answers disagree, or the model ignores its images. Empty otherwise."""
    sentence: str
    helped: Effect
    """Effect by loss and answers, at least `MIN_EFFECT` in size."""
    image_use: ImageUse
    notes: tuple[str, ...]
    """Caveats, one sentence each."""


@dataclass(frozen=True, kw_only=True)
class ServedAgreement:
    """Agreement of a server's answers with those of the tuned and of the base model."""

    address: str
    model: str
    """Name that the server gives the model."""
    unanswered: int
    """Requests that the server refused; they count as empty answers."""
    examples: int
    """Answered examples to which tuned and base model have different answers."""
    same_as_tuned: int
    """Answers of those that are the tuned model's word for word."""
    same_as_base: int
    nearer_to_tuned: int
    """Answers of those that are more like the tuned model's than like the base model's, by chrF."""
    nearer_to_base: int
    serves: Literal["adapter", "base model", "unclear"]
    sentence: str


@dataclass(frozen=True, kw_only=True)
class EvaluationSummary:
    """Content of `metrics.json`."""

    schema: Literal[2] = 2
    base_model: str
    demo: bool
    """True if the base model is a tiny one with random weights."""
    adapter: str = ""
    """Fingerprint (sha256, hex) of the evaluated adapter; empty in files of older versions."""
    base_weights: str = ""
    """Precision of the base model's weights, as part of a sentence; empty in files of older versions."""
    source: Source
    verdict: Verdict
    left_out: int
    """Examples whose prompt leaves no room for an answer."""
    not_finite: tuple[str, ...]
    """Ids of the examples with a loss that is not finite."""
    slices: tuple[Slice, ...]
    facts: tuple[FactScores, ...]
    """Facts stated in references of a data set; empty for papers."""
    short: tuple[ShortScores, ...] = ()
    """Short questions and words read off figures, by split that has any."""
    served: ServedAgreement | None = None
    """Comparison with a server's answers, if one was asked."""
