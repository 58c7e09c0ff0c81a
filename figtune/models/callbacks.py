"""What happens beside the training steps: progress shown, a run gone astray stopped, checkpoints kept whole."""

# ruff: noqa: ARG002 - the signatures are the Trainer's

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from figtune.models.checkpoints import mark_complete, remove_others
from figtune.models.recipe import RunPlan
from figtune.pipeline.errors import NothingProducedError
from figtune.pipeline.progress import track

_SETTLED = 10
"""Losses logged before a rise is taken for divergence."""
_DIVERGED = 2.0
"""Times the first loss."""


class Watch(TrainerCallback):
    """Shows progress, and stops a run that has gone astray."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._bar: tqdm[int] | None = None
        self._losses: list[float] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Open the bar, at the step that the run carries on from."""
        total = self._plan.steps * self._plan.examples_per_step
        self._bar = track((), total=total, title="train", unit="example")
        self._bar.initial = state.global_step * self._plan.examples_per_step
        self._bar.update(self._bar.initial)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._plan.examples_per_step)

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
            NothingProducedError: it has risen far above where it began.
        """
        if logs is None or "loss" not in logs or self._bar is None:
            return
        self._bar.set_postfix_str(f"loss {logs['loss']:.3f}", refresh=False)
        self._losses.append(logs["loss"])
        if len(self._losses) > _SETTLED and self._losses[-1] > _DIVERGED * self._losses[0]:
            raise NothingProducedError(
                f"training diverges: the loss rose from {self._losses[0]:.2f} to {self._losses[-1]:.2f} "
                f"by step {state.global_step}",
                "lower --train.learning_rate, or raise --train.warmup_fraction",
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class Keeper(TrainerCallback):
    """Marks each checkpoint once it is whole, then removes those before it."""

    def __init__(self, folder: Path, run_id: str, keep: int) -> None:
        self._folder = folder
        self._run_id = run_id
        self._keep = keep

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The Trainer has written all files of a checkpoint."""
        mark_complete(self._folder, state.global_step, self._run_id)
        remove_others(self._folder, self._run_id, self._keep)
