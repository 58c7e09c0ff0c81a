"""The data set of preparation as rows and pictures, ready to be batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import ProcessorMixin

from figtune.batches.bundles import Bundle, packed
from figtune.batches.collation import TrainingBatch, training_batch
from figtune.batches.order import Extent, IndexBatch, Order
from figtune.batches.rows import tell_of_misfits, training_row
from figtune.examples.records import MINITRAIN_FILE, Example
from figtune.examples.shards import stream_examples
from figtune.models.family import Family, TokenisedRow
from figtune.pipeline import scripts
from figtune.pipeline.errors import InputError, NothingProducedError
from figtune.pipeline.records import read_records

_PICTURES = "pictures"


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

    def extents(self) -> list[Extent]:
        """What each takes. Only what stands before the same tokens about the same picture can be shared."""
        return [_extent(index, item) for index, item in enumerate(self.items)]

    def bundles(self, batch: IndexBatch) -> list[Bundle]:
        """The examples of a batch; in a batch of nothing one that is read, and nothing learned from it."""
        if not batch:
            row = replace(self.items[0].row, prompt_length=len(self.items[0].row.input_ids))
            return [Bundle(image_sha256=self.items[0].image_sha256, rows=(row,))]
        return [self._bundle([self.items[index] for index in indices]) for indices in batch]

    def _bundle(self, items: Sequence[Item]) -> Bundle:
        return Bundle(image_sha256=items[0].image_sha256, rows=tuple(item.row for item in items))


def read_examples(dataset_dir: Path) -> TrainingExamples:
    """The examples of a data set.

    Raises:
        ArtifactMissingError: a file is missing.
        InputError: a line that is no example.
        NothingProducedError: nothing to train on.
    """
    train = list(stream_examples(dataset_dir, "train"))
    if not train:
        raise NothingProducedError(
            f"{dataset_dir} has no examples to train on",
            "see rejected.jsonl in it for why figures were dropped, or give more papers",
        )
    return TrainingExamples(
        train=train,
        val=list(stream_examples(dataset_dir, "val")),
        minitrain=read_records(dataset_dir / MINITRAIN_FILE, Example, scripts.PREPARE),
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


def _extent(index: int, item: Item) -> Extent:
    shared = item.row.shared_length
    picture = (item.image_sha256, item.row.input_ids[:shared]) if shared else index
    return Extent(picture=picture, shared=shared, own=len(item.row.input_ids) - shared)


class BatchDataset(Dataset[list[Bundle]]):
    """The batches of an epoch by number, for a data loader that takes them one after another."""

    def __init__(self, items: Items, order: Order) -> None:
        self._items = items
        self._order = order
        self._batches = order.batches(0)

    def set_epoch(self, epoch: int) -> None:
        """accelerate's data loader says which epoch begins, after a resumed start and on every process too."""
        self._batches = self._order.batches(epoch)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> list[Bundle]:
        return self._items.bundles(self._batches[index])


class Pictures(Protocol):
    """Pictures by the sha256 of their files, each as `Family.image_embeddings` takes it, without the first axis."""

    def __getitem__(self, image_sha256: str) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Bundles as one batch of tensors."""

    family: Family
    pad_id: int
    features: Pictures

    def __call__(self, bundles: Sequence[Bundle]) -> dict[str, Tensor]:
        """The fields of `TrainingBatch`, and `pictures`, one for each bundle, line by line."""
        lines = packed(bundles)
        pictures = torch.stack([self.features[bundle.image_sha256] for line in lines for bundle in line])
        return {_PICTURES: pictures, **vars(training_batch(lines, self.family, self.pad_id))}


def unpacked(tensors: dict[str, Tensor]) -> tuple[TrainingBatch, Tensor]:
    """What `Collator` packed: the batch, and the pictures."""
    fields = {name: tensor for name, tensor in tensors.items() if name != _PICTURES}
    return TrainingBatch(**fields), tensors[_PICTURES]
