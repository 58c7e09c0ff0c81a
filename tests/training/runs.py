"""A small data set and short runs on it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from config import TRAIN
from figtune.core.io import sha256_of
from figtune.core.jsonl import read_records, write_records
from figtune.dataset.records import MINITRAIN_FILE, Example, examples_file
from figtune.models.records import MetricsLine
from figtune.training.checkpoints import Checkpoints
from figtune.training.memory_check import MemoryBudget
from figtune.training.outputs import TrainingSummary
from figtune.training.settings import TrainSettings
from figtune.training.train import train
from tests.models.tuned import PROMPT, pictures

SETTINGS = replace(
    TRAIN,
    epochs=4,
    batch_size=2,
    gradient_accumulation_steps=1,
    learning_rate=5e-3,
    warmup_fraction=0.1,
    activation_checkpointing=False,
    evaluations=4,
    answers=0,
    trackers=(),
)
TEXTS = (
    "The encoder reads the image.",
    "The loss falls over time, then levels off.",
    "Results of our method on the set.",
)
MADE_BY = "python setup_model.py"


def example(folder: Path, index: int, completion: str) -> Example:
    """About one of `pictures`, which it draws."""
    image = folder / "images" / f"{index}.png"
    image.parent.mkdir(exist_ok=True)
    pictures()[index].save(image)
    return Example(
        example_id=f"paper-figure-{index}-caption-{len(completion)}",
        task="caption",
        image=f"images/{index}.png",
        image_sha256=sha256_of(image),
        prompt=PROMPT,
        completion=completion,
        group=f"paper-{index}",
        source="",
        kind="",
    )


def write_examples(folder: Path) -> None:
    """Two pictures with three examples each to train on, one for validation."""
    examples = [example(folder, index, text) for index in range(2) for text in TEXTS]
    write_records(folder / examples_file("train"), examples)
    write_records(folder / MINITRAIN_FILE, examples[:2])
    write_records(folder / examples_file("val"), [example(folder, 2, TEXTS[0])])


def run(
    dataset: Path, model: Path, output: Path, settings: TrainSettings = SETTINGS, budget: MemoryBudget | None = None
) -> TrainingSummary:
    """Train on the CPU."""
    return train(dataset, model, output, settings, device="cpu", model_by=MADE_BY, budget=budget)


def run_until_killed(dataset: Path, model: Path, output: Path, settings: TrainSettings, last_step: int) -> int:
    """Train in a process that is killed when the checkpoint of `last_step` is complete."""
    mark_complete = Checkpoints.mark_complete

    def mark_and_kill(checkpoints: Checkpoints, step: int) -> None:
        mark_complete(checkpoints, step)
        if step == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Checkpoints, "mark_complete", mark_and_kill)
        run(dataset, model, output, settings)
    return 0


def losses(output: Path) -> list[float]:
    """Losses and norms of gradients that a run has logged."""
    lines = read_records(output / "metrics.jsonl", MetricsLine, "train")
    values = [value for line in lines for value in (line.loss, line.val_loss, line.minitrain_loss, line.gradient_norm)]
    return [value for value in values if value is not None]
