"""Evaluations of several runs side by side, and a paired test where they answered the same examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from figtune.metrics.intervals import Bootstrap, gain, ratio, summed
from figtune.metrics.records import EVALUATED_SPLITS, EvaluatedSplit, EvaluationSummary, Gain, Prediction, Score, Slice
from figtune.metrics.slices import VALUE_OF, answers_of


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One run, evaluated."""

    name: str
    """Its output folder, as the user gave it."""
    summary: EvaluationSummary
    predictions: Sequence[Prediction]

    def whole(self, split: EvaluatedSplit) -> Slice:
        """All of a split that it has."""
        return next(part for part in self.summary.slices if (part.split, part.by) == (split, "all"))

    def of(self, split: EvaluatedSplit) -> list[Prediction]:
        """Its predictions in the order of their ids."""
        return sorted((each for each in self.predictions if each.split == split), key=lambda each: each.example_id)


@dataclass(frozen=True, kw_only=True)
class Peers:
    """Runs that were evaluated on the very same examples of a split: their numbers can be compared."""

    split: EvaluatedSplit
    evaluations: tuple[Evaluation, ...]

    @property
    def same_tokens(self) -> bool:
        """Whether their losses are over the same tokens, as those of models with one tokenizer are."""
        return len({tuple(each.tokens for each in run.of(self.split)) for run in self.evaluations}) == 1

    def gains(self, one: Evaluation, other: Evaluation, bootstrap: Bootstrap) -> dict[Score, Gain]:
        """By how much the tuned model of `one` is better than that of `other`; the loss only over the same tokens."""
        members, others = one.of(self.split), other.of(self.split)
        groups = [each.group for each in members]
        found: dict[Score, Gain] = {}
        if self.same_tokens and (drop := _loss_drop(others, members, bootstrap)) is not None:
            found["loss"] = drop
        answers, answered = answers_of(members)["tuned"].columns, answers_of(others)["tuned"].columns
        for score, value_of in VALUE_OF.items():
            found[score] = gain(summed(answers[score], groups), summed(answered[score], groups), value_of, bootstrap)
        return found


def peers(evaluations: Sequence[Evaluation]) -> list[Peers]:
    """Groups of runs by split and examples, in the order given."""
    found: dict[tuple[EvaluatedSplit, frozenset[tuple[str, ...]]], list[Evaluation]] = {}
    for split in EVALUATED_SPLITS:
        for evaluation in evaluations:
            members = evaluation.of(split)
            if members:
                found.setdefault((split, _identity(members)), []).append(evaluation)
    return [Peers(split=split, evaluations=tuple(runs)) for (split, _), runs in found.items()]


def _identity(members: Iterable[Prediction]) -> frozenset[tuple[str, ...]]:
    return frozenset((each.example_id, each.group, each.image, each.prompt, each.reference) for each in members)


def _loss_drop(before: Sequence[Prediction], after: Sequence[Prediction], bootstrap: Bootstrap) -> Gain | None:
    pairs = [
        (one.tuned.loss, other.tuned.loss, one.tokens, one.group)
        for one, other in zip(before, after, strict=True)
        if one.tuned.loss is not None and other.tuned.loss is not None
    ]
    if not pairs:
        return None
    groups = [group for *_, group in pairs]
    larger, smaller = (
        summed(np.array([(losses[place] * losses[2], losses[2]) for losses in pairs], dtype=np.float64), groups)
        for place in (0, 1)
    )
    return gain(larger, smaller, ratio, bootstrap)
