"""transformers' Trainer with our loss, our evaluation and our checkpoints."""

# ruff: noqa: ARG002 - the signatures are the Trainer's
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from figtune.batches.bundles import Bundle
from figtune.batches.forward import summed_loss
from figtune.batches.training_data import BatchDataset, Collator, unpacked
from figtune.models.adapters import save_adapter
from figtune.models.ranks import process_count
from figtune.pipeline.errors import NothingProducedError
from figtune.training.pace import Pace
from figtune.training.reading import ReadingTrainer


class FigureTrainer(ReadingTrainer):
    """Loss per learned token over the whole optimizer step; evaluation likewise; no logits gathered."""

    def __init__(
        self,
        *,
        tuned: PeftModel,
        arguments: TrainingArguments,
        train: BatchDataset,
        evaluated: Mapping[str, Sequence[Sequence[Bundle]]],
        collator: Collator,
        callbacks: list[TrainerCallback],
        pace: Pace,
    ) -> None:
        super().__init__(
            tuned=tuned,
            arguments=arguments,
            train=train,
            evaluated=evaluated,
            collator=collator,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        self._pace = pace
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
        batch, pictures = unpacked(inputs)
        count = num_items_in_batch if num_items_in_batch is not None else batch.learned_tokens
        self._pace.add_tokens(batch.tokens)
        # What processes have computed is averaged over them afterwards.
        return process_count() * summed_loss(model, self._collator.family, batch, pictures) / count

    def _clip_grad_norm(self, model: PeftModel) -> Tensor:
        """Clip the gradients, which a loss that is no number has reached too.

        Raises:
            NothingProducedError: their norm is no number, or infinite.
        """
        norm: Tensor = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        if not torch.isfinite(norm):
            raise NothingProducedError(
                f"the loss or its gradient is no longer a number after step {self.state.global_step}",
                "lower --train.learning_rate, or raise --train.warmup_fraction",
            )
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Speed and memory go with each loss, for whoever watches."""
        measured = self._pace.figures(self.state.global_step) if "loss" in logs else {}
        super().log({**logs, **measured}, start_time)

    def evaluate(
        self,
        eval_dataset: object = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Loss per learned token on each data set, logged as `eval_<name>_loss`."""
        self._pace.pause()
        losses = {
            f"{metric_key_prefix}_{name}_loss": self.loss_on(batches) for name, batches in self._evaluated.items()
        }
        if losses:
            self.log(dict(losses))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, losses)
        self._pace.go_on()
        return losses

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The adapter of a checkpoint, without the questions that the Trainer's own way asks the Hub."""
        save_adapter(self.model, Path(output_dir or str(self.args.output_dir)))
