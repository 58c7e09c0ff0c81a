"""Plots: the shared look of curves, bars and picture panels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from making.canvas import Panel, framed
from making.renderings.noise import Array


def tidy(axes: Axes, x_label: str, y_label: str, *, grid: bool = True) -> Axes:
    """Axes labelled and set small, without top and right spines."""
    axes.set_xlabel(x_label, fontsize=7.5, labelpad=2)
    axes.set_ylabel(y_label, fontsize=7.5, labelpad=2)
    axes.tick_params(labelsize=6.5, length=2, width=0.6, pad=2)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
    if grid:
        axes.grid(color="#dddddd", lw=0.4)
        axes.set_axisbelow(True)
    return axes


def picture(
    figure: Figure, x: float, y: float, width: float, height: float, image: Array, *,
    colours: str = "gray", limits: tuple[float, float] | None = None,
) -> Axes:  # fmt: skip
    """`image` at (x, y) points from the bottom-left, at its own resolution, in a thin frame."""
    axes = framed(figure, x, y, width, height)
    low, high = limits or (float(image.min()), float(image.max()))
    axes.imshow(
        np.round(np.clip(image, 0, 1) * 255).astype(np.uint8) if image.ndim == 3 else image,
        cmap=colours, vmin=low, vmax=high, interpolation="none", aspect="auto",
    )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_linewidth(0.5)
    return axes


def sub_caption(figure: Figure, x: float, y: float, width: float, text: str) -> None:
    """`text` centred under a panel whose bottom-left corner is (x, y) points."""
    whole_width, whole_height = figure.get_size_inches() * 72
    figure.text((x + width / 2) / whole_width, (y - 3) / whole_height, text, fontsize=7.5, ha="center", va="top")


def panel_at(figure: Figure, label: str, x: float, y: float, width: float, height: float) -> Panel:
    """A panel whose cell is given from the bottom-left, as drawing goes."""
    whole_height = float(figure.get_size_inches()[1]) * 72
    return Panel(label, (x, whole_height - y - height, x + width, whole_height - y))
