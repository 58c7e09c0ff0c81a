"""Lines and words of a page from what OCR has read: type sizes, bold type, and lines cut at wide gaps.

OCR knows no fonts. The height of a line tells its size, the thickness of strokes its weight; its font is called "OCR".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import median

import numpy as np
from msgspec import structs

from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box
from figtune.pdf.ocr import RecognizedLine, RecognizedWord
from figtune.pdf.page import Line, PageText, Span, Word
from figtune.pdf.text_cleanup import normalize_glyphs

FONT = "OCR"
_LABEL = re.compile(r"(?:fig(?:ures?|s?\.)?|tab(?:les?|\.)?)", re.IGNORECASE)
_NUMBER = re.compile(r"([\dl|!IO]+)([a-z]?[.,:;)]*)")
_DIGITS = str.maketrans("l|!IO", "11110")
_ADVANCES = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(444, 500, 444, 500, 444, 333, 500, 500, 278, 278, 500, 278, 778, 500, 500, 500, 500, 333, 389, 278, 500),
            *(500, 722, 500, 500, 444, 722, 667, 667, 722, 611, 556, 722, 722, 333, 389, 722, 611, 889, 722, 722, 556),
            *(722, 667, 556, 611, 722, 722, 944, 722, 722, 611),
        ),
        strict=True,
    )
)
"""Widths of the letters of Times, in thousandths of an em. Other text fonts are up to a tenth wider, in every size."""
_DIGIT, _SIGN = 500, 300  # of the same
_BEARINGS = 0.05  # em of white at both ends of a word, which its ink lacks
_BOLD_WIDTH = 1.06  # of bold letters, in regular ones
_MEASURABLE = 12  # letters of a line from which their widths tell its size, to 2 % in one line of prose
_LINE_HEIGHT = 0.9  # em from descender to ascender, which tells the size of shorter lines, to 10 %
_SAME_SIZE = 0.08  # share by which the lines of a paragraph may differ
_SIZE_STEP = 0.1  # points
_SCATTER = 0.04  # share by which measures of one size differ: 9 and 10 points are 0.11 apart
_GAP = 1.1  # em between words from which they are two lines, as in tables and over gutters
_ASCENT, _DESCENT = 0.7, 0.22  # em above and below the baseline that a line's box has at least
_INK = 140  # greys below are ink, where strokes are measured
_BOLD = 1.3  # times the usual thickness of strokes: bold type of Times has 1.5
_FEWEST_LETTERS = 3  # of a word whose strokes can be measured


@dataclass(frozen=True, slots=True)
class RecognizedPage:
    """A page read by OCR, in the form of a text layer."""

    text: PageText
    words: tuple[Word, ...]
    confidences: tuple[float, ...]
    """Confidence of each word, in [0, 1]."""

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
class MeasuredPage:
    """A page as read, with the measures of its type, before they are compared over the paper."""

    layer: PageText
    """Text layer of the page, which the lines read take the place of."""
    lines: tuple[RecognizedLine, ...]
    sizes: tuple[float, ...]
    """Size of each line's type in points."""
    strokes: tuple[tuple[float, ...], ...]
    """Thickness of each word's strokes in em; 0 for a word too short to tell."""


def measure_page(layer: PageText, lines: Sequence[RecognizedLine], pixels: GreyImage, dpi: int) -> MeasuredPage:
    """Measure the type of a page.

    Args:
        layer: text layer of the page.
        lines: as `recognize` returns them, in the order of reading.
        pixels: that they were read from, uint8[H, W].
        dpi: of `pixels`.
    """
    raw = [_raw_size(line) for line in lines]
    strokes = tuple(
        tuple(_stroke(word, pixels, dpi) / size for word in line.words) for line, size in zip(lines, raw, strict=True)
    )
    return MeasuredPage(layer, tuple(lines), tuple(_paragraph_sizes(lines, raw)), strokes)


def recognized_pages(pages: Sequence[MeasuredPage]) -> Iterator[RecognizedPage]:
    """Yield the pages of one paper in the form of text layers: what is bold and what is of one size shows over all."""
    thickness = [stroke for page in pages for row in page.strokes for stroke in row if stroke > 0]
    limit = _BOLD * median(thickness) if thickness else 0.0
    usual = _usual_sizes(pages)
    for page in pages:
        yield _recognized_page(page, limit, usual)


def _recognized_page(page: MeasuredPage, limit: float, usual: Sequence[float]) -> RecognizedPage:
    made: list[Line] = []
    words: list[Word] = []
    confidences: list[float] = []
    numbers: dict[int, int] = {}
    for line, raw, strokes in zip(page.lines, page.sizes, page.strokes, strict=True):
        bold = _weights(line.words, [stroke > limit for stroke in strokes])
        size = _snapped(raw / _BOLD_WIDTH if all(bold) else raw, usual)
        repaired = _with_numbers(line.words)
        for first, last in _cuts(repaired, size):
            number = numbers[line.block] = numbers.get(line.block, -1) + 1
            piece = repaired[first:last]
            for word in piece:
                if cleaned := normalize_glyphs(word.text).strip():
                    words.append(Word(cleaned, word.box, len(made)))
                    confidences.append(word.confidence)
            made.append(_line(piece, bold[first:last], size, line, number))
    text = structs.replace(page.layer, lines=tuple(made), meaningless=0)
    return RecognizedPage(text, tuple(words), tuple(confidences))


