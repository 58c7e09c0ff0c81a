"""The Trainer's reading: our batches in our order, ahead of the step, each process its own share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import TrainOutput

from figtune.batches.ahead import ReadAhead
from figtune.batches.bundles import Bundle
from figtune.batches.forward import summed_loss
from figtune.batches.training_data import BatchDataset, Collator, unpacked
from figtune.models.ranks import process_count, process_index, summed

Tensors = dict[str, Tensor]


class ReadingTrainer(Trainer):
    """What one step takes is read while the step before runs."""

    def __init__(
        self,
        *,
        tuned: PeftModel,
        arguments: TrainingArguments,
        train: BatchDataset,
        evaluated: Mapping[str, Sequence[Sequence[Bundle]]],
        collator: Collator,
        callbacks: list[TrainerCallback],
    ) -> None:
        super().__init__(
            model=tuned,
            args=arguments,
            train_dataset=train,
            # It asks for some where it is to evaluate; what it is given it does not read.
            eval_dataset=dict(evaluated),
            callbacks=callbacks,
        )
        self._train = train
        self._evaluated = evaluated
        self._collator = collator
        self._ahead: ReadAhead[Tensors] | None = None

    def get_train_dataloader(self) -> DataLoader[list[Bundle]]:
        """One batch after another: the data set has composed them. accelerate deals them out to the processes."""
        loader: DataLoader[list[Bundle]] = DataLoader(
            self._train,
            batch_size=1,
            sampler=SequentialSampler(self._train),
            collate_fn=lambda batches: self._collator(batches[0]),
            pin_memory=self.args.dataloader_pin_memory,
        )
        prepared: DataLoader[list[Bundle]] = self.accelerator.prepare(loader)
        return prepared

    def get_batch_samples(
        self, epoch_iterator: Iterator[Tensors], num_batches: int, device: torch.device
    ) -> tuple[list[Tensors], Tensor | int | None]:
        """The batches of a step, and how many tokens are learned from in them, over all processes."""
        if self._ahead is None or self._ahead.source is not epoch_iterator:
            self._stop_reading()
            self._ahead = ReadAhead(epoch_iterator, num_batches + 1)
        taken: tuple[list[Tensors], Tensor | int | None] = super().get_batch_samples(self._ahead, num_batches, device)
        return taken

    def train(self, resume_from_checkpoint: str | None = None) -> TrainOutput:  # type: ignore[override]
        """All steps; however they end, nothing is read afterwards."""
        try:
            return super().train(resume_from_checkpoint=resume_from_checkpoint)
        finally:
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._ahead is not None:
            self._ahead.close()

    def loss_on(self, batches: Sequence[Sequence[Bundle]]) -> float:
        """Cross-entropy per learned token over all `batches` together, in evaluation mode and without gradients."""
        tuned: PeftModel = self.model
        was_training = tuned.training
        tuned.eval()
        total, count = 0.0, 0.0
        with torch.no_grad():
            for counts, tensors in self._shared_out(batches):
                batch, pictures = unpacked(self._prepare_inputs(tensors))
                loss = summed_loss(tuned, self._collator.family, batch, pictures)
                if counts:
                    total += float(loss)
                    count += batch.learned_tokens
        tuned.train(was_training)
        total, count = summed([total, count])
        return total / count

    def _shared_out(self, batches: Sequence[Sequence[Bundle]]) -> Iterator[tuple[bool, Tensors]]:
        """This process's batches, and whether each counts: where weights are spread, all take part in as many."""
        rounds = ceil(len(batches) / process_count())
        mine = [turn * process_count() + process_index() for turn in range(rounds)]
        read = ((index < len(batches), self._collator(batches[index % len(batches)])) for index in mine)
        ahead = ReadAhead(read, 2)
        try:
            yield from ahead
        finally:
            ahead.close()
