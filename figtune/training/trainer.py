"""transformers' Trainer with this project's batches, loss, evaluation and checkpoints."""

# ruff: noqa: ARG002 - the signatures are the Trainer's
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import TrainOutput

from figtune.batching.collator import Collator, split_model_inputs
from figtune.batching.data_loader import BatchDataset, Prefetcher, data_loader
from figtune.batching.loss import CompletionLoss
from figtune.batching.packing import SharedPrefixGroup
from figtune.core.distributed import all_reduce_sum, rank, world_size
from figtune.core.errors import NothingProducedError
from figtune.models.full_finetune import FullFinetuneModel
from figtune.models.lora import save_adapter
from figtune.training.metrics_log import ThroughputMeter

Tensors = dict[str, Tensor]


class FigureTrainer(Trainer):
    """Trainer that prefetches composed batches and averages the loss over the target tokens, or the examples, of an
    optimizer step."""

    def __init__(
        self,
        *,
        peft_model: PeftModel,
        arguments: TrainingArguments,
        train: BatchDataset,
        evaluated: Mapping[str, Sequence[Sequence[SharedPrefixGroup]]],
        collator: Collator,
        callbacks: list[TrainerCallback],
        throughput: ThroughputMeter,
        projector_learning_rate: float = 0.0,
    ) -> None:
        loss = CompletionLoss(peft_model, collator.family, weighted=collator.weighted)
        super().__init__(
            model=loss,
            args=arguments,
            train_dataset=train,
            # The Trainer requires one for its evaluations; `evaluate` reads `evaluated` instead.
            eval_dataset=dict(evaluated),
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        self._train = train
        self._evaluated = evaluated
        self._collator = collator
        self._peft_model = peft_model
        self._throughput = throughput
        self._projector_learning_rate = projector_learning_rate
        self._prefetcher: Prefetcher[Tensors] | None = None
        self._optimized: list[list[Tensor]] = []
        # With these the Trainer counts the target tokens of all batches of a step and leaves the scaling to us.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Create the optimizer, with groups of the projector's own learning rate if it has one."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if self._projector_learning_rate:
            part_of, trained = self._collator.family.parts.part_of, self.model if model is None else model
            named = [] if trained is None else trained.named_parameters()
            projector = {weight for name, weight in named if part_of(name) == "projector"}
            for group in list(optimizer.param_groups):
                own = [weight for weight in group["params"] if weight in projector]
                group["params"] = [weight for weight in group["params"] if weight not in projector]
                optimizer.add_param_group({**group, "params": own, "lr": self._projector_learning_rate})
        self._optimized = [list(group["params"]) for group in optimizer.param_groups]
        return optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Create the scheduler, once the optimizer is prepared: with the parameters it was made for."""
        model: object = self.model
        if isinstance(model, FSDPModule) and self.optimizer is not None:
            # accelerate finds parameters by their memory, and all shards without elements have the same: none.
            for group, own in zip(self.optimizer.param_groups, self._optimized, strict=True):
                group["params"] = own
        scheduler: torch.optim.lr_scheduler.LRScheduler = super().create_scheduler(num_training_steps, optimizer)
        return scheduler

    def get_train_dataloader(self) -> DataLoader[list[SharedPrefixGroup]]:
        """Return the data loader; accelerate deals its batches out to the processes."""
        loader = data_loader(self._train, self._collator, pin_memory=self.args.dataloader_pin_memory)
        prepared: DataLoader[list[SharedPrefixGroup]] = self.accelerator.prepare(loader)
        return prepared

    def get_batch_samples(
        self, epoch_iterator: Iterator[Tensors], num_batches: int, device: torch.device
    ) -> tuple[list[Tensors], Tensor | int | None]:
        """Return the batches of a step and the number of target tokens, or of examples, in them, over all processes.

        Weighted by what the picture tells, the sum of their weights.
        """
        if self._prefetcher is None or self._prefetcher.source is not epoch_iterator:
            self._stop_prefetching()
            self._prefetcher = Prefetcher(epoch_iterator, num_batches + 1)
        taken: tuple[list[Tensors], Tensor | int | None] = super().get_batch_samples(
            self._prefetcher, num_batches, device
        )
        if not self._collator.weighted:
            return taken
        counts = torch.stack([split_model_inputs(tensors)[0].loss_count for tensors in taken[0]]).to(device)
        return taken[0], self.accelerator.gather(counts.sum()).sum()

    def train(self, resume_from_checkpoint: str | None = None) -> TrainOutput:  # type: ignore[override]
        """Take all steps, and stop prefetching however they end."""
        try:
            return super().train(resume_from_checkpoint=resume_from_checkpoint)
        finally:
            self._stop_prefetching()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Tensors,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return this batch's share of the mean over the target tokens, or the examples, of the step: accumulated = one
        big batch."""
        batch, _ = split_model_inputs(inputs)
        count = num_items_in_batch if num_items_in_batch is not None else batch.loss_count
        self._throughput.add_tokens(batch.tokens)
        # Gradients are averaged over the processes afterwards.
        loss: Tensor = model(inputs)
        return world_size() * loss / count

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        """Clip the gradients. A loss that is not finite shows here too.

        Raises:
            NothingProducedError: their norm is not finite.
        """
        norm: Tensor = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        if not torch.isfinite(norm):
            raise NothingProducedError(
                f"the loss or its gradient is not finite after step {self.state.global_step}",
                "lower --train.learning_rate, or raise --train.warmup_fraction",
            )
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log with speed and memory beside each training loss."""
        measured = self._throughput.metrics(self.state.global_step) if "loss" in logs else {}
        super().log({**logs, **measured}, start_time)

    def evaluate(
        self,
        eval_dataset: object = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return the loss per target token on each split, logged as `eval_<name>_loss`."""
        self._throughput.pause()
        losses = {
            f"{metric_key_prefix}_{name}_loss": self._mean_loss(batches) for name, batches in self._evaluated.items()
        }
        if losses:
            self.log(dict(losses))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, losses)
        self._throughput.resume()
        return losses

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the adapter of a checkpoint, without the Hub requests of the Trainer's own method."""
        save_adapter(self._peft_model, Path(output_dir or str(self.args.output_dir)))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        with self._as_saved_model() as saved:
            super()._load_from_checkpoint(resume_from_checkpoint, saved)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        with self._as_saved_model():
            super()._save_optimizer_and_scheduler(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with self._as_saved_model():
            super()._load_optimizer_and_scheduler(checkpoint)

    @contextmanager
    def _as_saved_model(self) -> Iterator[nn.Module]:
        """Show the Trainer the model that a checkpoint is of: inside the loss, that with the adapter.

        Trained whole and spread over processes it is the base model: of an adapter's, accelerate would keep LoRA alone.
        """
        held = self.model, self.model_wrapped
        is_whole = isinstance(self._peft_model, FullFinetuneModel) and isinstance(held[0], FSDPModule)
        saved: nn.Module = self._peft_model.get_base_model() if is_whole else self._peft_model
        self.model = self.model_wrapped = saved
        try:
            yield saved
        finally:
            self.model, self.model_wrapped = held

    def _mean_loss(self, batches: Sequence[Sequence[SharedPrefixGroup]]) -> float:
        """Return the cross-entropy per target token over all `batches`, in evaluation mode and without gradients.

        Per token whatever the training loss is averaged over, so that runs compare.
        """
        loss_of: nn.Module = self.model  # type: ignore[assignment]  # the Trainer may have none
        was_training = loss_of.training
        loss_of.eval()
        losses, count = list[Tensor](), 0.0
        with torch.no_grad():
            for counts, tensors in self._shard(batches):
                inputs = self._prepare_inputs(tensors)
                loss = loss_of(inputs)
                if counts:
                    losses.append(loss)
                    count += split_model_inputs(inputs)[0].num_target_tokens
        loss_of.train(was_training)
        # Read at the end, once: each look at a number waits for the device.
        total, count = all_reduce_sum([sum(torch.stack(losses).tolist()) if losses else 0.0, count])
        return total / count

    def _shard(self, batches: Sequence[Sequence[SharedPrefixGroup]]) -> Iterator[tuple[bool, Tensors]]:
        """Yield this process's batches, each with False where it only repeats one.

        Under FSDP every process must take part in as many forward passes as the others.
        """
        rounds = ceil(len(batches) / world_size())
        mine = [turn * world_size() + rank() for turn in range(rounds)]
        collator = replace(self._collator, loss_per="token")
        read = ((index < len(batches), collator(batches[index % len(batches)])) for index in mine)
        prefetcher = Prefetcher(read, 2)
        try:
            yield from prefetcher
        finally:
            prefetcher.close()

    def _stop_prefetching(self) -> None:
        if self._prefetcher is not None:
            self._prefetcher.close()
