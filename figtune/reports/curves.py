"""Training curves: losses and learning rate by step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from figtune.core.io import atomic_write

Points = tuple[tuple[int, float], ...]
"""(optimizer step, value)."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Curves of a run in the order of steps; empty if not measured."""

    train: Points
    minitrain: Points
    val: Points
    rate: Points
    kept_step: int
    """Step of the weights that were kept."""


def draw_curves(curves: Curves) -> Figure:
    """Draw losses (nats per token) above the learning rate."""
    figure = Figure(figsize=(8, 6), dpi=120, layout="constrained")
    losses, rate = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    losses.plot(*_columns(curves.train), color="#9aa5b1", linewidth=1, label="training batches")
    losses.plot(*_columns(curves.minitrain), color="#2563eb", marker="o", markersize=3, label="minitrain")
    if curves.val:
        losses.plot(*_columns(curves.val), color="#dc2626", marker="o", markersize=3, label="validation")
    if curves.rate and curves.kept_step < curves.rate[-1][0]:
        losses.axvline(curves.kept_step, color="#111827", linewidth=1, linestyle=":", label="kept")
    losses.set_ylabel("loss (nats per token)")
    losses.set_ylim(bottom=0)
    losses.legend(frameon=False)
    rate.plot(*_columns(curves.rate), color="#6b7280", linewidth=1)
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    rate.set_xlabel("optimizer step")
    for axes in (losses, rate):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def write_curves(path: Path, curves: Curves) -> None:
    """Write the curves into a PNG file, byte-identical for the same run."""
    canvas = FigureCanvasAgg(draw_curves(curves))
    with atomic_write(path) as file:
        # Without matplotlib's version, so that the file depends on the run alone.
        canvas.print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]


def _columns(points: Points) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]
