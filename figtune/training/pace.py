"""How fast a run goes and how much memory it takes: for those who watch it, never part of what it writes."""

from __future__ import annotations

import time

import psutil
import torch
from torch import Tensor

from figtune.models.ranks import process_count
from figtune.training.recipe import RunPlan

_GB = 1e9


class Pace:
    """Speed since it was last asked for; time that is not spent on training is left out."""

    def __init__(self, device: torch.device, plan: RunPlan, step: int) -> None:
        self._device = device
        self._plan = plan
        self._tokens: Tensor
        self._paused_at: float | None = None
        self._begin(step)

    def add_tokens(self, count: Tensor) -> None:
        """So many, int64[], go through the model on this device. Not looked at before it is asked for."""
        self._tokens = self._tokens + count

    def pause(self) -> None:
        """What comes now is not training."""
        self._paused_at = time.monotonic()

    def go_on(self) -> None:
        """Training again."""
        if self._paused_at is not None:
            self._since += time.monotonic() - self._paused_at
            self._paused_at = None

    def figures(self, step: int) -> dict[str, float]:
        """`examples_per_second` and `tokens_per_second` of all devices together, `memory_gb` of this one."""
        seconds = max(time.monotonic() - self._since, 1e-9)
        examples = self._plan.examples_seen(step) - self._plan.examples_seen(self._step)
        measured = {
            "examples_per_second": examples / seconds,
            # Batches are alike on all devices, so one stands for the others.
            "tokens_per_second": int(self._tokens) * process_count() / seconds,
            "memory_gb": self._memory() / _GB,
        }
        self._begin(step)
        return measured

    def _begin(self, step: int) -> None:
        self._step = step
        self._since = time.monotonic()
        self._tokens = torch.zeros((), dtype=torch.int64, device=self._device)

    def _memory(self) -> int:
        """Bytes: the card's peak so far, or what this process holds now."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return int(psutil.Process().memory_info().rss)
