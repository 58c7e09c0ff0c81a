"""Lines and words of a page from what OCR has read: type sizes, bold type, and lines cut at wide gaps.

OCR knows no fonts. The height of a line tells its size, the thickness of strokes its weight; its font is called "OCR".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

import numpy as np

from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box
from figtune.pdf.ocr import RecognizedLine, RecognizedWord
from figtune.pdf.page import Line, PageText, Span, Word
from figtune.pdf.text_cleanup import normalize_glyphs

FONT = "OCR"
_LINE_HEIGHT = 0.9  # em from descender to ascender, in Times as in Helvetica
_SAME_HEIGHT = 0.15  # share by which lines of one size may differ: one without descenders is lower
_SIZE_STEP = 0.1  # points
_WORD_HEIGHT = 0.68  # em of a word's ink in the mean; for small type, whose line height the engine puts too high
_SMALL = 8.0  # points of line height below which the engine's figure is a lower limit of its own
_GAP = 1.1  # em between words from which they are two lines, as in tables and over gutters
_ASCENT, _DESCENT = 0.7, 0.22  # em above and below the baseline that a line's box has at least
_INK = 140  # greys below are ink, where strokes are measured
_BOLD = 1.25  # times the usual thickness of strokes: bold type of Times has 1.5
_FEWEST_LETTERS = 3  # of a word whose strokes can be measured


@dataclass(frozen=True, slots=True)
class RecognizedPage:
    """A page read by OCR, in the form of a text layer."""

    text: PageText
    words: tuple[Word, ...]
    confidences: tuple[float, ...]
    """Of each word, in [0, 1]."""

    def confidence_in(self, box: Box) -> float:
        """Return the mean confidence of the words whose middle lies in `box`; 0 where none does."""
        found = [
            confidence
            for word, confidence in zip(self.words, self.confidences, strict=True)
            if box.x0 <= (word.box.x0 + word.box.x1) / 2 <= box.x1
            and box.top <= (word.box.top + word.box.bottom) / 2 <= box.bottom
        ]
        return sum(found) / len(found) if found else 0.0


@dataclass(frozen=True, slots=True)
class _Piece:
    """Words of one line without a wide gap."""

    words: tuple[RecognizedWord, ...]
    bold: tuple[bool, ...]
    size: float
    baseline: float
    block: int


def recognized_page(
    index: int, box: Box, lines: Sequence[RecognizedLine], pixels: GreyImage, dpi: int
) -> RecognizedPage:
    """Return the text of a page.

    Args:
        index: of the page, from 0.
        box: the whole page.
        lines: as `recognize` returns them, in the order of reading.
        pixels: that they were read from, uint8[H, W].
        dpi: of `pixels`.
    """
    pieces = list(_pieces(lines, pixels, dpi))
    made: list[Line] = []
    words: list[Word] = []
    confidences: list[float] = []
    numbers: dict[int, int] = {}
    for piece in pieces:
        number = numbers[piece.block] = numbers.get(piece.block, -1) + 1
        line = _line(piece, number)
        for word in piece.words:
            if cleaned := normalize_glyphs(word.text).strip():
                words.append(Word(cleaned, word.box, len(made)))
                confidences.append(word.confidence)
        made.append(line)
    return RecognizedPage(PageText(index, box.x1, box.bottom, tuple(made)), tuple(words), tuple(confidences))


def _pieces(lines: Sequence[RecognizedLine], pixels: GreyImage, dpi: int) -> Iterator[_Piece]:
    sizes = _sizes(lines)
    thickness = [
        [_stroke(word, pixels, dpi) / size for word in line.words] for line, size in zip(lines, sizes, strict=True)
    ]
    measured = [value for row in thickness for value in row if value > 0]
    usual = median(measured) if measured else 0.0
    for line, size, strokes in zip(lines, sizes, thickness, strict=True):
        bold = [value > _BOLD * usual for value in strokes]
        for first, last in _cuts(line.words, size):
            yield _Piece(line.words[first:last], tuple(bold[first:last]), size, line.baseline, line.block)


def _cuts(words: Sequence[RecognizedWord], size: float) -> Iterator[tuple[int, int]]:
    """Yield first and last position of the words between wide gaps."""
    first = 0
    for number, (before, after) in enumerate(pairwise(words), start=1):
        if after.box.x0 - before.box.x1 > _GAP * size:
            yield first, number
            first = number
    yield first, len(words)


def _sizes(lines: Sequence[RecognizedLine]) -> list[float]:
    """Return the size of each line's type: the median of the line and its neighbours of the same paragraph that are
    about as high."""
    raw = [_raw_size(line) for line in lines]
    sizes: list[float] = []
    for number, line in enumerate(lines):
        near = [
            raw[other]
            for other in range(max(0, number - 2), min(len(lines), number + 3))
            if lines[other].block == line.block
            and lines[other].paragraph == line.paragraph
            and abs(raw[other] - raw[number]) <= _SAME_HEIGHT * raw[number]
        ]
        sizes.append(round(round(median(near) / _SIZE_STEP) * _SIZE_STEP, 1))
    return sizes


def _raw_size(line: RecognizedLine) -> float:
    if line.height >= _SMALL:
        return line.height / _LINE_HEIGHT
    ink = median(word.box.height for word in line.words)
    return max(1.0, min(line.height / _LINE_HEIGHT, ink / _WORD_HEIGHT))


def _stroke(word: RecognizedWord, pixels: GreyImage, dpi: int) -> float:
    """Return the mean width in points of the strokes that a row of pixels crosses; 0 for a word too short to tell."""
    if len(word.text) < _FEWEST_LETTERS or not any(map(str.isalpha, word.text)):
        return 0.0
    scale = dpi / 72.0
    rows = slice(round(word.box.top * scale), round(word.box.bottom * scale))
    columns = slice(round(word.box.x0 * scale), round(word.box.x1 * scale))
    ink = np.pad(pixels[rows, columns] < _INK, ((0, 0), (1, 0)))
    strokes = np.count_nonzero(ink[:, 1:] & ~ink[:, :-1])
    return float(np.count_nonzero(ink) / strokes / scale) if strokes else 0.0


def _line(piece: _Piece, number: int) -> Line:
    spans = tuple(_spans(piece))
    boxes = Box.around(word.box for word in piece.words)
    main = max(spans, key=lambda span: len(span.text.strip()))
    return Line(
        text="".join([span.text for span in spans]).strip(),
        box=Box(
            boxes.x0,
            min(boxes.top, piece.baseline - _ASCENT * piece.size),
            boxes.x1,
            max(boxes.bottom, piece.baseline + _DESCENT * piece.size),
        ),
        spans=spans,
        block=piece.block,
        font=main.font,
        size=main.size,
        bold=main.bold,
        baseline=piece.baseline,
        horizontal=True,
        number=number,
    )


def _spans(piece: _Piece) -> Iterator[Span]:
    """Yield runs of words in one weight; a word too short to be measured goes with the one before it."""
    weights: list[bool] = []
    for word, bold in zip(piece.words, piece.bold, strict=True):
        short = len(word.text) < _FEWEST_LETTERS or not any(map(str.isalpha, word.text))
        weights.append(weights[-1] if short and weights else bold)
    texts = [normalize_glyphs(word.text) for word in piece.words]
    for bold, run in groupby(range(len(texts)), key=lambda position: weights[position]):
        positions = list(run)
        text = " ".join(texts[position] for position in positions)
        blank = " " if positions[-1] + 1 < len(texts) else ""
        yield Span(text + blank, f"{FONT}-Bold" if bold else FONT, piece.size, bold, False, False)
