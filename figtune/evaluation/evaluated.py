"""Which examples are evaluated, and which wrong picture each is tried with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import ProcessorMixin

from figtune.batches.rows import tell_of_misfits, training_row
from figtune.core import commands
from figtune.core.errors import InputError, NothingProducedError
from figtune.core.jsonl import read_records
from figtune.dataset.records import MINITRAIN_FILE, Example
from figtune.dataset.shards import stream_examples
from figtune.metrics.records import EvaluatedSplit
from figtune.models.family import Family


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """An example of a split, and another example of the split with another picture, if there is one."""

    split: EvaluatedSplit
    example: Example
    other: Example | None


def evaluated_examples(dataset_dir: Path) -> list[Evaluated]:
    """The held-out examples, then the training examples that memorising is told by; in the order of their files.

    Raises:
        ArtifactMissingError: there is no data set.
        InputError: a line of it cannot be read.
        NothingProducedError: both splits are empty.
    """
    evaluated = []
    read: dict[EvaluatedSplit, list[Example]] = {
        "test": list(stream_examples(dataset_dir, "test")),
        "minitrain": read_records(dataset_dir / MINITRAIN_FILE, Example, commands.PREPARE),
    }
    for split, examples in read.items():
        others = exchanged_pictures(examples)
        evaluated += [
            Evaluated(split=split, example=example, other=others.get(example.image_sha256)) for example in examples
        ]
    if not evaluated:
        raise NothingProducedError(
            f"{dataset_dir} has neither test nor training examples", f"prepare more papers with: {commands.PREPARE}"
        )
    return evaluated


def with_room(
    items: Sequence[Evaluated], family: Family, processor: ProcessorMixin, max_length: int
) -> list[Evaluated]:
    """Those whose prompt leaves room for a completion; the others are told of.

    Raises:
        NothingProducedError: there are none.
    """
    kept = []
    misfits: dict[str, InputError] = {}
    for item in items:
        try:
            training_row(family, processor, item.example.prompt, item.example.completion, max_length)
        except InputError as misfit:
            misfits[item.example.example_id] = misfit
            continue
        kept.append(item)
    tell_of_misfits(misfits)
    if not kept:
        raise NothingProducedError("no prompt leaves room for an answer", "raise --model.max_length and train again")
    return kept


def exchanged_pictures(examples: Sequence[Example]) -> Mapping[str, Example]:
    """For each picture, by its sha256, an example with another one; every picture takes the place of one other.

    The order of hashes is as good as drawn by lot, and the same every time. Empty where there is only one picture.
    """
    by_picture = {example.image_sha256: example for example in reversed(examples)}
    pictures = sorted(by_picture)
    if len(pictures) < 2:
        return {}
    return {picture: by_picture[other] for picture, other in zip(pictures, [*pictures[1:], pictures[0]], strict=True)}


def pictures(evaluated: Sequence[Evaluated], dataset_dir: Path) -> dict[str, Path]:
    """The files of all pictures, right and wrong ones, by their sha256."""
    examples = [example for item in evaluated for example in (item.example, item.other) if example is not None]
    return {example.image_sha256: dataset_dir / example.image for example in examples}
