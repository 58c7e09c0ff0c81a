"""The encoder of drawings: what its patches are labelled with, and that it learns them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from transformers import Gemma3ForConditionalGeneration

from benchmarks.canvas import COLOURS, HEADINGS
from benchmarks.drawings import draw
from benchmarks.drawn_encoder import MARKS, labelled, train_encoder
from figtune.models.tiny import TINY_MODELS

SIDE, PATCH = 120, 10


@pytest.mark.slow
def test_patches_are_labelled_with_all_that_they_show() -> None:
    for number in range(60):
        drawing, picture = draw(number)
        result = labelled(picture, drawing.marks, SIDE, PATCH)
        assert result.pixels.shape == (3, SIDE, SIDE)
        marks, colours = (set(each.tolist()) for each in result.labels)
        assert {MARKS[index] for index in marks - {len(MARKS)}} == {mark.name for mark in drawing.marks}
        assert {*drawing.words} <= {mark.name for mark in drawing.marks}
        if drawing.kind == "bars":
            (longest, *_) = re.findall("|".join(COLOURS), drawing.caption)
            assert longest in {[*COLOURS, ""][index] for index in colours}


def test_arrows_point_from_box_to_box() -> None:
    checked = 0
    for number in range(200):
        drawing, _ = draw(number)
        if drawing.kind == "blocks" and drawing.parts == 2:
            chain = drawing.caption.removeprefix("A block diagram: ").rstrip(".").split(" leads to ")
            places = {mark.name: mark for mark in drawing.marks}
            (heading,) = {*places} & {*HEADINGS}
            start, end = (places[word] for word in chain)
            if "north" in heading or "south" in heading:
                assert (start.top > end.top) == ("north" in heading)
            if "west" in heading or "east" in heading:
                assert (start.left > end.left) == ("west" in heading)
            checked += 1
    assert checked > 5


@pytest.mark.slow
def test_the_encoder_learns_its_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TINY_MODELS["tiny-gemma3"](tmp_path)
    model = Gemma3ForConditionalGeneration.from_pretrained(tmp_path)
    side, patch = 112, 14
    drawn = [draw(number) for number in range(32)]
    pictures = [labelled(picture, drawing.marks, side, patch) for drawing, picture in drawn]
    train_encoder(model, pictures, pictures, 120)
    shares = re.findall(r"(\w+) right in (\d\.\d+)", capsys.readouterr().out)
    assert [name for name, _ in shares] == ["words", "letters", "shapes", "arrows", "colours"]
    assert all(float(share) > 0.8 for _, share in shares)
