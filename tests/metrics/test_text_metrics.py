"""Scores against examples that others have published, and against counts made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from figtune.metrics.text_metrics import bleu4, bleu_counts, chrf, distinct_2, rep_4, rouge_l, word_count
from tests.rows import each_row

TEXTS = st.text(alphabet="abc .", max_size=30)


def bleu(answers: Sequence[str], references: Sequence[str]) -> float:
    """Return the score of a whole corpus."""
    counts = [bleu_counts(answer, reference) for answer, reference in zip(answers, references, strict=True)]
    return float(bleu4(np.array(counts).sum(axis=0)))


def test_bleu_agrees_with_the_example_in_the_tests_of_sacrebleu() -> None:
    answer = "Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;"
    reference = "producţia de zahăr brut se exprimă în zahăr alb;"
    assert bleu([answer], [reference]) == pytest.approx(8.493, abs=1e-3)


def test_bleu_counts_over_the_whole_corpus() -> None:
    # By hand: 1-grams 7/8, 2-grams 4/6, 3-grams 2/4, 4-grams 1/2, no brevity penalty.
    score = bleu(["this is a fest", "that is a test"], ["this is a test", "that is a test"])
    assert score == pytest.approx(100 * (7 / 8 * 5 / 6 * 3 / 4 * 1 / 2) ** 0.25)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_bleu_is_that_of_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    answers, references = [answer for answer, _ in pairs], [reference for _, reference in pairs]
    assert bleu(answers, references) == pytest.approx(BLEU().corpus_score(answers, [references]).score)


@each_row(
    ("answer", "reference", "published"),
    [
        (
            "Co nás nejvíc trápí, protože lékaři si vybírají, kdo bude žít a kdo zemře.",
            "Nejvíce smutní jsme z toho, že musíme rozhodovat o tom, kdo bude žít a kdo zemře.",
            39.14078509,
        ),
        (
            "Nebo prostě nemají vybavení, které by jim pomohlo, uvedli lékaři.",
            "A někdy nemáme ani potřebný materiál, abychom jim pomohli, popsali lékaři.",
            31.22557079,
        ),
        (
            "Lapali po dechu, jejich životy skončily dřív, než skutečně začaly.",
            "Lapali po dechu a pak jejich život skončil - dřív, než skutečně mohl začít, připomněli.",
            57.15704367,
        ),
    ],
)
def test_chrf_agrees_with_the_sentences_in_the_tests_of_sacrebleu(
    answer: str, reference: str, published: float
) -> None:
    # Published with another smoothing, which shows in the fourth decimal.
    assert chrf(answer, reference) == pytest.approx(published, abs=2e-3)


def test_rouge_l_agrees_with_the_example_in_the_tests_of_rouge_score() -> None:
    # "testing" against "testing one two": precision 1, recall 1/3.
    assert rouge_l("testing", "testing one two") == pytest.approx(50)


def test_rouge_l_agrees_with_the_paper() -> None:
    # Lin 2004, section 3.2: S2 and S3 against S1, longest common subsequences of 3 and 2 words out of 4.
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(75)
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(50)


@given(TEXTS, TEXTS)
def test_scores_stay_in_their_range(answer: str, reference: str) -> None:
    for score in (chrf(answer, reference), rouge_l(answer, reference), bleu([answer], [reference])):
        assert 0 <= score <= 100 + 1e-9


def test_a_reference_repeated_scores_full_marks() -> None:
    text = "The encoder (left) feeds the decoder (right)."
    assert chrf(text, text) == pytest.approx(100)
    assert rouge_l(text, text) == pytest.approx(100)
    assert bleu([text], [text]) == pytest.approx(100)


def test_an_empty_answer_scores_nothing() -> None:
    assert chrf("", "A plot.") == rouge_l("", "A plot.") == bleu([""], ["A plot."]) == 0
    assert word_count("") == rep_4("") == distinct_2([""]) == 0


def test_rep_4_is_the_share_of_sequences_said_before() -> None:
    assert rep_4("one two three") == 0
    assert rep_4("a b c d e f") == 0
    assert rep_4("a a a a a a") == pytest.approx(2 / 3)


def test_variety_sees_one_answer_given_to_everything() -> None:
    assert distinct_2(["a plot of x", "a graph of y"]) == 1
    assert distinct_2(["a plot of x"] * 4) == pytest.approx(1 / 4)
