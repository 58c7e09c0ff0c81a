"""The words printed in a figure, as a target."""

from __future__ import annotations

import pytest

from figtune.dataset.figure_words import printed_lines


def test_lines_stay_lines_in_their_order() -> None:
    assert printed_lines("Input  image\n\nEncoder 3×3\nOutput", 50) == (("Input image", "Encoder 3×3", "Output"), "")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "no_words_in_figure"),
        ("(a)\nInput", "no_words_in_figure"),
        ("one two\n" * 30, "too_many_words_in_figure"),
        (" ".join(["word"] * 40), "too_many_words_in_figure"),
        ("\ue001\ue002\ue003 loss \ue004\ue005 of x", "unreadable_words_in_figure"),
        ("the loss \ufffd of it", "unreadable_words_in_figure"),
    ],
)
def test_what_cannot_be_read_is_left_out(text: str, rule: str) -> None:
    assert printed_lines(text, 50) == ((), rule)
