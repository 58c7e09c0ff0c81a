"""Metrics of a run: throughput and memory while it trains, and its losses as lines of `metrics.jsonl`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import psutil
import torch
from torch import Tensor

from figtune.core.distributed import world_size
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

_GB = 1e9


def metrics_lines(log_history: Sequence[Mapping[str, float]], schedule: TrainingSchedule) -> list[MetricsLine]:
    """Return one line per step with a measurement.

    Args:
        log_history: the Trainer's, in the order of steps.
    """
    measured: dict[int, dict[str, float]] = {}
    epochs: dict[int, float] = {}
    for entry in log_history:
        values = {name: float(f"{entry[logged]:.{_DIGITS}g}") for logged, name in _MEASURES.items() if logged in entry}
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


class ThroughputMeter:
    """Examples and tokens per second since the last reading, without paused time."""

    def __init__(self, device: torch.device, schedule: TrainingSchedule, step: int) -> None:
        self._device = device
        self._schedule = schedule
        self._tokens: Tensor
        self._paused_at: float | None = None
        self._restart(step)

    def add_tokens(self, count: Tensor) -> None:
        """Count processed tokens, int64[] (kept on the device; no sync)."""
        self._tokens = self._tokens + count

    def pause(self) -> None:
        """Pause the timer."""
        self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Resume the timer."""
        if self._paused_at is not None:
            self._since += time.monotonic() - self._paused_at
            self._paused_at = None

    def metrics(self, step: int) -> dict[str, float]:
        """Return `examples_per_second` and `tokens_per_second` of all devices and `memory_gb` of this one; restart."""
        seconds = max(time.monotonic() - self._since, 1e-9)
        examples = self._schedule.examples_seen(step) - self._schedule.examples_seen(self._step)
        measured = {
            "examples_per_second": examples / seconds,
            # Batches are alike on all devices, so one device stands for the others.
            "tokens_per_second": int(self._tokens) * world_size() / seconds,
            "memory_gb": self._memory() / _GB,
        }
        self._restart(step)
        return measured

    def _restart(self, step: int) -> None:
        self._step = step
        self._since = time.monotonic()
        self._tokens = torch.zeros((), dtype=torch.int64, device=self._device)

    def _memory(self) -> int:
        """Return bytes: the peak allocated on the card so far, or the resident size of this process."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return int(psutil.Process().memory_info().rss)
