"""Exact answers, and words read off figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from figtune.metrics.short_answers import is_exact, question_scores, reading_scores, word_recall_precision
from tests.metrics.sample_predictions import prediction


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


def test_scores_are_means_of_each_split() -> None:
    given = [("yes", "yes", "no"), ("no", "yes", "no"), ("yes", "no", "yes"), ("yes", "yes", "yes")]
    questions = [
        replace(
            prediction(number, task="question", reference=reference, tuned_answer=tuned, base_answer=base),
            example_id=f"figure-{number}-question-word",
        )
        for number, (reference, tuned, base) in enumerate(given)
    ]
    readings = [
        prediction(9, task="read", split="minitrain", reference="a b", tuned_answer="a", base_answer="c d"),
        prediction(10, task="read", split="minitrain", reference="a b", tuned_answer="a b", base_answer=""),
    ]
    (asked,) = question_scores([*questions, *readings])
    assert (asked.split, asked.examples, asked.tuned, asked.base, asked.majority) == ("test", 4, 0.5, 0.75, 0.75)
    (read,) = reading_scores([*questions, *readings])
    assert (read.split, read.tuned_recall, read.tuned_precision) == ("minitrain", 0.75, 1.0)
    assert (read.base_recall, read.base_precision) == (0.0, 0.0)
    assert question_scores(readings) == ()
    assert reading_scores(questions) == ()
