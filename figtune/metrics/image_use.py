"""Use of the image by a tuned model: choice accuracy with the right image and without it, and other gains from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from figtune.core.number_format import fixed, p_value, percent
from figtune.metrics.bootstrap import Bootstrap, Sums, bootstrap_interval, paired_difference, ratio, sum_by_group
from figtune.metrics.records import (
    MIN_EFFECT,
    NEGATIVES,
    SIGNIFICANCE_LEVEL,
    Choice,
    ChoiceScores,
    ImageUse,
    PairedDifference,
    Prediction,
    ShortScores,
    Slice,
)

Losses = tuple[float | None, ...]

_MIN_IMAGE_GAIN = MIN_EFFECT["loss"]
"""Nats per token: a model whose perplexity the right image lowers by less than 2 % ignores it."""
_MIN_SHARE_GAIN = 0.02
"""Share of questions or words by which the image must help to count. Chosen, not measured."""


def choice_scores(members: Sequence[Prediction], bootstrap: Bootstrap) -> ChoiceScores | None:
    """Score the choices of examples; None where none has one whose losses are finite."""
    chosen = [(each.choice, each.group) for each in members if each.choice is not None and _is_finite(each.choice)]
    if not chosen:
        return None
    # All examples of a split have a mismatched image, unless the split has one image only.
    has_wrong = all(choice.wrong_image_losses is not None for choice, _ in chosen)

    def without(choice: Choice) -> Losses:
        return (choice.wrong_image_losses if has_wrong else None) or choice.grey_image_losses

    right, other = _choice_sums(chosen, attrgetter("losses")), _choice_sums(chosen, without)
    grey = _choice_sums(chosen, attrgetter("grey_image_losses"))
    informed = _choice_sums(chosen, lambda choice: _above_grey(choice, choice.losses))
    # Grey raises no text above grey: all five are equal, and each is right by a fifth.
    uninformed = _choice_sums(chosen, lambda choice: _above_grey(choice, without(choice)))
    return ChoiceScores(
        examples=len(chosen),
        accuracy=bootstrap_interval(right, ratio, bootstrap),
        wrong_image=bootstrap_interval(other, ratio, bootstrap) if has_wrong else None,
        grey=bootstrap_interval(grey, ratio, bootstrap),
        gain=paired_difference(right, other, ratio, bootstrap),
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
    better = _choice_sums([(choice, group) for choice, _, group in pairs], attrgetter("losses"))
    worse = _choice_sums([(against, group) for _, against, group in pairs], attrgetter("losses"))
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


@dataclass(frozen=True, kw_only=True)
class ImageTest:
    """A score that rises with the right image, if the model uses it."""

    gain: PairedDifference
    """Score of the tuned model given the right image minus given a mismatched one, or grey."""
    least: float
    """Smallest gain that counts."""
    clause: str
    """Scores with and without the image, in words."""
    alpha: float = SIGNIFICANCE_LEVEL
    """Significance level of this test."""

    @property
    def shows_use(self) -> bool:
        """True if the gain is significant and counts."""
        return self.gain.p < self.alpha and self.gain.value >= self.least


def image_tests(whole: Slice, short: Sequence[ShortScores]) -> list[ImageTest]:
    """Return everything that can show use of the image: loss, choice, short questions, words read.

    The loss is tested by itself; the others share the significance level among them (Bonferroni).
    """
    tests = []
    if (choice := whole.choice) is not None:
        wrong, chance = choice.information_wrong_image, f"{percent(1 / (1 + NEGATIVES))} by chance"
        clause = (
            f"of {1 + NEGATIVES} texts the right image makes the right one more likely than any other in "
            f"{percent(choice.information_accuracy.value)} of examples, "
            f"{chance if wrong is None else f'a mismatched one in {percent(wrong.value)}'} "
            f"({interval_text(choice.information_gain)})"
        )
        tests.append(ImageTest(gain=choice.information_gain, least=MIN_EFFECT["choice"], clause=clause))
    for scores in short:
        if scores.split != whole.split or scores.measure == "read precision":
            continue
        what = "short questions are answered right" if scores.measure == "questions" else "words of figures are read"
        clause = (
            f"{percent(scores.tuned.value)} of {what} given the image, {percent(scores.grey.value)} given grey "
            f"({interval_text(scores.gain)})"
        )
        tests.append(ImageTest(gain=scores.gain, least=_MIN_SHARE_GAIN, clause=clause))
    tests = [replace(test, alpha=SIGNIFICANCE_LEVEL / len(tests)) for test in tests]
    if (gain := whole.image_gain) is None:
        return tests
    clause = f"{mismatch_cost(gain)} ({interval_text(gain)})"
    return [ImageTest(gain=gain, least=_MIN_IMAGE_GAIN, clause=clause), *tests]


def image_use(whole: Slice, trained: Slice | None, tests: Sequence[ImageTest]) -> ImageUse:
    """Return the use of the image: shown by any of the tests, ignored by the upper bound of what a mismatch costs.

    Args:
        trained: slice of the training examples, if `whole` is of held-out ones.
        tests: of `whole`, see `image_tests`.
    """
    if any(test.shows_use for test in tests):
        return "uses image"
    gain = whole.image_gain
    if gain is None:
        return "not shown" if tests else "untested"
    if gain.change(0) != "better" and _upper_bound(gain) >= _MIN_IMAGE_GAIN:
        return "not shown"
    known = trained.image_gain if trained is not None else None
    if known is not None and _upper_bound(known) >= _MIN_IMAGE_GAIN:
        return "memorised only" if (known.value if known.low is None else known.low) > 0 else "not shown"
    return "ignores"


def _upper_bound(gain: PairedDifference) -> float:
    return gain.value if gain.high is None else gain.high


def mismatch_cost(gain: PairedDifference) -> str:
    """Return `a mismatched image raises its loss by 0.12 nats per token`."""
    moved = "raises" if gain.value >= 0 else "lowers"
    return f"a mismatched image {moved} its loss by {fixed(abs(gain.value), 2)} nats per token"


def interval_text(gain: PairedDifference) -> str:
    """Return `95 % interval 0.10 to 0.20, p = 0.03`."""
    if gain.low is None or gain.high is None:
        return "no interval"
    return f"95 % interval {fixed(gain.low, 2)} to {fixed(gain.high, 2)}, {p_value(gain.p)}"
