"""Components: what is written in a figure and spoken of in the text."""

from __future__ import annotations

from figtune.dataset.components import components_of, mentioned


def test_names_are_in_the_figure_and_in_the_text() -> None:
    figure_text = "Input Image Image Encoder Memory Bank Decoder (b) Output 0.5 Tokens"
    spoken = "The image encoder fills the memory banks. A decoder reads them. The loss is small."
    assert components_of(figure_text, spoken) == ("Image Encoder", "Memory Bank", "Decoder")


def test_the_longest_name_wins_and_comes_once() -> None:
    figure_text = "Cross Attention Block Attention Cross Attention Block Attention"
    spoken = "Each cross attention block holds an attention layer."
    assert components_of(figure_text, spoken) == ("Cross Attention Block",)


def test_common_words_and_edges_are_no_names() -> None:
    assert components_of("Input the Encoder of Output Left a Decoder", "The input of the left output.") == ()


def test_labels_may_be_lower_case() -> None:
    assert components_of(
        "image frozen encoder selector map fusion", "The frozen encoder meets selector and fusion."
    ) == (
        "frozen encoder",
        "selector",
        "fusion",
    )


def test_names_do_not_run_across_punctuation() -> None:
    assert components_of("Tokens Memory", "Images turn into tokens. Memory holds them.") == ("Tokens", "Memory")


def test_mentioning_is_by_whole_words() -> None:
    assert mentioned("Two encoders, one en-decoder.", ["Encoder", "Decoder"]) == ("Encoder",)
