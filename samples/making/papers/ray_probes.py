"""The figures of `ray_probes.toml`: depth refinement on glossy spheres."""

from __future__ import annotations

from functools import cache

import numpy as np

from making.canvas import (
    COLUMN_WIDTH,
    TEXT_WIDTH,
    Drawing,
    arrow,
    blank,
    block,
    elbow,
    framed,
    funnel,
    joint,
    note,
    sheets,
    sketch,
    zone,
)  # fmt: skip
from making.plots import panel_at, picture, sub_caption, tidy
from making.renderings import scenes
from making.renderings.noise import Array, resized

BLUE, YELLOW, GREEN, RED, GREY = "#bcd4ec", "#f6df9a", "#bfe0bf", "#f2b8ae", "#e4e4e4"
OVERVIEW_SHAPE = (150, 200)


@cache
def _balls() -> scenes.Render:
    return scenes.trace(scenes.THREE_BALLS, OVERVIEW_SHAPE)


def _outline_strength(depth: Array) -> Array:
    """Return the change of depth around each pixel, blurred a little; float64[H, W] in [0, 1]."""
    down, across = np.gradient(np.minimum(depth, 9.0))
    strength = np.minimum(np.hypot(down, across), 0.6) / 0.6
    height, width = depth.shape
    return np.clip(resized(resized(strength, (height // 3, width // 3)), depth.shape), 0, 1)


def _probe_places(count: int) -> tuple[Array, Array]:
    """x and y of probes in pixels, drawn where outlines are strong and never in the sky."""
    weight = (_outline_strength(_balls().depth) ** 1.5 + 0.01) * (_balls().depth < 9)
    chosen = np.random.default_rng(7).choice(weight.size, count, replace=False, p=(weight / weight.sum()).ravel())
    return chosen % weight.shape[1] * 1.0, chosen // weight.shape[1] * 1.0


def overview() -> Drawing:
    """Figure 1: input, coarse depth, probes and refined depth side by side."""
    render = _balls()
    image = scenes.traced_smoothly(scenes.THREE_BALLS, OVERVIEW_SHAPE)
    pictures = [image, scenes.coarse(render.depth, 20, 3), 0.45 * image + 0.1, render.depth]
    titles = ["input image", "coarse depth", "ray probes", "refined depth"]
    width, gap = 117.0, 9.0
    figure = blank(TEXT_WIDTH, 104)
    panels = []
    for index, (shown, title) in enumerate(zip(pictures, titles, strict=True)):
        x = index * (width + gap)
        axes = picture(figure, x, 14, width, 88, shown, colours="viridis_r", limits=(3.6, 9.5))
        if title == "ray probes":
            axes.scatter(*_probe_places(160), s=2.4, c="#ffe14d", linewidths=0)
            axes.set(xlim=(-0.5, 199.5), ylim=(149.5, -0.5))
        label = "abcd"[index]
        sub_caption(figure, x, 14, width, f"({label}) {title}")
        panels.append(panel_at(figure, label, x - 2, 0, width + 4, 104))
    return Drawing(figure, tuple(panels))


def architecture() -> Drawing:
    """Figure 2: the whole network from left to right."""
    figure, axes = sketch(TEXT_WIDTH, 128)
    picture(figure, 4, 52, 52, 39, scenes.traced_smoothly(scenes.THREE_BALLS, (75, 100)))
    note(axes, (30, 44), "image I")
    zone(axes, 66, 18, 156, 100, "frozen backbone", "#3a6ea5")
    funnel(axes, 76, 122, 71, (66, 30), "encoder", BLUE)
    funnel(axes, 132, 178, 71, (30, 66), "decoder", BLUE)
    sheets(axes, (188, 78), (16, 20), 3, "#8fb3d9")
    sheets(axes, (188, 34), (16, 20), 3, "#f4d9a8")
    note(axes, (199, 71), "depth", font=6)
    note(axes, (199, 27), "uncertainty", font=6)
    block(axes, (262, 46), (58, 28), "selector\ntop K by cell", YELLOW)
    block(axes, (340, 46), (54, 28), "probe head", GREEN)
    block(axes, (416, 46), (50, 28), "fusion", RED)
    joint(axes, (416, 92), "+")
    picture(figure, 445, 74, 48, 36, _balls().depth, colours="viridis_r", limits=(3.6, 9.5))
    note(axes, (469, 66), "refined depth")
    for start, end in [
        ((57, 71), (75, 71)), ((122, 71), (132, 71)), ((212, 46), (232, 46)), ((291, 46), (313, 46)),
        ((367, 46), (391, 46)), ((416, 60), (416, 86)), ((213, 92), (410, 92)), ((422, 92), (444, 92)),
    ]:  # fmt: skip
        arrow(axes, start, end)
    elbow(axes, [(30, 38), (30, 6), (340, 6), (340, 32)], colour="#666666", dashed=True)
    note(axes, (302, 53), "K", font=6.5)
    note(axes, (379, 53), "C at K", font=6.5)
    note(axes, (260, 11), "full-resolution patches", font=6.5, colour="#555555")
    note(axes, (300, 98), "coarse depth D", font=6.5)
    return Drawing(figure)


def probe_head() -> Drawing:
    """Figure 3: the probe head from bottom to top."""
    figure, axes = sketch(COLUMN_WIDTH, 214)
    picture(figure, 30, 6, 34, 34, scenes.traced_smoothly(scenes.THREE_BALLS, (150, 200))[52:92, 52:92])
    note(axes, (70, 23), "patch\n32 × 32 × 3", align="left")
    for index, (size, channels) in enumerate([("16 × 16", 32), ("8 × 8", 64), ("4 × 4", 128)]):
        y = 62 + 29 * index
        block(axes, (70, y), (104, 18), f"conv 3 × 3, /2  →  {size} × {channels}", GREEN, font=6)
        arrow(axes, (47 if index == 0 else 70, 41 if index == 0 else y - 20), (47 if index == 0 else 70, y - 9))
    block(axes, (188, 62), (84, 18), "coarse depth at probe", GREY, font=6.5)
    block(axes, (188, 105), (84, 18), "embedding, 128", YELLOW, font=6.5)
    block(axes, (120, 158), (170, 20), "attention, 4 heads", RED, font=7.5)
    arrow(axes, (188, 71), (188, 96))
    arrow(axes, (70, 129), (70, 148))
    arrow(axes, (188, 114), (188, 148))
    note(axes, (74, 139), "keys, values", font=6.5, align="left")
    note(axes, (184, 134), "query", font=6.5, align="right")
    for x, text in [(74, "linear → correction"), (170, "linear → confidence")]:
        block(axes, (x, 193), (88, 18), text, BLUE, font=6.5)
        arrow(axes, (x, 168), (x, 184))
    return Drawing(figure)


def budget_curves() -> Drawing:
    """Figure 4: error against the number of probes."""
    figure = blank(COLUMN_WIDTH, 150)
    axes = tidy(framed(figure, 34, 28, 196, 116), "number of probes K", "relative error")
    budgets = np.array([16, 32, 64, 128, 256, 512])
    axes.plot(
        budgets, [0.091, 0.088, 0.083, 0.078, 0.072, 0.067], ":", color="#777777", marker="s", ms=3, label="random"
    )
    axes.plot(
        budgets,
        [0.086, 0.078, 0.069, 0.0625, 0.0615, 0.061],
        "--",
        color="#e07b1a",
        marker="^",
        ms=3.5,
        label="image edges",
    )
    axes.plot(
        budgets,
        [0.082, 0.071, 0.061, 0.053, 0.047, 0.044],
        "-",
        color="#1f5fa8",
        marker="o",
        ms=3.5,
        label="learned selector",
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.set_ylim(0.04, 0.096)
    axes.legend(fontsize=6.5, frameon=False, loc="lower left")
    return Drawing(figure)


def calibration() -> Drawing:
    """Figure 5: predicted uncertainty against true error."""
    random = np.random.default_rng(23)
    figure = blank(COLUMN_WIDTH, 150)
    axes = tidy(framed(figure, 34, 28, 196, 116), "predicted uncertainty (cm)", "true error (cm)")
    for count, centre, spread, colour, marker, label in [
        (250, 2.0, 0.8, "#3c9a5f", "o", "smooth surface"), (150, 8.0, 3.2, "#7b3fa0", "D", "outline"),
    ]:  # fmt: skip
        predicted = np.abs(random.normal(centre, spread, count)) + 0.2
        actual = np.abs(predicted * random.normal(1.0, 0.24, count))
        axes.scatter(predicted, actual, s=5, c=colour, marker=marker, alpha=0.75, linewidths=0, label=label)
    axes.plot([0, 18], [0, 18], "--", color="#444444", lw=0.8)
    axes.set(xlim=(0, 18), ylim=(0, 20))
    axes.legend(fontsize=6.5, frameon=False, loc="upper left")
    return Drawing(figure)


def comparison() -> Drawing:
    """Figure 6: two scenes in five columns."""
    figure = blank(TEXT_WIDTH, 158)
    width, height, gap = 95.0, 70.0, 5.0
    titles = ["input", "coarse", "refined", "error before", "error after"]
    for row, (spheres, seed) in enumerate([(scenes.ROW_OF_PEARLS, 13), (scenes.STACK, 17)]):
        shape = (114, 154)
        depth = np.minimum(scenes.trace(spheres, shape).depth, 10.0)
        rough = np.minimum(scenes.coarse(depth, 19, seed), 10.0)
        refined = 0.75 * depth + 0.25 * scenes.coarse(depth, 60, seed + 1)
        near = depth < 9.9
        shown = [scenes.traced_smoothly(spheres, shape), rough, refined]
        shown += [np.abs(rough - depth) * near, np.abs(refined - depth) * near]
        for column, image in enumerate(shown):
            heat = column > 2
            picture(
                figure, column * (width + gap), 14 + (1 - row) * (height + gap - 1), width, height, image,
                colours="hot" if heat else "viridis_r", limits=(0, 1.5) if heat else (3.6, 10),
            )  # fmt: skip
    panels = []
    for column, title in enumerate(titles):
        x = column * (width + gap)
        sub_caption(figure, x, 14, width, f"({'abcde'[column]}) {title}")
        panels.append(panel_at(figure, "abcde"[column], x - 1, 0, width + 2, 158))
    return Drawing(figure, tuple(panels))


def placement() -> Drawing:
    """Figure 7: density of probes beside a histogram."""
    figure = blank(COLUMN_WIDTH, 118)
    density = _outline_strength(_balls().depth) * (_balls().depth < 9.4)
    density = resized(resized(density, (50, 66)), density.shape)
    picture(figure, 2, 20, 118, 92, density, colours="inferno", limits=(0, 0.8))
    axes = tidy(framed(figure, 152, 38, 80, 74), "pixels to outline", "share of probes", grid=False)
    shares = np.array([0.34, 0.23, 0.14, 0.08, 0.055, 0.04, 0.035, 0.03, 0.027, 0.023])
    axes.bar(np.arange(10) * 2 + 1, shares, width=1.8, color="#c8553d", edgecolor="#6d2415", lw=0.5)
    axes.set_xticks([0, 6, 12, 18])
    sub_caption(figure, 2, 14, 118, "(a) probe density")
    sub_caption(figure, 146, 14, 88, "(b) distances")
    return Drawing(
        figure, (panel_at(figure, "a", 0, 0, 122, 118), panel_at(figure, "b", 122, 0, COLUMN_WIDTH - 122, 118))
    )
