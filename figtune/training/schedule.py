"""Schedule of a training run: the learning rate, the number of steps, and the steps that log and evaluate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from figtune.training.settings import Scheduler, TrainSettings

_LOGS_PER_RUN = 200
LR_SCHEDULERS: dict[Scheduler, str] = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
"""Names that transformers has for the learning-rate schedules. The rate rises over the warmup steps, then falls as a
cosine or a line, or stays."""


@dataclass(frozen=True, kw_only=True)
class TrainingSchedule:
    """Step counts that follow from the settings and the number of examples."""

    examples: int
    """Training examples of one epoch."""
    steps_per_epoch: int
    """Optimizer steps of one epoch."""
    steps: int
    """Optimizer steps of the run."""
    steps_between_logs: int
    """Optimizer steps between two logged losses."""
    steps_between_evaluations: int
    """Optimizer steps between two evaluations, each of which saves a checkpoint."""
    warmup_steps: int
    """Optimizer steps in which the learning rate rises."""

    def examples_seen(self, step: int) -> int:
        """Return the training examples read after `step` optimizer steps, counted evenly over an epoch."""
        epochs, rest = divmod(step, self.steps_per_epoch)
        return epochs * self.examples + rest * self.examples // self.steps_per_epoch


def training_schedule(examples: int, steps_per_epoch: int, settings: TrainSettings) -> TrainingSchedule:
    """Return the step counts of a run over `examples` training examples."""
    steps = max(1, math.ceil(steps_per_epoch * settings.epochs))
    return TrainingSchedule(
        examples=examples,
        steps_per_epoch=steps_per_epoch,
        steps=steps,
        steps_between_logs=max(1, steps // _LOGS_PER_RUN),
        steps_between_evaluations=max(1, math.ceil(steps / settings.evaluations)),
        warmup_steps=math.ceil(steps * settings.warmup_fraction),
    )
