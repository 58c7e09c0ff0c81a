"""Predictions, cut by split, task and kind of figure, and scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import Literal

from figtune.metrics.intervals import Bootstrap, estimate
from figtune.metrics.records import EVALUATED_SPLITS, Estimate, EvaluatedSplit, Outcome, Prediction, Scores, Slice
from figtune.metrics.texts import bleu4, repetition, variety, word_count

_LARGEST_EXPONENT = 50.0
"""Perplexities beyond exp(50) say nothing more, and infinity is no JSON."""


def measure(predictions: Sequence[Prediction], bootstrap: Bootstrap) -> tuple[Slice, ...]:
    """Score every slice that has an example: each split whole, then by task, then by kind."""
    return tuple(_measured(members, split, by, name, bootstrap) for split, by, name, members in _slices(predictions))


def _slices(
    predictions: Sequence[Prediction],
) -> Iterator[tuple[EvaluatedSplit, Literal["all", "task", "kind"], str, list[Prediction]]]:
    for split in EVALUATED_SPLITS:
        members = [prediction for prediction in predictions if prediction.split == split]
        if not members:
            continue
        yield split, "all", "", members
        for task in sorted({prediction.task for prediction in members}):
            yield split, "task", task, [prediction for prediction in members if prediction.task == task]
        for kind in sorted({prediction.kind for prediction in members if prediction.kind}):
            yield split, "kind", kind, [prediction for prediction in members if prediction.kind == kind]


def _measured(
    members: Sequence[Prediction],
    split: EvaluatedSplit,
    by: Literal["all", "task", "kind"],
    name: str,
    bootstrap: Bootstrap,
) -> Slice:
    tokens = [prediction.tokens for prediction in members]

    def per_token(change: Callable[[Prediction], float], of: Sequence[Prediction]) -> Estimate:
        weights = [prediction.tokens for prediction in of]
        totals = [change(prediction) * prediction.tokens for prediction in of]
        return estimate(totals, weights, [prediction.group for prediction in of], bootstrap)

    def per_answer(change: Callable[[Prediction], float]) -> Estimate:
        groups = [prediction.group for prediction in members]
        return estimate([change(prediction) for prediction in members], [1.0] * len(members), groups, bootstrap)

    deranged = [prediction for prediction in members if prediction.wrong_image_loss is not None]
    return Slice(
        split=split,
        by=by,
        name=name,
        examples=len(members),
        papers=len({prediction.group for prediction in members}),
        tokens=sum(tokens),
        reference_words=round(fmean(word_count(prediction.reference) for prediction in members), 1),
        base=_scores([prediction.base for prediction in members], members),
        tuned=_scores([prediction.tuned for prediction in members], members),
        loss_drop=per_token(lambda each: each.base.loss - each.tuned.loss, members),
        chrf_gain=per_answer(lambda each: each.tuned.chrf - each.base.chrf),
        rouge_l_gain=per_answer(lambda each: each.tuned.rouge_l - each.base.rouge_l),
        image_gain=per_token(_image_gain, deranged) if deranged else None,
        grey_gain=per_token(lambda each: each.grey_image_loss - each.tuned.loss, members),
    )


def _image_gain(prediction: Prediction) -> float:
    return (prediction.wrong_image_loss or 0.0) - prediction.tuned.loss


def _scores(outcomes: Sequence[Outcome], members: Sequence[Prediction]) -> Scores:
    answers = [outcome.answer for outcome in outcomes]
    tokens = [prediction.tokens for prediction in members]
    loss = sum(outcome.loss * count for outcome, count in zip(outcomes, tokens, strict=True)) / sum(tokens)
    return Scores(
        loss=round(loss, 4),
        perplexity=round(math.exp(min(loss, _LARGEST_EXPONENT)), 3),
        bleu4=round(bleu4(answers, [prediction.reference for prediction in members]), 2),
        chrf=round(fmean(outcome.chrf for outcome in outcomes), 2),
        rouge_l=round(fmean(outcome.rouge_l for outcome in outcomes), 2),
        words=round(fmean(map(word_count, answers)), 1),
        repetition=round(fmean(map(repetition, answers)), 4),
        variety=round(variety(answers), 4),
        stopped=round(fmean(outcome.stopped for outcome in outcomes), 4),
    )
