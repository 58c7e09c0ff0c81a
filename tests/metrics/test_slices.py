"""Predictions cut and scored: golden numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from figtune.metrics.intervals import Bootstrap
from figtune.metrics.slices import measure
from tests.metrics.making import prediction

BOOTSTRAP = Bootstrap(samples=200, seed=0)


def test_every_slice_that_has_an_example_is_there_in_order() -> None:
    predictions = [
        prediction(1, split="minitrain", task="explain", kind="diagram"),
        prediction(2, task="explain", kind=""),
        prediction(3, task="caption", kind="plot"),
    ]
    names = [(part.split, part.by, part.name, part.examples) for part in measure(predictions, BOOTSTRAP)]
    assert names == [
        ("test", "all", "", 2),
        ("test", "task", "caption", 1),
        ("test", "task", "explain", 1),
        ("test", "kind", "plot", 1),
        ("minitrain", "all", "", 1),
        ("minitrain", "task", "explain", 1),
        ("minitrain", "kind", "diagram", 1),
    ]


def test_losses_are_means_over_tokens_and_gains_are_differences() -> None:
    predictions = [
        prediction(1, tokens=30, base_loss=4.0, tuned_loss=1.0, wrong_image_loss=1.5, grey_image_loss=1.2),
        prediction(2, tokens=10, base_loss=2.0, tuned_loss=2.0, wrong_image_loss=1.9, grey_image_loss=2.2),
    ]
    whole = measure(predictions, BOOTSTRAP)[0]
    assert (whole.examples, whole.papers, whole.tokens) == (2, 2, 40)
    assert whole.base.loss == pytest.approx(3.5)
    assert whole.base.perplexity == pytest.approx(math.exp(3.5), abs=1e-3)
    assert whole.tuned.loss == pytest.approx(1.25)
    assert whole.loss_drop.value == pytest.approx(2.25)
    assert whole.image_gain is not None
    assert whole.image_gain.value == pytest.approx((0.5 * 30 - 0.1 * 10) / 40)
    assert whole.grey_gain.value == pytest.approx(0.2)
    assert whole.loss_drop.low == 0.0
    assert whole.loss_drop.high == 3.0


def test_image_gain_is_over_the_examples_that_have_a_wrong_image() -> None:
    predictions = [
        prediction(1, wrong_image_loss=None),
        prediction(2, tuned_loss=1.0, wrong_image_loss=1.75),
    ]
    whole = measure(predictions, BOOTSTRAP)[0]
    assert whole.image_gain is not None
    assert whole.image_gain.value == pytest.approx(0.75)
    assert measure(predictions[:1], BOOTSTRAP)[0].image_gain is None


def test_texts_are_scored_as_answers() -> None:
    predictions = [
        prediction(1, base_answer="Nothing.", tuned_answer="A plot of accuracy over time."),
        prediction(2, base_answer="Nothing.", tuned_answer="", stopped=False),
    ]
    whole = measure(predictions, BOOTSTRAP)[0]
    assert whole.reference_words == 6
    assert (whole.tuned.words, whole.base.words) == (3.0, 1.0)
    assert whole.tuned.chrf == pytest.approx(50)
    assert whole.tuned.rouge_l == pytest.approx(50)
    assert whole.rouge_l_gain.value == pytest.approx(50)
    assert whole.chrf_gain.value == pytest.approx(50 - whole.base.chrf, abs=0.01)
    assert whole.tuned.stopped == 0.5


def test_a_hopeless_loss_is_still_a_number() -> None:
    whole = measure([prediction(1, base_loss=5000.0)], BOOTSTRAP)[0]
    assert math.isfinite(whole.base.perplexity)
