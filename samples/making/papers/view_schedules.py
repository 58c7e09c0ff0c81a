"""The figures of `view_schedules.toml`: tomography from few views."""

from __future__ import annotations

from functools import cache

import numpy as np
from matplotlib.patches import Circle, Ellipse, Polygon
from matplotlib.projections.polar import PolarAxes

from making.canvas import (
    COLUMN_WIDTH,
    TEXT_WIDTH,
    Drawing,
    arrow,
    blank,
    block,
    elbow,
    framed,
    note,
    sketch,
)  # fmt: skip
from making.plots import panel_at, picture, sub_caption, tidy
from making.renderings import scans
from making.renderings.noise import Array

BLUE, GREEN, VIOLET, GREY = "#a9c9ea", "#b7ddb0", "#d3bfe8", "#8c8c8c"
CHOSEN_ANGLES = (0, 22, 45, 58, 68, 76, 83, 90, 97, 104, 113, 124, 135, 149, 160, 171)


@cache
def _head() -> Array:
    return scans.phantom(scans.HEAD)


def _from_views(image: Array, angles: tuple[float, ...]) -> Array:
    return scans.back_projected(scans.sinogram(image, angles), angles)


def _even(count: int) -> tuple[float, ...]:
    return tuple(180 * index / count for index in range(count))


def geometry() -> Drawing:
    """Figure 1: source, object, detector and the views taken."""
    figure, axes = sketch(COLUMN_WIDTH, 186)
    centre = np.array([112.0, 92.0])
    axes.add_patch(Circle((112, 92), 82, fc="none", ec="#bbbbbb", lw=0.8))
    along, across = np.array([np.cos(0.62), np.sin(0.62)]), np.array([-np.sin(0.62), np.cos(0.62)])
    for offset in np.linspace(-30, 30, 9):
        ray = [centre + s * 74 * along + offset * across for s in (-1, 1)]
        axes.plot(*zip(*ray, strict=True), color="#f0b400", lw=0.8, zorder=0)
    axes.add_patch(Ellipse((112, 92), 66, 46, angle=-20, fc="#d9dee5", ec="#333333", lw=1))
    axes.add_patch(Ellipse((102, 92), 14, 24, angle=10, fc="#8794a5", ec="none"))
    axes.add_patch(Ellipse((126, 88), 12, 18, angle=-20, fc="#8794a5", ec="none"))
    corners = [centre + a * along + b * across for a, b in [(76, -36), (76, 36), (81, 36), (81, -36)]]
    axes.add_patch(Polygon(corners, fc="#333333", ec="none"))
    corners = [centre + a * along + b * across for a, b in [(-82, -36), (-82, 36), (-74, 36), (-74, -36)]]
    axes.add_patch(Polygon(corners, fc="#f0b400", ec="#333333", lw=0.8))
    for degrees, colour in [(d, "#1f5fa8") for d in (0, 45, 90, 135)] + [
        (d, "#d6232f") for d in (100, 108, 116, 125, 145, 156)
    ]:
        place = centre + 82 * np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
        axes.add_patch(Circle((place[0], place[1]), 4, fc=colour, ec="white", lw=0.6, zorder=5))
    note(axes, (16, 40), "source", font=7.5)
    note(axes, (208, 146), "detector", font=7.5)
    note(axes, (152, 58), "object", font=7.5)
    axes.scatter([178, 178], [26, 12], s=22, c=["#1f5fa8", "#d6232f"], linewidths=0)
    note(axes, (186, 26), "fixed view", align="left")
    note(axes, (186, 12), "chosen view", align="left")
    return Drawing(figure)


