"""Drawn charts and diagrams with exact facts: line plots, bar charts, scatter plots, heat maps, block diagrams, panels.

Each drawing is decided by its number alone. Its caption states what nothing but looking tells: which colour is highest,
which box follows which. Drawings of one layout have captions of one wording, so that a caption of another one of
them is a hard negative. Answers to short questions are drawn first, with equal odds, and the picture is made to fit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import atan2, cos, hypot, pi, sin
from pathlib import Path
from typing import Literal

import matplotlib
from PIL import Image, ImageDraw, ImageFont

DrawnKind = Literal["lines", "bars", "scatter", "heat", "blocks", "panels"]
COLOURS = {
    "red": (214, 39, 40),
    "blue": (40, 90, 220),
    "green": (30, 150, 50),
    "orange": (255, 140, 0),
    "purple": (140, 60, 190),
    "black": (25, 25, 25),
}
WORDS = (
    *("area", "beam", "core", "data", "edge", "flow", "fuse", "gain", "gate", "grid", "head", "join", "key", "lane"),
    *("loss", "map", "mask", "mean", "mode", "node", "norm", "path", "pool", "rank", "rate", "seed", "step", "sum"),
    *("task", "tile", "time", "tree", "unit", "view", "wave", "zoom"),
)
"""Words that are printed; all pictures share them, so that reading is telling these apart, not spelling."""
SHAPES = ("circle", "square", "triangle", "cross")
LETTERS = ("(a)", "(b)", "(c)", "(d)")
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold")
TYPE_SIZES = (11, 12, 13)
"""Type sizes in pixels."""
SIDES = range(128, 149)
"""Widths and heights in pixels."""
_SCALE = 2
"""Factor at which is drawn before the picture is reduced, for smooth lines."""
_LINE_STEP = 6
"""Most pixels between the middles of two words of one line."""
Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A short question and its answer."""

    slug: str
    """Kind of question."""
    request: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A picture and what is true of it."""

    number: int
    kind: DrawnKind
    layout: str
    """Kind, number of parts and arrangement: drawings of one layout differ in facts, words, colours and sizes."""
    image: Image.Image = field(repr=False)
    parts: int
    """Lines, bars, clouds of points, columns, boxes or panels."""
    words: tuple[str, ...]
    """All that is printed, in reading order, label by label."""
    caption: str
    questions: tuple[Question, ...]


def draw(number: int) -> Drawing:
    """Return the drawing of a number."""
    numbers = random.Random(f"drawing {number}")
    kind: DrawnKind = numbers.choice(tuple(_KINDS))
    canvas = _Canvas(numbers)
    facts = _KINDS[kind](canvas)
    words = canvas.words_in_order()
    return Drawing(
        number=number,
        kind=kind,
        layout=f"{kind}-{facts.parts}-{facts.arrangement}",
        image=canvas.picture(),
        parts=facts.parts,
        words=words,
        caption=facts.caption,
        questions=_questions(numbers, kind, facts, words),
    )


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


class _Canvas:
    """A picture being drawn, in pixels of the finished one, with a record of the words printed on it."""

    def __init__(self, numbers: random.Random) -> None:
        self.numbers = numbers
        self.width, self.height = numbers.choice(SIDES), numbers.choice(SIDES)
        pale = numbers.choice(((255, 255, 255), (255, 255, 255), (248, 246, 240), (240, 245, 250), (244, 244, 244)))
        self._image = Image.new("RGB", (self.width * _SCALE, self.height * _SCALE), pale)
        self._draw = ImageDraw.Draw(self._image)
        self._font = _font(numbers.choice(FONTS), numbers.choice(TYPE_SIZES) * _SCALE)
        self._printed: list[tuple[float, float, str]] = []
        self._spare = numbers.sample(WORDS, len(WORDS))

    def new_word(self) -> str:
        """Return a word that is not printed yet."""
        return self._spare.pop()

    def absent_word(self) -> str:
        """Return a word that is nowhere in the picture."""
        return self._spare[0]

    def print_word(self, word: str, x: float, y: float) -> None:
        """Print a word with its middle at a point."""
        self._draw.text((x * _SCALE, y * _SCALE), word, fill=(20, 20, 20), font=self._font, anchor="mm")
        self._printed.append((y, x, word))

    def words_in_order(self) -> tuple[str, ...]:
        """Return the printed words line by line, each line from left to right."""
        lines: list[list[tuple[float, float, str]]] = []
        for entry in sorted(self._printed):
            if lines and entry[0] - lines[-1][-1][0] <= _LINE_STEP:
                lines[-1].append(entry)
            else:
                lines.append([entry])
        return tuple(word for line in lines for _, _, word in sorted(line, key=lambda each: each[1]))

    def picture(self) -> Image.Image:
        """Return the finished picture."""
        return self._image.reduce(_SCALE)

    def line(self, points: Sequence[Point], colour: Colour, thickness: float) -> None:
        """Draw a line through points."""
        self._draw.line(_scaled(points), fill=colour, width=round(thickness * _SCALE), joint="curve")

    def box(
        self, corners: tuple[float, float, float, float], fill: Colour | None, outline: Colour | None = None
    ) -> None:
        """Draw a rectangle."""
        left, top, right, bottom = (each * _SCALE for each in corners)
        self._draw.rectangle((left, top, right, bottom), fill=fill, outline=outline, width=_SCALE)

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """Draw a disc."""
        corners = ((x - radius) * _SCALE, (y - radius) * _SCALE, (x + radius) * _SCALE, (y + radius) * _SCALE)
        self._draw.ellipse(corners, fill=fill)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        """Draw a filled polygon."""
        self._draw.polygon(_scaled(points), fill=fill)

    def arrow(self, start: Point, end: Point) -> None:
        """Draw an arrow with its head at the end."""
        angle = atan2(end[1] - start[1], end[0] - start[0])
        self.line((start, (end[0] - 4 * cos(angle), end[1] - 4 * sin(angle))), (40, 40, 40), 1.6)
        wings = (angle + pi * 0.84, angle - pi * 0.84)
        self.polygon((end, *((end[0] + 8 * cos(wing), end[1] + 8 * sin(wing)) for wing in wings)), (40, 40, 40))

    def shade(self, name: str) -> Colour:
        """Return a colour by name, a little off."""
        red, green, blue = (min(255, max(0, part + self.numbers.randint(-14, 14))) for part in COLOURS[name])
        return red, green, blue


def _scaled(points: Sequence[Point]) -> list[Point]:
    return [(x * _SCALE, y * _SCALE) for x, y in points]


@lru_cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)


def _levels(numbers: random.Random, count: int) -> list[float]:
    """Return numbers from .1 to .95 in random order, no two within .15."""
    places = [0.1 + 0.85 * place / (count - 1) + numbers.uniform(-0.05, 0.05) for place in range(count)]
    return numbers.sample([min(0.95, max(0.1, place)) for place in places], count)


@dataclass(frozen=True, kw_only=True)
class _Axes:
    """The area of a plot, with the words at its axes and a part of the layout's name."""

    left: float
    top: float
    right: float
    bottom: float
    x_word: str
    y_word: str
    style: str

    def at(self, x: float, y: float) -> Point:
        """Return the point of a plot's coordinates, each in [0, 1], y upwards."""
        return self.left + x * (self.right - self.left), self.bottom - y * (self.bottom - self.top)


