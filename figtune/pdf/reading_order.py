"""Order in which a reader goes through the labels of a figure.

The figure is cut where the widest gap runs through it, across or down, and each half again (recursive XY-cut, Nagy and
Seth 1984). The labels of a plot go around its axes: what stands above it, the name and numbers of the vertical axis,
what stands inside, the numbers and name of the horizontal axis. The order is the only one if cuts that prefer rows and
cuts that prefer columns find it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

from figtune.pdf.geometry import Box

NUMBER = re.compile(r"[−\-–+]?(?:\d+(?:[.,]\d+)*|\.\d+)(?:\^[−\-–]?\d+|e[−\-–+]?\d+)?\s?[%kKM×x°]?")
"""A number as it stands along an axis."""
SCALE = re.compile(rf"{NUMBER.pattern}(?: {NUMBER.pattern}){{2,}}")
"""Numbers of an axis, as one label."""
_ACROSS_FIRST = 1.5
"""Factor by which a gap between columns must exceed one between rows to be cut first: rows are set closer."""
_PREFERENCES = (0.3, _ACROSS_FIRST, 6.0)
"""The same for cuts that prefer columns, as the order is cut, and that prefer rows. Columns of a legend stand 5 times
as far apart as its rows, so that nobody can be sure which come first; two stacks of boxes stand 12 times as far."""
_TO_AXIS = 2.0  # em from the end of the vertical axis to the numbers of the horizontal one
_FIRST_TICK = 0.3  # of its length: the numbers of an axis may begin so far from the corner
_TO_NAME = 1.5  # em from the numbers of an axis, or the top of a plot, to what names it
_TO_SIDE = 3.0  # em from the numbers of the vertical axis to its name
_SLACK = 0.5  # em
_LEAP = 30.0  # from one step of an axis to the next; of a logarithmic one it is 10
_OFF_CENTRE = 0.15  # of a plot's width, by which a title may stand beside its middle


@dataclass(frozen=True, slots=True)
class _Group:
    """Labels that are read one after the other."""

    places: tuple[int, ...]
    box: Box


@dataclass(frozen=True, slots=True)
class _Axes:
    """Axes of a plot: the numbers of the vertical one, and the numbers or names along the horizontal one."""

    vertical: int
    horizontal: tuple[int, ...]
    frame: Box
    """Box between them."""
    bottom: float
    """Lower edge of the horizontal one."""
    steps: tuple[float, float]
    """Points from one number to the next, across and up: so far the plot may reach beyond the last."""
    size: float
    """Height of its numbers in points."""


def reading_order(texts: Sequence[str], boxes: Sequence[Box]) -> list[int]:
    """Return the positions of labels in reading order.

    Args:
        texts: of the labels; empty for one of several lines, which are read together.
    """
    return _order(texts, boxes, _ACROSS_FIRST)


def is_only_order(texts: Sequence[str], boxes: Sequence[Box]) -> bool:
    """Return True if labels stand in the one order that a reader finds, rows first or columns first.

    Numbers of an axis without a partner, as where plots share one, belong to no plot that could be read as a whole.
    """
    on_axes = {place for each in _axes(texts, boxes) for place in (each.vertical, *each.horizontal)}
    if any(SCALE.fullmatch(text) and place not in on_axes for place, text in enumerate(texts)):
        return False
    return all(_order(texts, boxes, preference) == list(range(len(boxes))) for preference in _PREFERENCES)


def value_of(number: str) -> float:
    """Return the value of a number as it is printed; 0 for what is none."""
    base, _, power = re.sub(r"[^\d.\-^e+]", "", re.sub("[−–]", "-", number)).partition("^")
    try:
        return float(float(base) ** float(power or 1))
    except (ValueError, OverflowError, ZeroDivisionError):
        return 0.0


def is_axis_torn(texts: Sequence[str], boxes: Sequence[Box]) -> bool:
    """Return True if numbers of an axis have lost something.

    They fall and rise again where the minus signs of one half are drawn as lines, and leap where two stand so close
    that the text layer has them as one.
    """
    scales = [(box, _numbers(text)) for text, box in zip(texts, boxes, strict=True) if SCALE.fullmatch(text)]
    if any(_leaps(numbers) for _, numbers in scales):
        return True
    return any(
        (first[1] > first[0]) != (second[1] > second[0]) and _go_on(one, len(first), other, len(second))
        for (one, first), (other, second) in permutations(scales, 2)
    )


def _leaps(numbers: Sequence[float]) -> bool:
    steps = [abs(after - before) for before, after in pairwise(numbers)]
    return any(max(pair) > _LEAP * min(pair) for pair in pairwise(steps))


def _numbers(text: str) -> list[float]:
    return [value_of(found[0]) for found in NUMBER.finditer(text)]


def _go_on(one: Box, count: int, other: Box, other_count: int) -> bool:
    """Return True if the numbers of one axis stand in line with those of another, no further than a step or two."""
    if _share_rows(one, other) and one.width > one.height and other.width > other.height:
        return 0 <= other.x0 - one.x1 <= 2 * min(one.width / (count - 1), other.width / (other_count - 1))
    shared = min(one.x1, other.x1) - max(one.x0, other.x0)
    upright = one.height > one.width and other.height > other.width and shared > 0.5 * min(one.width, other.width)
    return upright and 0 <= other.top - one.bottom <= 2 * min(
        one.height / (count - 1), other.height / (other_count - 1)
    )


def _order(texts: Sequence[str], boxes: Sequence[Box], preference: float) -> list[int]:
    groups = _plots(texts, boxes, preference)
    taken = {place for group in groups for place in group.places}
    groups += [_Group((place,), box) for place, box in enumerate(boxes) if place not in taken]
    return [place for group in _cut(groups, preference) for place in group.places]


def _cut(groups: Sequence[_Group], preference: float) -> list[_Group]:
    """Order groups by cutting them apart at the widest gap."""
    if len(groups) < 2:
        return list(groups)
    rows = _widest_gap([(group.box.top, group.box.bottom) for group in groups])
    columns = _widest_gap([(group.box.x0, group.box.x1) for group in groups])
    if max(rows[0], columns[0]) <= 0:
        if preference < _ACROSS_FIRST:
            return sorted(groups, key=lambda group: (group.box.x0, group.box.top))
        return sorted(groups, key=lambda group: (group.box.top, group.box.x0))
    if preference * rows[0] >= columns[0]:
        first = [group for group in groups if group.box.bottom <= rows[1]]
    else:
        first = [group for group in groups if group.box.x1 <= columns[1]]
    return _cut(first, preference) + _cut([group for group in groups if group not in first], preference)


def _widest_gap(extents: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the width of the widest gap, 0 where there is none, and where it begins."""
    ordered = sorted(extents)
    widest, place, end = 0.0, 0.0, ordered[0][1]
    for start, stop in ordered[1:]:
        if start - end > widest:
            widest, place = start - end, end
        end = max(end, stop)
    return widest, place


