"""What happens beside the training steps: progress shown, a run gone astray stopped, checkpoints kept whole."""

# ruff: noqa: ARG002 - the signatures are the Trainer's

from __future__ import annotations

import math
from collections import deque

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from figtune.models.checkpoints import Checkpoints
from figtune.models.recipe import RunPlan
from figtune.pipeline.errors import NothingProducedError
from figtune.pipeline.progress import track

_WINDOW = 10
"""Logged losses that are averaged before they are judged."""
_RISE = 2.0
"""Times the lowest average so far, and a nat more: then the run has gone astray for good."""


class Watch(TrainerCallback):
    """Shows progress, and stops a run that has gone astray."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._bar: tqdm[int] | None = None
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._lowest = math.inf

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Open the bar, at the step that the run carries on from."""
        self._bar = track((), total=self._plan.examples_seen(self._plan.steps), title="training", unit="example")
        self._bar.initial = self._bar.n = self._plan.examples_seen(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._plan.examples_seen(state.global_step) - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Show the loss.

        Raises:
            NothingProducedError: it has risen far above what it was.
        """
        if logs is None or "loss" not in logs or self._bar is None:
            return
        self._bar.set_postfix_str(f"loss {logs['loss']:.3f}", refresh=False)
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

    def close(self) -> None:
        """Leave the bar as it is, however the run ended."""
        if self._bar is not None:
            self._bar.close()


class Keeper(TrainerCallback):
    """Marks each checkpoint once it is whole."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The Trainer has written all files of a checkpoint."""
        self._checkpoints.mark_complete(state.global_step)
