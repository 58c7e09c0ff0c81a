"""The files of a finished run, its curves among them: all that evaluation needs, independent of the work folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from figtune.core.io import atomic_write, atomic_write_dir, write_bytes
from figtune.core.jsonl import write_json, write_records
from figtune.models.records import (
    ADAPTER_FOLDER,
    ANSWERS_FILE,
    BASE_FOLDER,
    CURVES_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PROCESSOR_FOLDER,
    MetricsLine,
    ModelRecord,
)
from figtune.training.checkpoints import step_of

_ADAPTER_FILES = "adapter_*"
"""Pattern of the adapter's files in a checkpoint, which holds much else."""


def draw_curves(lines: Sequence[MetricsLine], kept_step: int) -> Figure:
    """Draw losses (nats per token) above the learning rate, and the step of the weights that were kept.

    Args:
        lines: in the order of steps; what they do not measure is left out.
    """
    figure = Figure(figsize=(8, 6), dpi=120, layout="constrained")
    losses, rate = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    losses.plot(*_points(lines, "loss"), color="#9aa5b1", linewidth=1, label="training batches")
    losses.plot(*_points(lines, "minitrain_loss"), color="#2563eb", marker="o", markersize=3, label="minitrain")
    if any(line.val_loss is not None for line in lines):
        losses.plot(*_points(lines, "val_loss"), color="#dc2626", marker="o", markersize=3, label="validation")
    rated, rates = _points(lines, "learning_rate")
    if rated and kept_step < rated[-1]:
        losses.axvline(kept_step, color="#111827", linewidth=1, linestyle=":", label="kept")
    losses.set_ylabel("loss (nats per token)")
    losses.set_ylim(bottom=0)
    losses.legend(frameon=False)
    rate.plot(rated, rates, color="#6b7280", linewidth=1)
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    rate.set_xlabel("optimizer step")
    for axes in (losses, rate):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def write_curves(path: Path, lines: Sequence[MetricsLine], kept_step: int) -> None:
    """Write the curves into a PNG file, byte-identical for the same run."""
    canvas = FigureCanvasAgg(draw_curves(lines, kept_step))
    with atomic_write(path) as file:
        # Without matplotlib's version, so that the file depends on the run alone.
        canvas.print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]


def _points(lines: Sequence[MetricsLine], measure: str) -> tuple[list[int], list[float]]:
    """Return the optimizer steps at which something was measured, and its values."""
    measured = [(line.step, getattr(line, measure)) for line in lines if getattr(line, measure) is not None]
    return [step for step, _ in measured], [value for _, value in measured]


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """Counts and losses of a finished run."""

    examples: int
    """Number of examples trained on."""
    truncated: int
    """Number of them whose completion was cut to fit."""
    left_out: int
    """Number of examples whose prompt left no room for a completion."""
    steps: int
    """Optimizer steps taken: fewer than planned after early stopping."""
    planned_steps: int
    kept_step: int
    """Step whose weights the adapter has: the lowest loss on val, or the last step without val."""
    resumed_from: int
    """Step that the run was resumed from; 0 for a run from the beginning."""
    first_loss: float
    """Loss on minitrain before training; on the first logged steps where there is no minitrain."""
    last_loss: float
    """The same loss at the kept step."""
    val_loss: float | None
    """Loss on val at the kept step; None without validation examples."""


def write_output(
    output_dir: Path, model_dir: Path, record: ModelRecord, trained: Path, lines: list[MetricsLine]
) -> None:
    """Write `adapter/`, `processor/`, `model.json`, `metrics.jsonl`, `answers.jsonl`, `curves.png`.

    For a tiny model `base/` too.

    Args:
        trained: the checkpoint whose adapter is kept; the sample answers lie beside it.
    """
    with atomic_write_dir(output_dir / ADAPTER_FOLDER) as folder:
        for file in sorted(trained.glob(_ADAPTER_FILES)):
            shutil.copyfile(file, folder / file.name)
    copied = (PROCESSOR_FOLDER, BASE_FOLDER) if record.tiny else (PROCESSOR_FOLDER,)
    for name in copied:
        with atomic_write_dir(output_dir / name) as folder:
            shutil.copytree(model_dir / name, folder, dirs_exist_ok=True)
    answers = trained.parent / ANSWERS_FILE
    if answers.is_file():
        write_bytes(output_dir / ANSWERS_FILE, answers.read_bytes())
    write_json(output_dir / MODEL_FILE, record)
    write_records(output_dir / METRICS_FILE, lines)
    write_curves(output_dir / CURVES_FILE, lines, step_of(trained))
