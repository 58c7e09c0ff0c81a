"""The picture of a run: the curves of what was measured, and the same file for the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from figtune.training.outputs import Curves, draw_curves, write_curves
from tests.rows import each_row

CURVES = Curves(
    kept_step=2,
    train=((1, 3.0), (2, 2.0), (3, 1.0)),
    minitrain=((0, 3.2), (3, 0.9)),
    val=((0, 3.1), (3, 2.5)),
    rate=((1, 1e-4), (3, 5e-5)),
)


def _lines(curves: Curves) -> dict[str, list[list[float]]]:
    """Points of every line drawn, by label, with the learning rate under its axis' label."""
    losses, rate = draw_curves(curves).axes
    (of_rate,) = rate.lines
    lines = {**{str(line.get_label()): line for line in losses.lines}, rate.get_ylabel(): of_rate}
    return {label: np.asarray(line.get_xydata()).tolist() for label, line in lines.items()}


def test_each_curve_is_drawn_through_its_points() -> None:
    lines = _lines(CURVES)
    assert [at for at, _ in lines.pop("kept")] == [CURVES.kept_step] * 2
    assert lines == {
        "training batches": [[1, 3.0], [2, 2.0], [3, 1.0]],
        "minitrain": [[0, 3.2], [3, 0.9]],
        "validation": [[0, 3.1], [3, 2.5]],
        "learning rate": [[1, 1e-4], [3, 5e-5]],
    }


@each_row(("changed", "gone"), [(replace(CURVES, val=()), "validation"), (replace(CURVES, kept_step=3), "kept")])
def test_a_curve_that_says_nothing_is_left_out(changed: Curves, gone: str) -> None:
    assert _lines(CURVES).keys() - _lines(changed).keys() == {gone}


@pytest.mark.slow
def test_the_same_run_gives_the_same_picture(tmp_path: Path) -> None:
    empty = Curves(train=(), minitrain=(), val=(), rate=(), kept_step=0)
    for name, curves in {"a.png": CURVES, "b.png": CURVES, "empty.png": empty}.items():
        write_curves(tmp_path / name, curves)
    with (
        Image.open(tmp_path / "a.png") as first,
        Image.open(tmp_path / "b.png") as second,
        Image.open(tmp_path / "empty.png") as third,
    ):
        assert first.size == third.size == (960, 720)
        assert np.array_equal(np.asarray(first), np.asarray(second))
        assert not np.array_equal(np.asarray(first), np.asarray(third))
