"""Tokens as tensors: sequences in lines, padded on the right, to learn from; prompts padded on the left to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from figtune.batches.bundles import Bundle
from figtune.models.family import IGNORED, Family, TokenisedRow

_PADDING = -1
_SHARED = 0


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """Lines of tokens to learn from, each tensor of shape [R, L], L tokens in each of R lines.

    Which token may see which follows from `bundle`, `branch`, `position_ids` and `mutual`: see `figtune.batches.masks`.
    """

    input_ids: Tensor
    """int64"""
    position_ids: Tensor
    """int64, what the token's position would be if its example stood alone."""
    bundle: Tensor
    """int64, which of the line's bundles the token belongs to; padding is one of its own."""
    branch: Tensor
    """int64, which of the bundle's examples; 0 for what they share."""
    mutual: Tensor
    """bool, sees all that is mutual in its example, rather than only what is before it."""
    labels: Tensor
    """int64, IGNORED on prompts and padding; the token at i is predicted at i - 1."""

    @property
    def tokens(self) -> Tensor:
        """int64[], how many there are without padding."""
        return (self.bundle != _PADDING).sum()

    @property
    def learned_tokens(self) -> int:
        """Tokens that the loss is taken over."""
        return int((self.labels != IGNORED).sum())

    def to(self, device: torch.device) -> TrainingBatch:
        """The batch where the model is."""
        return TrainingBatch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Prompts to answer: `input_ids, attention_mask, token_type_ids: int64[B, L]`."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch where the model is."""
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


_FILLERS = {"position_ids": 0, "bundle": _PADDING, "branch": _SHARED, "mutual": False, "labels": IGNORED}


def training_batch(lines: Sequence[Sequence[Bundle]], family: Family, pad_id: int) -> TrainingBatch:
    """Lines of bundles as tensors, padded on the right."""
    length = max(sum(bundle.length for bundle in line) for line in lines)
    columns: dict[str, list[list[int]]] = {name: [] for name in ("input_ids", *_FILLERS)}
    for line in lines:
        tokens = _tokens(line, family)
        for name, values in tokens.items():
            columns[name].append(_padded(values, length, _FILLERS.get(name, pad_id)))
    tensors = {name: torch.tensor(values, dtype=torch.int64) for name, values in columns.items()}
    return TrainingBatch(**{**tensors, "mutual": tensors["mutual"].bool()})


def _tokens(line: Sequence[Bundle], family: Family) -> dict[str, list[int]]:
    """Of each bundle what its examples share, once, then the rest of each: the fields of a batch, for one line."""
    tokens: dict[str, list[int]] = {name: [] for name in ("input_ids", *_FILLERS)}
    for index, bundle in enumerate(line):
        shared = bundle.shared_length
        _append(tokens, family, bundle.rows[0], slice(0, shared), index, _SHARED)
        for branch, row in enumerate(bundle.rows, start=_SHARED + 1):
            _append(tokens, family, row, slice(shared, len(row.input_ids)), index, branch)
    return tokens


def _append(
    tokens: dict[str, list[int]], family: Family, row: TokenisedRow, part: slice, bundle: int, branch: int
) -> None:
    ids = row.input_ids[part]
    start = family.first_position + part.start
    tokens["input_ids"] += ids
    tokens["position_ids"] += range(start, start + len(ids))
    tokens["bundle"] += [bundle] * len(ids)
    tokens["branch"] += [branch] * len(ids)
    tokens["mutual"] += [kind == family.mutual_type for kind in row.token_type_ids[part]]
    tokens["labels"] += row.labels[part]


def generation_batch(rows: Sequence[TokenisedRow], pad_id: int) -> Batch:
    """Left-padded, so that all prompts end where the answers begin."""
    length = max(len(row.input_ids) for row in rows)

    def padded(sequences: Sequence[Sequence[int]], filler: int) -> Tensor:
        lines = [[*[filler] * (length - len(sequence)), *sequence] for sequence in sequences]
        return torch.tensor(lines, dtype=torch.int64)

    return Batch(
        input_ids=padded([row.input_ids for row in rows], pad_id),
        attention_mask=padded([(1,) * len(row.input_ids) for row in rows], 0),
        token_type_ids=padded([row.token_type_ids for row in rows], 0),
    )


def _padded(values: list[int], length: int, filler: int) -> list[int]:
    return values + [filler] * (length - len(values))
