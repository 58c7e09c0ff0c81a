"""Words that a text recogniser reads, in the order of image tokens."""

from __future__ import annotations

from benchmarks.text_recogniser import words_first


def test_lines_with_words_come_first_and_each_line_once() -> None:
    assert words_first(["0.5", "Loss", "0.5", "Step 10", "x", "Loss"]) == ["Loss", "Step 10", "0.5", "x"]
