"""Datasets of tokenized examples, and of the batches composed from them."""

from __future__ import annotations

import logging
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
from figtune.models.family import Family, Processor, TokenizedExample
from figtune.models.feature_cache import ImageFiles

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitExample:
    """A tokenized example and its image."""

    example: TokenizedExample
    image_sha256: str
    is_question: bool = False
    """True for short questions and words to read, which nothing but the image answers."""


def compact(example: TokenizedExample) -> TokenizedExample:
    """Return the same example in five bytes a token: a run holds all of its examples in memory."""
    return replace(example, input_ids=array("i", example.input_ids), bidirectional=bytes(example.bidirectional))


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

    examples: list[SplitExample]
    truncated: int
    """Examples whose completion was cut."""
    left_out: int
    """Examples whose prompt leaves no room for a completion."""

    def lengths(self) -> list[ExampleLength]:
        """Return the tokens of each example. Only those after the same tokens about the same image can share them."""
        prefixes: dict[tuple[int, ...], int] = {}
        lengths = []
        for index, each in enumerate(self.examples):
            shared = each.example.shared_prefix_length
            prefix = prefixes.setdefault(tuple(each.example.input_ids[:shared]), len(prefixes))
            lengths.append(
                ExampleLength(
                    prefix=(each.image_sha256, prefix) if shared else index,
                    shared=shared,
                    own=len(each.example.input_ids) - shared,
                    is_question=each.is_question,
                )
            )
        return lengths

    def groups(self, batch: IndexBatch) -> list[SharedPrefixGroup]:
        """Return the groups of a batch. An empty (padding) batch yields one example with all labels ignored."""
        if not batch:
            first = self.examples[0]
            example = replace(first.example, prompt_length=len(first.example.input_ids), target_weights=None)
            return [SharedPrefixGroup(image_sha256=first.image_sha256, examples=(example,))]
        return [
            SharedPrefixGroup(
                image_sha256=self.examples[indices[0]].image_sha256,
                examples=tuple(self.examples[index].example for index in indices),
            )
            for indices in batch
        ]


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
    tokenized: list[SplitExample] = []
    refused: dict[str, InputError] = {}
    for example in examples:
        layout = images.layout(example.image_sha256)
        try:
            tokens = tokenize_example(family, processor, example.prompt, example.completion, layout, max_length)
        except InputError as refusal:
            refused[example.example_id] = refusal
            continue
        tokenized.append(
            SplitExample(
                example=compact(tokens),
                image_sha256=example.image_sha256,
                is_question=example.task in SHORT_TASKS,
            )
        )
    log_too_long(refused)
    return TokenizedSplit(
        examples=tokenized, truncated=sum(each.example.truncated for each in tokenized), left_out=len(refused)
    )


def log_question_share(split: TokenizedSplit, share: float) -> None:
    """Log that a share of questions changes nothing: all of the examples are questions, or none of them is."""
    questions = sum(each.is_question for each in split.examples)
    if share and questions in (0, len(split.examples)):
        found = "all are questions or words to read" if questions else "none is a question or has words to read"
        logger.warning(f"train: --train.question_share changes nothing here: of the training examples {found}")
