"""Type sizes, bold type, lines and labels from words that OCR has read."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from figtune.pdf.geometry import Box
from figtune.pdf.ocr import RecognizedLine, RecognizedWord
from figtune.pdf.page import PageText
from figtune.pdf.recognized_text import RecognizedPage, measure_page, recognized_pages
from tests.rows import each_row

LAYER = PageText(0, 600.0, 800.0, ())
BLANK = np.full((800, 600), 255, np.uint8)
PROSE = "learn features from images while networks predict depth"
ADVANCE = {"i": 0.278, "l": 0.278, "t": 0.278, "f": 0.333, "r": 0.333, "s": 0.389, "m": 0.778, "w": 0.722}


def line(text: str, size: float, top: float, *, gaps: float = 0.25, confidence: float = 0.9) -> RecognizedLine:
    """A line of words set in Times of `size`, `gaps` em apart."""
    words, x0 = [], 50.0
    for word in text.split():
        width = size * (sum(ADVANCE.get(c, 0.444 if c in "aceJkvxyz" else 0.5) for c in word) - 0.05)
        words.append(RecognizedWord(word, Box(x0, top, x0 + width, top + 0.7 * size), confidence))
        x0 += width + gaps * size
    return RecognizedLine(tuple(words), top + 0.7 * size, 0.9 * size, 0, int(top))


def read(*lines: RecognizedLine, pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]] = BLANK) -> RecognizedPage:
    """One page made of `lines`, read from `pixels` at 72 dpi."""
    (page,) = recognized_pages([measure_page(LAYER, lines, pixels, 72)])
    return page


def test_sizes_that_differ_by_a_tenth_are_told_apart_and_measures_of_one_size_are_one() -> None:
    body = [line(PROSE, size, 100 + 12 * number) for number, size in enumerate((10.0, 10.1, 9.9, 10.0, 10.1))]
    caption = [line(PROSE, size, 300 + 11 * number) for number, size in enumerate((9.0, 9.1, 8.9))]
    found = read(*body, *caption).text.lines
    assert len({made.size for made in found[:5]}) == 1
    assert len({made.size for made in found[5:]}) == 1
    assert found[0].size == pytest.approx(10, abs=0.3)
    assert found[5].size == pytest.approx(9, abs=0.3)


def test_lines_are_cut_at_gaps_wider_than_between_words_and_words_know_their_line() -> None:
    page = read(line("left right", 10, 100, gaps=3.0), line(PROSE, 10, 120))
    assert [made.text for made in page.text.lines] == ["left", "right", PROSE]
    assert [(word.text, word.line) for word in page.words[:3]] == [("left", 0), ("right", 1), ("learn", 2)]


def test_thick_strokes_are_bold() -> None:
    picture = Image.new("L", (600, 800), 255)
    draw = ImageDraw.Draw(picture)
    lines = [line(PROSE, 20, 100 + 40 * number) for number in range(4)]
    for number, made in enumerate(lines):
        for word in made.words:
            for x in range(int(word.box.x0), int(word.box.x1) - 4, 7):
                draw.rectangle((x, word.box.top, x + (3 if number == 1 else 1), word.box.bottom), fill=0)
    found = read(*lines, pixels=np.asarray(picture)).text.lines
    assert [made.bold for made in found] == [False, True, False, False]
    assert found[1].font != found[0].font


@each_row(
    ("read_as", "meant"),
    [
        ("Figure |. Networks", "Figure 1. Networks"),
        ("Fig. l0: Networks", "Fig. 10: Networks"),
        ("Table 1O Results", "Table 10 Results"),
        ("see Figure la for", "see Figure 1a for"),
        ("the Figure is", "the Figure is"),
        ("TABLE I Results", "TABLE I Results"),
        ("at | kHz", "at | kHz"),
    ],
)
def test_digits_in_labels_are_repaired_and_nothing_else(read_as: str, meant: str) -> None:
    page = read(line(read_as, 10, 100))
    assert [made.text for made in page.text.lines] == [meant]
    assert " ".join(word.text for word in page.words) == meant


def test_confidence_is_that_of_the_words_inside() -> None:
    page = read(line("sure", 10, 100, confidence=1.0), line("guessed", 10, 120, confidence=0.5))
    assert page.confidence_in(Box(0, 90, 600, 112)) == 1.0
    assert page.confidence_in(Box(0, 90, 600, 150)) == 0.75
    assert page.confidence_in(Box(0, 400, 600, 500)) == 0.0
