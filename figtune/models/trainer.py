"""transformers' Trainer with our loss, our evaluation and our checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from figtune.models.adapters import save_adapter
from figtune.models.checkpoints import mark_complete, remove_others
from figtune.models.family import IGNORED, Family
from figtune.models.forward import mean_loss, summed_loss
from figtune.models.training_data import Collator, ItemDataset, unpacked
from figtune.pipeline.errors import NothingProducedError
from figtune.pipeline.progress import track

_SETTLED = 10
"""Losses logged before a rise is taken for divergence."""
_DIVERGED = 2.0
"""Times the first loss."""


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Numbers that follow from recipe and data."""

    examples: int
    examples_per_step: int
    steps: int
    steps_between_logs: int
    steps_between_evaluations: int
    warmup_steps: int


class FigureTrainer(Trainer):
    """Loss per learned token over the whole optimizer step; evaluation likewise; no logits gathered."""

    def __init__(
        self,
        *,
        tuned: PeftModel,
        family: Family,
        arguments: TrainingArguments,
        train: ItemDataset,
        evaluated: Mapping[str, ItemDataset],
        collator: Collator,
        callbacks: list[TrainerCallback],
    ) -> None:
        super().__init__(
            model=tuned,
            args=arguments,
            train_dataset=train,
            eval_dataset=dict(evaluated),
            data_collator=collator,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        self._family = family
        self._evaluated = evaluated
        # Then the Trainer counts the learned tokens of all batches of a step, and leaves their scaling to us.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True

    def compute_loss(
        self,
        model: PeftModel,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Share of this batch in the mean over the learned tokens of the step: so accumulated = one big batch."""
        batch, features = unpacked(inputs)
        count = num_items_in_batch if num_items_in_batch is not None else (batch.labels != IGNORED).sum()
        loss = summed_loss(model, self._family, batch, features) / count
        if not torch.isfinite(loss):
            raise NothingProducedError(
                f"the loss is no longer a number after step {self.state.global_step}",
                "lower --train.learning_rate, or raise --train.warmup_fraction",
            )
        return loss

    def evaluate(
        self,
        eval_dataset: object = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Loss per learned token on each data set, logged as `eval_<name>_loss`."""
        losses = {f"{metric_key_prefix}_{name}_loss": self._loss_on(items) for name, items in self._evaluated.items()}
        if losses:
            self.log(dict(losses))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, losses)
        return losses

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The adapter of a checkpoint, without the questions that the Trainer's own way asks the Hub."""
        if self.args.should_save:
            save_adapter(self.model, Path(output_dir or self.args.output_dir))

    def _loss_on(self, items: ItemDataset) -> float:
        loader = DataLoader(items, batch_size=self.args.per_device_eval_batch_size, collate_fn=self.data_collator)
        batches = (unpacked(self._prepare_inputs(tensors)) for tensors in loader)
        return mean_loss(self.model, self._family, batches)


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


def run_plan(examples: int, epochs: float, examples_per_step: int, evaluations: int, warmup: float) -> RunPlan:
    """Steps of a run, and how often it logs and evaluates."""
    steps = max(1, math.ceil(math.ceil(examples / examples_per_step) * epochs))
    return RunPlan(
        examples=examples,
        examples_per_step=examples_per_step,
        steps=steps,
        steps_between_logs=max(1, steps // 200),
        steps_between_evaluations=max(1, math.ceil(steps / evaluations)),
        warmup_steps=math.ceil(steps * warmup),
    )
