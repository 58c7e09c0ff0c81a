"""Early stopping: a run ends before its last step where the val loss no longer falls, or where the loss diverges."""

# ruff: noqa: ARG002 - the signatures are the Trainer's

from __future__ import annotations

import logging
import math
from collections import deque

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from figtune.core.errors import NothingProducedError
from figtune.training.metrics_log import evaluations_since_best

logger = logging.getLogger(__name__)

_WINDOW = 10
"""Number of logged losses in the moving average."""
_RISE = 2.0
"""A moving average above this multiple of its minimum, plus one nat, counts as divergence. Chosen, not measured: it
must only stand well above the noise of small batches."""


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
