"""Drawing: a matplotlib figure measured in points, and the few shapes that the diagrams are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

COLUMN_WIDTH = 236.25
TEXT_WIDTH = 495.0
POINTS_PER_INCH = 72.0

Point = tuple[float, float]
Cell = tuple[float, float, float, float]
"""x0, top, x1, bottom in points, origin at the drawing's top-left."""


@dataclass(frozen=True)
class Panel:
    """A sub-figure: its label and the cell that holds its ink."""

    label: str
    cell: Cell


@dataclass(frozen=True)
class Drawing:
    """A picture ready to be placed on a page at its own size, with its panels if it has any."""

    figure: Figure
    panels: tuple[Panel, ...] = ()


def blank(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` points."""
    return Figure(figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH), dpi=POINTS_PER_INCH)


def sketch(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure whose axes count points from its bottom-left corner."""
    figure = blank(width, height)
    return figure, sketch_axes(figure)


def sketch_axes(figure: Figure) -> Axes:
    """Axes without a frame over all of `figure`, counting points from its bottom-left corner."""
    width, height = figure.get_size_inches() * POINTS_PER_INCH
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return axes


def framed(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Axes at (x, y) points from the bottom-left corner of `figure`, for a plot or a picture."""
    whole_width, whole_height = figure.get_size_inches() * POINTS_PER_INCH
    return figure.add_axes((x / whole_width, y / whole_height, width / whole_width, height / whole_height))


def block(
    axes: Axes,
    centre: Point,
    size: Point,
    text: str,
    fill: str,
    *,
    edge: str = "#333333",
    font: float = 7,
    radius: float = 3,
) -> None:
    """A rounded box with centred text."""
    x, y = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    shape = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(FancyBboxPatch((x, y), size[0], size[1], boxstyle=shape, fc=fill, ec=edge, lw=0.8))
    note(axes, centre, text, font=font)


def note(
    axes: Axes, place: Point, text: str, *, font: float = 7, colour: str = "#111111", align: str = "center"
) -> None:
    """Text centred on a height, aligned sideways as told."""
    axes.text(*place, text, fontsize=font, color=colour, ha=align, va="center", linespacing=1.1)


def arrow(
    axes: Axes, start: Point, end: Point, *, colour: str = "#333333", bend: float = 0, dashed: bool = False
) -> None:
    """An arrow, straight or bent into an arc."""
    style = f"arc3,rad={bend}"
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=7, lw=0.9, color=colour, connectionstyle=style,
            ls="--" if dashed else "-", shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def elbow(axes: Axes, points: Sequence[Point], *, colour: str = "#333333", dashed: bool = False) -> None:
    """A line through `points` that ends in an arrow."""
    *before, last = points
    axes.plot(*zip(*before, strict=True), color=colour, lw=0.9, ls="--" if dashed else "-", solid_capstyle="butt")
    arrow(axes, before[-1], last, colour=colour, dashed=dashed)


def funnel(axes: Axes, left: float, right: float, middle: float, heights: Point, text: str, fill: str) -> None:
    """A trapezium lying on its side: an encoder (narrowing) or a decoder (widening)."""
    a, b = heights[0] / 2, heights[1] / 2
    corners = [(left, middle - a), (left, middle + a), (right, middle + b), (right, middle - b)]
    axes.add_patch(Polygon(corners, fc=fill, ec="#333333", lw=0.8))
    note(axes, ((left + right) / 2, middle), text)


def sheets(axes: Axes, corner: Point, size: Point, count: int, fill: str, step: float = 3) -> None:
    """A pile of feature maps, the front one at `corner` (bottom-left)."""
    for index in reversed(range(count)):
        x, y = corner[0] + index * step, corner[1] + index * step
        axes.add_patch(Rectangle((x, y), size[0], size[1], fc=fill, ec="#333333", lw=0.6))


def joint(axes: Axes, centre: Point, text: str, *, radius: float = 6, fill: str = "white") -> None:
    """A small circle with an operator in it."""
    axes.add_patch(Circle(centre, radius, fc=fill, ec="#333333", lw=0.8))
    note(axes, centre, text, font=8)


def zone(axes: Axes, x: float, y: float, width: float, height: float, title: str, colour: str) -> None:
    """A dashed frame around a part of a diagram, titled at its top-left."""
    axes.add_patch(Rectangle((x, y), width, height, fc="none", ec=colour, lw=0.8, ls=(0, (4, 2))))
    note(axes, (x + 4, y + height - 7), title, colour=colour, align="left", font=6.5)
