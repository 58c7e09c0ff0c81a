"""Lines joined: hyphens of line breaks undone, those of compounds kept."""

from __future__ import annotations

from figtune.pdf.text_cleanup import Dehyphenator
from tests.rows import each_row


@each_row(
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
        (["by Altch´e and", "K¨opf"], "by Altché and Köpf"),
        (["pages 272–", "281"], "pages 272–281"),
        (["a d-", "dimensional space"], "a d-dimensional space"),
        (["it is mixed-", "up"], "it is mixed-up"),
        (["in resource-", "constrained settings"], "in resource-constrained settings"),
        (["the speed-", "accuracy curve"], "the speed-accuracy curve"),
        (["see https:", "//example.org/", "a-b/c."], "see https://example.org/a-b/c."),
        (["at https://www.", "example.org"], "at https://www.example.org"),
        (["at https://some-", "body.github.io"], "at https://some-body.github.io"),
        (["at https://example.org/", "and elsewhere"], "at https://example.org/ and elsewhere"),
        (["at https://example.org.", "It is"], "at https://example.org. It is"),
    ],
)
def test_join_without_having_seen_the_word(lines: list[str], text: str) -> None:
    assert Dehyphenator([]).join(lines) == text


def test_the_papers_own_spelling_decides() -> None:
    seen = Dehyphenator(["we co-train", "co-train again", "multimodal input", "a selfattention"])
    assert seen.join(["we co-", "train"]) == "we co-train"
    assert seen.join(["multi-", "modal input"]) == "multimodal input"
    assert seen.join(["self-", "attention"]) == "selfattention"


def test_singular_and_plural_are_one_word() -> None:
    assert Dehyphenator(["a trade-off"]).join(["many trade-", "offs"]) == "many trade-offs"
    assert Dehyphenator(["a framework"]).join(["many frame-", "works"]) == "many frameworks"


def test_words_that_the_paper_puts_after_a_hyphen_elsewhere_keep_it() -> None:
    seen = Dehyphenator(["vision-language models", "visual input", "a natural language"])
    assert seen.join(["visual-", "language"]) == "visual-language"
    assert Dehyphenator(["visual input", "a natural language"]).join(["visual-", "language"]) == "visuallanguage"


def test_two_long_words_that_the_paper_uses_often_keep_their_hyphen() -> None:
    assert Dehyphenator(["noise layer"] * 3).join(["noise-", "layer"]) == "noise-layer"
    assert Dehyphenator(["show case"] * 3).join(["show-", "case"]) == "showcase"


def test_broken_words_are_no_evidence() -> None:
    assert Dehyphenator(["the convo-", "lution"]).join(["convo-", "lution"]) == "convolution"


def test_in_is_joined_to_words_only() -> None:
    seen = Dehyphenator(["a new domain", "one domain", "we see an in-", "creasing number"])
    assert seen.join(["in-", "domain data"]) == "in-domain data"
    assert seen.join(["an in-", "creasing number"]) == "an increasing number"
    assert Dehyphenator(["he tended to"]).join(["was in-", "tended"]) == "was intended"


def test_based_and_its_like_are_joined_to_any_word_with_a_hyphen() -> None:
    seen = Dehyphenator(["attention is all we need"])
    assert seen.join(["attention-", "based"]) == "attention-based"
    assert seen.join(["gray-", "based"]) == "graybased"
