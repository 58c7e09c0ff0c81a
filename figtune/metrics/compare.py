"""Comparison of several evaluated runs, with a paired test where they share examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from figtune.metrics.aggregate import STATISTICS, answers_by_system
from figtune.metrics.bootstrap import Bootstrap, paired_difference, ratio, sum_by_group
from figtune.metrics.image_use import choice_difference
from figtune.metrics.records import (
    EVALUATED_SPLITS,
    EvaluatedSplit,
    EvaluationSummary,
    PairedDifference,
    Prediction,
    Score,
    Slice,
)


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun:
    """Evaluation of one run."""

    name: str
    """Output folder as given by the user."""
    summary: EvaluationSummary
    predictions: Sequence[Prediction]

    def overall(self, split: EvaluatedSplit) -> Slice:
        """Return the slice that covers a whole split, which must be evaluated."""
        return next(part for part in self.summary.slices if (part.split, part.by) == (split, "all"))

    def predictions_of(self, split: EvaluatedSplit) -> list[Prediction]:
        """Return the predictions of a split, sorted by example id."""
        return sorted((each for each in self.predictions if each.split == split), key=lambda each: each.example_id)


@dataclass(frozen=True, kw_only=True)
class ComparableRuns:
    """Runs evaluated on the same examples of a split, so that their numbers are comparable."""

    split: EvaluatedSplit
    runs: tuple[EvaluatedRun, ...]

    @property
    def same_tokens(self) -> bool:
        """True if the losses are over the same tokens, as with one tokenizer."""
        return len({tuple(each.tokens for each in run.predictions_of(self.split)) for run in self.runs}) == 1

    def differences(
        self, one: EvaluatedRun, other: EvaluatedRun, bootstrap: Bootstrap
    ) -> dict[Score, PairedDifference]:
        """Return the differences of the tuned models, `one` against `other`; the loss only over the same tokens."""
        members, others = one.predictions_of(self.split), other.predictions_of(self.split)
        groups = [each.group for each in members]
        found: dict[Score, PairedDifference] = {}
        if self.same_tokens and (drop := _loss_drop(others, members, bootstrap)) is not None:
            found["loss"] = drop
        answers, answered = answers_by_system(members)["tuned"].columns, answers_by_system(others)["tuned"].columns
        for score, statistic in STATISTICS.items():
            found[score] = paired_difference(
                sum_by_group(answers[score], groups), sum_by_group(answered[score], groups), statistic, bootstrap
            )
        if (choice := choice_difference(members, others, bootstrap)) is not None:
            found["choice"] = choice
        return found


def group_comparable_runs(evaluations: Sequence[EvaluatedRun]) -> list[ComparableRuns]:
    """Group runs by split and example set, in the order given."""
    found: dict[tuple[EvaluatedSplit, frozenset[tuple[str, ...]]], list[EvaluatedRun]] = {}
    for split in EVALUATED_SPLITS:
        for evaluation in evaluations:
            members = evaluation.predictions_of(split)
            if members:
                found.setdefault((split, _example_set(members)), []).append(evaluation)
    return [ComparableRuns(split=split, runs=tuple(runs)) for (split, _), runs in found.items()]


def _example_set(members: Iterable[Prediction]) -> frozenset[tuple[str, ...]]:
    return frozenset((each.example_id, each.group, each.image, each.prompt, each.reference) for each in members)


def _loss_drop(
    before: Sequence[Prediction], after: Sequence[Prediction], bootstrap: Bootstrap
) -> PairedDifference | None:
    pairs = [
        (one.tuned.loss, other.tuned.loss, one.tokens, one.group)
        for one, other in zip(before, after, strict=True)
        if one.tuned.loss is not None and other.tuned.loss is not None
    ]
    if not pairs:
        return None
    groups = [group for *_, group in pairs]
    larger, smaller = (
        sum_by_group(np.array([(losses[place] * losses[2], losses[2]) for losses in pairs], dtype=np.float64), groups)
        for place in (0, 1)
    )
    return paired_difference(larger, smaller, ratio, bootstrap)
