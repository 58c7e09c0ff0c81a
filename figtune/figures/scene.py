"""One page set out for matching: its captions, the walls between which regions lie, and the ink left to explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from figtune.figures.captions import Caption
from figtune.figures.ink import DPI, Ink
from figtune.figures.roles import Role, is_rule, page_roles
from figtune.figures.style import PaperStyle
from figtune.papers.box import Box
from figtune.papers.document import Document
from figtune.papers.page import Line, PageGraphics, PageText

_WIPE = 1.0  # points by which ink may stick out of its line's box
_FRAME_MARGIN = 12.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A page ready for matching."""

    text: PageText
    style: PaperStyle
    graphics: PageGraphics
    roles: tuple[Role, ...]
    captions: tuple[Caption, ...]
    walls: tuple[Box, ...]
    """Body text, headings, front matter, algorithms, captions: no region crosses them."""
    loose: tuple[int, ...]
    """Lines that may belong to a figure or table."""
    ink: Ink
    """All that is not explained by walls and page furniture."""
    wording: Ink
    """The part of it that is text or thin rules."""

    @property
    def lines(self) -> Sequence[Line]:
        """All lines of the page."""
        return self.text.lines


def set_scene(document: Document, text: PageText, captions: Sequence[Caption], style: PaperStyle) -> Scene:
    """The scene of the page that `text` was read from; renders the page once."""
    graphics = document.graphics(text.index)
    roles = page_roles(text, style, graphics)
    captioned = {number for caption in captions for number in caption.lines}
    explained = [number for number, role in enumerate(roles) if role is not Role.OTHER or number in captioned]
    loose = tuple(number for number in range(len(roles)) if number not in set(explained) and text.lines[number].text)
    page = document.grey(text.index, DPI)
    frame = Box(0.0, style.top - _FRAME_MARGIN, text.width, style.bottom + _FRAME_MARGIN)
    wiped = [text.lines[number].box.expanded(_WIPE) for number in explained]
    ink = Ink(page, frame, wiped)
    wording = Ink(page, frame, wiped)
    wording.keep(
        [text.lines[number].box.expanded(_WIPE) for number in loose]
        + [drawing.box.expanded(_WIPE) for drawing in graphics.drawings if is_rule(drawing)]
    )
    walls = [text.lines[number].box for number in explained if roles[number] is not Role.FURNITURE]
    return Scene(text, style, graphics, tuple(roles), tuple(captions), tuple(walls), loose, ink, wording)