def _plots(texts: Sequence[str], boxes: Sequence[Box], preference: float) -> list[_Group]:
    """Return a group for each plot: its axes, and the labels that stand in or around no other plot."""
    axes = list(_axes(texts, boxes))
    on_axes = {place for each in axes for place in (each.vertical, *each.horizontal)}
    sides: dict[int, dict[str, list[int]]] = {number: {} for number in range(len(axes))}
    for place in range(len(boxes)):
        around = [(number, side) for number, each in enumerate(axes) if (side := _side(place, each, texts, boxes))]
        if place not in on_axes and len(around) == 1:
            number, side = around[0]
            sides[number].setdefault(side, []).append(place)
    groups = []
    for number, each in enumerate(axes):
        parts = {
            side: [
                place
                for group in _cut([_Group((place,), boxes[place]) for place in places], preference)
                for place in group.places
            ]
            for side, places in sides[number].items()
        }
        places = (
            *parts.get("above", ()),
            *parts.get("beside", ()),
            each.vertical,
            *parts.get("inside", ()),
            *each.horizontal,
            *parts.get("below", ()),
        )
        groups.append(_Group(places, Box.around(boxes[place] for place in places)))
    return groups


def _axes(texts: Sequence[str], boxes: Sequence[Box]) -> Iterable[_Axes]:
    """Yield the pairs of axes whose corner is plain."""
    scales = [place for place, text in enumerate(texts) if SCALE.fullmatch(text)]
    upright = [place for place in scales if boxes[place].height > boxes[place].width]
    across = [place for place in scales if place not in upright]
    for place in upright:
        box = boxes[place]
        right = min(
            (boxes[other].x0 for other in upright if boxes[other].x0 > box.x1 and _share_rows(boxes[other], box)),
            default=float("inf"),
        )
        row = [other for other in across if _begins_at_corner(boxes[other], box) and boxes[other].x0 < right]
        if len(row) != 1:
            row = [] if row else _names_below(texts, boxes, box, right)
        if row:
            along = Box.around(boxes[other] for other in row)
            count = len(row) if len(row) > 1 else len(texts[row[0]].split())
            steps = (min(along.width / (count - 1), right - along.x1), box.height / (len(texts[place].split()) - 1))
            frame = Box(box.x1, box.top, along.x1, along.top)
            yield _Axes(place, tuple(row), frame, along.bottom, steps, along.height)


