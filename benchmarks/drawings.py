"""Drawn charts and diagrams with exact facts: line plots, bar charts, scatter plots, heat maps, block diagrams, panels.

Each drawing is decided by its number alone. Its caption states what nothing but looking tells: which colour is highest,
which box follows which. Drawings of one layout have captions of one wording, so that a caption of another one of
them is a hard negative. Answers to short questions are drawn first, with equal odds, and the picture is made to fit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot
from typing import Literal

from PIL import Image

from benchmarks.canvas import COLOURS, WORDS, Canvas, Colour, Mark, Point, draw_axes

DrawnKind = Literal["lines", "bars", "scatter", "heat", "blocks", "panels"]
DRAWINGS_VERSION = 1
"""Bumped by hand when a number gives another drawing."""
SHAPES = ("circle", "square", "triangle", "cross")
LETTERS = ("(a)", "(b)", "(c)", "(d)")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A short question and its answer."""

    slug: str
    """Kind of question."""
    request: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Facts of a picture."""

    number: int
    kind: DrawnKind
    layout: str
    """Kind, number of parts and arrangement: drawings of one layout differ in facts, words, colours and sizes."""
    parts: int
    """Lines, bars, clouds of points, columns, boxes or panels."""
    words: tuple[str, ...]
    """All that is printed, in reading order, label by label."""
    marks: tuple[Mark, ...]
    """Words, shapes and arrowheads with their places."""
    caption: str
    questions: tuple[Question, ...]


def draw(number: int) -> tuple[Drawing, Image.Image]:
    """Return the facts and the picture of a number."""
    numbers = random.Random(f"drawing {number}")
    kind: DrawnKind = numbers.choice(tuple(_KINDS))
    canvas = Canvas(numbers)
    facts = _KINDS[kind](canvas)
    words = canvas.words_in_order()
    drawing = Drawing(
        number=number,
        kind=kind,
        layout=f"{kind}-{facts.parts}-{facts.arrangement}",
        parts=facts.parts,
        words=words,
        marks=tuple(canvas.marks),
        caption=facts.caption,
        questions=_questions(numbers, kind, facts, words),
    )
    return drawing, canvas.picture()


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """Facts of one picture."""

    parts: int
    part_name: str
    """Plural noun."""
    arrangement: str
    caption: str
    own: tuple[Question, ...]
    """Questions that only this kind has."""


def _levels(numbers: random.Random, count: int) -> list[float]:
    """Return numbers from .1 to .95 in random order, no two within .15."""
    places = [0.1 + 0.85 * place / (count - 1) + numbers.uniform(-0.05, 0.05) for place in range(count)]
    return numbers.sample([min(0.95, max(0.1, place)) for place in places], count)


def _colours(canvas: Canvas, count: int) -> list[str]:
    return canvas.numbers.sample(list(COLOURS), count)


def _lines(canvas: Canvas) -> _Facts:
    numbers, axes = canvas.numbers, draw_axes(canvas)
    count = numbers.choice((2, 3, 4))
    names, ends = _colours(canvas, count), _levels(numbers, count)
    rises = [numbers.random() < 0.5 for _ in names]
    for name, end, rising in zip(names, ends, rises, strict=True):
        change = numbers.uniform(0.45, 0.6) * (1 if rising else -1)
        bend, steps = numbers.uniform(0.5, 2.0), numbers.choice((4, 6, 10))
        heights = [end - change * (1 - step / steps) ** bend + numbers.uniform(-0.03, 0.03) for step in range(steps)]
        # From -.5 to 1.55 all lines fit in, wherever they start.
        points = [axes.at(step / steps, (height + 0.55) / 2.15) for step, height in enumerate([*heights, end])]
        canvas.line(points, canvas.shade(name), numbers.uniform(1.8, 3.0))
    highest, lowest = names[ends.index(max(ends))], names[ends.index(min(ends))]
    told = numbers.randrange(count)
    trend = "rises" if rises[told] else "falls"
    return _Facts(
        parts=count,
        part_name="lines",
        arrangement=axes.style,
        caption=f"A line plot of {axes.y_word} over {axes.x_word}: {highest} ends highest, {lowest} ends lowest, and "
        f"{names[told]} {trend}.",
        own=(
            Question(slug="highest", request="Which colour ends highest?", answer=highest),
            Question(
                slug="trend", request=f"Does {names[told]} rise or fall?", answer="rise" if rises[told] else "fall"
            ),
        ),
    )


def _bars(canvas: Canvas) -> _Facts:
    numbers = canvas.numbers
    count, lying = numbers.choice((2, 3, 4)), numbers.random() < 0.5
    outlined, gap = numbers.choice(("outlined", "bare")), numbers.choice(("wide", "narrow"))
    names, lengths = _colours(canvas, count), _levels(numbers, count)
    words = [canvas.new_word() for _ in names]
    start, room = (46.0, canvas.width - 56.0) if lying else (24.0, canvas.height - 34.0)
    step = ((canvas.height if lying else canvas.width) - 12) / count
    half = step * (0.28 if gap == "wide" else 0.42)
    for place, (name, length, word) in enumerate(zip(names, lengths, words, strict=True)):
        middle = 6 + step * (place + 0.5)
        reach = start + max(0.08, length) * room
        if lying:
            corners = (start, middle - half, reach, middle + half)
            canvas.print_word(word, 23, middle)
        else:
            corners = (middle - half, canvas.height - reach, middle + half, canvas.height - start)
            canvas.print_word(word, middle, canvas.height - 12)
        canvas.box(corners, canvas.shade(name), (30, 30, 30) if outlined == "outlined" else None)
    longest, shortest = lengths.index(max(lengths)), lengths.index(min(lengths))
    return _Facts(
        parts=count,
        part_name="bars",
        arrangement=f"{'lying' if lying else 'upright'}-{outlined}-{gap}",
        caption=f"A bar chart: the longest bar is {words[longest]} in {names[longest]}, the shortest is "
        f"{words[shortest]} in {names[shortest]}.",
        own=(
            Question(slug="highest", request="Which colour is the longest bar?", answer=names[longest]),
            Question(slug="label", request="Which word labels the longest bar?", answer=words[longest]),
        ),
    )


def _scatter(canvas: Canvas) -> _Facts:
    numbers, axes = canvas.numbers, draw_axes(canvas)
    count = numbers.choice((2, 3, 4))
    names, levels = _colours(canvas, count), _levels(numbers, count)
    rises = [numbers.random() < 0.5 for _ in names]
    for name, level, rising in zip(names, levels, rises, strict=True):
        colour, slope = canvas.shade(name), 0.24 * (1 if rising else -1)
        radius = numbers.uniform(1.6, 2.6)
        for _ in range(numbers.randint(12, 22)):
            x = numbers.uniform(0.04, 0.96)
            y = 0.1 + 0.8 * level + slope * (x - 0.5) + numbers.gauss(0, 0.025)
            canvas.disc(*axes.at(x, min(0.98, max(0.02, y))), radius, colour)
    highest, lowest = levels.index(max(levels)), levels.index(min(levels))
    trends = ["rises" if rising else "falls" for rising in rises]
    return _Facts(
        parts=count,
        part_name="colours",
        arrangement=axes.style,
        caption=f"A scatter plot of {axes.y_word} over {axes.x_word}: {names[highest]} lies highest and "
        f"{trends[highest]}, {names[lowest]} lies lowest and {trends[lowest]}.",
        own=(
            Question(slug="highest", request="Which colour lies highest?", answer=names[highest]),
            Question(
                slug="trend",
                request=f"Does {names[lowest]} rise or fall?",
                answer="rise" if rises[lowest] else "fall",
            ),
        ),
    )


def _heat(canvas: Canvas) -> _Facts:
    numbers, axes = canvas.numbers, draw_axes(canvas)
    rows, columns, gap = numbers.choice((2, 3, 4)), numbers.choice((2, 3, 4)), numbers.choice((0.0, 0.01, 0.03))
    name = numbers.choice([each for each in COLOURS if each != "orange"])
    full = canvas.shade(name)
    upper, at_left = numbers.random() < 0.5, numbers.random() < 0.5
    # Never in the middle of three, which is in neither half.
    row, column = numbers.randrange(rows // 2), numbers.randrange(columns // 2)
    row, column = row if upper else rows - 1 - row, column if at_left else columns - 1 - column
    for at_row in range(rows):
        for at_column in range(columns):
            depth = 0.95 if (at_row, at_column) == (row, column) else numbers.uniform(0.08, 0.6)
            red, green, blue = (round(255 - (255 - part) * depth) for part in full)
            left, top = axes.at(at_column / columns + gap, 1 - at_row / rows - gap)
            right, bottom = axes.at((at_column + 1) / columns - gap, 1 - (at_row + 1) / rows + gap)
            canvas.box((left, top, right, bottom), (red, green, blue))
    return _Facts(
        parts=columns,
        part_name="columns",
        arrangement=f"{rows}-{axes.style.split('-')[-1]}-{gap}",
        caption=f"A heat map of {axes.y_word} by {axes.x_word} in {name}: the darkest cell is in row {row + 1} and "
        f"column {column + 1}.",
        own=(
            Question(
                slug="half", request="Which half has the darkest cell?", answer="upper half" if upper else "lower half"
            ),
            Question(
                slug="side", request="Which side has the darkest cell?", answer="left side" if at_left else "right side"
            ),
        ),
    )


def _blocks(canvas: Canvas) -> _Facts:
    numbers = canvas.numbers
    count = numbers.choice((2, 3, 4))
    # Three in a row leave no room for arrows.
    arrangements = ("column", "slope", "corners", *(("row",) if count == 2 else ()))
    arrangement, edge = numbers.choice(arrangements), numbers.choice(("dark", "light"))
    places = _places(arrangement, count, numbers)
    wide, high = 38.0, 22.0
    centres = [
        (6 + wide / 2 + x * (canvas.width - 12 - wide), 6 + high / 2 + y * (canvas.height - 12 - high))
        for x, y in places
    ]
    chain = [canvas.new_word() for _ in places]
    for word, (x, y) in zip(chain, centres, strict=True):
        pale = tuple(round(255 - (255 - part) * 0.3) for part in canvas.shade(numbers.choice(list(COLOURS))))
        canvas.box(
            (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2),
            (pale[0], pale[1], pale[2]),
            (40, 40, 40) if edge == "dark" else (150, 150, 150),
        )
        canvas.print_word(word, x, y)
    for start, end in pairwise(centres):
        canvas.arrow(_border(start, end, wide + 2, high + 2), _border(end, start, wide + 2, high + 2))
    asked = numbers.randrange(count - 1)
    return _Facts(
        parts=count,
        part_name="boxes",
        arrangement=f"{arrangement}-{edge}",
        caption=f"A block diagram: {' leads to '.join(chain)}.",
        own=(
            Question(slug="follows", request=f"Which box follows {chain[asked]}?", answer=chain[asked + 1]),
            Question(slug="first", request="Which box is the first?", answer=chain[0]),
        ),
    )


def _places(arrangement: str, count: int, numbers: random.Random) -> list[Point]:
    """Return the places of a chain of boxes in its order, each coordinate in [0, 1]."""
    along = [place / (count - 1) for place in range(count)]
    if numbers.random() < 0.5:
        along.reverse()
    across = numbers.uniform(0.1, 0.9)
    match arrangement:
        case "row":
            return [(place, across) for place in along]
        case "column":
            return [(across, place) for place in along]
        case "slope":
            falling = numbers.random() < 0.5
            return [(place if falling else 1 - place, rank) for place, rank in zip(along, along, strict=True)]
        case _:
            corners = [(0.05, 0.1), (0.95, 0.1), (0.05, 0.9), (0.95, 0.9)]
            return numbers.sample(corners, count)


def _border(start: Point, end: Point, wide: float, high: float) -> Point:
    """Return where the way from the middle of a box to another point leaves the box."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = hypot(across, down)
    reach = min(wide / 2 / max(abs(across), 1e-6), high / 2 / max(abs(down), 1e-6)) + 1 / length
    return start[0] + across * reach, start[1] + down * reach


