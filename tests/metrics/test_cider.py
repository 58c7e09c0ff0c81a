"""CIDEr-D against the numbers of the reference implementation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figtune.metrics.text_metrics import CiderD, cider_words

REFERENCES = (
    "A plot of accuracy over training time for three methods.",
    "The encoder feeds the decoder, which predicts a mask for every object.",
    "Qualitative results: our method finds small objects that others miss.",
    "Loss over time. The blue curve falls faster than the red one, and both level off.",
    "Overview of the pipeline: image encoder, text decoder and projector.",
)
ANSWERS = (
    "A plot of accuracy over time.",
    "The decoder predicts a mask a mask a mask for every object.",
    "",
    "Loss over time. The blue curve falls faster than the red one, and both level off.",
    "A picture of a cat.",
)
WORDS = st.lists(st.sampled_from("abcdef"), max_size=12).map(" ".join)


def test_scores_are_those_of_pycocoevalcap() -> None:
    # pycocoevalcap 1.2, Cider().compute_score on the lower-case words of these texts.
    published = [4.541545031204855, 3.5629684332517146, 0.0, 10.0, 0.11897934377600905]
    assert CiderD(REFERENCES).scores(ANSWERS) == pytest.approx(published, abs=1e-12)


def test_case_and_punctuation_do_not_count() -> None:
    assert cider_words("The U-Net's (left) loss, 0.5!") == ["the", "u-net's", "left", "loss", "0.5"]


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
def test_scores_stay_in_their_range_whatever_the_texts(pairs: list[tuple[str, str]]) -> None:
    scores = CiderD(tuple(reference for _, reference in pairs)).scores([answer for answer, _ in pairs])
    assert all(0 <= score <= 10 + 1e-9 for score in scores)


def test_what_every_reference_says_is_worth_nothing() -> None:
    assert CiderD(("a plot",)).scores(["a plot"]) == [0]
    shared, particular = CiderD(("a plot of loss here", "a plot of speed there")).scores(["a plot of", "loss here"])
    assert shared == 0
    assert particular == 0, "of the other reference"
    assert CiderD(("a plot of loss here", "a plot of speed there")).scores(["loss here", ""])[0] > 0
