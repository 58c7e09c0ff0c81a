"""Predictions, cut by split, task and kind of figure, and scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from figtune.metrics.intervals import Bootstrap, ValueOf, gain, interval, ratio, summed
from figtune.metrics.records import (
    BASELINES,
    EVALUATED_SPLITS,
    Baseline,
    Estimate,
    EvaluatedSplit,
    Gain,
    Guess,
    Outcome,
    Prediction,
    Score,
    Scores,
    Slice,
    System,
)
from figtune.metrics.texts import Consensus, bleu4, bleu_counts, repetition, variety, word_count

_LARGEST_EXPONENT = 50.0
"""Perplexities beyond exp(50) say nothing more, and infinity is no JSON."""

VALUE_OF: Mapping[Score, ValueOf] = {"CIDEr-D": ratio, "BLEU-4": bleu4, "ROUGE-L": ratio, "chrF": ratio}
"""How the scores of answers come from their columns."""

LossOf = Callable[[Prediction], float | None]


def measure(predictions: Sequence[Prediction], bootstrap: Bootstrap) -> tuple[Slice, ...]:
    """Score every slice that has an example: each split whole, then by task, then by kind."""
    measured = []
    for split in EVALUATED_SPLITS:
        members = [prediction for prediction in predictions if prediction.split == split]
        if not members:
            continue
        answers = answers_of(members)
        for by, name, chosen in _slices(members):
            part = _Part([members[at] for at in chosen], {key: of.at(chosen) for key, of in answers.items()}, bootstrap)
            measured.append(part.slice(split, by, name))
    return tuple(measured)


def not_finite(prediction: Prediction) -> bool:
    """Whether a loss of this example was no finite number."""
    losses = [prediction.base.loss, prediction.tuned.loss, prediction.grey_image_loss]
    if prediction.wrong_image is not None:
        losses.append(prediction.wrong_image_loss)
    return None in losses


def loss_columns(members: Sequence[Prediction], *losses: LossOf) -> tuple[list[NDArray[np.float64]], list[str]]:
    """For each kind of loss float64[N, 2], total and tokens, of the examples where all are finite; and their groups."""
    finite = [each for each in members if None not in [loss(each) for loss in losses]]
    columns = [
        np.array([((loss(each) or 0.0) * each.tokens, each.tokens) for each in finite], dtype=np.float64)
        for loss in losses
    ]
    return columns, [each.group for each in finite]


def _slices(members: Sequence[Prediction]) -> Iterator[tuple[Literal["all", "task", "kind"], str, list[int]]]:
    yield "all", "", list(range(len(members)))
    for task in sorted({each.task for each in members}):
        yield "task", task, [at for at, each in enumerate(members) if each.task == task]
    for kind in sorted({each.kind for each in members if each.kind}):
        yield "kind", kind, [at for at, each in enumerate(members) if each.kind == kind]


@dataclass(frozen=True)
class _Part:
    """The examples of a slice."""

    members: Sequence[Prediction]
    answers: Mapping[System, Answers]
    bootstrap: Bootstrap

    def slice(self, split: EvaluatedSplit, by: Literal["all", "task", "kind"], name: str) -> Slice:
        return Slice(
            split=split,
            by=by,
            name=name,
            examples=len(self.members),
            papers=len(set(self._groups)),
            tokens=sum(each.tokens for each in self.members),
            reference_words=round(fmean(word_count(each.reference) for each in self.members), 1),
            base=self._scores("base", _base_loss, _tuned_loss),
            tuned=self._scores("tuned", _tuned_loss, _base_loss),
            baselines=tuple(self._scores(name) for name in BASELINES if name in self.answers),
            gains=self._gains(),
            image_gain=self._loss_gain(_wrong_loss, _tuned_loss),
            grey_gain=self._loss_gain(_grey_loss, _tuned_loss),
            not_finite=sum(map(not_finite, self.members)),
        )

    @property
    def _groups(self) -> list[str]:
        return [each.group for each in self.members]

    def _scores(self, system: System, *losses: LossOf) -> Scores:
        """Losses: its own, and the one that must be finite too."""
        of = self.answers[system]
        loss = self._loss(*losses) if losses else None
        return Scores(
            system=system,
            loss=loss,
            perplexity=None if loss is None else _perplexity(loss),
            cider=self._estimate("CIDEr-D", of),
            bleu4=self._estimate("BLEU-4", of),
            rouge_l=self._estimate("ROUGE-L", of),
            chrf=self._estimate("chrF", of),
            words=round(fmean(map(word_count, of.texts)), 1),
            repetition=round(fmean(map(repetition, of.texts)), 4),
            variety=round(variety(of.texts), 4),
            stopped=None if of.stopped is None else round(fmean(of.stopped), 4),
        )

    def _loss(self, *losses: LossOf) -> Estimate | None:
        (own, *_), groups = loss_columns(self.members, *losses)
        return interval(summed(own, groups), ratio, self.bootstrap) if groups else None

    def _estimate(self, score: Score, of: Answers) -> Estimate:
        return interval(summed(of.columns[score], self._groups), VALUE_OF[score], self.bootstrap)

    def _gains(self) -> dict[Score, Gain]:
        gains: dict[Score, Gain] = {}
        if (drop := self._loss_gain(_base_loss, _tuned_loss)) is not None:
            gains["loss"] = drop
        for score in VALUE_OF:
            tuned, base = (summed(self.answers[system].columns[score], self._groups) for system in ("tuned", "base"))
            gains[score] = gain(tuned, base, VALUE_OF[score], self.bootstrap)
        return gains

    def _loss_gain(self, larger: LossOf, smaller: LossOf) -> Gain | None:
        (one, other), groups = loss_columns(self.members, larger, smaller)
        return gain(summed(one, groups), summed(other, groups), ratio, self.bootstrap) if groups else None


def _base_loss(prediction: Prediction) -> float | None:
    return prediction.base.loss


def _tuned_loss(prediction: Prediction) -> float | None:
    return prediction.tuned.loss


def _wrong_loss(prediction: Prediction) -> float | None:
    return prediction.wrong_image_loss


def _grey_loss(prediction: Prediction) -> float | None:
    return prediction.grey_image_loss


def _perplexity(loss: Estimate) -> Estimate:
    return Estimate(
        value=_exponential(loss.value),
        low=None if loss.low is None else _exponential(loss.low),
        high=None if loss.high is None else _exponential(loss.high),
    )


def _exponential(loss: float) -> float:
    return round(math.exp(min(loss, _LARGEST_EXPONENT)), 3)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One system's answers to the same N examples as every other's."""

    texts: Sequence[str]
    stopped: Sequence[bool] | None
    """None for baselines."""
    columns: Mapping[Score, NDArray[np.float64]]
    """float64[N, K]: what is added up over examples for each score."""

    def at(self, positions: Sequence[int]) -> Answers:
        """Some of them."""
        return Answers(
            texts=[self.texts[position] for position in positions],
            stopped=None if self.stopped is None else [self.stopped[position] for position in positions],
            columns={score: column[list(positions)] for score, column in self.columns.items()},
        )


