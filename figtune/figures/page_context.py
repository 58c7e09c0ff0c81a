"""Context of region matching on one page: captions, obstacles between which regions lie, foreground left to explain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from figtune.figures.captions import Caption
from figtune.figures.figure_kind import photo_likelihood
from figtune.figures.foreground_mask import DPI, ForegroundMask, tint_of
from figtune.layout.line_roles import Role, page_roles
from figtune.layout.ruling_lines import algorithm_boxes, is_ruling_line
from figtune.layout.style import PaperStyle, is_prose
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageGraphics, PageText

_WIPE = 1.2  # points by which ink may stick out of its line's box
_DESCENT = 1.5  # the same below the line: braces and large symbols hang deeper than fonts declare
_FRAME_MARGIN = 12.0
_BAR = 0.9  # of the page's width from which a drawing beyond the body is part of a header or footer
_FRAME_RULE = 2.6  # points of thickness up to which the line of a frame is wiped
_FRAME_INSIDE = 4.0  # points that the body may stick out of a frame around it


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
    """Return the context of the page that `text` and `graphics` were read from; renders the page once."""
    roles = page_roles(text, style, graphics)
    for number in _hanging_lines(text, roles, captions, style):
        roles[number] = Role.OTHER
    captioned = {number for caption in captions for number in caption.lines}
    explained = [number for number, role in enumerate(roles) if role is not Role.OTHER or number in captioned]
    unassigned_lines = tuple(
        number for number in range(len(roles)) if number not in set(explained) and text.lines[number].text
    )
    page = document.grey(text.index, DPI)
    frame = Box(0.0, _top(text, roles, style), text.width, _bottom(captions, style))
    wiped = [_erased_box(text.lines[number].box) for number in explained]
    wiped += _furniture_drawings(text, roles, graphics, style)
    algorithms = algorithm_boxes(text.lines, graphics)
    wiped += algorithms
    foreground = ForegroundMask(page, frame, wiped, tint_of(page))
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


def _hanging_lines(
    text: PageText, roles: Sequence[Role], captions: Sequence[Caption], style: PaperStyle
) -> Iterator[int]:
    """Yield positions of lines below the body, taken for a footer, that a caption still lower shows to be a table's."""
    for caption in captions:
        for number, line in enumerate(text.lines):
            if (
                roles[number] is Role.FURNITURE
                and line not in style.running
                and style.bottom < line.box.bottom <= caption.box.bottom
                and min(line.box.x1, caption.box.x1) > max(line.box.x0, caption.box.x0)
            ):
                yield number


def _top(text: PageText, roles: Sequence[Role], style: PaperStyle) -> float:
    """Return where figures may begin: on the first page not above the title, where logos stand; elsewhere below the
    header."""
    named = list(zip(text.lines, roles, strict=True))
    front = [line.box.top for line, role in named if role is Role.FRONT]
    header = [
        line.box.bottom
        for line, role in named
        if role is Role.FURNITURE and line.box.bottom <= style.top + 1 and line in style.running and is_prose(line.text)
    ]
    return min(front, default=max(header, default=0.0))


def _bottom(captions: Sequence[Caption], style: PaperStyle) -> float:
    """Return where figures may end: a little below the body, or above a caption that stands still lower."""
    return max(style.bottom + _FRAME_MARGIN, *(caption.box.bottom for caption in captions), 0.0)


def _furniture_drawings(
    text: PageText, roles: Sequence[Role], graphics: PageGraphics, style: PaperStyle
) -> Iterator[Box]:
    """Rules that set a header or footer off, bars across the page above and below its body, and frames around it."""
    furniture = [line.box.expanded(10) for line, role in zip(text.lines, roles, strict=True) if role is Role.FURNITURE]
    body = Box(style.columns[0].x0, style.top, style.columns[-1].x1, style.bottom)
    for drawing in graphics.drawings:
        box = drawing.box
        if box.height > box.width and not _stands_out(box, body):
            continue
        rule = is_ruling_line(drawing) and box.height <= box.width
        bar = box.width >= _BAR * text.width and (box.bottom <= body.top or box.top >= body.bottom)
        if bar or (rule and any(box.expanded(0.1).overlap(line) > 0 for line in furniture)):
            yield box.expanded(_WIPE)
        elif _stands_out(box, body):
            yield from _edges(box)


def _stands_out(box: Box, body: Box) -> bool:
    """Tell if a box or an upright rule is as large as the body and outside it: part of a frame around the page."""
    around = box.contains(body, _FRAME_INSIDE)
    beside = box.width <= _FRAME_RULE and box.height >= body.height and (box.x1 <= body.x0 or box.x0 >= body.x1)
    return around or beside


def _edges(box: Box) -> Iterator[Box]:
    yield Box(box.x0 - _WIPE, box.top - _WIPE, box.x1 + _WIPE, box.top + _FRAME_RULE)
    yield Box(box.x0 - _WIPE, box.bottom - _FRAME_RULE, box.x1 + _WIPE, box.bottom + _WIPE)
    yield Box(box.x0 - _WIPE, box.top - _WIPE, box.x0 + _FRAME_RULE, box.bottom + _WIPE)
    yield Box(box.x1 - _FRAME_RULE, box.top - _WIPE, box.x1 + _WIPE, box.bottom + _WIPE)
