"""The words printed in a figure, as a target."""

from __future__ import annotations

import pytest

from figtune.dataset.tasks import printed_lines


def test_lines_stay_lines_in_their_order() -> None:
    assert printed_lines("Input  image\n\nEncoder 3×3\nOutput", 50) == (("Input image", "Encoder 3×3", "Output"), "")


def test_marks_of_plots_and_quotes_are_readable() -> None:
    text = "Top-1 Acc. (%)\n0.5\nMoXI(-)\nIt's \"a cat\"!\n…\nUsers' choice"
    assert printed_lines(text, 50) == (("Top-1 Acc. (%)", "0.5", "MoXI(-)", 'It\'s "a cat"!', "Users' choice"), "")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "no_words_in_figure"),
        ("(a)\nInput", "no_words_in_figure"),
        ("one two\n" * 30, "too_many_words_in_figure"),
        (" ".join(["word"] * 40), "too_many_words_in_figure"),
        ("\ue001\ue002\ue003 loss \ue004\ue005 of x", "unreadable_words_in_figure"),
        ("Encoder of images\nf#!$\nDecoder", "unreadable_words_in_figure"),
        ('Encoder of images\n!"#$"%: !!\nDecoder', "unreadable_words_in_figure"),
        ("Encoder of images\nE\nU\nP\nx", "unreadable_words_in_figure"),
        ("the loss \ufffd of it", "unreadable_words_in_figure"),
    ],
)
def test_what_cannot_be_read_is_left_out(text: str, rule: str) -> None:
    assert printed_lines(text, 50) == ((), rule)
