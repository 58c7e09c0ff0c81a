"""The figures of `weave_faults.toml`: faults in periodic textures."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image

from making.canvas import (
    COLUMN_WIDTH,
    TEXT_WIDTH,
    Drawing,
    arrow,
    blank,
    block,
    elbow,
    framed,
    joint,
    note,
    sketch,
)  # fmt: skip
from making.plots import panel_at, picture, sub_caption, tidy
from making.renderings import textures
from making.renderings.noise import Array

ORANGE, TEAL, PALE, GREY = "#f5c28b", "#9fd6cf", "#f4f0e6", "#dcdcdc"
MATERIALS = ("plain weave", "denim", "wood", "brick", "knitwear", "leather")
SHORT_NAMES = ("weave", "denim", "wood", "brick", "knit", "leather")


def materials() -> Drawing:
    """Figure 1: two rows of three materials, the faults framed."""
    shown = [
        (textures.with_scratch(textures.plain_weave(), (25, 30), (85, 75), 1.6), (18, 22, 76, 62)),
        (textures.with_hole(textures.denim(), (72, 50), 14), (52, 31, 40, 40)),
        (textures.with_stain(textures.wood(), (45, 70), 20), (14, 42, 60, 58)),
        (textures.with_scratch(textures.brick(), (30, 90), (100, 60), 1.6), (24, 53, 84, 44)),
        (textures.with_hole(textures.knit(), (50, 64), 12), (33, 47, 36, 36)),
        (textures.with_stain(textures.leather(), (66, 56), 18), (38, 30, 56, 54)),
    ]
    side, gap = 74.0, 7.0
    figure = blank(COLUMN_WIDTH, 2 * (side + 16))
    panels = []
    for index, (image, (x, y, width, height)) in enumerate(shown):
        left, bottom = index % 3 * (side + gap), (1 - index // 3) * (side + 16) + 14
        axes = picture(figure, left, bottom, side, side, image)
        axes.add_patch(Rectangle((x, y), width, height, fc="none", ec="#e3001b", lw=1.3))
        label = "abcdef"[index]
        sub_caption(figure, left, bottom, side, f"({label}) {MATERIALS[index]}")
        panels.append(panel_at(figure, label, left - 1, bottom - 14, side + 2, side + 15))
    return Drawing(figure, tuple(panels))


def two_branches() -> Drawing:
    """Figure 2: the network from top to bottom."""
    figure, axes = sketch(COLUMN_WIDTH, 262)
    left, right, middle = 58.0, 178.0, 118.0
    picture(figure, middle - 20, 220, 40, 40, textures.plain_weave(12, 0.3))
    note(axes, (middle + 26, 240), "input\n128 × 128", align="left")
    block(axes, (middle, 196), (124, 20), "stem: 18 filters, 2 convs", PALE)
    block(axes, (left, 152), (100, 20), "squared responses, mean", ORANGE, font=6.5)
    block(axes, (left, 114), (84, 20), "2 fully connected", ORANGE, font=6.5)
    block(axes, (left, 76), (76, 20), "angle, period", ORANGE)
    block(axes, (right, 152), (92, 20), "mask 32 × 32", TEAL)
    block(axes, (right, 114), (92, 20), "4 gated convs", TEAL)
    block(axes, (right, 76), (92, 20), "predicted patch", TEAL)
    joint(axes, (right, 46), "–")
    block(axes, (middle - 60, 46), (76, 18), "true patch", GREY)
    block(axes, (right, 12), (92, 20), "fault score", "#f3a6a0")
    arrow(axes, (middle, 219), (middle, 207))
    elbow(axes, [(middle - 20, 186), (middle - 20, 174), (left, 174), (left, 163)])
    elbow(axes, [(middle + 20, 186), (middle + 20, 174), (right, 174), (right, 163)])
    for x in (left, right):
        arrow(axes, (x, 142), (x, 125))
        arrow(axes, (x, 104), (x, 87))
    elbow(axes, [(97, 76), (114, 76), (114, 114), (131, 114)], colour="#c05a00")
    note(axes, (114, 122), "steer", font=6.5, colour="#c05a00")
    arrow(axes, (right, 66), (right, 53))
    arrow(axes, (97, 46), (171, 46))
    arrow(axes, (right, 39), (right, 23))
    return Drawing(figure)


def filter_bank() -> Drawing:
    """Figure 3: three periods by six orientations."""
    side, gap = 34.0, 4.0
    figure = blank(COLUMN_WIDTH, 3 * (side + gap) + 12)
    for row, period in enumerate((6, 10, 16)):
        for column in range(6):
            kernel = textures.gabor(np.deg2rad(30 * column), period, 41)
            bottom = (2 - row) * (side + gap) + 12
            picture(figure, 8 + column * (side + gap), bottom, side, side, kernel, limits=(0, 1))
    for column in range(6):
        sub_caption(figure, 8 + column * (side + gap), 11, side, f"{30 * column}°")
    return Drawing(figure)


def _turned(image: Array, degrees: float) -> Array:
    """The middle of `image` after a turn."""
    pixels = Image.fromarray(np.round(image * 255).astype(np.uint8))
    turned = pixels.rotate(degrees, Image.Resampling.BICUBIC).crop((22, 22, 98, 98))
    return np.asarray(turned, np.float64) / 255


def _masked(image: Array) -> Array:
    """`image` with a grey square in its middle."""
    hidden = image.copy()
    hidden[26:50, 26:50] = 0.55
    return hidden


def training_loop() -> Drawing:
    """Figure 4: a round of training, left to right, with the way back."""
    figure, axes = sketch(TEXT_WIDTH, 150)
    sound = textures.knit()
    turned = _turned(sound, 25)
    for x, image, name in [
        (2, _turned(sound, 0), "sound image"),
        (92, turned, "turned"),
        (182, _masked(turned), "masked"),
    ]:
        picture(figure, x, 76, 54, 54, image)
        note(axes, (x + 27, 138), name)
    arrow(axes, (57, 103), (91, 103))
    note(axes, (74, 111), "25°", font=6.5)
    arrow(axes, (147, 103), (181, 103))
    block(axes, (290, 103), (64, 46), "WeaveNet", TEAL, font=9)
    arrow(axes, (237, 103), (257, 103))
    picture(figure, 364, 103, 26, 26, turned[26:50, 26:50])
    note(axes, (377, 137), "patch")
    block(axes, (377, 84), (40, 18), "angle", ORANGE)
    elbow(axes, [(322, 114), (342, 114), (363, 114)])
    elbow(axes, [(322, 90), (340, 90), (340, 84), (356, 84)])
    block(axes, (454, 116), (64, 22), "patch loss", "#f3a6a0")
    block(axes, (454, 84), (64, 22), "angle loss", "#f3a6a0")
    arrow(axes, (391, 116), (421, 116))
    arrow(axes, (398, 84), (421, 84))
    block(axes, (209, 24), (120, 24), "memory: 20 hardest patches", GREY)
    arrow(axes, (209, 37), (209, 75))
    note(axes, (214, 56), "replay", font=6.5, align="left")
    elbow(axes, [(454, 72), (454, 52), (290, 52), (290, 79)], colour="#c8102e", dashed=True)
    note(axes, (372, 59), "gradients", font=6.5, colour="#c8102e")
    elbow(axes, [(487, 116), (493, 116), (493, 24), (270, 24)], colour="#777777")
    note(axes, (380, 31), "patches with a large loss", font=6.5, colour="#555555")
    return Drawing(figure)


def precision_recall() -> Drawing:
    """Figure 5: three curves, the best one filled."""
    figure = blank(COLUMN_WIDTH, 140)
    axes = tidy(framed(figure, 32, 28, 198, 106), "recall", "precision")
    recall = np.linspace(0, 1, 60)
    curves = [
        ("WeaveNet", "#148f82", 0.985 - 0.06 * recall - 0.55 / (1 + np.exp(-(recall - 0.93) / 0.035))),
        ("memory bank", "#8a5a2b", 0.96 - 0.08 * recall - 0.62 / (1 + np.exp(-(recall - 0.72) / 0.09))),
        ("autoencoder", "#d65c9c", 0.9 - 0.62 * recall**1.4),
    ]
    axes.fill_between(recall, curves[0][2], color="#9fd6cf", alpha=0.4, linewidth=0)
    for label, colour, precision in curves:
        axes.step(recall, precision, where="mid", color=colour, lw=1.3, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize=6.5, frameon=False, loc="lower left")
    return Drawing(figure)


def recall_bars() -> Drawing:
    """Figure 6: three bars for each material."""
    figure = blank(COLUMN_WIDTH, 140)
    axes = tidy(framed(figure, 32, 22, 198, 104), "", "recall (%)")
    groups = [
        ("holes", "#123c69", [97, 95, 82, 93, 94, 90]),
        ("scratches", "#5b8db8", [91, 88, 79, 71, 86, 84]),
        ("stains", "#c3d9ea", [78, 74, 49, 66, 70, 52]),
    ]
    places = np.arange(len(SHORT_NAMES))
    for index, (label, colour, recalls) in enumerate(groups):
        axes.bar(places + (index - 1) * 0.27, recalls, 0.25, color=colour, edgecolor="#123c69", lw=0.4, label=label)
    axes.set_xticks(places, SHORT_NAMES)
    axes.set_ylim(0, 100)
    axes.legend(fontsize=6.5, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 0.98))
    return Drawing(figure)


def confusion() -> Drawing:
    """Figure 7: a confusion matrix with its numbers."""
    percent = np.array([
        [82, 14, 1, 0, 2, 1], [11, 84, 2, 0, 1, 2], [2, 3, 88, 1, 1, 5],
        [0, 0, 1, 97, 1, 1], [3, 2, 1, 2, 91, 1], [4, 5, 9, 1, 3, 78],
    ])  # fmt: skip
    figure = blank(COLUMN_WIDTH, 172)
    axes = framed(figure, 62, 32, 134, 134)
    axes.imshow(percent, cmap="YlGnBu", vmin=0, vmax=100, interpolation="none")
    for (row, column), value in np.ndenumerate(percent):
        axes.text(
            column, row, str(value), fontsize=7, ha="center", va="center", color="white" if value > 50 else "black"
        )
    axes.set_xticks(range(6), SHORT_NAMES, fontsize=6.5, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(6), SHORT_NAMES, fontsize=6.5)
    axes.tick_params(length=0)
    axes.set_ylabel("true material", fontsize=7.5)
    axes.set_xlabel("recognised as", fontsize=7.5, labelpad=1)
    return Drawing(figure)
