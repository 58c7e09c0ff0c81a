"""Exact answers, and words read off figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.short_answers import is_exact, short_scores, word_recall_precision
from tests.metrics.sample_predictions import prediction
from tests.rows import each_row

BOOTSTRAP = Bootstrap(samples=100, seed=0)


@each_row(
    ("answer", "reference", "expected"),
    [
        ("Yes.", "yes", True),
        ("b", "(b)", True),
        (" diagram \n", "diagram", True),
        ("no", "yes", False),
        ("", "2", False),
    ],
)
def test_an_answer_is_right_without_regard_to_case_and_marks(answer: str, reference: str, expected: bool) -> None:
    assert is_exact(answer, reference) is expected


@each_row(
    ("answer", "recall", "precision"),
    [
        ("Encoder Decoder Loss Loss", 1.0, 1.0),
        ("loss\ndecoder\nloss\nencoder", 1.0, 1.0),
        ("Encoder Encoder", 0.25, 0.5),
        ("Cats", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_words_count_as_often_as_they_stand_there(answer: str, recall: float, precision: float) -> None:
    assert word_recall_precision(answer, "Encoder\nDecoder\nLoss\nLoss") == (recall, precision)


def test_scores_are_means_of_each_split_beside_grey() -> None:
    given = [
        ("yes", "yes", "no", "no"),
        ("no", "yes", "no", "no"),
        ("yes", "no", "yes", "no"),
        ("yes", "yes", "yes", ""),
    ]
    questions = [
        replace(
            prediction(number, task="question", reference=reference, tuned_answer=tuned, base_answer=base),
            example_id=f"figure-{number}-question-word",
            grey_answer=grey,
        )
        for number, (reference, tuned, base, grey) in enumerate(given)
    ]
    readings = [
        prediction(9, task="read", split="minitrain", reference="a b", tuned_answer="a", base_answer="c d"),
        prediction(10, task="read", split="minitrain", reference="a b", tuned_answer="a b", base_answer=""),
    ]
    readings = [replace(each, grey_answer="b b b") for each in readings]
    captions = [prediction(11)]
    asked, recall, precision = short_scores([*questions, *readings, *captions], BOOTSTRAP)
    assert (asked.split, asked.measure, asked.examples, asked.papers) == ("test", "questions", 4, 4)
    shares = (asked.tuned.value, asked.base.value, asked.grey.value, asked.majority, asked.gain.value)
    assert shares == (0.5, 0.75, 0.25, 0.75, 0.25)
    assert (recall.split, recall.measure, precision.measure) == ("minitrain", "read recall", "read precision")
    assert (recall.tuned.value, recall.base.value, recall.grey.value, recall.gain.value) == (0.75, 0.0, 0.5, 0.25)
    assert (precision.tuned.value, precision.base.value, precision.majority) == (1.0, 0.0, None)
    assert precision.grey.value == pytest.approx(1 / 3, abs=1e-4)
    assert short_scores(captions, BOOTSTRAP) == ()
