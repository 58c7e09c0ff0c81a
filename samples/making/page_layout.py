"""Page layout: floats to their places, then the text into what the floats leave of the columns.

Points, origin at the page's top-left. Measures are those of the CVPR author kit: US letter, two columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reportlab.platypus import Paragraph, Table

from making.artwork import Artwork
from making.canvas import COLUMN_WIDTH, TEXT_WIDTH, Cell
from making.manuscript import Float

PAGE_SIZE = (612.0, 792.0)
TEXT_LEFT, TEXT_TOP, TEXT_BOTTOM = 58.5, 72.0, 711.0
COLUMN_LEFTS = (TEXT_LEFT, TEXT_LEFT + TEXT_WIDTH - COLUMN_WIDTH)
CAPTION_GAP = 7.0
FLOAT_GAP = 15.0


@dataclass(frozen=True)
class FloatBlock:
    """A figure or table and its caption, measured but not yet placed."""

    item: Float
    body: Artwork | Table
    body_size: tuple[float, float]
    caption: Paragraph
    caption_above: bool

    @property
    def width(self) -> float:
        """Width of the column or columns that it stands in."""
        return TEXT_WIDTH if self.item.span == "both" else COLUMN_WIDTH

    @property
    def caption_height(self) -> float:
        """In points, at that width."""
        height: float = self.caption.wrap(self.width, 1000)[1]
        return height

    @property
    def height(self) -> float:
        """Body, gap and caption."""
        return self.body_size[1] + CAPTION_GAP + self.caption_height


@dataclass(frozen=True)
class PlacedFloat:
    """A float on its page; both boxes exact."""

    block: FloatBlock
    region: Cell
    caption_frame: Cell


@dataclass(frozen=True)
class TextItem:
    """A paragraph, heading or reference waiting for its place."""

    paragraph: Paragraph
    gap: float
    """Space above it, where it does not start a column."""
    stretch: float
    """By how many points more that space may grow so that the column ends flush."""
    keeps_next: bool
    source: str
    """A name for what it is, so that the truth can say on which page it starts."""


@dataclass(frozen=True)
class PlacedText:
    """A paragraph, or a part of one, at its place."""

    paragraph: Paragraph
    page: int
    x: float
    top: float
    height: float
    stretch: float
    source: str


@dataclass(frozen=True)
class Column:
    """Part of a column that the floats leave."""

    page: int
    x: float
    top: float
    bottom: float


def place_floats(
    blocks: Sequence[FloatBlock], page_count: int, title_bottom: float, footnote_top: float
) -> tuple[list[PlacedFloat], list[Column]]:
    """Every float at its page, slot and span in the order given, and the columns that remain."""
    tops = {page: [TEXT_TOP if page > 1 else title_bottom] * 2 for page in range(1, page_count + 1)}
    bottoms = {page: [TEXT_BOTTOM, TEXT_BOTTOM] for page in range(1, page_count + 1)}
    bottoms[1][0] = footnote_top
    placed = [_place_float(block, tops[block.item.page], bottoms[block.item.page]) for block in blocks]
    columns = [
        Column(page, COLUMN_LEFTS[side], tops[page][side], bottoms[page][side])
        for page in range(1, page_count + 1)
        for side in (0, 1)
    ]
    return placed, columns


def _place_float(block: FloatBlock, tops: list[float], bottoms: list[float]) -> PlacedFloat:
    """`block` at the edge of its column or columns; moves that edge in `tops` or `bottoms`."""
    sides = {"left": (0,), "right": (1,), "both": (0, 1)}[block.item.span]
    if block.item.slot == "top":
        top = max(tops[side] for side in sides)
        for side in sides:
            tops[side] = top + block.height + FLOAT_GAP
    else:
        top = min(bottoms[side] for side in sides) - block.height
        for side in sides:
            bottoms[side] = top - FLOAT_GAP
    left = COLUMN_LEFTS[sides[0]]
    width, height = block.body_size
    body_top = top + block.caption_height + CAPTION_GAP if block.caption_above else top
    caption_top = top if block.caption_above else top + height + CAPTION_GAP
    body_left = left + (block.width - width) / 2
    return PlacedFloat(
        block,
        (body_left, body_top, body_left + width, body_top + height),
        (left, caption_top, left + block.width, caption_top + block.caption_height),
    )


def flow(items: Sequence[TextItem], columns: Sequence[Column]) -> list[PlacedText]:
    """`items` through `columns`: flush to the last but one page, balanced on the last.

    Raises:
        ValueError: the columns are too small, or nothing is left for the last page.
    """
    last_page = columns[-1].page
    waiting = list(items)
    placed: list[PlacedText] = []
    for column in columns:
        if column.page < last_page:
            texts, end = _fill_column(waiting, column)
            placed += _stretched(texts, column.bottom - end)
    if not waiting:
        raise ValueError(f"nothing is left for page {last_page}")
    return placed + _balanced(waiting, [column for column in columns if column.page == last_page])


def _balanced(items: Sequence[TextItem], columns: Sequence[Column]) -> list[PlacedText]:
    """`items` in `columns` that end as high as they can, to within a point."""
    best = _filled(items, columns)
    if best is None:
        raise ValueError("the text does not fit")
    low, high = 0.0, TEXT_BOTTOM - TEXT_TOP
    while high - low > 1:
        cut = (low + high) / 2
        attempt = _filled(items, [replace(column, bottom=column.bottom - cut) for column in columns])
        low, high = (low, cut) if attempt is None else (cut, high)
        best = attempt or best
    return best


def _filled(items: Sequence[TextItem], columns: Sequence[Column]) -> list[PlacedText] | None:
    """`items` one under the other in `columns`; None if they do not fit."""
    waiting = list(items)
    placed = [text for column in columns for text in _fill_column(waiting, column)[0]]
    return None if waiting else placed


def _fill_column(waiting: list[TextItem], column: Column) -> tuple[list[PlacedText], float]:
    """The first of `waiting` placed in `column` and removed; and where the last of them ends."""
    texts: list[PlacedText] = []
    y = column.top
    while waiting:
        item = waiting[0]
        top = y + (item.gap if texts else 0)
        room = column.bottom - top
        height = item.paragraph.wrap(COLUMN_WIDTH, room)[1]
        needed = height + (_head_height(waiting[1]) if item.keeps_next else 0)
        parts = [item.paragraph] if needed <= room else []
        if not parts and not item.keeps_next and room > 0:
            parts = [part for part in item.paragraph.split(COLUMN_WIDTH, room) if isinstance(part, Paragraph)]
        if not parts:
            break
        height = parts[0].wrap(COLUMN_WIDTH, room)[1]
        texts.append(
            PlacedText(parts[0], column.page, column.x, top, height, item.stretch if texts else 0, item.source)
        )
        y = top + height
        waiting[:1] = [replace(item, paragraph=part) for part in parts[1:]]
        if len(parts) > 1:
            break
    return texts, y


def _head_height(item: TextItem) -> float:
    """Gap and two lines: what must fit under a heading."""
    return item.gap + 2 * float(item.paragraph.style.leading)


def _stretched(texts: list[PlacedText], spare: float) -> list[PlacedText]:
    """`texts` moved apart so that the column ends flush, each gap as far as it may."""
    total = sum(text.stretch for text in texts)
    share = min(1.0, spare / total) if total else 0.0
    moved, shift = [], 0.0
    for text in texts:
        shift += text.stretch * share
        moved.append(replace(text, top=text.top + shift))
    return moved
