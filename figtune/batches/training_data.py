"""The data set of preparation as rows and pictures, ready to be batched."""

from __future__ import annotations

from array import array
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
from figtune.core import commands
from figtune.core.errors import InputError, NothingProducedError
from figtune.core.jsonl import read_records
from figtune.dataset.records import MINITRAIN_FILE, Example
from figtune.dataset.shards import stream_examples
from figtune.models.family import Family, TokenisedRow

_PICTURES = "pictures"
_ID = "i"
"""Of `array`: what a token's number is stored as."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A row and the picture it is about, in five bytes a token: a run holds all of them."""

    input_ids: bytes
    """int32[L]"""
    token_type_ids: bytes
    """uint8[L]"""
    prompt_length: int
    shared_length: int
    truncated: bool
    image_sha256: str

    @classmethod
    def of(cls, row: TokenisedRow, image_sha256: str) -> Item:
        """The row packed."""
        return cls(
            input_ids=array(_ID, row.input_ids).tobytes(),
            token_type_ids=bytes(row.token_type_ids),
            prompt_length=row.prompt_length,
            shared_length=row.shared_length,
            truncated=row.truncated,
            image_sha256=image_sha256,
        )

    @property
    def row(self) -> TokenisedRow:
        """As it was."""
        return TokenisedRow(
            input_ids=tuple(array(_ID, self.input_ids)),
            token_type_ids=tuple(self.token_type_ids),
            prompt_length=self.prompt_length,
            shared_length=self.shared_length,
            truncated=self.truncated,
        )

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.token_type_ids)

    @property
    def shared(self) -> bytes:
        """The tokens that other examples about the picture can share."""
        return self.input_ids[: self.shared_length * array(_ID).itemsize]


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
        prefixes: dict[bytes, int] = {}
        return [
            Extent(
                picture=(item.image_sha256, prefixes.setdefault(item.shared, len(prefixes))) if item.shared else index,
                shared=item.shared_length,
                own=item.length - item.shared_length,
            )
            for index, item in enumerate(self.items)
        ]

    def bundles(self, batch: IndexBatch) -> list[Bundle]:
        """The examples of a batch; in a batch of nothing one that is read, and nothing learned from it."""
        if not batch:
            row = replace(self.items[0].row, prompt_length=self.items[0].length)
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
        minitrain=read_records(dataset_dir / MINITRAIN_FILE, Example, commands.PREPARE),
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
        items.append(Item.of(row, example.image_sha256))
    tell_of_misfits(misfits)
    return Items(items=items, truncated=sum(item.truncated for item in items), left_out=len(misfits))


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
