"""Collate tokenized examples into tensors: packed rows, padded on the right, for training; prompts, padded on the left.

A packed row of two groups, the first with two examples (p = shared prefix, digits = examples, . = padding):

    tokens        p p p 1 1 2 2 2 p p 1 1 .
    group_ids     0 0 0 0 0 0 0 0 1 1 1 1 -1
    example_ids   0 0 0 1 1 2 2 2 0 0 1 1 0
    token_index   0 1 2 3 4 3 4 5 0 1 2 3 0
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from figtune.batching.packing import PackedRow, SharedPrefixGroup, pack
from figtune.models.family import FEATURES, IGNORE_INDEX, Family, TokenizedExample
from figtune.models.feature_cache import ImageSource, concatenate
from figtune.models.records import LossPer

PADDING = -1
"""Group id of padding."""
SHARED = 0
"""Example id of what the examples of a group share."""
_EXPONENTS: dict[LossPer, float] = {"token": 0.0, "square_root": -0.5, "example": -1.0}
"""Power of an example's number of targets by which each of them counts; the middle one is the square averaging of
InternVL 2.5 (arXiv:2412.05271)."""
_IMAGE = "image."
"""Prefix of the names of image tensors among a batch's."""


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """Packed rows: tensors of shape [R, L], L tokens in each of R rows, and their N targets.

    Which token attends to which follows from the first six: see `figtune.batching.loss.attention_masks`. The places of
    the targets are computed before the batch is moved to a GPU, where reading them back would stall it.
    """

    input_ids: Tensor
    """int64"""
    position_ids: Tensor
    """int64[R, L], or [3, R, L] for M-RoPE: rotary positions that the token would have if its example stood alone."""
    token_index: Tensor
    """int64, place of the token in its own example."""
    group_ids: Tensor
    """int64, which of the row's groups the token belongs to; PADDING for padding."""
    example_ids: Tensor
    """int64, which of the group's examples; SHARED for what they share."""
    bidirectional: Tensor
    """bool, attends to all bidirectional tokens of its example, rather than only to those before it."""
    labels: Tensor
    """int64, IGNORE_INDEX on prompts and padding."""
    targets: Tensor
    """int64[N], the labels that the loss is taken over, row by row."""
    predicted_at: Tensor
    """int64[N], the token that each target is predicted at, row * L + column: the one before it in its example; for the
    first after a shared prefix, the prefix's last."""
    weights: Tensor
    """float32[N], weight of each target in the loss: that of the token (1 without visual weights), times a power of its
    example's number of targets: 0 for a loss per token, -1/2 per square root, -1 per example."""

    @property
    def tokens(self) -> Tensor:
        """Number of tokens without padding: int64[], on the batch's device."""
        return (self.group_ids != PADDING).sum()

    @property
    def num_target_tokens(self) -> int:
        """Number of tokens that the loss is taken over."""
        return len(self.targets)

    @property
    def loss_count(self) -> Tensor:
        """Sum of the weights, by which the summed loss is divided: float32[]. Per token it is the number of targets."""
        return self.weights.sum()

    def to(self, device: torch.device) -> TrainingBatch:
        """Return the batch on a device."""
        return TrainingBatch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class PromptBatch:
    """Prompts to answer."""

    input_ids: Tensor
    """int64[B, L]"""
    attention_mask: Tensor
    """int64[B, L]"""
    bidirectional: Tensor
    """bool[B, L]"""

    def to(self, device: torch.device) -> PromptBatch:
        """Return the batch on a device."""
        return PromptBatch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Collates groups into one batch of tensors."""

    family: Family
    pad_id: int
    images: ImageSource
    loss_per: LossPer = "token"
    weighted: bool = False
    """Target tokens count by the weights of a batch, in place of 1."""

    def __call__(self, groups: Sequence[SharedPrefixGroup]) -> dict[str, Tensor]:
        """Return the fields of `TrainingBatch`, and the image tensors of all groups, row by row."""
        rows = pack(groups)
        images = concatenate([self.images.tensors(group.image_sha256) for row in rows for group in row])
        tokens = sum(group.examples[0].image.tokens for row in rows for group in row)
        if len(images.get(FEATURES, range(tokens))) != tokens:
            raise ValueError(f"features for {len(images[FEATURES])} image tokens, and {tokens} of them in the rows")
        named = {f"{_IMAGE}{name}": tensor for name, tensor in images.items()}
        return {**named, **vars(training_batch(rows, self.family, self.pad_id, self.loss_per))}


def split_model_inputs(tensors: dict[str, Tensor]) -> tuple[TrainingBatch, dict[str, Tensor]]:
    """Return what `Collator` has put together: the batch, and the image tensors."""
    fields = {name: tensor for name, tensor in tensors.items() if not name.startswith(_IMAGE)}
    images = {name.removeprefix(_IMAGE): tensor for name, tensor in tensors.items() if name.startswith(_IMAGE)}
    return TrainingBatch(**fields), images


def training_batch(
    rows: Sequence[PackedRow], family: Family, pad_id: int, loss_per: LossPer = "token"
) -> TrainingBatch:
    """Return packed rows as tensors, padded on the right."""
    columns = [_Columns(family, loss_per) for _ in rows]
    for row, tokens in zip(rows, columns, strict=True):
        for index, group in enumerate(row):
            tokens.add_group(group, index)
    length = max(len(tokens.input_ids) for tokens in columns)
    positions = [
        _padded((tokens.positions[axis] for tokens in columns), length, 0) for axis in range(len(columns[0].positions))
    ]
    return TrainingBatch(
        input_ids=_padded((tokens.input_ids for tokens in columns), length, pad_id),
        position_ids=positions[0] if len(positions) == 1 else torch.stack(positions),
        token_index=_padded((tokens.token_index for tokens in columns), length, 0),
        group_ids=_padded((tokens.group_ids for tokens in columns), length, PADDING),
        example_ids=_padded((tokens.example_ids for tokens in columns), length, SHARED),
        bidirectional=_padded((tokens.bidirectional for tokens in columns), length, False).bool(),
        labels=_padded((tokens.labels for tokens in columns), length, IGNORE_INDEX),
        targets=torch.tensor([label for tokens in columns for label in tokens.targets], dtype=torch.int64),
        predicted_at=torch.tensor(
            [row * length + column for row, tokens in enumerate(columns) for column in tokens.predicted_at],
            dtype=torch.int64,
        ),
        weights=torch.tensor([weight for tokens in columns for weight in tokens.weights], dtype=torch.float32),
    )


class _Columns:
    """Fields of a batch for one row, before padding."""

    def __init__(self, family: Family, loss_per: LossPer) -> None:
        self._family = family
        self._loss_per = loss_per
        self.input_ids: list[int] = []
        self.positions: list[list[int]] = []
        self.token_index: list[int] = []
        self.group_ids: list[int] = []
        self.example_ids: list[int] = []
        self.bidirectional: list[int] = []
        self.labels: list[int] = []
        self.targets: list[int] = []
        self.predicted_at: list[int] = []
        self.weights: list[float] = []

    def add_group(self, group: SharedPrefixGroup, index: int) -> None:
        """Append what the group's examples share, once, then the rest of each."""
        shared = group.shared_prefix_length
        self._add(group.examples[0], slice(0, shared), index, SHARED)
        last_shared = len(self.input_ids) - 1
        for example_id, example in enumerate(group.examples, start=SHARED + 1):
            part = slice(shared, len(example.input_ids))
            self._add_targets(example, part, last_shared)
            self._add(example, part, index, example_id)

    def _add_targets(self, example: TokenizedExample, part: slice, last_shared: int) -> None:
        weight = max(1, example.num_target_tokens) ** _EXPONENTS[self._loss_per]
        of_targets = example.target_weights or (1.0,) * example.num_target_tokens
        start = len(self.input_ids) - part.start
        for place, of_target in enumerate(of_targets, start=example.prompt_length):
            self.targets.append(example.input_ids[place])
            self.predicted_at.append(start + place - 1 if place > part.start else last_shared)
            self.weights.append(weight * of_target)

    def _add(self, example: TokenizedExample, part: slice, group_id: int, example_id: int) -> None:
        count = part.stop - part.start
        positions = self._family.positions(example)
        self.positions = self.positions or [[] for _ in positions]
        for column, axis in zip(self.positions, positions, strict=True):
            column += axis[part]
        self.input_ids += example.input_ids[part]
        self.token_index += range(part.start, part.stop)
        self.group_ids += [group_id] * count
        self.example_ids += [example_id] * count
        self.bidirectional += example.bidirectional[part]
        self.labels += example.labels[part]


def prompt_batch(prompts: Sequence[TokenizedExample], pad_id: int) -> PromptBatch:
    """Return prompts as tensors, padded on the left, so that all of them end where the answers start."""
    length = max(len(prompt.input_ids) for prompt in prompts)

    def padded(sequences: Sequence[Sequence[int]], filler: int) -> Tensor:
        rows = [[*[filler] * (length - len(sequence)), *sequence] for sequence in sequences]
        return torch.tensor(rows, dtype=torch.int64)

    return PromptBatch(
        input_ids=padded([prompt.input_ids for prompt in prompts], pad_id),
        attention_mask=padded([(1,) * len(prompt.input_ids) for prompt in prompts], 0),
        bidirectional=padded([prompt.bidirectional for prompt in prompts], False).bool(),
    )


def _padded(rows: Iterable[Sequence[int]], length: int, filler: int) -> Tensor:
    return torch.tensor([[*row, *[filler] * (length - len(row))] for row in rows], dtype=torch.int64)
