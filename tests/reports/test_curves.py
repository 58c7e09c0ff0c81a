"""The picture of a run: the same bytes for the same run, and drawn whatever was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from figtune.reports.curves import Curves, write_curves

CURVES = Curves(
    kept_step=10,
    train=((1, 3.0), (2, 2.0), (3, 1.0)),
    minitrain=((0, 3.2), (3, 0.9)),
    val=((0, 3.1), (3, 2.5)),
    rate=((1, 1e-4),),
)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_curves(tmp_path / name, CURVES)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (960, 720)


def test_each_curve_and_the_step_that_was_kept_are_drawn(tmp_path: Path) -> None:
    seen = set()
    for curves in (CURVES, replace(CURVES, train=()), replace(CURVES, val=()), replace(CURVES, kept_step=0)):
        write_curves(tmp_path / "a.png", curves)
        seen.add((tmp_path / "a.png").read_bytes())
    assert len(seen) == 4


def test_a_run_without_measurements_is_an_empty_picture(tmp_path: Path) -> None:
    write_curves(tmp_path / "a.png", Curves(train=(), minitrain=(), val=(), rate=(), kept_step=0))
    assert (tmp_path / "a.png").exists()
