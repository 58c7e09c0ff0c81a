"""Use of the image by a tuned model, from everything that the right image should improve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from figtune.core.number_format import fixed, p_value, percent
from figtune.metrics.records import (
    MIN_EFFECT,
    NEGATIVES,
    SIGNIFICANCE_LEVEL,
    ImageUse,
    PairedDifference,
    ShortScores,
    Slice,
)

_MIN_IMAGE_GAIN = MIN_EFFECT["loss"]
"""Nats per token: a model whose perplexity the right image lowers by less than 2 % ignores it."""
_MIN_SHARE_GAIN = 0.02
"""Share of questions or words by which the image must help to count. Chosen, not measured."""


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
        return "memorised only" if _lower_bound(known) > 0 else "not shown"
    return "ignores"


def _upper_bound(gain: PairedDifference) -> float:
    return gain.value if gain.high is None else gain.high


def _lower_bound(gain: PairedDifference) -> float:
    return gain.value if gain.low is None else gain.low


def mismatch_cost(gain: PairedDifference) -> str:
    """Return `a mismatched image raises its loss by 0.12 nats per token`."""
    moved = "raises" if gain.value >= 0 else "lowers"
    return f"a mismatched image {moved} its loss by {fixed(abs(gain.value), 2)} nats per token"


def interval_text(gain: PairedDifference) -> str:
    """Return `95 % interval 0.10 to 0.20, p = 0.03`."""
    if gain.low is None or gain.high is None:
        return "no interval"
    return f"95 % interval {fixed(gain.low, 2)} to {fixed(gain.high, 2)}, {p_value(gain.p)}"
