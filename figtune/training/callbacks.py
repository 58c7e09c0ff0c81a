"""Trainer callbacks: progress bar, checkpoint completion."""

# ruff: noqa: ARG002 - the signatures are the Trainer's

from __future__ import annotations

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from figtune.core import distributed
from figtune.core.log import progress_bar
from figtune.training.checkpoints import Checkpoints
from figtune.training.schedule import TrainingSchedule


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
