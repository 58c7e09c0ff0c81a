"""How a training run goes, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Scheduler = Literal["cosine", "linear", "constant"]
OptimizerName = Literal["adamw", "adamw_8bit"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a user can set about training."""

    epochs: float
    """Passes over the training examples."""
    batch_size: int
    """Examples per forward pass and device, at most."""
    max_batch_tokens: int
    """Tokens per forward pass and device, at most, padding included."""
    gradient_accumulation_steps: int
    """Forward passes per optimizer step."""
    learning_rate: float
    """At its peak."""
    scheduler: Scheduler
    """How the learning rate falls after the warm-up."""
    warmup_fraction: float
    """Share of the steps in which the learning rate rises."""
    optimizer: OptimizerName
    weight_decay: float
    max_grad_norm: float
    """Gradients are clipped to this norm."""
    activation_checkpointing: bool
    """Less memory for one more forward pass of the decoder."""
    auto_batch: bool
    """Where memory is too small for the batch, take a smaller one and accumulate more, as many examples per step."""
    evaluations: int
    """How often the losses on val and minitrain are taken and a checkpoint is written, evenly over the run."""
    patience: int
    """Evaluations without a lower loss on val after which the run stops; 0 for never."""
    answers: int
    """Examples of val that are answered at each evaluation; 0 for none."""
    save_total_limit: int
    """Checkpoints kept while the run lasts, the best among them."""
    seed: int
    """Of the order of examples and of dropout."""


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """What a run did."""

    examples: int
    """That it trained on."""
    truncated: int
    """Of them, those whose completion was cut to fit."""
    left_out: int
    """Examples whose prompt left no room for a completion."""
    steps: int
    """Done: fewer than planned where patience came to its end."""
    planned_steps: int
    kept_step: int
    """Whose weights the adapter has: the step with the lowest loss on val, or the last one without val."""
    resumed_from: int
    """The step it carried on from; 0 for a run from the beginning."""
    first_loss: float
    """On minitrain before training; on the first logged steps where there is no minitrain."""
    last_loss: float
    """The same at the step that was kept."""
    val_loss: float | None
    """At the step that was kept; None without validation examples."""


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Numbers that follow from recipe and data."""

    examples: int
    steps_per_epoch: int
    steps: int
    steps_between_logs: int
    steps_between_evaluations: int
    warmup_steps: int

    def examples_seen(self, step: int) -> int:
        """After so many optimizer steps, as if those of an epoch had as many examples each."""
        epochs, rest = divmod(step, self.steps_per_epoch)
        return epochs * self.examples + rest * self.examples // self.steps_per_epoch


def run_plan(examples: int, epochs: float, steps_per_epoch: int, evaluations: int, warmup: float) -> RunPlan:
    """Steps of a run, and how often it logs and evaluates."""
    steps = max(1, math.ceil(steps_per_epoch * epochs))
    return RunPlan(
        examples=examples,
        steps_per_epoch=steps_per_epoch,
        steps=steps,
        steps_between_logs=max(1, steps // 200),
        steps_between_evaluations=max(1, math.ceil(steps / evaluations)),
        warmup_steps=math.ceil(steps * warmup),
    )
