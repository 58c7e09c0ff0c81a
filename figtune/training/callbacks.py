"""What happens beside the training steps: progress shown, a run ended in time, checkpoints kept whole."""

# ruff: noqa: ARG002 - the signatures are the Trainer's

from __future__ import annotations

import math
from collections import deque

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from figtune.models import ranks
from figtune.pipeline.errors import NothingProducedError
from figtune.pipeline.progress import say, track
from figtune.training.checkpoints import Checkpoints
from figtune.training.history import evaluations_since_best
from figtune.training.recipe import RunPlan

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
        """Show the loss, the speed and the memory.

        Raises:
            NothingProducedError: the loss has risen far above what it was.
        """
        if logs is None or "loss" not in logs or self._bar is None:
            return
        self._bar.set_postfix_str(_shown(logs), refresh=False)
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


def _shown(logs: dict[str, float]) -> str:
    parts = [f"loss {logs['loss']:.3f}"]
    if "tokens_per_second" in logs:
        parts += [f"{logs['tokens_per_second']:,.0f} tokens/s", f"{logs['memory_gb']:.1f} GB"]
    return ", ".join(parts)


class Patience(TrainerCallback):
    """Ends a run whose loss on val has not become lower for some evaluations."""

    def __init__(self, evaluations: int) -> None:
        self._evaluations = evaluations

    def is_over(self, log_history: list[dict[str, float]]) -> bool:
        """Whether patience is at its end: a function of the history, so that a resumed run ends at the same step."""
        return 0 < self._evaluations <= evaluations_since_best(log_history)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Judge the evaluation that has just been logged."""
        if self.is_over(state.log_history) and state.global_step < state.max_steps:
            control.should_training_stop = True
            say(
                f"train: stopping at step {state.global_step}: the loss on val has not become lower for "
                f"{self._evaluations} evaluations"
            )


class Keeper(TrainerCallback):
    """Marks each checkpoint once it is whole."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The Trainer has written all files of a checkpoint."""
        # Every process writes a file of its own into it.
        ranks.wait()
        if ranks.is_first():
            self._checkpoints.mark_complete(state.global_step)
        ranks.wait()
