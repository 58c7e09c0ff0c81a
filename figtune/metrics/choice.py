"""Choice accuracy: how often the right completion is the likeliest of five, with the right image and without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from figtune.metrics.bootstrap import Bootstrap, Sums, bootstrap_interval, paired_difference, ratio, sum_by_group
from figtune.metrics.records import Choice, ChoiceScores, PairedDifference, Prediction

Losses = tuple[float | None, ...]


def choice_scores(members: Sequence[Prediction], bootstrap: Bootstrap) -> ChoiceScores | None:
    """Score the choices of examples; None where none has one whose losses are finite."""
    chosen = [(each.choice, each.group) for each in members if each.choice is not None and _is_finite(each.choice)]
    if not chosen:
        return None
    right = _choice_sums(chosen, _right)
    grey = _choice_sums(chosen, lambda choice: choice.grey_image_losses)
    # Those of a split have a mismatched image all alike, or its only image has none.
    mismatched = [(choice, group) for choice, group in chosen if choice.wrong_image_losses is not None]
    has_wrong = mismatched == chosen
    wrong = _choice_sums(mismatched, lambda choice: choice.wrong_image_losses or ()) if has_wrong else None
    informed = _choice_sums(chosen, lambda choice: _above_grey(choice, choice.losses))
    # Grey raises no text above grey: all five are equal, and each is right by a fifth.
    uninformed = _choice_sums(
        chosen,
        lambda choice: _above_grey(choice, (has_wrong and choice.wrong_image_losses) or choice.grey_image_losses),
    )
    return ChoiceScores(
        examples=len(chosen),
        accuracy=bootstrap_interval(right, ratio, bootstrap),
        wrong_image=None if wrong is None else bootstrap_interval(wrong, ratio, bootstrap),
        grey=bootstrap_interval(grey, ratio, bootstrap),
        gain=paired_difference(right, grey if wrong is None else wrong, ratio, bootstrap),
        information_accuracy=bootstrap_interval(informed, ratio, bootstrap),
        information_wrong_image=bootstrap_interval(uninformed, ratio, bootstrap) if has_wrong else None,
        information_gain=paired_difference(informed, uninformed, ratio, bootstrap),
    )


def choice_difference(
    one: Sequence[Prediction], other: Sequence[Prediction], bootstrap: Bootstrap
) -> PairedDifference | None:
    """Return the difference of two runs' choice accuracies over the same examples and negatives; None without any.

    Args:
        one: predictions of the run that is expected to be better.
        other: those of the other, in the same order.
    """
    pairs = [
        (each.choice, against.choice, each.group)
        for each, against in zip(one, other, strict=True)
        if each.choice is not None
        and against.choice is not None
        and each.choice.negatives == against.choice.negatives
        and _is_finite(each.choice)
        and _is_finite(against.choice)
    ]
    if not pairs:
        return None
    better = _choice_sums([(choice, group) for choice, _, group in pairs], _right)
    worse = _choice_sums([(against, group) for _, against, group in pairs], _right)
    return paired_difference(better, worse, ratio, bootstrap)


def share_right(losses: Sequence[float]) -> float:
    """Return 1 where the first loss is the lowest, 1 / n where n are equally low, else 0."""
    lowest = min(losses)
    return 1 / losses.count(lowest) if losses[0] == lowest else 0.0


def _is_finite(choice: Choice) -> bool:
    return None not in (*choice.losses, *(choice.wrong_image_losses or ()), *choice.grey_image_losses)


def _choice_sums(chosen: Sequence[tuple[Choice, str]], losses_of: Callable[[Choice], Losses]) -> Sums:
    shares = [share_right([loss or 0.0 for loss in losses_of(choice)]) for choice, _ in chosen]
    return sum_by_group(np.column_stack((shares, np.ones(len(shares)))), [group for _, group in chosen])


def _above_grey(choice: Choice, losses: Losses) -> Losses:
    """Return the losses less those given grey: the negative information that an image gives on each text."""
    return tuple((loss or 0.0) - (grey or 0.0) for loss, grey in zip(losses, choice.grey_image_losses, strict=True))


def _right(choice: Choice) -> Losses:
    return choice.losses
