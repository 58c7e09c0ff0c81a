"""Lines, words and drawings made of the blocks that PyMuPDF returns for a page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from sys import intern
from typing import Any

from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing, Line, PageText, Span, Word
from figtune.pdf.text_cleanup import normalize_glyphs

_SUPERSCRIPT, _ITALIC, _BOLD = 1, 2, 16
_UPRIGHT = 0.99  # cosine of the steepest slope that still counts as horizontal
_SMALLEST_TYPE = 0.5  # points; what is smaller is not there to be read, whatever it says
_BLANK = 0.2  # em between two fonts that make a blank
_NO_BLANK_AFTER = "\u0700"  # the first character after which MuPDF guesses no blanks


def box_of(values: Any) -> Box:
    return Box(values[0], values[1], values[2], values[3])


def lines_of(blocks: Any) -> Iterator[Line]:
    for number, block in enumerate(blocks):
        for place, line in enumerate(block["lines"]):
            if visible := [span for span in line["spans"] if span["size"] >= _SMALLEST_TYPE]:
                yield _line(line, visible, number, place)


def _line(line: Any, visible: list[Any], block: int, number: int) -> Line:
    runs = _runs(visible)
    spans = tuple([_span(run) for run in runs])
    longest = 0 if len(spans) == 1 else max(range(len(spans)), key=lambda number: len(spans[number].text.strip()))
    main = spans[longest]
    return Line(
        text="".join([span.text for span in spans]).strip(),
        box=box_of(line["bbox"]),
        spans=spans,
        block=block,
        font=main.font,
        size=main.size,
        bold=main.bold,
        baseline=(runs[longest][0] if len(runs[longest]) == 1 else max(runs[longest], key=_length))["origin"][1],
        horizontal=line["dir"][0] > _UPRIGHT,
        number=number,
    )


def _length(span: Any) -> int:
    return len(span["text"])


def _runs(spans: Any) -> list[list[Any]]:
    """MuPDF starts a new span at every blank that it had to guess; here only font, size and style count. It guesses
    none after characters of Asian scripts, among which it counts "∗", "∈" and the letters of formulas."""
    runs: list[list[Any]] = []
    style = None
    for span in spans:
        this = (span["font"], span["size"], span["flags"])
        if this == style:
            runs[-1].append(span)
        else:
            torn = style is not None and _are_apart(runs[-1][-1], span)
            runs.append([{**span, "text": f" {span['text']}"} if torn else span])
            style = this
    return runs


def _are_apart(before: Any, after: Any) -> bool:
    """Return True if a blank separates two spans where MuPDF guesses none; text before an index belongs to it."""
    if before["text"][-1:] < _NO_BLANK_AFTER or after["text"][:1] == " " or after["size"] < before["size"]:
        return False
    blank: bool = after["bbox"][0] - before["bbox"][2] > _BLANK * after["size"]
    return blank


def _span(run: list[Any]) -> Span:
    first = run[0]
    font, bold, italic, superscript = _font_style(first["font"], first["flags"])
    text = first["text"] if len(run) == 1 else "".join([span["text"] for span in run])
    return Span(normalize_glyphs(text), font, round(first["size"], 2), bold, italic, superscript)


@lru_cache(maxsize=1024)
def _font_style(font: str, flags: int) -> tuple[str, bool, bool, bool]:
    """A font's name, one object for all spans, and whether it is bold, italic and raised."""
    bold = bool(flags & _BOLD) or "Bold" in font or "Medi" in font or font.startswith("CMBX")
    return intern(font), bold, bool(flags & _ITALIC), bool(flags & _SUPERSCRIPT)


def words_of(found: Any, text: PageText) -> Iterator[Word]:
    places = {(line.block, line.number): place for place, line in enumerate(text.lines)}
    for x0, top, x1, bottom, characters, block, number, _ in found:
        place = places.get((block, number))
        if place is not None and bottom - top >= _SMALLEST_TYPE and (word := normalize_glyphs(characters).strip()):
            yield Word(word, Box(x0, top, x1, bottom), place)


def drawing_of(block: Any) -> Drawing:
    # "<vector filled, color: #ffffff, alpha: 255, is-rect: true, continues: false>"
    description: str = block[4]
    at = description.find("#")
    return Drawing(
        box_of(block), description[at : at + 7], "vector filled" in description, "is-rect: true" in description
    )