def _panels(canvas: Canvas) -> _Facts:
    numbers = canvas.numbers
    rows, columns = numbers.choice(((1, 2), (2, 1), (1, 3), (3, 1), (2, 2), (2, 2)))
    count, below = rows * columns, numbers.choice(("below", "above"))
    orders = ("forward", "backward", "down") if rows == columns else ("forward", "backward")
    order, frame = numbers.choice(orders), numbers.choice(("frame", "bare"))
    places = [(row, column) for row in range(rows) for column in range(columns)]
    if order == "down":
        places.sort(key=lambda place: place[::-1])
    elif order == "backward":
        places.reverse()
    title = canvas.new_word()
    canvas.print_word(title, canvas.width / 2, 10)
    wide, high = (canvas.width - 8) / columns, (canvas.height - 24) / rows
    shapes = [numbers.choice(SHAPES) for _ in places]
    names = [numbers.choice(list(COLOURS)) for _ in places]
    for letter, (row, column), shape, name in zip(LETTERS, places, shapes, names, strict=False):
        left, top = 4 + column * wide, 20 + row * high
        if frame == "frame":
            canvas.box((left + 2, top + 2, left + wide - 2, top + high - 2), None, (120, 120, 120))
        canvas.print_word(letter, left + wide / 2, top + (high - 11 if below == "below" else 12))
        middle = top + high / 2 + (-8 if below == "below" else 8)
        size = min(wide, high - 22) * numbers.uniform(0.26, 0.36)
        _shape(canvas, shape, (left + wide / 2, middle), size, canvas.shade(name))
        canvas.mark(shape, (left + wide / 2 - size, middle - size, left + wide / 2 + size, middle + size))
    asked = numbers.randrange(count)
    told = ", ".join(f"{letter} {name} {shape}" for letter, name, shape in zip(LETTERS, names, shapes, strict=False))
    return _Facts(
        parts=count,
        part_name="panels",
        arrangement=f"{rows}x{columns}-{order}-{below}-{frame}",
        caption=f"Panels on {title}: {told}.",
        own=(
            Question(slug="shape", request=f"Which shape is in panel {LETTERS[asked]}?", answer=shapes[asked]),
            Question(slug="colour", request=f"Which colour is in panel {LETTERS[asked]}?", answer=names[asked]),
        ),
    )


