"""Trainer callbacks: progress bar, checkpoint completion, sample answers at every evaluation."""

# ruff: noqa: ARG002 - the signatures are the Trainer's

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from figtune.core import distributed
from figtune.core.jsonl import read_records, write_records
from figtune.core.log import progress_bar
from figtune.dataset.records import Example
from figtune.inference.generate import generate_answers
from figtune.inference.settings import Decoding
from figtune.models.feature_cache import ImageSource, read_inputs
from figtune.models.loading import LoadedModel
from figtune.models.records import AnswerLine
from figtune.training.checkpoints import Checkpoints
from figtune.training.schedule import TrainingSchedule

logger = logging.getLogger(__name__)

_GREEDY = Decoding(max_new_tokens=128, temperature=0.0, top_p=1.0, seed=0)
"""Greedy decoding of short answers: enough to show progress."""


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
    """Makes room for each checkpoint, and marks it complete once all its files are written."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Make room for the checkpoint that the Trainer writes next."""
        if control.should_save:
            if distributed.is_rank_zero():
                self._checkpoints.make_room(state.global_step)
            distributed.barrier()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Mark the checkpoint that the Trainer has just written."""
        # Every process writes a file of its own into it.
        distributed.barrier()
        if distributed.is_rank_zero():
            self._checkpoints.mark_complete(state.global_step)
        distributed.barrier()


def evenly_spaced(examples: Sequence[Example], count: int) -> list[Example]:
    """Return `count` examples, evenly over their order, hence over papers."""
    count = min(count, len(examples))
    return [examples[index * len(examples) // count] for index in range(count)]


class SampleGenerationCallback(TrainerCallback):
    """Answers some examples at each evaluation and keeps all answers in one file.

    A resumed run keeps the answers up to the step that it resumes from.
    """

    def __init__(
        self,
        *,
        file: Path,
        loaded: LoadedModel,
        images: ImageSource,
        examples: Sequence[Example],
        batch_size: int,
        start: int | None,
    ) -> None:
        self._file = file
        self._loaded = loaded
        self._images = images
        self._examples = examples
        self._batch_size = batch_size
        if not examples:
            file.unlink(missing_ok=True)
        resumed = start is not None and file.is_file()
        earlier = read_records(file, AnswerLine, "train") if resumed else []
        self.lines = [line for line in earlier if start is not None and line.step <= start]

    def disable(self) -> None:
        """Answer nothing: sharded weights are only gathered within a training step."""
        if self._examples:
            logger.warning("train: no sample answers during training, since the weights are sharded over the cards")
        self._examples = ()
        self._file.unlink(missing_ok=True)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Answer, and rewrite the file."""
        if not self._examples:
            return
        model = self._loaded.peft_model
        was_training = model.training
        model.eval()
        answers = [text for batch in self._batches() for text in self._answers(batch)]
        model.train(was_training)
        self.lines += [
            AnswerLine(
                step=state.global_step,
                example_id=example.example_id,
                prompt=example.prompt,
                reference=example.completion,
                answer=text,
            )
            for example, text in zip(self._examples, answers, strict=True)
        ]
        if distributed.is_rank_zero():
            write_records(self._file, self.lines)

    def _batches(self) -> list[Sequence[Example]]:
        return [
            self._examples[start : start + self._batch_size]
            for start in range(0, len(self._examples), self._batch_size)
        ]

    def _answers(self, batch: Sequence[Example]) -> list[str]:
        images = [read_inputs(self._images, example.image_sha256) for example in batch]
        prompts = [example.prompt for example in batch]
        return [answer.text for answer in generate_answers(self._loaded, prompts, images, _GREEDY)]
