"""Lines joined: hyphens of line breaks undone, those of compounds kept."""

from __future__ import annotations

import pytest

from figtune.papers.hyphens import Vocabulary


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["the convo-", "lution kernel"], "the convolution kernel"),
        (["a state-of-the-", "art model"], "a state-of-the-art model"),
        (["self-", "attention"], "self-attention"),
        (["the CLIP-", "based loss"], "the CLIP-based loss"),
        (["the PSNR-", "Score"], "the PSNR-Score"),
        (["results on 3-", "D shapes"], "results on 3-D shapes"),
        (["one", "", "two"], "one two"),
        (["before -", "after"], "before - after"),
    ],
)
def test_join_without_having_seen_the_word(lines: list[str], text: str) -> None:
    assert Vocabulary([]).join(lines) == text


def test_the_papers_own_spelling_decides() -> None:
    seen = Vocabulary(["we co-train", "co-train again", "multimodal input", "a selfattention"])
    assert seen.join(["we co-", "train"]) == "we co-train"
    assert seen.join(["multi-", "modal input"]) == "multimodal input"
    assert seen.join(["self-", "attention"]) == "selfattention"


def test_broken_words_are_no_evidence() -> None:
    assert Vocabulary(["the convo-", "lution"]).join(["convo-", "lution"]) == "convolution"


def test_in_is_joined_to_words_only() -> None:
    seen = Vocabulary(["a new domain", "we see an in-", "creasing number"])
    assert seen.join(["in-", "domain data"]) == "in-domain data"
    assert seen.join(["an in-", "creasing number"]) == "an increasing number"


def test_based_and_its_like_are_joined_to_any_word_with_a_hyphen() -> None:
    seen = Vocabulary(["attention is all we need"])
    assert seen.join(["attention-", "based"]) == "attention-based"
    assert seen.join(["unbi-", "based"]) == "unbibased"
