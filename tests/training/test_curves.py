"""The picture of a run: the curves of what was measured, and the same file for the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from figtune.models.records import MetricsLine
from figtune.training.outputs import draw_curves, write_curves
from tests.rows import each_row

KEPT = 2


def _line(
    step: int,
    *,
    loss: float | None = None,
    rate: float | None = None,
    val: float | None = None,
    minitrain: float | None = None,
) -> MetricsLine:
    return MetricsLine(
        step=step,
        epoch=0.0,
        examples_seen=0,
        loss=loss,
        learning_rate=rate,
        gradient_norm=None,
        val_loss=val,
        minitrain_loss=minitrain,
    )


LINES = [
    _line(0, minitrain=3.2, val=3.1),
    _line(1, loss=3.0, rate=1e-4),
    _line(2, loss=2.0),
    _line(3, loss=1.0, rate=5e-5, minitrain=0.9, val=2.5),
]
WITHOUT_VAL = [replace(line, val_loss=None) for line in LINES]


def _lines(lines: Sequence[MetricsLine], kept_step: int) -> dict[str, list[list[float]]]:
    """Points of every line drawn, by label, with the learning rate under its axis' label."""
    losses, rate = draw_curves(lines, kept_step).axes
    (of_rate,) = rate.lines
    drawn = {**{str(line.get_label()): line for line in losses.lines}, rate.get_ylabel(): of_rate}
    return {label: np.asarray(line.get_xydata()).tolist() for label, line in drawn.items()}


def test_each_curve_is_drawn_through_its_points() -> None:
    lines = _lines(LINES, KEPT)
    assert [at for at, _ in lines.pop("kept")] == [KEPT] * 2
    assert lines == {
        "training batches": [[1, 3.0], [2, 2.0], [3, 1.0]],
        "minitrain": [[0, 3.2], [3, 0.9]],
        "validation": [[0, 3.1], [3, 2.5]],
        "learning rate": [[1, 1e-4], [3, 5e-5]],
    }


@each_row(("lines", "kept", "gone"), [(WITHOUT_VAL, KEPT, "validation"), (LINES, 3, "kept")])
def test_a_curve_that_says_nothing_is_left_out(lines: list[MetricsLine], kept: int, gone: str) -> None:
    assert _lines(LINES, KEPT).keys() - _lines(lines, kept).keys() == {gone}


@pytest.mark.slow
def test_the_same_run_gives_the_same_picture(tmp_path: Path) -> None:
    for name, lines in {"a.png": LINES, "b.png": LINES, "empty.png": []}.items():
        write_curves(tmp_path / name, lines, KEPT)
    with (
        Image.open(tmp_path / "a.png") as first,
        Image.open(tmp_path / "b.png") as second,
        Image.open(tmp_path / "empty.png") as third,
    ):
        assert first.size == third.size == (960, 720)
        assert np.array_equal(np.asarray(first), np.asarray(second))
        assert not np.array_equal(np.asarray(first), np.asarray(third))
