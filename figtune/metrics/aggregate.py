"""Scores of predictions, aggregated by split, task and kind of figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import fmean
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from figtune.metrics.bootstrap import Bootstrap, Statistic, bootstrap_interval, paired_difference, ratio, sum_by_group
from figtune.metrics.image_use import choice_scores
from figtune.metrics.records import (
    ANSWER_SCORES,
    BASELINES,
    EVALUATED_SPLITS,
    BaselineAnswer,
    Estimate,
    EvaluatedSplit,
    ModelResult,
    PairedDifference,
    Prediction,
    Score,
    Scores,
    Slice,
    System,
)
from figtune.metrics.text_metrics import CiderD, bleu4, bleu_counts, distinct_2, rep_4, sentence_scores, word_count

_MAX_EXPONENT = 50.0
"""Largest exponent of a perplexity: JSON has no infinity."""

STATISTICS: Mapping[Score, Statistic] = {**dict.fromkeys(ANSWER_SCORES, ratio), "BLEU-4": bleu4}
"""Statistic of each answer score, over summed columns."""

LossOf = Callable[[Prediction], float | None]

_BASE_LOSS: LossOf = attrgetter("base.loss")
_TUNED_LOSS: LossOf = attrgetter("tuned.loss")
_WRONG_LOSS: LossOf = attrgetter("wrong_image_loss")
_GREY_LOSS: LossOf = attrgetter("grey_image_loss")


def aggregate(predictions: Sequence[Prediction], bootstrap: Bootstrap) -> tuple[Slice, ...]:
    """Score every slice that has an example: each split whole, then by task, then by kind."""
    measured = []
    for split in EVALUATED_SPLITS:
        members = [prediction for prediction in predictions if prediction.split == split]
        if not members:
            continue
        answers = answers_by_system(members)
        for by, name, chosen in _slice_positions(members):
            part = _SliceBuilder(
                [members[at] for at in chosen], {key: of.subset(chosen) for key, of in answers.items()}, bootstrap
            )
            measured.append(part.build(split, by, name))
    return tuple(measured)


def has_nonfinite_loss(prediction: Prediction) -> bool:
    """Return True if any loss of this example is not finite."""
    losses = [prediction.base.loss, prediction.tuned.loss, prediction.grey_image_loss]
    if prediction.wrong_image is not None:
        losses.append(prediction.wrong_image_loss)
    return None in losses


def loss_columns(members: Sequence[Prediction], *losses: LossOf) -> tuple[list[NDArray[np.float64]], list[str]]:
    """Return float64[N, 2] (loss sum, tokens) per kind of loss, and the groups, of examples where all are finite."""
    finite = [each for each in members if None not in [loss(each) for loss in losses]]
    columns = [
        np.array([((loss(each) or 0.0) * each.tokens, each.tokens) for each in finite], dtype=np.float64)
        for loss in losses
    ]
    return columns, [each.group for each in finite]


def _slice_positions(members: Sequence[Prediction]) -> Iterator[tuple[Literal["all", "task", "kind"], str, list[int]]]:
    yield "all", "", list(range(len(members)))
    for task in sorted({each.task for each in members}):
        yield "task", task, [at for at, each in enumerate(members) if each.task == task]
    for kind in sorted({each.kind for each in members if each.kind}):
        yield "kind", kind, [at for at, each in enumerate(members) if each.kind == kind]


@dataclass(frozen=True)
class _SliceBuilder:
    """Builder of one slice from its examples and their answers."""

    members: Sequence[Prediction]
    answers: Mapping[System, SystemAnswers]
    bootstrap: Bootstrap

    def build(self, split: EvaluatedSplit, by: Literal["all", "task", "kind"], name: str) -> Slice:
        return Slice(
            split=split,
            by=by,
            name=name,
            examples=len(self.members),
            papers=len(set(self._groups)),
            tokens=sum(each.tokens for each in self.members),
            reference_words=round(fmean(word_count(each.reference) for each in self.members), 1),
            base=self._scores("base", _BASE_LOSS, _TUNED_LOSS),
            tuned=self._scores("tuned", _TUNED_LOSS, _BASE_LOSS),
            baselines=tuple(self._scores(name) for name in BASELINES if name in self.answers),
            gains=self._gains(),
            image_gain=self._loss_gain(_WRONG_LOSS, _TUNED_LOSS),
            grey_gain=self._loss_gain(_GREY_LOSS, _TUNED_LOSS),
            not_finite=sum(map(has_nonfinite_loss, self.members)),
            served=self._scores("served") if "served" in self.answers else None,
            choice=choice_scores(self.members, self.bootstrap),
        )

    @property
    def _groups(self) -> list[str]:
        return [each.group for each in self.members]

    def _scores(self, system: System, *losses: LossOf) -> Scores:
        """Score one system.

        Args:
            losses: its own loss, then others that must be finite for an example to count.
        """
        of = self.answers[system]
        loss = self._loss(*losses) if losses else None
        return Scores(
            system=system,
            loss=loss,
            perplexity=None if loss is None else _perplexity(loss),
            **{score.field: self._estimate(name, of) for name, score in ANSWER_SCORES.items()},
            words=round(fmean(map(word_count, of.texts)), 1),
            rep_4=round(fmean(map(rep_4, of.texts)), 4),
            distinct_2=round(distinct_2(of.texts), 4),
            ended_with_eos=None if of.ended_with_eos is None else round(fmean(of.ended_with_eos), 4),
        )

    def _loss(self, *losses: LossOf) -> Estimate | None:
        (own, *_), groups = loss_columns(self.members, *losses)
        return bootstrap_interval(sum_by_group(own, groups), ratio, self.bootstrap) if groups else None

    def _estimate(self, score: Score, of: SystemAnswers) -> Estimate:
        return bootstrap_interval(sum_by_group(of.columns[score], self._groups), STATISTICS[score], self.bootstrap)

    def _gains(self) -> dict[Score, PairedDifference]:
        gains: dict[Score, PairedDifference] = {}
        if (drop := self._loss_gain(_BASE_LOSS, _TUNED_LOSS)) is not None:
            gains["loss"] = drop
        for score in STATISTICS:
            tuned, base = (
                sum_by_group(self.answers[system].columns[score], self._groups) for system in ("tuned", "base")
            )
            gains[score] = paired_difference(tuned, base, STATISTICS[score], self.bootstrap)
        return gains

    def _loss_gain(self, larger: LossOf, smaller: LossOf) -> PairedDifference | None:
        (one, other), groups = loss_columns(self.members, larger, smaller)
        return (
            paired_difference(sum_by_group(one, groups), sum_by_group(other, groups), ratio, self.bootstrap)
            if groups
            else None
        )


def _perplexity(loss: Estimate) -> Estimate:
    return Estimate(
        value=_exponential(loss.value),
        low=None if loss.low is None else _exponential(loss.low),
        high=None if loss.high is None else _exponential(loss.high),
    )


def _exponential(loss: float) -> float:
    return round(math.exp(min(loss, _MAX_EXPONENT)), 3)


@dataclass(frozen=True, kw_only=True)
class SystemAnswers:
    """Answers of one system, in the order of N examples."""

    texts: Sequence[str]
    ended_with_eos: Sequence[bool] | None
    """One flag per answer; None for baselines."""
    columns: Mapping[Score, NDArray[np.float64]]
    """Addends of each score, float64[N, K]."""

    def subset(self, positions: Sequence[int]) -> SystemAnswers:
        """Return the answers at these positions."""
        return SystemAnswers(
            texts=[self.texts[position] for position in positions],
            ended_with_eos=None
            if self.ended_with_eos is None
            else [self.ended_with_eos[position] for position in positions],
            columns={score: column[list(positions)] for score, column in self.columns.items()},
        )


def answers_by_system(members: Sequence[Prediction]) -> dict[System, SystemAnswers]:
    """Collect the answers of every system that answered all examples of one split.

    The document frequencies of CIDEr-D are counted over exactly these references.
    """
    consensus = CiderD(tuple(each.reference for each in members))
    found: dict[System, SystemAnswers] = {
        "base": _system_answers([each.base for each in members], members, consensus),
        "tuned": _system_answers([each.tuned for each in members], members, consensus),
    }
    if any(each.served is not None for each in members):
        found["served"] = _system_answers(
            [each.served or _no_answer(each.reference) for each in members], members, consensus
        )
    for baseline in BASELINES:
        guesses = [guess for each in members for guess in each.guesses if guess.baseline == baseline]
        if len(guesses) == len(members):
            found[baseline] = _system_answers(guesses, members, consensus)
    return found


def _no_answer(reference: str) -> ModelResult:
    """Return the result of a request that the server refused."""
    return ModelResult(loss=None, answer="", answer_tokens=0, ended_with_eos=False, **sentence_scores("", reference))


def _system_answers(
    given: Sequence[ModelResult | BaselineAnswer], members: Sequence[Prediction], consensus: CiderD
) -> SystemAnswers:
    texts = [each.answer for each in given]
    columns: dict[Score, NDArray[np.float64]] = {
        "CIDEr-D": _unit_weighted(consensus.scores(texts)),
        "BLEU-4": np.array([bleu_counts(text, of.reference) for text, of in zip(texts, members, strict=True)]),
    }
    for name in ANSWER_SCORES.keys() - columns.keys():
        columns[name] = _unit_weighted([getattr(each, ANSWER_SCORES[name].field) for each in given])
    return SystemAnswers(
        texts=texts,
        ended_with_eos=[each.ended_with_eos for each in given if isinstance(each, ModelResult)] or None,
        columns=columns,
    )


def _unit_weighted(values: Sequence[float]) -> NDArray[np.float64]:
    """Return float64[N, 2]: values with weight 1."""
    return np.column_stack((values, np.ones(len(values))))
