"""A canvas for drawn charts and diagrams: shapes, arrows, plot axes, and words with a record of where they stand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import atan2, cos, pi, sin
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

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
HEADINGS = ("east", "southeast", "south", "southwest", "west", "northwest", "north", "northeast")
"""Directions of arrows, clockwise."""
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
class Mark:
    """A word, shape or arrowhead and its place: shares of the picture's width and height."""

    name: str
    left: float
    top: float
    right: float
    bottom: float


class Canvas:
    """A picture being drawn, in pixels of the finished one, with a record of the words printed on it."""

    def __init__(self, numbers: random.Random) -> None:
        self.numbers = numbers
        self.width, self.height = numbers.choice(SIDES), numbers.choice(SIDES)
        pale = numbers.choice(((255, 255, 255), (255, 255, 255), (248, 246, 240), (240, 245, 250), (244, 244, 244)))
        self._image = Image.new("RGB", (self.width * _SCALE, self.height * _SCALE), pale)
        self._draw = ImageDraw.Draw(self._image)
        self._font = _font(numbers.choice(FONTS), numbers.choice(TYPE_SIZES) * _SCALE)
        self._printed: list[tuple[float, float, str]] = []
        self.marks: list[Mark] = []
        self._spare = numbers.sample(WORDS, len(WORDS))

    def new_word(self) -> str:
        """Return a word that is not printed yet."""
        return self._spare.pop()

    def print_word(self, word: str, x: float, y: float) -> None:
        """Print a word with its middle at a point."""
        self._draw.text((x * _SCALE, y * _SCALE), word, fill=(20, 20, 20), font=self._font, anchor="mm")
        self._printed.append((y, x, word))
        left, top, right, bottom = self._draw.textbbox((x * _SCALE, y * _SCALE), word, font=self._font, anchor="mm")
        self.mark(word, (left / _SCALE, top / _SCALE, right / _SCALE, bottom / _SCALE))

    def mark(self, name: str, corners: tuple[float, float, float, float]) -> None:
        """Record what lies between corners."""
        left, top, right, bottom = corners
        width, height = self.width, self.height
        places = {"left": left / width, "top": top / height, "right": right / width, "bottom": bottom / height}
        self.marks.append(Mark(name=name, **{side: round(place, 4) for side, place in places.items()}))

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
        middle = end[0] - 4 * cos(angle), end[1] - 4 * sin(angle)
        corners = (middle[0] - 5, middle[1] - 5, middle[0] + 5, middle[1] + 5)
        self.mark(HEADINGS[round(angle / (pi / 4)) % len(HEADINGS)], corners)
        self.line((start, middle), (40, 40, 40), 1.6)
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


@dataclass(frozen=True, kw_only=True)
class Axes:
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


def draw_axes(canvas: Canvas) -> Axes:
    """Draw frame, grid and words of a plot, in one of twelve styles."""
    frame, grid = canvas.numbers.choice(("box", "axes", "none")), canvas.numbers.choice(("grid", "plain"))
    label = canvas.numbers.choice(("left", "right"))
    axes = Axes(
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
