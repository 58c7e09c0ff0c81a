"""Content of one page, in points of the upright page, origin at the top-left, and the view that makes it upright.

Two halves, because they are used differently: the text of all pages is kept for the length of a paper, the graphics
of one page may be a hundred thousand paths. There are so many of these objects that they are made by msgspec, at a
fifth of what a dataclass costs, and left out of garbage collection, since none can hold a cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from figtune.pdf.geometry import Box

_BEYOND_FOREGROUND = 0.5  # em by which a line's box may reach beyond its ink

_USUAL = 10.0  # points of body type, to which scaled pages are brought
_BLANKS = 4  # of a line that tells of body type
_SIDEWAYS = 2  # times as many letters on their side as upright ones make a page that lies on its side
_FEWEST = 20  # letters on their side


class Span(Struct, frozen=True, gc=False):
    """A run of characters in one font and size, cleaned (see `text_cleanup.normalize_glyphs`)."""

    text: str
    font: str
    """Name without the subset prefix: "NimbusRomNo9L-Medi"."""
    size: float
    """Font size in points, as printed."""
    bold: bool
    italic: bool
    superscript: bool


class Line(Struct, frozen=True, gc=False):
    """Spans on one baseline without a wide gap, as the text layer groups them."""

    text: str
    """Cleaned, blanks at the ends removed; may be empty where the layer holds only meaningless characters."""
    box: Box
    spans: tuple[Span, ...]
    block: int
    """Number of the text layer's block; a block may hold several paragraphs, or one paragraph lie in several."""
    font: str
    """Font of most of its characters."""
    size: float
    """Font size of most of its characters, in points."""
    bold: bool
    """True if most of its characters are bold."""
    baseline: float
    """Height at which most of its characters stand, in points from the page's top: subscripts do not move it."""
    horizontal: bool
    """True if it reads left to right on the upright page."""
    number: int = 0
    """Number within the text layer's block, in which lines without visible type are counted too."""
    incomplete: bool = False
    """True if characters were left out because they mean nothing to a reader, such as unmapped ligatures."""


class Word(Struct, frozen=True, gc=False):
    """Characters between blanks, cleaned."""

    text: str
    box: Box
    line: int
    """Position of its line in `PageText.lines`."""


class Drawing(Struct, frozen=True, gc=False):
    """A vector path: where it lies, not its segments. A clip may hide part of it."""

    box: Box
    color: str
    """Color of its fill or stroke: "#rrggbb"."""
    filled: bool
    rectangle: bool
    """True if its outline is an upright rectangle."""


class PageText(Struct, frozen=True, gc=False):
    """The text layer of a page, in the order in which the file paints it."""

    index: int
    """Number from 0."""
    width: float
    height: float
    lines: tuple[Line, ...]
    turn: int = 0
    """Degrees by which the page was turned clockwise so that its text reads upright, beyond its own /Rotate."""
    scale: float = 1.0
    """Points of this text for a point of the page as it is shown."""
    sideways: int = 0
    """Degrees by which it should be turned clockwise, where most of its text lies on its side."""
    meaningless: int = 0
    """Number of characters that `lines` leave out because they are unmapped, of private use, or control characters."""

    def as_shown(self, box: Box) -> Box:
        """Return `box` in points of the page as a reader shows it, origin top-left."""
        x0, top, x1, bottom = box.x0, box.top, box.x1, box.bottom
        if self.turn == 90:
            x0, top, x1, bottom = top, self.width - x1, bottom, self.width - x0
        elif self.turn == 270:
            x0, top, x1, bottom = self.height - bottom, x0, self.height - top, x1
        if self.scale == 1.0:
            return Box(x0, top, x1, bottom)
        return Box(x0 / self.scale, top / self.scale, x1 / self.scale, bottom / self.scale)

    def from_shown(self, box: Box) -> Box:
        """Return a box of the page as a reader shows it in points of this text: the reverse of `as_shown`."""
        x0, top, x1, bottom = (self.scale * side for side in (box.x0, box.top, box.x1, box.bottom))
        if self.turn == 90:
            return Box(self.width - bottom, x0, self.width - top, x1)
        if self.turn == 270:
            return Box(top, self.height - x1, bottom, self.height - x0)
        return Box(x0, top, x1, bottom)

    def lines_in(self, region: Box) -> list[Line]:
        """Return the lines that lie inside the region, top to bottom, then left to right."""
        inside = [
            line
            for line in self.lines
            if line.text and region.contains(line.box, max(3, _BEYOND_FOREGROUND * line.size))
        ]
        inside.sort(key=lambda line: (round(line.baseline), line.box.x0))
        return inside

    @property
    def box(self) -> Box:
        """The whole page."""
        return Box(0.0, 0.0, self.width, self.height)


class PageGraphics(Struct, frozen=True, gc=False):
    """Graphics of a page."""

    images: tuple[Box, ...]
    drawings: tuple[Drawing, ...]


_LEAST, _MOST = 5.5, 14.0  # points of type that is read as it is: papers have 8 to 12, their references 7 and more


def count_type_sizes(lines: Iterable[Line], sizes: Counter[float]) -> None:
    """Add the characters of lines of words to `sizes`, by size in points."""
    for line in lines:
        if line.horizontal and line.size >= 1 and line.text.count(" ") >= _BLANKS:
            sizes[round(line.size, 1)] += len(line.text)


def scale_for(sizes: Counter[float]) -> float:
    """Return the points that a point of the page should count: 1 where body type has a common size. Pages with a
    /UserUnit (ISO 32000-1, 14.11.2) and pages measured in pixels have type that is too large."""
    if not sizes:
        return 1.0
    size = max(sizes, key=lambda size: (sizes[size], size))
    return 1.0 if _LEAST <= size <= _MOST else round(_USUAL / size, 4)


def sideways(blocks: Any) -> int:
    """Return the degrees to turn a page clockwise so that its text reads upright, from PyMuPDF's blocks; 0 where it
    does."""
    letters = {0: 0, 90: 0, 270: 0}
    for block in blocks:
        for line in block["lines"]:
            across, down = line["dir"]
            turn = 90 if down < -abs(across) else 270 if down > abs(across) else 0
            letters[turn] += sum([len(span["text"]) for span in line["spans"]])
    turn = max((90, 270), key=lambda turn: letters[turn])
    return turn if letters[turn] >= max(_FEWEST, _SIDEWAYS * letters[0]) else 0


def scale_page(file: Any, index: int, scale: float) -> None:
    """Change the /UserUnit of a page of an open PyMuPDF document, in memory."""
    xref = file.page_xref(index)
    kind, value = file.xref_get_key(xref, "UserUnit")
    unit = float(value) if kind in ("int", "real", "float") else 1.0
    file.xref_set_key(xref, "UserUnit", f"{unit * scale:.6g}")
