"""Words printed in a figure: lines of the text layer put together to labels, in reading order.

A label may take several lines, and the numbers along an axis are one. Labels are ordered as a reader goes through them:
the figure is cut where the widest gap runs through it, across or down, and each half again (recursive XY-cut, Nagy and
Seth 1984).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log

from figtune.extraction.records import FigureType
from figtune.pdf.geometry import Box
from figtune.pdf.index_marks import SUBSCRIPT, SUPERSCRIPT, marked_text
from figtune.pdf.page import Drawing, Line
from figtune.pdf.text_cleanup import Dehyphenator

_PRINTED_OVER = 0.2
"""Share of a label that the same words cover; ticks where two axes meet touch at a corner."""
_PRINTED_INTO = 0.5
"""Share of a label that others with its words among them cover."""
_ABOVE_BASELINE, _BELOW_BASELINE = 0.75, 0.2  # em that letters reach
_TOUCHING = 0.06  # em between pieces of a word
_INDEX_SIZE = 0.85  # of the size of what it belongs to
_INDEX_GAP = 0.15  # em
_INDEX_CHARACTERS = 4
_HAS_INDEX = re.compile(r"(?:^|[^\w.])[^\W\d]{1,4}['’]?[)\]]?$|^\d+$|[^\w\s)\]]$")
"""End of a text that may have an index: few letters, or a number alone; not "iter. (1e4)", above which ticks stand."""
_STACKED_GAP = 0.6  # em between lines of a block
_LABEL_GAP = 0.5  # em between lines of a label
_LINE_GAP = 0.35  # em between lines of a sentence
_SAME_SIZE = 0.15
_FEWEST_TICKS = 3
_UNEVEN = 0.25
"""Share by which the steps of an axis may differ."""
_LONGEST_STEP = 7.0  # em: further apart must be numbers of one axis by their values, not of plots side by side
_ACROSS_FIRST = 1.5
"""Factor by which a gap between columns must exceed one between rows to be cut first: rows are set closer."""
_NUMBER = re.compile(r"[−\-–+]?\d+(?:[.,]\d+)*\s?[%kKM×x°]?")
_ITEM = re.compile(r"\d{1,2}[.)]")
_ITEM_GAP = 2.0  # em
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_GLYPH_SIDES = (0.8, 13.0)
"""Sides of a letter in points."""
_FEWEST_GLYPHS = 18
"""Distinct sizes of small filled shapes from which they are letters drawn as outlines; of 160 diagrams and plots those
without outlined words have 15 at most, as markers and arrowheads have few sizes."""
_LEAST_PICTURE = 0.015
"""Share of the figure from which a drawn picture may hold words."""
_PHOTOGRAPH = 0.5


@dataclass(frozen=True, slots=True)
class FigureLabel:
    """Words that belong together, with their place in points."""

    text: str
    box: Box
    size: float
    """Font size in points."""
    horizontal: bool


def line_label(line: Line) -> FigureLabel:
    """Return the label of a line, its box tight to its letters."""
    box = line.box
    if line.horizontal:
        box = Box(
            box.x0, line.baseline - _ABOVE_BASELINE * line.size, box.x1, line.baseline + _BELOW_BASELINE * line.size
        )
    return FigureLabel(text=marked_text(line), box=box, size=line.size, horizontal=line.horizontal)


def ordered_labels(
    figure_type: FigureType, lines: Sequence[Line], dehyphenator: Dehyphenator
) -> tuple[FigureLabel, ...]:
    """Return the labels of a figure in reading order; the lines of a table row by row."""
    if figure_type == "Table":
        return tuple(map(line_label, sorted(lines, key=lambda line: (round(line.baseline), line.box.x0))))
    return put_in_order(map(line_label, lines), dehyphenator)


def put_in_order(pieces: Iterable[FigureLabel], dehyphenator: Dehyphenator) -> tuple[FigureLabel, ...]:
    """Return the labels that pieces make, in reading order."""
    blocks = _blocks(_with_scales(_with_items(_with_indices(_whole_words(_printed_once(pieces))))))
    return tuple(label for block in _cut(blocks) for label in _joined(block.pieces, dehyphenator))


def hides_words(region: Box, pictures: Iterable[tuple[Box, float]], drawings: Iterable[Drawing]) -> bool:
    """Return True if a figure may hold words that are not in the text layer: in drawn pictures, or as outlines.

    Args:
        pictures: boxes of images, each with its likelihood to be a photograph.
    """
    if any(photo < _PHOTOGRAPH and box.overlap(region) >= _LEAST_PICTURE * region.area for box, photo in pictures):
        return True
    least, most = _GLYPH_SIDES
    sizes = {
        (round(drawing.box.width, 1), round(drawing.box.height, 1))
        for drawing in drawings
        if drawing.filled
        and not drawing.rectangle
        and least <= drawing.box.width <= most
        and least <= drawing.box.height <= most
        and region.contains(drawing.box, 2)
    }
    return len(sizes) >= _FEWEST_GLYPHS


def _printed_once(pieces: Iterable[FigureLabel]) -> list[FigureLabel]:
    """Leave out what is printed over itself, in larger type or a little to the side: the label of a stack of boxes."""
    every = list(pieces)
    kept: list[int] = []
    for place in sorted(range(len(every)), key=lambda place: -every[place].size):
        if not any(_is_printed_over(every[place], every[other]) for other in kept):
            kept.append(place)
    return [every[place] for place in sorted(kept)]


def _is_printed_over(piece: FigureLabel, other: FigureLabel) -> bool:
    if not set(piece.text.split()) <= set(other.text.split()):
        return False
    covered = piece.box.overlap(other.box)
    least = _PRINTED_OVER if piece.text == other.text else _PRINTED_INTO
    return covered > 0 and covered >= least * piece.box.area


def _whole_words(pieces: Sequence[FigureLabel]) -> list[FigureLabel]:
    """Join the pieces of a word that the text layer has apart, though nothing stands between them."""
    joined: list[FigureLabel] = []
    for piece in sorted(pieces, key=lambda piece: (round(piece.box.bottom), piece.box.x0)):
        last = joined[-1] if joined else None
        if last is not None and _touches(last, piece):
            box = Box.around([last.box, piece.box])
            joined[-1] = replace(last, text=last.text + piece.text, box=box)
        else:
            joined.append(piece)
    return joined


def _touches(left: FigureLabel, right: FigureLabel) -> bool:
    level = abs(left.box.bottom - right.box.bottom) <= 0.05 * left.size and left.horizontal and right.horizontal
    return level and left.size == right.size and abs(right.box.x0 - left.box.x1) <= _TOUCHING * left.size


def _with_items(pieces: Sequence[FigureLabel]) -> list[FigureLabel]:
    """Join the numbers of a list to their items: `1.` and `Lift the cup`."""
    numbers = [piece for piece in pieces if piece.horizontal and _ITEM.fullmatch(piece.text)]
    rest = [piece for piece in pieces if not (piece.horizontal and _ITEM.fullmatch(piece.text))]
    for number in numbers:
        beside = [
            place
            for place, piece in enumerate(rest)
            if abs(piece.box.bottom - number.box.bottom) <= 0.2 * number.size
            and 0 <= piece.box.x0 - number.box.x1 <= _ITEM_GAP * number.size
        ]
        if len(beside) == 1:
            item = rest[beside[0]]
            box = Box.around([number.box, item.box])
            rest[beside[0]] = replace(item, text=f"{number.text} {item.text}", box=box)
        else:
            rest.append(number)
    return rest


def _with_indices(pieces: list[FigureLabel]) -> list[FigureLabel]:
    """Join small pieces to the letter whose index they are, where the text layer has them apart."""
    rest: list[FigureLabel] = []
    owners = [piece for piece in pieces if piece.horizontal]
    indices: dict[int, list[FigureLabel]] = {}
    for piece in pieces:
        owner = next((other for other in owners if other is not piece and _is_index(piece, other)), None)
        if owner is None:
            rest.append(piece)
        else:
            indices.setdefault(id(owner), []).append(piece)
    return [_with_index(piece, indices.get(id(piece), ())) for piece in rest]


def _is_index(piece: FigureLabel, owner: FigureLabel) -> bool:
    if not piece.horizontal or len(piece.text) > _INDEX_CHARACTERS or piece.size > _INDEX_SIZE * owner.size:
        return False
    if _HAS_INDEX.search(owner.text) is None:
        return False
    near = abs(piece.box.x0 - owner.box.x1) <= _INDEX_GAP * owner.size
    middle = (piece.box.top + piece.box.bottom) / 2
    return near and owner.box.top - owner.size / 2 <= middle <= owner.box.bottom + owner.size / 2


def _with_index(piece: FigureLabel, indices: Sequence[FigureLabel]) -> FigureLabel:
    if not indices:
        return piece
    middle = (piece.box.top + piece.box.bottom) / 2
    marks = [
        (SUBSCRIPT if (index.box.top + index.box.bottom) / 2 > middle else SUPERSCRIPT) + index.text
        for index in indices
    ]
    return replace(piece, text=piece.text + "".join(marks), box=Box.around([piece.box, *(one.box for one in indices)]))


def _with_scales(pieces: list[FigureLabel]) -> list[FigureLabel]:
    """Join the numbers of each axis to one label."""
    numbers = [piece for piece in pieces if piece.horizontal and _NUMBER.fullmatch(piece.text)]
    rest = [piece for piece in pieces if not (piece.horizontal and _NUMBER.fullmatch(piece.text))]
    numbers, rows = _scales(numbers, _baseline, _center, across=True)
    numbers, columns = _scales(numbers, _right, _baseline, across=False)
    rest += (*rows, *columns)
    return rest + numbers


def _baseline(piece: FigureLabel) -> float:
    return piece.box.bottom


def _center(piece: FigureLabel) -> float:
    return (piece.box.x0 + piece.box.x1) / 2


def _right(piece: FigureLabel) -> float:
    return piece.box.x1


def _scales(
    numbers: Sequence[FigureLabel],
    place: Callable[[FigureLabel], float],
    along: Callable[[FigureLabel], float],
    *,
    across: bool,
) -> tuple[list[FigureLabel], list[FigureLabel]]:
    """Return the numbers that stand alone, and the axes of those in one line; across the page at even, short steps."""
    alone: list[FigureLabel] = []
    scales: list[FigureLabel] = []
    lines: list[list[FigureLabel]] = []
    for piece in sorted(numbers, key=place):
        if lines and place(piece) - place(lines[-1][0]) <= 0.2 * piece.size:
            lines[-1].append(piece)
        else:
            lines.append([piece])
    for line in lines:
        for run in _runs(sorted(line, key=along), along, even=across):
            if len(run) < _FEWEST_TICKS:
                alone += run
            else:
                box = Box.around(piece.box for piece in run)
                scales.append(replace(run[0], text=" ".join(piece.text for piece in run), box=box))
    return alone, scales


def _runs(
    pieces: Sequence[FigureLabel], along: Callable[[FigureLabel], float], *, even: bool
) -> list[list[FigureLabel]]:
    """Part a line of numbers where they no longer rise or fall, and where a step is long or unlike the one before."""
    runs: list[list[FigureLabel]] = [[piece] for piece in pieces[:1]]
    for before, piece in pairwise(pieces):
        step = along(piece) - along(before)
        run = runs[-1]
        usual = along(run[-1]) - along(run[-2]) if len(run) > 1 else step
        near = step <= _LONGEST_STEP * piece.size or _is_regular([*run[-2:], piece])
        is_even = abs(step - usual) <= _UNEVEN * usual and near
        if not _goes_on(run, piece) or (even and not is_even):
            runs.append([])
        runs[-1].append(piece)
    return runs


def _is_regular(pieces: Sequence[FigureLabel]) -> bool:
    """Return True if numbers grow by one difference or one factor, as those of an axis do."""
    values = [_value(piece) for piece in pieces]
    if len(values) < 3 or min(values) < 0:
        return len(values) < 3
    low, middle, high = values
    if abs((high - middle) - (middle - low)) <= 0.05 * abs(middle - low):
        return True
    return min(values) > 0 and abs(log(high / middle) - log(middle / low)) <= 0.15 * abs(log(middle / low))


def _goes_on(run: Sequence[FigureLabel], piece: FigureLabel) -> bool:
    before, value = _value(run[-1]), _value(piece)
    if len(run) < 2:
        return before != value
    return (value > before) == (before > _value(run[-2])) and before != value


def _value(piece: FigureLabel) -> float:
    plain = re.sub(r"[^\d.\-]", "", re.sub("[−–]", "-", piece.text))
    try:
        return float(plain)
    except ValueError:
        return 0.0


@dataclass(frozen=True, slots=True)
class _Block:
    """Pieces that stand right below each other, or slanted side by side."""

    pieces: tuple[FigureLabel, ...]
    box: Box


def _blocks(pieces: Iterable[FigureLabel]) -> list[_Block]:
    blocks: list[_Block] = []
    for piece in sorted(pieces, key=lambda piece: (piece.box.top, piece.box.x0)):
        place = next((number for number, block in enumerate(blocks) if _continues(block.pieces[-1], piece)), None)
        if place is None:
            blocks.append(_Block((piece,), piece.box))
        else:
            block = blocks[place]
            blocks[place] = _Block((*block.pieces, piece), Box.around([block.box, piece.box]))
    return [_in_line(block) for block in blocks]


def _continues(last: FigureLabel, piece: FigureLabel) -> bool:
    if last.horizontal != piece.horizontal or abs(last.size - piece.size) > _SAME_SIZE * last.size:
        return False
    if not piece.horizontal:  # slanted names along an axis begin or end at one height
        return (
            abs(last.box.top - piece.box.top) <= 0.3 * piece.size and abs(last.box.x1 - piece.box.x1) <= 6 * piece.size
        )
    if _NUMBER.match(last.text) or _NUMBER.match(piece.text):
        return False
    shared = min(last.box.x1, piece.box.x1) - max(last.box.x0, piece.box.x0)
    narrow = min(last.box.width, piece.box.width)
    return -0.3 * last.size <= piece.box.top - last.box.bottom <= _STACKED_GAP * last.size and shared >= 0.5 * narrow


def _in_line(block: _Block) -> _Block:
    """Order slanted names along an axis by where they end."""
    if block.pieces[0].horizontal:
        return block
    return replace(block, pieces=tuple(sorted(block.pieces, key=lambda piece: piece.box.x1)))


def _cut(blocks: Sequence[_Block]) -> list[_Block]:
    """Order blocks by cutting them apart at the widest gap."""
    if len(blocks) < 2:
        return list(blocks)
    rows = _widest_gap([(block.box.top, block.box.bottom) for block in blocks])
    columns = _widest_gap([(block.box.x0, block.box.x1) for block in blocks])
    if max(rows[0], columns[0]) <= 0:
        return sorted(blocks, key=lambda block: (block.box.top, block.box.x0))
    if _ACROSS_FIRST * rows[0] >= columns[0]:
        first = [block for block in blocks if block.box.bottom <= rows[1]]
    else:
        first = [block for block in blocks if block.box.x1 <= columns[1]]
    return _cut(first) + _cut([block for block in blocks if block not in first])


def _widest_gap(extents: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the width of the widest gap, 0 where there is none, and where it begins."""
    ordered = sorted(extents)
    widest, place, end = 0.0, 0.0, ordered[0][1]
    for start, stop in ordered[1:]:
        if start - end > widest:
            widest, place = start - end, end
        end = max(end, stop)
    return widest, place