def _usual_sizes(pages: Sequence[MeasuredPage]) -> list[float]:
    """Return the sizes of a paper's type, the commonest first: measured ones scatter about them."""
    letters: Counter[int] = Counter()
    for page in pages:
        for line, size in zip(page.lines, page.sizes, strict=True):
            letters[round(size / _SIZE_STEP)] += sum(len(word.text) for word in line.words)
    sizes: list[float] = []
    while letters:
        around = {step: sum(letters[near] for near in _steps_about(step)) for step in letters}
        peak = max(sorted(around), key=lambda step: around[step])
        centre = sum(near * letters[near] for near in _steps_about(peak)) / around[peak]
        sizes.append(round(centre * _SIZE_STEP, 1))
        for near in _steps_about(round(centre)):
            letters.pop(near, None)
        letters.pop(peak, None)
    return sizes


def _steps_about(step: int) -> range:
    reach = round(_SCATTER * step)
    return range(step - reach, step + reach + 1)


def _snapped(size: float, usual: Sequence[float]) -> float:
    return next((known for known in usual if abs(known - size) <= _SCATTER * known), round(size, 1))


def _cuts(words: Sequence[RecognizedWord], size: float) -> Iterator[tuple[int, int]]:
    """Yield first and last position of the words between wide gaps."""
    first = 0
    for number, (before, after) in enumerate(pairwise(words), start=1):
        if after.box.x0 - before.box.x1 > _GAP * size:
            yield first, number
            first = number
    yield first, len(words)


def _paragraph_sizes(lines: Sequence[RecognizedLine], raw: Sequence[float]) -> Iterator[float]:
    """Yield the size of each line's type: the median of the line and its neighbours in the same paragraph that are
    about as large."""
    for number, line in enumerate(lines):
        near = [
            raw[other]
            for other in range(max(0, number - 2), min(len(lines), number + 3))
            if (lines[other].block, lines[other].paragraph) == (line.block, line.paragraph)
            and abs(raw[other] - raw[number]) <= _SAME_SIZE * raw[number]
        ]
        yield median(near)


def _raw_size(line: RecognizedLine) -> float:
    """Return the size in points from the widths of the line's words, or from its height where it has few letters."""
    letters = sum(character in _ADVANCES for word in line.words for character in word.text)
    if letters < _MEASURABLE:
        return max(1.0, line.height / _LINE_HEIGHT)
    ems = sum(sum(map(_advance, word.text)) / 1000 - _BEARINGS for word in line.words)
    return max(1.0, sum(word.box.width for word in line.words) / ems)


def _advance(character: str) -> int:
    return _ADVANCES.get(character) or (_DIGIT if character.isalnum() else _SIGN)


def _has_strokes(word: RecognizedWord) -> bool:
    return sum(map(str.isalpha, word.text)) >= _FEWEST_LETTERS


def _stroke(word: RecognizedWord, pixels: GreyImage, dpi: int) -> float:
    """Return the mean width in points of the strokes that a row of pixels crosses; 0 for a word too short to tell."""
    if not _has_strokes(word):
        return 0.0
    scale = dpi / 72.0
    rows = slice(round(word.box.top * scale), round(word.box.bottom * scale))
    columns = slice(round(word.box.x0 * scale), round(word.box.x1 * scale))
    ink = np.pad(pixels[rows, columns] < _INK, ((0, 0), (1, 0)))
    strokes = np.count_nonzero(ink[:, 1:] & ~ink[:, :-1])
    return float(np.count_nonzero(ink) / strokes / scale) if strokes else 0.0


def _line(
    words: Sequence[RecognizedWord], bold: Sequence[bool], size: float, line: RecognizedLine, number: int
) -> Line:
    spans = tuple(_spans(words, bold, size))
    ink = Box.around(word.box for word in words)
    main = max(spans, key=lambda span: len(span.text.strip()))
    return Line(
        text="".join([span.text for span in spans]).strip(),
        box=Box(
            ink.x0,
            min(ink.top, line.baseline - _ASCENT * size),
            ink.x1,
            max(ink.bottom, line.baseline + _DESCENT * size),
        ),
        spans=spans,
        block=line.block,
        font=main.font,
        size=size,
        bold=main.bold,
        baseline=line.baseline,
        horizontal=True,
        number=number,
    )


def _with_numbers(words: Sequence[RecognizedWord]) -> list[RecognizedWord]:
    """Return the words with digits in the numbers of figures and tables, where the engine takes "1" for "|" or "l".

    Labels in capitals may have Roman numbers: "TABLE I".
    """
    repaired = list(words)
    for number, (label, word) in enumerate(pairwise(words), start=1):
        match = _NUMBER.fullmatch(word.text)
        roman = label.text.isupper() and not set(word.text).isdisjoint("I")
        if match and not roman and _LABEL.fullmatch(label.text):
            repaired[number] = replace(word, text=match[1].translate(_DIGITS) + match[2])
    return repaired


def _weights(words: Sequence[RecognizedWord], bold: Sequence[bool]) -> list[bool]:
    """Return True for each bold word; one too short to be measured goes with the word before it."""
    weights: list[bool] = []
    for word, measured in zip(words, bold, strict=True):
        weights.append(measured if _has_strokes(word) or not weights else weights[-1])
    return weights


def _spans(words: Sequence[RecognizedWord], bold: Sequence[bool], size: float) -> Iterator[Span]:
    """Yield runs of words in one weight."""
    for weight, run in groupby(range(len(words)), key=lambda position: bold[position]):
        positions = list(run)
        text = " ".join(normalize_glyphs(words[position].text) for position in positions)
        blank = " " if positions[-1] + 1 < len(words) else ""
        yield Span(text + blank, f"{FONT}-Bold" if weight else FONT, size, weight, False, False)
