"""Trainer callbacks: progress bar, divergence guard, early stopping, checkpoint completion."""

# ruff: noqa: ARG002 - the signatures are the Trainer's

from __future__ import annotations

import logging
import math
from collections import deque

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from figtune.core import distributed
from figtune.core.errors import NothingProducedError
from figtune.core.log import progress_bar
from figtune.training.checkpoints import Checkpoints
from figtune.training.metrics_log import evaluations_since_best
from figtune.training.schedule import TrainingSchedule

logger = logging.getLogger(__name__)

_WINDOW = 10
"""Number of logged losses in the moving average."""
_RISE = 2.0
"""A moving average above this multiple of its minimum, plus one nat, counts as divergence. Chosen, not measured: it
must only stand well above the noise of small batches."""


class ProgressCallback(TrainerCallback):
    """Progress bar over the examples of the run, with loss, speed and memory."""

    def __init__(self, schedule: TrainingSchedule) -> None:
        self._schedule = schedule
        self._bar: tqdm[int] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Open the bar at the step that the run resumes from."""
        total = self._schedule.examples_seen(self._schedule.steps)
        self._bar = progress_bar((), total=total, title="training", unit="example")
        self._bar.initial = self._bar.n = self._schedule.examples_seen(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update(self._schedule.examples_seen(state.global_step) - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Show the loss, the speed and the memory."""
        if logs is not None and "loss" in logs and self._bar is not None:
            self._bar.set_postfix_str(_postfix(logs), refresh=False)

    def close(self) -> None:
        """Leave the bar as it is, however the run ended."""
        if self._bar is not None:
            self._bar.close()


def _postfix(logs: dict[str, float]) -> str:
    parts = [f"loss {logs['loss']:.3f}"]
    if "tokens_per_second" in logs:
        parts += [f"{logs['tokens_per_second']:,.0f} tokens/s", f"{logs['memory_gb']:.1f} GB"]
    return ", ".join(parts)


class DivergenceCallback(TrainerCallback):
    """Divergence guard: ends a run whose loss rises far above its minimum."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._lowest = math.inf

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Compare the moving average of the loss with its minimum.

        Raises:
            NothingProducedError: it has risen far above it.
        """
        if logs is None or "loss" not in logs:
            return
        self._recent.append(logs["loss"])
        if len(self._recent) < _WINDOW:
            return
        average = sum(self._recent) / _WINDOW
        self._lowest = min(self._lowest, average)
        if average > _RISE * self._lowest + 1:
            raise NothingProducedError(
                f"training diverges: the loss rose from {self._lowest:.2f} to {average:.2f} "
                f"by step {state.global_step}",
                "lower --train.learning_rate, or raise --train.warmup_fraction",
            )


class EarlyStopping(TrainerCallback):
    """Early stopping on the val loss.

    transformers' EarlyStoppingCallback counts in its own state; here the decision is a function of the log history, so
    a resumed run stops at the same step as an uninterrupted one.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def should_stop(self, log_history: list[dict[str, float]]) -> bool:
        """Return True once the last `patience` evaluations were not better than the best one before them."""
        return 0 < self._patience <= evaluations_since_best(log_history)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Judge the evaluation that has just been logged."""
        if self.should_stop(state.log_history) and state.global_step < state.max_steps:
            control.should_training_stop = True
            logger.info(
                f"train: early stopping at step {state.global_step}: no lower loss on val for "
                f"{self._patience} evaluations"
            )


class CheckpointCallback(TrainerCallback):
    """Marks each checkpoint complete once all its files are written."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Mark the checkpoint that the Trainer has just written."""
        # Every process writes a file of its own into it.
        distributed.barrier()
        if distributed.is_rank_zero():
            self._checkpoints.mark_complete(state.global_step)
        distributed.barrier()
