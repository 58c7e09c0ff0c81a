"""Datasets of tokenized examples, and of the batches composed from them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from figtune.batching.batch_sampler import ExampleLength, IndexBatch
from figtune.batching.packing import SharedPrefixGroup
from figtune.batching.tokenization import log_too_long, tokenize_example
from figtune.core import commands
from figtune.core.errors import InputError, NothingProducedError
from figtune.core.jsonl import read_records
from figtune.dataset.records import MINITRAIN_FILE, SHORT_TASKS, Example
from figtune.dataset.shards import stream_examples
from figtune.models.family import Family, ImageLayout, Processor, TokenizedExample
from figtune.models.feature_cache import ImageFiles

_TOKEN_TYPECODE, _WEIGHT_TYPECODE = "i", "f"
"""`array` typecodes of token ids, and of weights of target tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactExample:
    """A tokenized example in five bytes a token, and its image: a run holds all of them in memory."""

    input_ids: bytes
    """int32[L]"""
    bidirectional: bytes
    """uint8[L]"""
    prompt_length: int
    shared_prefix_length: int
    image: ImageLayout
    truncated: bool
    image_sha256: str
    is_question: bool
    """True for short questions and words to read, which nothing but the image answers."""
    target_weights: bytes = b""
    """float32, one for each target token; empty for 1."""

    @classmethod
    def of(cls, example: TokenizedExample, image_sha256: str, *, is_question: bool = False) -> CompactExample:
        """Pack an example."""
        return cls(
            input_ids=array(_TOKEN_TYPECODE, example.input_ids).tobytes(),
            bidirectional=bytes(example.bidirectional),
            prompt_length=example.prompt_length,
            shared_prefix_length=example.shared_prefix_length,
            image=example.image,
            truncated=example.truncated,
            image_sha256=image_sha256,
            is_question=is_question,
        )

    @property
    def example(self) -> TokenizedExample:
        """The example, unpacked."""
        return TokenizedExample(
            input_ids=tuple(array(_TOKEN_TYPECODE, self.input_ids)),
            bidirectional=tuple(map(bool, self.bidirectional)),
            prompt_length=self.prompt_length,
            shared_prefix_length=self.shared_prefix_length,
            image=self.image,
            truncated=self.truncated,
            target_weights=tuple(array(_WEIGHT_TYPECODE, self.target_weights)) if self.target_weights else None,
        )

    def with_weights(self, weights: Sequence[float]) -> CompactExample:
        """Return the example with a weight for each of its target tokens."""
        return replace(self, target_weights=array(_WEIGHT_TYPECODE, weights).tobytes())

    @property
    def length(self) -> int:
        """Number of tokens."""
        return len(self.bidirectional)

    @property
    def shared_prefix(self) -> bytes:
        """Tokens that other examples of the image can share."""
        return self.input_ids[: self.shared_prefix_length * array(_TOKEN_TYPECODE).itemsize]


@dataclass(frozen=True, kw_only=True)
class DatasetSplits:
    """Examples of a run. `minitrain` is a share of `train`, to tell learning from memorising."""

    train: list[Example]
    val: list[Example]
    minitrain: list[Example]

    def images(self, dataset_dir: Path) -> dict[str, Path]:
        """Return the files of all images by their sha256."""
        everything = (*self.train, *self.val, *self.minitrain)
        return {example.image_sha256: dataset_dir / example.image for example in everything}


@dataclass(frozen=True, kw_only=True)
class TokenizedSplit:
    """Tokenized examples of one split, and the numbers of those that did not fit."""

    examples: list[CompactExample]
    truncated: int
    """Examples whose completion was cut."""
    left_out: int
    """Examples whose prompt leaves no room for a completion."""

    def lengths(self) -> list[ExampleLength]:
        """Return the tokens of each example. Only those after the same tokens about the same image can share them."""
        prefixes: dict[bytes, int] = {}
        return [
            ExampleLength(
                prefix=(each.image_sha256, prefixes.setdefault(each.shared_prefix, len(prefixes)))
                if each.shared_prefix
                else index,
                shared=each.shared_prefix_length,
                own=each.length - each.shared_prefix_length,
                is_question=each.is_question,
            )
            for index, each in enumerate(self.examples)
        ]

    def groups(self, batch: IndexBatch) -> list[SharedPrefixGroup]:
        """Return the groups of a batch. An empty (padding) batch yields one example with all labels ignored."""
        if not batch:
            first = self.examples[0]
            example = replace(first.example, prompt_length=first.length, target_weights=None)
            return [SharedPrefixGroup(image_sha256=first.image_sha256, examples=(example,))]
        return [self._group([self.examples[index] for index in indices]) for indices in batch]

    def _group(self, examples: Sequence[CompactExample]) -> SharedPrefixGroup:
        return SharedPrefixGroup(
            image_sha256=examples[0].image_sha256, examples=tuple(each.example for each in examples)
        )


def read_examples(dataset_dir: Path) -> DatasetSplits:
    """Read the examples of a data set.

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
    return DatasetSplits(
        train=train,
        val=list(stream_examples(dataset_dir, "val")),
        minitrain=read_records(dataset_dir / MINITRAIN_FILE, Example, commands.PREPARE),
    )


def tokenize_split(
    family: Family, processor: Processor, examples: Sequence[Example], images: ImageFiles, max_length: int
) -> TokenizedSplit:
    """Tokenize a split. An example whose prompt leaves no room for its completion is left out, and logged.

    Raises:
        InputError: an image whose number of tokens depends on its size cannot be read.
    """
    tokenized: list[CompactExample] = []
    refused: dict[str, InputError] = {}
    for example in examples:
        layout = images.layout(example.image_sha256)
        try:
            tokens = tokenize_example(family, processor, example.prompt, example.completion, layout, max_length)
        except InputError as refusal:
            refused[example.example_id] = refusal
            continue
        is_question = example.task in SHORT_TASKS
        tokenized.append(CompactExample.of(tokens, example.image_sha256, is_question=is_question))
    log_too_long(refused)
    return TokenizedSplit(
        examples=tokenized, truncated=sum(each.truncated for each in tokenized), left_out=len(refused)
    )
