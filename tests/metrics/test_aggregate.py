"""Predictions cut and scored: golden numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from sacrebleu.metrics.bleu import BLEU

from figtune.metrics.aggregate import aggregate
from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.text_metrics import CiderD
from tests.metrics.sample_predictions import prediction

BOOTSTRAP = Bootstrap(samples=200, seed=0)


def test_every_slice_that_has_an_example_is_there_in_order() -> None:
    predictions = [
        prediction(1, split="minitrain", task="explain", kind="diagram"),
        prediction(2, task="explain", kind=""),
        prediction(3, task="caption", kind="plot"),
    ]
    names = [(part.split, part.by, part.name, part.examples) for part in aggregate(predictions, BOOTSTRAP)]
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
    whole = aggregate(predictions, BOOTSTRAP)[0]
    assert (whole.examples, whole.papers, whole.tokens) == (2, 2, 40)
    assert whole.base.loss is not None
    assert whole.base.perplexity is not None
    assert whole.tuned.loss is not None
    assert whole.base.loss.value == pytest.approx(3.5)
    assert whole.base.perplexity.value == pytest.approx(math.exp(3.5), abs=1e-3)
    assert (whole.base.perplexity.low, whole.base.perplexity.high) == pytest.approx(
        (math.exp(2), math.exp(4)), abs=1e-3
    )
    assert whole.tuned.loss.value == pytest.approx(1.25)
    drop = whole.gains["loss"]
    assert (drop.value, drop.low, drop.high) == pytest.approx((2.25, 0.0, 3.0))
    assert whole.image_gain is not None
    assert whole.image_gain.value == pytest.approx((0.5 * 30 - 0.1 * 10) / 40)
    assert whole.grey_gain is not None
    assert whole.grey_gain.value == pytest.approx(0.2)


def test_image_gain_is_over_the_examples_that_have_a_wrong_image() -> None:
    predictions = [
        prediction(1, wrong_image=None, wrong_image_loss=None),
        prediction(2, tuned_loss=1.0, wrong_image_loss=1.75),
    ]
    whole = aggregate(predictions, BOOTSTRAP)[0]
    assert whole.image_gain is not None
    assert whole.image_gain.value == pytest.approx(0.75)
    assert aggregate(predictions[:1], BOOTSTRAP)[0].image_gain is None


def test_texts_are_scored_as_answers() -> None:
    predictions = [
        prediction(1, base_answer="Nothing.", tuned_answer="A plot of accuracy over time."),
        prediction(2, base_answer="Nothing.", tuned_answer="", ended_with_eos=False),
    ]
    whole = aggregate(predictions, BOOTSTRAP)[0]
    assert whole.reference_words == 6
    assert (whole.tuned.words, whole.base.words) == (3.0, 1.0)
    assert whole.tuned.chrf.value == pytest.approx(50)
    assert whole.tuned.rouge_l.value == pytest.approx(50)
    assert whole.gains["ROUGE-L"].value == pytest.approx(50)
    assert whole.gains["chrF"].value == pytest.approx(50 - whole.base.chrf.value, abs=0.01)
    assert whole.tuned.ended_with_eos == 0.5


def test_a_hopeless_loss_is_still_a_number() -> None:
    whole = aggregate([prediction(1, base_loss=5000.0)], BOOTSTRAP)[0]
    assert whole.base.perplexity is not None
    assert math.isfinite(whole.base.perplexity.value)


def test_text_scores_of_a_slice_are_those_of_its_answers() -> None:
    """BLEU-4 of the corpus, CIDEr-D with the rarity of words over the whole split."""
    predictions = [
        prediction(1, task="caption", reference="A plot of loss over time.", tuned_answer="A plot of loss."),
        prediction(2, task="explain", reference="The encoder reads a mask.", tuned_answer="The encoder reads a mask."),
        prediction(3, task="explain", reference="Results of three methods.", tuned_answer="Three methods."),
    ]
    references, answers = [each.reference for each in predictions], [each.tuned.answer for each in predictions]
    whole, _, explain, *_ = aggregate(predictions, BOOTSTRAP)
    cider = CiderD(tuple(references)).scores(answers)
    assert whole.tuned.cider.value == pytest.approx(sum(cider) / 3, abs=1e-4)
    assert explain.tuned.cider.value == pytest.approx(sum(cider[1:]) / 2, abs=1e-4)
    assert whole.tuned.bleu4.value == pytest.approx(BLEU().corpus_score(answers, [references]).score, abs=1e-4)
    assert whole.tuned.bleu4.low is not None
    assert whole.tuned.bleu4.low < whole.tuned.bleu4.value


def test_losses_that_are_no_numbers_are_left_out_and_counted() -> None:
    predictions = [
        prediction(1, base_loss=3.0, tuned_loss=1.0, wrong_image_loss=2.0),
        prediction(2, base_loss=None, tuned_loss=9.0, wrong_image_loss=9.5),
        prediction(3, base_loss=3.0, tuned_loss=2.0, wrong_image_loss=None),
    ]
    whole = aggregate(predictions, BOOTSTRAP)[0]
    assert whole.not_finite == 2
    assert whole.base.loss is not None
    assert whole.tuned.loss is not None
    assert (whole.base.loss.value, whole.tuned.loss.value) == (3.0, 1.5), "over the same examples"
    assert whole.gains["loss"].value == 1.5
    assert whole.image_gain is not None
    assert whole.image_gain.value == pytest.approx(0.75)
    hopeless = aggregate([prediction(1, base_loss=None, tuned_loss=None)], BOOTSTRAP)[0]
    assert (hopeless.base.loss, hopeless.tuned.perplexity, hopeless.image_gain) == (None, None, None)
    assert "loss" not in hopeless.gains
    assert hopeless.tuned.chrf.value == pytest.approx(100)


def test_a_baseline_stands_where_it_answers_every_example_of_the_split() -> None:
    predictions = [
        prediction(1, guesses={"typical text": "A plot of accuracy over time.", "nearest picture": "A mask."}),
        prediction(2, guesses={"typical text": "Nothing."}, task="explain"),
    ]
    whole, caption, explain, *_ = aggregate(predictions, BOOTSTRAP)
    assert [each.system for each in whole.baselines] == ["typical text"]
    assert whole.baselines[0].chrf.value == pytest.approx(50 + whole.base.chrf.value / 2, abs=0.01)
    assert (whole.baselines[0].loss, whole.baselines[0].ended_with_eos) == (None, None)
    assert [each.system for part in (caption, explain) for each in part.baselines] == ["typical text"] * 2
