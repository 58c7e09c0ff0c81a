"""Reading order of labels, and where a reader can be sure of it."""

from __future__ import annotations

import pytest

from figtune.pdf.geometry import Box
from figtune.pdf.reading_order import NUMBER, is_axis_torn, is_only_order, reading_order, value_of
from tests.rows import each_row

Placed = list[tuple[str, Box]]

PLOT: Placed = [
    ("Curves", Box(80, 0, 120, 10)),
    ("Loss", Box(0, 60, 10, 100)),
    ("3 2 1 0", Box(15, 30, 25, 140)),
    ("Ours", Box(150, 20, 180, 30)),
    ("Baseline", Box(150, 34, 190, 44)),
    ("0 5 10 15", Box(25, 142, 175, 152)),
    ("Epoch", Box(80, 156, 120, 166)),
]


def moved(labels: Placed, x: float, y: float = 0.0) -> Placed:
    return [(text, Box(box.x0 + x, box.top + y, box.x1 + x, box.bottom + y)) for text, box in labels]


def ordered(labels: Placed) -> list[str]:
    """Return the texts in reading order, given in another one."""
    given = sorted(labels, key=lambda label: label[0])
    return [given[place][0] for place in reading_order([text for text, _ in given], [box for _, box in given])]


def is_sure(labels: Placed) -> bool:
    return is_only_order([text for text, _ in labels], [box for _, box in labels])


def test_a_plot_is_read_around_its_axes() -> None:
    assert ordered(PLOT) == [text for text, _ in PLOT]
    assert is_sure(PLOT)
    assert not is_sure([*PLOT[1:], PLOT[0]])
    beyond = [("Curves", Box(100, 0, 140, 10)), *PLOT[1:]]  # a plot goes on beyond its last number
    assert ordered(beyond) == [text for text, _ in beyond]


def test_plots_are_read_one_after_the_other() -> None:
    beside = [*PLOT, *moved(PLOT, 220)]
    below = [*PLOT, *moved(PLOT, 0, 200)]
    assert ordered(beside)[:2] == ["Curves", "Loss"]
    assert is_sure(beside)
    assert is_sure(below)


def test_names_of_bars_are_an_axis() -> None:
    bars = [*PLOT[:5], ("ImageNet", Box(30, 142, 70, 152)), ("JFT", Box(130, 142, 145, 152)), PLOT[6]]
    assert ordered(bars) == [text for text, _ in bars]
    assert is_sure(bars)


@each_row("gap", [20.0, 50.0])
def test_a_grid_has_more_than_one_order(gap: float) -> None:
    grid = [
        ("Slice", Box(0, 0, 30, 10)),
        ("Roll", Box(0, 20, 30, 30)),
        ("Pool", Box(30 + gap, 0, 60 + gap, 10)),
        ("Stack", Box(30 + gap, 20, 60 + gap, 30)),
    ]
    assert not is_sure(grid)
    assert not is_sure([grid[0], grid[2], grid[1], grid[3]])
    assert is_sure([*grid[:2], *moved(grid[2:], 100)])


def test_an_axis_of_two_plots_leaves_their_order_open() -> None:
    shared = [*PLOT, *[label for label in moved(PLOT, 220) if label[0] != "3 2 1 0"]]
    assert not is_sure(shared)


def test_labels_that_no_line_parts_have_no_sure_order() -> None:
    assert not is_sure([("one", Box(0, 0, 40, 12)), ("two", Box(30, 10, 70, 22)), ("three", Box(-20, 8, 5, 30))])


def test_an_axis_that_falls_and_rises_has_lost_its_minus_signs() -> None:
    across = [("3 2 1 0", Box(0, 0, 70, 8)), ("1 2 3", Box(88, 0, 140, 8))]
    assert is_axis_torn([text for text, _ in across], [box for _, box in across])
    side_by_side = [("0 1 2 3", Box(0, 0, 70, 8)), ("0 1 2 3", Box(88, 0, 160, 8))]
    assert not is_axis_torn([text for text, _ in side_by_side], [box for _, box in side_by_side])
    assert is_axis_torn(["15 16 1718 19"], [Box(0, 0, 70, 8)])
    assert not is_axis_torn(["0.1 1 10 100"], [Box(0, 0, 70, 8)])
    apart = moved(across[1:], 200)
    assert not is_axis_torn(["3 2 1 0", apart[0][0]], [across[0][1], apart[0][1]])


@each_row(
    ("text", "value"),
    [("−0.5", -0.5), ("10^3", 1000.0), ("10^−2", 0.01), (".25", 0.25), ("30%", 30.0), ("1e−02", 0.01), ("1.2.3", 0.0)],
)
def test_numbers_of_axes_have_values(text: str, value: float) -> None:
    assert value_of(text) == pytest.approx(value)
    assert NUMBER.fullmatch(text)