def u_network() -> Drawing:
    """Figure 2: the U-shaped network on the left, policy and scanner on the right."""
    figure, axes = sketch(TEXT_WIDTH, 172)
    levels = [(120, 60, "256², 32"), (82, 48, "128², 64"), (44, 36, "64², 128")]
    picture(figure, 2, 100, 40, 40, _from_views(_head(), _even(12)), limits=(-0.1, 1))
    note(axes, (22, 150), "FBP")
    for index, (y, width, text) in enumerate(levels):
        left, right = 96 + 24 * index, 284 - 24 * index
        block(axes, (left, y), (width, 20), text, BLUE, font=6.5)
        block(axes, (right, y), (width, 20), text, GREEN, font=6.5)
        arrow(axes, (left + width / 2, y), (right - width / 2, y), colour=GREY)
        below = (levels[index + 1][0] + 10) if index < 2 else 20
        arrow(axes, (left + 14, y - 10), (left + 14, below), colour="#1f5fa8")
        arrow(axes, (right - 14, below), (right - 14, y - 10), colour="#2e7d32")
    block(axes, (190, 12), (90, 16), "bottleneck, 256", "#f6df9a", font=6.5)
    note(axes, (190, 127), "skip connections", font=6.5, colour="#666666")
    arrow(axes, (43, 120), (65, 120))
    picture(figure, 330, 100, 40, 40, _head(), limits=(0, 1))
    arrow(axes, (314, 120), (329, 120))
    note(axes, (350, 150), "image")
    block(axes, (330, 12), (62, 22), "policy", VIOLET, font=8)
    arrow(axes, (235, 12), (298, 12))
    axes.bar(392 + 4.5 * np.arange(10), [5, 8, 6, 12, 18, 27, 17, 9, 6, 4], width=3.4, bottom=26, color="#7b3fa0")
    note(axes, (412, 16), "180 angles", font=6.5)
    arrow(axes, (361, 12), (389, 28))
    block(axes, (462, 76), (56, 26), "scanner", "#f2b8ae", font=8)
    elbow(axes, [(438, 34), (462, 34), (462, 62)])
    note(axes, (467, 48), "angle", font=6.5, align="left")
    elbow(axes, [(462, 89), (462, 166), (8, 166), (8, 141)], dashed=True, colour="#666666")
    note(axes, (250, 160), "new view", font=6.5, colour="#555555")
    return Drawing(figure)


def reconstructions() -> Drawing:
    """Figure 3: a head in five panels."""
    head = _head()
    rough = _from_views(head, _even(16))
    everything = scans.sinogram(head, tuple(float(degree) for degree in range(0, 180, 2)))
    shown = [
        head,
        everything,
        rough,
        scans.restored(head, rough, 0.22),
        scans.restored(head, _from_views(head, _even(40)), 0.15),
    ]
    titles = ["phantom", "sinogram", "FBP, even", "network, even", "network, chosen"]
    side, gap = 93.0, 7.5
    figure = blank(TEXT_WIDTH, side + 16)
    panels = []
    for index, (image, title) in enumerate(zip(shown, titles, strict=True)):
        x = index * (side + gap)
        limits = (0.0, float(everything.max())) if index == 1 else (-0.05, 0.9)
        axes = picture(figure, x, 14, side, side, image, limits=limits)
        if index == 1:
            axes.hlines([angle / 2 for angle in CHOSEN_ANGLES], -0.5, scans.SIZE - 0.5, color="#ff3040", lw=0.7)
        label = "abcde"[index]
        sub_caption(figure, x, 14, side, f"({label}) {title}")
        panels.append(panel_at(figure, label, x - 2, 0, side + 4, side + 16))
    return Drawing(figure, tuple(panels))


def line_profile() -> Drawing:
    """Figure 4: the middle row of three images."""
    head = _head()
    middle = scans.SIZE // 2
    figure = blank(COLUMN_WIDTH, 132)
    axes = tidy(framed(figure, 38, 28, 192, 98), "position (pixels)", "density")
    rough = _from_views(head, _even(16))
    clean = scans.restored(head, _from_views(head, _even(60)), 0.3)
    axes.plot(rough[middle], color="#ee8a1d", lw=0.9, label="FBP")
    axes.plot(head[middle], color="black", lw=1.1, label="truth")
    axes.plot(clean[middle], color="#2166c4", lw=1.1, label="ours")
    axes.set(xlim=(0, scans.SIZE), ylim=(-0.5, 1.4))
    axes.legend(fontsize=6.5, frameon=False, ncols=3, loc="upper center")
    return Drawing(figure)


