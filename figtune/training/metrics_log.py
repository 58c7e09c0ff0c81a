"""Logged losses, learning rates and gradient norms of a run, as lines of `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from figtune.models.records import MetricsLine
from figtune.training.schedule import TrainingSchedule

VAL = "val"
MINITRAIN = "minitrain"

_DIGITS = 6
_MEASURES = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "gradient_norm",
    f"eval_{VAL}_loss": "val_loss",
    f"eval_{MINITRAIN}_loss": "minitrain_loss",
}
"""Trainer's name -> name in metrics.jsonl."""


def metrics_lines(log_history: Sequence[Mapping[str, float]], schedule: TrainingSchedule) -> list[MetricsLine]:
    """Return one line per step with a measurement.

    Args:
        log_history: the Trainer's, in the order of steps.
    """
    measured: dict[int, dict[str, float]] = {}
    epochs: dict[int, float] = {}
    for entry in log_history:
        values = {name: _rounded(entry[logged]) for logged, name in _MEASURES.items() if logged in entry}
        if values:
            step = int(entry["step"])
            measured.setdefault(step, {}).update(values)
            epochs[step] = entry.get("epoch", 0.0)
    return [
        MetricsLine(
            step=step,
            epoch=round(epochs[step], 4),
            examples_seen=schedule.examples_seen(step),
            loss=values.get("loss"),
            learning_rate=values.get("learning_rate"),
            gradient_norm=values.get("gradient_norm"),
            val_loss=values.get("val_loss"),
            minitrain_loss=values.get("minitrain_loss"),
        )
        for step, values in sorted(measured.items())
    ]


def best_step(log_history: Sequence[Mapping[str, float]]) -> int | None:
    """Return the step with the lowest loss on val; None without val, or before the first trained step."""
    losses = _val_losses(log_history)
    return min(losses, key=lambda step: losses[step]) if losses else None


def evaluations_since_best(log_history: Sequence[Mapping[str, float]]) -> int:
    """Return the number of evaluations on val after the best one."""
    best = best_step(log_history)
    return 0 if best is None else sum(step > best for step in _val_losses(log_history))


def _val_losses(log_history: Sequence[Mapping[str, float]]) -> dict[int, float]:
    """Return val losses by step, in order, without the one before training."""
    name = f"eval_{VAL}_loss"
    return {int(entry["step"]): entry[name] for entry in log_history if name in entry and entry["step"] > 0}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
