"""The data set of preparation as rows and features, ready to be batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import ProcessorMixin

from figtune.examples.records import MINITRAIN_FILE, Example, examples_file
from figtune.models.collation import Batch, training_batch
from figtune.models.family import Family, TokenisedRow
from figtune.models.features import FeatureStore
from figtune.models.rows import tell_of_misfits, training_row
from figtune.pipeline.errors import InputError, NothingProducedError
from figtune.pipeline.records import read_records


@dataclass(frozen=True, kw_only=True)
class Item:
    """A row and the picture it is about."""

    row: TokenisedRow
    image_sha256: str


@dataclass(frozen=True, kw_only=True)
class TrainingExamples:
    """What a run reads. `minitrain` is a share of `train`, to tell learning from memorising."""

    train: list[Example]
    val: list[Example]
    minitrain: list[Example]

    def images(self, dataset_dir: Path) -> dict[str, Path]:
        """Files of all pictures by their sha256."""
        everything = (*self.train, *self.val, *self.minitrain)
        return {example.image_sha256: dataset_dir / example.image for example in everything}


@dataclass(frozen=True, kw_only=True)
class Items:
    """Rows of one split, and what became of the examples that did not fit."""

    items: list[Item]
    truncated: int
    left_out: int


def read_examples(dataset_dir: Path, made_by: str) -> TrainingExamples:
    """The examples of a data set.

    Raises:
        ArtifactMissingError: a file is missing; the remedy is `made_by`.
        InputError: a line that is no example.
        NothingProducedError: nothing to train on.
    """
    train = read_records(dataset_dir / examples_file("train"), Example, made_by)
    if not train:
        raise NothingProducedError(
            f"{dataset_dir / examples_file('train')} has no examples to train on",
            "see rejected.jsonl beside it for why figures were dropped, or give more papers",
        )
    return TrainingExamples(
        train=train,
        val=read_records(dataset_dir / examples_file("val"), Example, made_by),
        minitrain=read_records(dataset_dir / MINITRAIN_FILE, Example, made_by),
    )


def tokenised(family: Family, processor: ProcessorMixin, examples: Sequence[Example], max_length: int) -> Items:
    """Rows of a split; a prompt that leaves no room for its completion leaves its example out, and is told of."""
    items: list[Item] = []
    misfits: dict[str, InputError] = {}
    for example in examples:
        try:
            row = training_row(family, processor, example.prompt, example.completion, max_length)
        except InputError as misfit:
            misfits[example.example_id] = misfit
            continue
        items.append(Item(row=row, image_sha256=example.image_sha256))
    tell_of_misfits(misfits)
    return Items(items=items, truncated=sum(item.row.truncated for item in items), left_out=len(misfits))


class ItemDataset(Dataset[Item]):
    """Items by index, for a data loader."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Items as one batch of tensors."""

    pad_id: int
    features: FeatureStore

    def __call__(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """`features: float[B, T, V]` and the fields of `Batch`."""
        batch = training_batch([item.row for item in items], self.pad_id)
        features = torch.stack([self.features[item.image_sha256] for item in items])
        return {"features": features, **vars(batch)}


def unpacked(tensors: dict[str, Tensor]) -> tuple[Batch, Tensor]:
    """What `Collator` packed: the batch, and the features."""
    fields = {name: tensor for name, tensor in tensors.items() if name != "features"}
    return Batch(**fields), tensors["features"]