def quality_boxes() -> Drawing:
    """Figure 5: five box plots lying on their sides."""
    random = np.random.default_rng(29)
    schedules = [
        ("random", 26.0, 1.9, "#c9c9c9"), ("even", 27.6, 1.1, "#a9c9ea"), ("golden", 27.8, 1.0, "#f6df9a"),
        ("attention", 28.9, 0.9, "#f2b8ae"), ("learned", 31.0, 0.6, "#8fce8a"),
    ]  # fmt: skip
    figure = blank(COLUMN_WIDTH, 130)
    axes = tidy(framed(figure, 46, 28, 184, 98), "signal-to-noise ratio (dB)", "")
    boxes = axes.boxplot(
        [random.normal(mean, spread, 200) for _, mean, spread, _ in schedules], orientation="horizontal", widths=0.6,
        patch_artist=True, flierprops={"markersize": 2, "markeredgewidth": 0.4}, medianprops={"color": "black"},
        tick_labels=[name for name, *_ in schedules],
    )  # fmt: skip
    for box, (*_, colour) in zip(boxes["boxes"], schedules, strict=True):
        box.set(facecolor=colour, linewidth=0.7)
    return Drawing(figure)


def angle_roses() -> Drawing:
    """Figure 6: two polar histograms over the half circle."""
    figure = blank(COLUMN_WIDTH, 130)
    whole_width, whole_height = COLUMN_WIDTH, 130
    directions = np.deg2rad(np.arange(5, 180, 10))
    heads = 1 + 0.12 * np.cos(5 * directions) + 0.08 * np.sin(9 * directions)
    chests = 0.25 + 1.5 * np.exp(-((np.sin(directions) / 0.35) ** 2))
    panels = []
    for index, (shares, colour, title) in enumerate(
        [(heads, "#e0a030", "(a) heads"), (chests, "#2a8c8c", "(b) chests")]
    ):
        x = 16 + 118 * index
        axes = figure.add_axes(
            (x / whole_width, 6 / whole_height, 90 / whole_width, 122 / whole_height), projection="polar"
        )
        assert isinstance(axes, PolarAxes)
        axes.bar(directions, shares, width=np.deg2rad(9), color=colour, edgecolor="white", lw=0.4)
        axes.set_thetamax(180)
        axes.set_rticks([])
        axes.set_xticks(np.deg2rad([0, 45, 90, 135, 180]), ["0", "45", "90°", "135", "180"])
        axes.tick_params(labelsize=6.5, pad=-2)
        axes.grid(color="#dddddd", lw=0.4)
        sub_caption(figure, x, 36, 90, title)
        panels.append(panel_at(figure, "ab"[index], x - 14, 0, 118, 130))
    return Drawing(figure, tuple(panels))


def failures() -> Drawing:
    """Figure 7: two cases, each with its error."""
    side, gap = 74.0, 6.0
    figure = blank(COLUMN_WIDTH, 2 * side + gap + 14)
    thick_wall = [(*ellipse[:2], ellipse[2] - 0.035, ellipse[3] - 0.035, *ellipse[4:]) for ellipse in scans.KNEE[2:3]]
    for row, (ellipses, seen) in enumerate([
        (scans.CHEST, scans.CHEST[:-1]), (scans.KNEE, (*scans.KNEE[:2], *thick_wall, *scans.KNEE[3:])),
    ]):  # fmt: skip
        truth, believed = scans.phantom(ellipses), scans.phantom(seen)
        ours = scans.restored(believed, _from_views(believed, _even(36)), 0.3)
        bottom = (1 - row) * (side + gap) + 14
        picture(figure, 0, bottom, side, side, truth, limits=(0, 0.9))
        picture(figure, side + gap, bottom, side, side, ours, limits=(0, 0.9))
        picture(figure, 2 * (side + gap), bottom, side, side, np.abs(ours - truth), colours="plasma", limits=(0, 0.26))
    for column, title in enumerate(("phantom", "ours", "error")):
        sub_caption(figure, column * (side + gap), 14, side, title)
    return Drawing(figure)