def answers_of(members: Sequence[Prediction]) -> dict[System, Answers]:
    """Of all that answered every example of one split; CIDEr-D counts how rare words are over exactly these."""
    consensus = Consensus(tuple(each.reference for each in members))
    found: dict[System, Answers] = {
        "base": _answers([each.base for each in members], members, consensus),
        "tuned": _answers([each.tuned for each in members], members, consensus),
    }
    for baseline in BASELINES:
        guesses = [_guess(each, baseline) for each in members]
        whole = [guess for guess in guesses if guess is not None]
        if len(whole) == len(members):
            found[baseline] = _answers(whole, members, consensus)
    return found


def _guess(prediction: Prediction, baseline: Baseline) -> Guess | None:
    return next((guess for guess in prediction.guesses if guess.baseline == baseline), None)


def _answers(given: Sequence[Outcome | Guess], members: Sequence[Prediction], consensus: Consensus) -> Answers:
    texts = [each.answer for each in given]
    return Answers(
        texts=texts,
        stopped=[each.stopped for each in given if isinstance(each, Outcome)] or None,
        columns={
            "CIDEr-D": _means(consensus.scores(texts)),
            "BLEU-4": np.array([bleu_counts(text, of.reference) for text, of in zip(texts, members, strict=True)]),
            "ROUGE-L": _means([each.rouge_l for each in given]),
            "chrF": _means([each.chrf for each in given]),
        },
    )


def _means(values: Sequence[float]) -> NDArray[np.float64]:
    """float64[N, 2]: each with the weight 1."""
    return np.column_stack((values, np.ones(len(values))))