def _shape(canvas: Canvas, shape: str, middle: Point, size: float, colour: Colour) -> None:
    x, y = middle
    match shape:
        case "circle":
            canvas.disc(x, y, size, colour)
        case "square":
            canvas.box((x - size, y - size, x + size, y + size), colour)
        case "triangle":
            canvas.polygon(((x, y - size), (x + size, y + size), (x - size, y + size)), colour)
        case _:
            for fall in (1, -1):
                canvas.line(((x - size, y - fall * size), (x + size, y + fall * size)), colour, size / 2)


_KINDS: dict[DrawnKind, Callable[[Canvas], _Facts]] = {
    "lines": _lines,
    "bars": _bars,
    "scatter": _scatter,
    "heat": _heat,
    "blocks": _blocks,
    "panels": _panels,
}
KIND_NAMES: dict[DrawnKind, str] = {
    "lines": "line plot",
    "bars": "bar chart",
    "scatter": "scatter plot",
    "heat": "heat map",
    "blocks": "block diagram",
    "panels": "panels",
}


def _questions(numbers: random.Random, kind: DrawnKind, facts: _Facts, words: Sequence[str]) -> tuple[Question, ...]:
    """Return one question that only this kind has, one that every kind has, one about a word, and now and then one that
    nothing in the picture answers."""
    spelled = [word for word in words if word not in LETTERS]
    # A word that is asked about comes from the same draw whether it is printed or not.
    printed = numbers.random() < 0.5
    asked = numbers.choice(spelled) if printed else numbers.choice([word for word in WORDS if word not in words])
    common = (
        Question(slug="kind", request="Which kind of figure is this?", answer=KIND_NAMES[kind]),
        Question(slug="count", request=f"How many {facts.part_name}?", answer=str(facts.parts)),
    )
    word = Question(slug="word", request=f"Is {asked} printed?", answer="yes" if printed else "no")
    control = Question(slug="control", request="Is the author left-handed?", answer=numbers.choice(("yes", "no")))
    last = control if numbers.random() < 0.25 else word
    return numbers.choice(facts.own), numbers.choice(common), last
