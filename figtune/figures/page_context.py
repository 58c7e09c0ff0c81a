"""Context of region matching on one page: captions, obstacles between which regions lie, foreground left to explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from figtune.figures.captions import Caption
from figtune.figures.foreground_mask import DPI, ForegroundMask
from figtune.figures.photo_score import photo_likelihood
from figtune.layout.line_roles import Role, page_roles
from figtune.layout.ruling_lines import algorithm_boxes, is_ruling_line
from figtune.layout.style import PaperStyle
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageGraphics, PageText

_WIPE = 1.2  # points by which ink may stick out of its line's box
_DESCENT = 1.5  # the same below the line: braces and large symbols hang deeper than fonts declare
_FRAME_MARGIN = 12.0


@dataclass(frozen=True, slots=True)
class PageContext:
    """A page ready for matching."""

    text: PageText
    style: PaperStyle
    graphics: PageGraphics
    roles: tuple[Role, ...]
    captions: tuple[Caption, ...]
    obstacles: tuple[Box, ...]
    """Body text, headings, front matter, algorithms, captions: no region crosses them."""
    unassigned_lines: tuple[int, ...]
    """Lines that may belong to a figure or table."""
    foreground: ForegroundMask
    """All that is not explained by walls and page furniture."""
    text_mask: ForegroundMask
    """The part of it that is text or thin rules."""
    photo_scores: tuple[float, ...]
    """Photo score of each image, in [0, 1]."""

    @property
    def lines(self) -> Sequence[Line]:
        """All lines of the page."""
        return self.text.lines


def build_page_context(
    document: Document, text: PageText, graphics: PageGraphics, captions: Sequence[Caption], style: PaperStyle
) -> PageContext:
    """The scene of the page that `text` and `graphics` were read from; renders the page once."""
    roles = page_roles(text, style, graphics)
    captioned = {number for caption in captions for number in caption.lines}
    explained = [number for number, role in enumerate(roles) if role is not Role.OTHER or number in captioned]
    unassigned_lines = tuple(
        number for number in range(len(roles)) if number not in set(explained) and text.lines[number].text
    )
    page = document.grey(text.index, DPI)
    frame = Box(0.0, _top(text, roles), text.width, _bottom(captions, style))
    wiped = [_erased_box(text.lines[number].box) for number in explained]
    wiped += _furniture_rules(text, roles, graphics)
    algorithms = algorithm_boxes(text.lines, graphics)
    wiped += algorithms
    foreground = ForegroundMask(page, frame, wiped)
    row_text = foreground.copy()
    row_text.intersect(
        [text.lines[number].box.expanded(_WIPE) for number in unassigned_lines]
        + [drawing.box.expanded(_WIPE) for drawing in graphics.drawings if is_ruling_line(drawing)]
    )
    obstacles = [text.lines[number].box for number in explained if roles[number] is not Role.FURNITURE] + algorithms
    photo_scores = photo_likelihood(page, graphics.images)
    return PageContext(
        text,
        style,
        graphics,
        tuple(roles),
        tuple(captions),
        tuple(obstacles),
        unassigned_lines,
        foreground,
        row_text,
        photo_scores,
    )


def _erased_box(line: Box) -> Box:
    return Box(line.x0 - _WIPE, line.top - _WIPE, line.x1 + _WIPE, line.bottom + _DESCENT)


def _top(text: PageText, roles: Sequence[Role]) -> float:
    """Where figures may begin: on the first page not above the title, where logos stand."""
    front = [line.box.top for line, role in zip(text.lines, roles, strict=True) if role is Role.FRONT]
    return min(front, default=0.0)


def _bottom(captions: Sequence[Caption], style: PaperStyle) -> float:
    """Where figures may end: a little below the body, or above a caption that stands still lower."""
    return max(style.bottom + _FRAME_MARGIN, *(caption.box.bottom for caption in captions), 0.0)


def _furniture_rules(text: PageText, roles: Sequence[Role], graphics: PageGraphics) -> list[Box]:
    """Rules that set a header or footer off."""
    furniture = [line.box.expanded(10) for line, role in zip(text.lines, roles, strict=True) if role is Role.FURNITURE]
    rules = [
        drawing.box
        for drawing in graphics.drawings
        if is_ruling_line(drawing) and drawing.box.height <= drawing.box.width
    ]
    return [rule.expanded(_WIPE) for rule in rules if any(rule.expanded(0.1).overlap(box) > 0 for box in furniture)]