def _share_rows(one: Box, other: Box) -> bool:
    return min(one.bottom, other.bottom) - max(one.top, other.top) > 0.5 * min(one.height, other.height)


def _begins_at_corner(across: Box, upright: Box) -> bool:
    size = across.height
    level = -size <= across.top - upright.bottom <= max(_TO_AXIS * size, _FIRST_TICK * upright.height)
    return level and -size <= across.x0 - upright.x1 <= max(_TO_AXIS * size, _FIRST_TICK * across.width)


def _names_below(texts: Sequence[str], boxes: Sequence[Box], upright: Box, right: float) -> list[int]:
    """Return the names of bars or groups in one row under a plot, from left to right."""
    row = [
        place
        for place, box in enumerate(boxes)
        if -_SLACK * box.height <= box.top - upright.bottom <= _TO_AXIS * box.height
        and upright.x1 - box.height <= box.x0
        and box.x1 < right
        and not NUMBER.fullmatch(texts[place])
    ]
    first = min((boxes[place].top for place in row), default=0.0)
    level = [place for place in row if boxes[place].top - first <= _SLACK * boxes[place].height / 2]
    return sorted(level, key=lambda place: boxes[place].x0) if len(level) > 1 else []


def _side(place: int, axes: _Axes, texts: Sequence[str], boxes: Sequence[Box]) -> str:
    """Return the side of a plot that a label stands at; empty where it is none of the plot's."""
    box, frame, size, vertical = boxes[place], axes.frame, axes.size, boxes[axes.vertical]
    x, y = (box.x0 + box.x1) / 2, (box.top + box.bottom) / 2
    upright = texts[place] != "" and box.height > box.width
    if upright and 0 <= vertical.x0 - box.x1 + _SLACK * size <= _TO_SIDE * size:
        return "beside" if frame.top - size <= y <= axes.bottom else ""
    if not frame.x0 - _SLACK * size <= x <= frame.x1 + axes.steps[0] or (upright and x > frame.x1):
        return ""
    if -_SLACK * size <= box.top - axes.bottom <= _TO_NAME * size:
        return "below"
    if not frame.top - max(axes.steps[1], _TO_NAME * size) <= box.bottom <= frame.bottom + _SLACK * size:
        return ""
    alone = not any(
        _share_rows(box, other) for number, other in enumerate(boxes) if number != place and _is_over(other, frame)
    )
    off = x - (frame.x0 + frame.x1) / 2
    middle = -_OFF_CENTRE * frame.width <= off <= _OFF_CENTRE * frame.width + axes.steps[0] / 2
    return "above" if box.bottom <= frame.top + _SLACK * size and alone and middle else "inside"


def _is_over(box: Box, frame: Box) -> bool:
    return frame.x0 <= (box.x0 + box.x1) / 2 <= frame.x1
