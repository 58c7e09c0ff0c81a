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
