"""Choice accuracy, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from figtune.metrics.aggregate import aggregate
from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.image_use import choice_difference, choice_scores, share_right
from figtune.metrics.short_answers import short_scores
from figtune.metrics.verdict import summarize
from tests.metrics.sample_predictions import RIGHT, WRONG, choosing, prediction
from tests.rows import each_row

BOOTSTRAP = Bootstrap(samples=200, seed=0)


@each_row(
    ("losses", "expected"),
    [(RIGHT, 1.0), (WRONG, 0.0), ((1.0, 1.0, 2.0, 2.0, 2.0), 0.5), ((1.0,) * 5, 0.2), ((2.0, 1.0, 1.0, 1.0, 1.0), 0.0)],
)
def test_ties_share_what_is_right(losses: Sequence[float], expected: float) -> None:
    assert share_right(losses) == expected


def test_shares_are_over_the_examples_with_a_choice_of_finite_losses() -> None:
    members = [choosing(1), choosing(2), choosing(3, losses=WRONG), prediction(4), choosing(5, grey=(None, *WRONG[1:]))]
    found = choice_scores(members, BOOTSTRAP)
    assert found is not None
    assert found.wrong_image is not None
    assert found.examples == 3
    assert found.accuracy.value == pytest.approx(2 / 3, abs=1e-4)
    assert (found.wrong_image.value, found.grey.value, found.gain.value) == (0.0, 0.0, found.accuracy.value)
    assert choice_scores([prediction(1)], BOOTSTRAP) is None


def test_information_takes_out_how_likely_texts_are_by_themselves() -> None:
    """The right text is never the likeliest, and gains most from its own image alone."""
    grey = (3.0, 1.0, 1.0, 1.0, 1.0)
    own, other = (2.5, 0.9, 1.0, 1.0, 1.1), (3.0, 0.9, 1.0, 1.0, 1.0)
    found = choice_scores([choosing(number, losses=own, wrong=other, grey=grey) for number in (1, 2)], BOOTSTRAP)
    assert found is not None
    assert found.information_wrong_image is not None
    assert (found.accuracy.value, found.information_accuracy.value) == (0.0, 1.0)
    assert (found.information_wrong_image.value, found.information_gain.value) == (0.0, 1.0)


def test_grey_informs_of_nothing() -> None:
    found = choice_scores([choosing(1, losses=WRONG, wrong=None, grey=WRONG)], BOOTSTRAP)
    assert found is not None
    assert found.information_wrong_image is None
    assert (found.information_accuracy.value, found.information_gain.value) == (0.2, 0.0)


def test_without_another_image_the_gain_is_over_grey() -> None:
    found = choice_scores([choosing(1, wrong=None, grey=(1.0,) * 5), choosing(2, wrong=None)], BOOTSTRAP)
    assert found is not None
    assert (found.wrong_image, found.grey.value, found.gain.value) == (None, 0.1, 0.9)


def test_runs_differ_where_they_chose_among_the_same_texts() -> None:
    one = [choosing(1), choosing(2), choosing(3)]
    other = [choosing(1, losses=WRONG), choosing(2), prediction(3)]
    found = choice_difference(one, other, BOOTSTRAP)
    assert found is not None
    assert found.value == 0.5
    assert choice_difference(one, [prediction(n) for n in (1, 2, 3)], BOOTSTRAP) is None


def test_a_better_choice_shows_use_of_the_image_where_the_loss_does_not() -> None:
    members = [
        replace(choosing(number), wrong_image_loss=1.0 + 0.5 * (-1) ** number, grey_image_loss=1.0)
        for number in range(8)
    ]
    verdict = summarize(aggregate(members, BOOTSTRAP), short_scores(members, BOOTSTRAP), demo=False, source="papers")
    assert verdict.image_use == "uses image"
    assert (
        "it uses the image: of 5 texts the right image makes the right one more likely than any other in 100 % of "
        "examples, a mismatched one in 20 % (95 % interval 0.80 to 0.80, p = 0.0078)."
    ) in verdict.sentence
    assert any(note.startswith("A mismatched image raises its loss by 0.00 nats") for note in verdict.notes)