def _axes(canvas: _Canvas) -> _Axes:
    frame, grid = canvas.numbers.choice(("box", "axes", "none")), canvas.numbers.choice(("grid", "plain"))
    label = canvas.numbers.choice(("left", "right"))
    axes = _Axes(
        left=14,
        top=24,
        right=canvas.width - 12,
        bottom=canvas.height - 24,
        x_word=canvas.new_word(),
        y_word=canvas.new_word(),
        style=f"{frame}-{grid}-{label}",
    )
    if grid == "grid":
        for part in (0.25, 0.5, 0.75):
            canvas.line((axes.at(0, part), axes.at(1, part)), (205, 205, 205), 1)
            canvas.line((axes.at(part, 0), axes.at(part, 1)), (205, 205, 205), 1)
    if frame == "box":
        canvas.box((axes.left, axes.top, axes.right, axes.bottom), None, (60, 60, 60))
    elif frame == "axes":
        canvas.line((axes.at(0, 1), axes.at(0, 0), axes.at(1, 0)), (60, 60, 60), 1.5)
    canvas.print_word(axes.y_word, 34 if label == "left" else canvas.width - 34, 12)
    canvas.print_word(axes.x_word, canvas.width / 2, canvas.height - 11)
    return axes


def _colours(canvas: _Canvas, count: int) -> list[str]:
    return canvas.numbers.sample(list(COLOURS), count)


def _lines(canvas: _Canvas) -> _Facts:
    numbers, axes = canvas.numbers, _axes(canvas)
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


def _bars(canvas: _Canvas) -> _Facts:
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


def _scatter(canvas: _Canvas) -> _Facts:
    numbers, axes = canvas.numbers, _axes(canvas)
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


def _heat(canvas: _Canvas) -> _Facts:
    numbers, axes = canvas.numbers, _axes(canvas)
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


def _blocks(canvas: _Canvas) -> _Facts:
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


def _panels(canvas: _Canvas) -> _Facts:
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


def _shape(canvas: _Canvas, shape: str, middle: Point, size: float, colour: Colour) -> None:
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


_KINDS: dict[DrawnKind, Callable[[_Canvas], _Facts]] = {
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
