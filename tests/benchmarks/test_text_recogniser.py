"""Characters that a text recogniser reads, as image tokens."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.efficient_gemma import character_features
from benchmarks.text_recogniser import WIDTH, Line


def line(text: str, value: float) -> Line:
    return Line(text=text, features=np.full((len(text), WIDTH), value, dtype=np.float32))


def test_lines_with_words_come_first_and_each_line_once() -> None:
    features = character_features([line("0.5", 1), line("Loss", 2), line("0.5", 3), line("Step 10", 4)])
    ends = features[:, -1].nonzero().flatten().tolist()
    assert ends == [4, 12, 16]
    assert features[[0, 5, 13], 0].tolist() == [2, 4, 3]
    assert torch.equal(features[ends, :-1], torch.zeros(3, WIDTH))


def test_an_image_without_text_has_no_characters() -> None:
    assert character_features([]).shape == (0, WIDTH + 1)