def _joined(pieces: Sequence[FigureLabel], dehyphenator: Dehyphenator) -> list[FigureLabel]:
    """Join the lines of each label of a block."""
    labels: list[FigureLabel] = []
    before: FigureLabel | None = None
    for piece in pieces:
        if before is not None and _is_one_label(before, piece):
            text = dehyphenator.join([labels[-1].text, piece.text])
            labels[-1] = replace(labels[-1], text=text, box=Box.around([labels[-1].box, piece.box]))
        else:
            labels.append(piece)
        before = piece
    return labels


def _is_one_label(above: FigureLabel, below: FigureLabel) -> bool:
    """Return True if two lines are one label: centred lines of unlike width, or a sentence that goes on.

    Lines of a legend begin at one place, each with a capital.
    """
    if not above.horizontal or below.box.top - above.box.bottom > _LABEL_GAP * above.size:
        return False
    if not (_LETTERS.search(above.text) and _LETTERS.search(below.text)):
        return False
    flush = abs(above.box.x0 - below.box.x0) <= 0.2 * above.size
    # Entries of a legend in lower case are single words, or stand further apart.
    goes_on = (
        below.text[0].islower() and " " in above.text and below.box.top - above.box.bottom <= _LINE_GAP * above.size
    )
    if above.text.endswith(("-", ",")) or (flush and goes_on):
        return True
    centred = abs(_center(above) - _center(below)) <= 0.15 * above.size + 0.02 * max(above.box.width, below.box.width)
    return centred and not flush
