"""What stands on one page, in points of the upright page, origin at the top-left.

Two halves, because they are used differently: the text of all pages is kept for the length of a paper, the graphics
of one page (sometimes a hundred thousand paths) only while that page is worked on.
"""

from __future__ import annotations

from dataclasses import dataclass

from figtune.papers.box import Box


@dataclass(frozen=True, slots=True)
class Span:
    """A run of characters in one font and size, cleaned (see `characters.clean`)."""

    text: str
    font: str
    """Name without the subset prefix: "NimbusRomNo9L-Medi"."""
    size: float
    """Font size in points, as printed."""
    bold: bool
    italic: bool
    superscript: bool


@dataclass(frozen=True, slots=True)
class Line:
    """Spans on one baseline without a wide gap, as the text layer groups them."""

    text: str
    """Cleaned, blanks at the ends removed; may be empty where the layer holds only meaningless characters."""
    box: Box
    spans: tuple[Span, ...]
    block: int
    """Number of the text layer's block; a block may hold several paragraphs, or one paragraph lie in several."""
    font: str
    """Of most of its characters."""
    size: float
    """Of most of its characters, in points."""
    bold: bool
    """Whether most of its characters are."""
    baseline: float
    """Where most of its characters stand, in points from the page's top: subscripts do not move it."""
    horizontal: bool
    """Whether it reads left to right on the upright page."""


@dataclass(frozen=True, slots=True)
class Word:
    """Characters between blanks, cleaned."""

    text: str
    box: Box
    line: int
    """Position of its line in `PageText.lines`."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A vector path: where it lies, not its segments. A clip may hide part of it."""

    box: Box
    color: str
    """Of its fill or stroke: "#rrggbb"."""
    filled: bool
    rectangle: bool
    """Whether its outline is an upright rectangle."""


@dataclass(frozen=True, slots=True)
class PageText:
    """The text layer of a page, in the order in which the file paints it."""

    index: int
    """From 0."""
    width: float
    height: float
    lines: tuple[Line, ...]

    @property
    def box(self) -> Box:
        """The whole page."""
        return Box(0.0, 0.0, self.width, self.height)


@dataclass(frozen=True, slots=True)
class PageGraphics:
    """What is painted on a page besides text."""

    images: tuple[Box, ...]
    drawings: tuple[Drawing, ...]
