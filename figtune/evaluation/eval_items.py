"""Examples to evaluate, each with a mismatched image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from figtune.batching.tokenization import check_room, log_too_long
from figtune.core import commands
from figtune.core.errors import InputError, NothingProducedError
from figtune.core.jsonl import read_records
from figtune.dataset.records import MINITRAIN_FILE, Example
from figtune.dataset.shards import stream_examples
from figtune.evaluation.negatives import Negative, NegativePool
from figtune.metrics.records import EvaluatedSplit
from figtune.models.family import Family, Processor


@dataclass(frozen=True, kw_only=True)
class EvalItem:
    """Example of a split, with another example of the split that has another image, if there is one."""

    split: EvaluatedSplit
    example: Example
    mismatched: Example | None
    negatives: tuple[Negative, ...] = ()
    """Wrong completions for choice accuracy; none for short questions, or with too few texts."""


def read_eval_items(dataset_dir: Path) -> list[EvalItem]:
    """Read the test examples, then the minitrain examples (for memorisation), in file order.

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
        others, pool = mismatched_images(examples), NegativePool(examples)
        evaluated += [
            EvalItem(
                split=split,
                example=example,
                mismatched=others.get(example.image_sha256),
                negatives=pool.negatives(example),
            )
            for example in examples
        ]
    if not evaluated:
        raise NothingProducedError(
            f"{dataset_dir} has neither test nor training examples", f"prepare more papers with: {commands.PREPARE}"
        )
    return evaluated


def fitting(items: Sequence[EvalItem], family: Family, processor: Processor, max_length: int) -> list[EvalItem]:
    """Return the items whose prompt leaves room for a completion, and log the others.

    Raises:
        NothingProducedError: no item is left.
    """
    kept = []
    misfits: dict[str, InputError] = {}
    for item in items:
        try:
            check_room(family, processor, item.example.prompt, max_length)
        except InputError as misfit:
            misfits[item.example.example_id] = misfit
            continue
        kept.append(item)
    log_too_long(misfits)
    if not kept:
        raise NothingProducedError("no prompt leaves room for an answer", "raise --model.max_length and train again")
    return kept


def mismatched_images(examples: Sequence[Example]) -> Mapping[str, Example]:
    """Map each image, by its sha256, to an example with another image; every image is used once.

    Pairing by sorted hash: deterministic and effectively random. Empty if there is only one image.
    """
    by_image = {example.image_sha256: example for example in reversed(examples)}
    images = sorted(by_image)
    if len(images) < 2:
        return {}
    return {image: by_image[other] for image, other in zip(images, [*images[1:], images[0]], strict=True)}


def image_paths(evaluated: Sequence[EvalItem], dataset_dir: Path) -> dict[str, Path]:
    """Return the files of all images, right and mismatched ones, by sha256."""
    examples = [example for item in evaluated for example in (item.example, item.mismatched) if example is not None]
    return {example.image_sha256: dataset_dir / example.image for example in examples}
