"""Truth: what was placed on the pages of a sample paper, for tests of extraction.

Boxes are (x0, top, x1, bottom) in points, origin at the page's top-left, rounded to 0.01; pages count from 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from making.artwork import Artwork
from making.canvas import Cell
from making.manuscript import Float, Manuscript, plain
from making.page_layout import PlacedFloat, PlacedText
from making.typesetting import OUTER_RULE

CITATION = {
    "Figure": re.compile(r"\bFig(?:ure|s|ures)?\.?\s+((?:\d+(?:\([a-z]\))?(?:,\s+|\s+and\s+|–)?)+)"),
    "Table": re.compile(r"\bTab(?:le|s|les)?\.?\s+((?:\d+(?:,\s+|\s+and\s+|–)?)+)"),
}


@dataclass(frozen=True)
class TruthParagraph:
    """A body paragraph, whole, and the page it starts on."""

    page: int
    text: str


@dataclass(frozen=True)
class TruthSection:
    """A heading with its number and the paragraphs under it."""

    heading: str
    page: int
    paragraphs: tuple[TruthParagraph, ...]


@dataclass(frozen=True)
class TruthMention:
    """A paragraph that cites the figure."""

    page: int
    section: str
    text: str


@dataclass(frozen=True)
class TruthPanel:
    """A sub-figure and its ink, letter included."""

    label: str
    box: Cell


@dataclass(frozen=True)
class TruthFigure:
    """A figure or table; the region is tight to ink and leaves the caption out."""

    figure_type: str
    name: str
    page: int
    kind: str
    caption: str
    caption_box: Cell
    region_box: Cell
    panels: tuple[TruthPanel, ...]
    mentions: tuple[TruthMention, ...]


@dataclass(frozen=True)
class Truth:
    """Everything that a perfect reader would find in the PDF."""

    schema: int
    file: str
    pages: int
    title: str
    authors: tuple[str, ...]
    abstract: str
    sections: tuple[TruthSection, ...]
    figures: tuple[TruthFigure, ...]
    references: tuple[str, ...]

    def as_json(self) -> str:
        """Indented, one final newline."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def paragraph_source(section: int, paragraph: int) -> str:
    """The name under which the layout knows a body paragraph."""
    return f"section {section} paragraph {paragraph}"


def heading_source(section: int) -> str:
    """The name under which the layout knows a section's heading."""
    return f"section {section} heading"


def tell_truth(
    file: str, manuscript: Manuscript, texts: Sequence[PlacedText], floats: Sequence[PlacedFloat], pages: int
) -> Truth:
    """Return the truth of the pages that `texts` and `floats` make."""
    starts = {text.source: text.page for text in reversed(texts)}
    sections = tuple(
        TruthSection(
            section.heading,
            starts[heading_source(i)],
            tuple(
                TruthParagraph(starts[paragraph_source(i, j)], plain(text)) for j, text in enumerate(section.paragraphs)
            ),
        )
        for i, section in enumerate(manuscript.sections)
    )
    return Truth(
        schema=1,
        file=file,
        pages=pages,
        title=manuscript.title,
        authors=manuscript.authors,
        abstract=plain(manuscript.abstract),
        sections=sections,
        figures=tuple(_figure(manuscript, placed, sections) for placed in floats),
        references=tuple(f"[{number}] {plain(text)}" for number, text in enumerate(manuscript.references, start=1)),
    )


def _figure(manuscript: Manuscript, placed: PlacedFloat, sections: Sequence[TruthSection]) -> TruthFigure:
    item = placed.block.item
    return TruthFigure(
        figure_type=item.figure_type,
        name=item.name,
        page=item.page,
        kind=item.kind,
        caption=plain(manuscript.labelled_caption(item)),
        caption_box=_caption_box(placed),
        region_box=_region_box(placed),
        panels=_panels(placed),
        mentions=tuple(
            TruthMention(paragraph.page, section.heading, paragraph.text)
            for section in sections
            for paragraph in section.paragraphs
            if _cites(paragraph.text, item)
        ),
    )


def _region_box(placed: PlacedFloat) -> Cell:
    """The region; a table's with the outer halves of its first and last rule."""
    x0, top, x1, bottom = placed.region
    beyond = 0 if isinstance(placed.block.body, Artwork) else OUTER_RULE / 2
    return _rounded((x0, top - beyond, x1, bottom + beyond))


def _caption_box(placed: PlacedFloat) -> Cell:
    """The caption's frame, narrowed to a single centred line where it is one."""
    x0, top, x1, bottom = placed.caption_frame
    widths = placed.block.caption.getActualLineWidths0()
    if len(widths) == 1:
        side = (x1 - x0 - widths[0]) / 2
        x0, x1 = x0 + side, x1 - side
    return _rounded((x0, top, x1, bottom))


def _panels(placed: PlacedFloat) -> tuple[TruthPanel, ...]:
    body = placed.block.body
    if not isinstance(body, Artwork):
        return ()
    right, down = placed.region[0] - body.ink[0], placed.region[1] - body.ink[1]
    return tuple(
        TruthPanel(label, _rounded((x0 + right, top + down, x1 + right, bottom + down)))
        for label, (x0, top, x1, bottom) in body.panels
    )


def _cites(text: str, item: Float) -> bool:
    """Return True if `text` cites the figure by its number, alone or in a list or range."""
    return any(item.name in _numbers(match[1]) for match in CITATION[item.figure_type].finditer(text))


def _numbers(listed: str) -> set[str]:
    """`3, 4 and 6–8` -> {3, 4, 6, 7, 8}"""
    numbers: set[str] = set()
    for first, last in re.findall(r"(\d+)(?:\([a-z]\))?(?:–(\d+))?", listed):
        numbers |= {str(number) for number in range(int(first), int(last or first) + 1)}
    return numbers


def _rounded(cell: Cell) -> Cell:
    x0, top, x1, bottom = (round(edge, 2) for edge in cell)
    return x0, top, x1, bottom
