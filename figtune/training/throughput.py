"""Throughput and memory of a running training: logged, never part of its artifacts."""

from __future__ import annotations

import time

import psutil
import torch
from torch import Tensor

from figtune.core.distributed import world_size
from figtune.training.schedule import TrainingSchedule

_GB = 1e9


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
