"""Lines, words and drawings made of the blocks that PyMuPDF returns for a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from sys import intern
from typing import Any

from msgspec.structs import replace

from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing, Line, PageText, Span, Word
from figtune.pdf.text_cleanup import count_meaningless, normalize_glyphs

_SUPERSCRIPT, _ITALIC, _BOLD = 1, 2, 16
_UPRIGHT = 0.99  # cosine of the steepest slope that still counts as horizontal
_SMALLEST_TYPE = 0.5  # points; what is smaller is not there to be read, whatever it says
_BLANK = 0.2  # em between two fonts that make a blank
_NO_BLANK_AFTER = "\u0700"  # the first character after which MuPDF guesses no blanks
_LEAST = 8  # characters of a line that tells that a page's text is drawn twice
_SHARE = 0.5  # of the lines with so many characters
_DENSE = 0.35  # em a character, at most, where two stand at each place: Times has 0.4 to 0.5 where one does
_SAME_PLACE = 1.0  # points


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
        incomplete=any(count_meaningless(span["text"]) for span in visible),
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
    """Return a font's name, one object for all spans, and whether it is bold, italic and raised."""
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


def drawn_once(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return the lines of a page, each with its text once. Positions stay: a line drawn anew is left empty."""
    doubled = [line for line in lines if len(line.text) >= _LEAST and _half(line)]
    long = sum(len(line.text) >= _LEAST for line in lines)
    repeated = _repeated(lines) if long else frozenset()
    if len(doubled) + len(repeated) < _SHARE * long:
        return tuple(lines)
    return tuple(replace(line, text="") if number in repeated else _halved(line) for number, line in enumerate(lines))


def _half(line: Line) -> str:
    """Return the text of a line that prints it twice on the room of once, else nothing."""
    text = line.text
    middle = len(text) // 2
    twice = text[:middle] == text[-middle:] and len(text) - 2 * middle <= 1
    return text[:middle] if twice and line.box.width < _DENSE * line.size * len(text) else ""


def _halved(line: Line) -> Line:
    half = _half(line)
    if not half:
        return line
    spans: list[Span] = []
    left = len("".join([span.text for span in line.spans])) // 2
    for span in line.spans:
        if left > 0:
            spans.append(replace(span, text=span.text[:left]))
        left -= len(span.text)
    return replace(line, text=half, spans=tuple(spans))


def _repeated(lines: Sequence[Line]) -> frozenset[int]:
    """Return positions of lines that say what an earlier one says at the same place."""
    seen: dict[tuple[str, int], Line] = {}
    again: set[int] = set()
    for number, line in enumerate(lines):
        if not line.text:
            continue
        first = seen.setdefault((line.text, round(line.baseline / 2)), line)
        if first is not line and abs(first.box.x0 - line.box.x0) <= _SAME_PLACE:
            again.add(number)
    return frozenset(again)
