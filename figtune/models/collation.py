"""Rows of different lengths as one batch: padded on the right to train, on the left to generate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from figtune.models.family import IGNORED, TokenisedRow


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`input_ids, attention_mask, token_type_ids, labels: int64[B, L]`; labels are IGNORED on prompts and padding."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    labels: Tensor


def training_batch(rows: Sequence[TokenisedRow], pad_id: int) -> Batch:
    """Right-padded, so that every token keeps the position it would have alone."""
    return _batch(rows, pad_id, "right")


def generation_batch(rows: Sequence[TokenisedRow], pad_id: int) -> Batch:
    """Left-padded, so that all prompts end where the answers begin."""
    return _batch(rows, pad_id, "left")


def _batch(rows: Sequence[TokenisedRow], pad_id: int, side: Literal["left", "right"]) -> Batch:
    length = max(len(row.input_ids) for row in rows)

    def padded(sequences: Sequence[Sequence[int]], filler: int) -> Tensor:
        return torch.tensor([_padded(sequence, length, filler, side) for sequence in sequences], dtype=torch.int64)

    return Batch(
        input_ids=padded([row.input_ids for row in rows], pad_id),
        attention_mask=padded([(1,) * len(row.input_ids) for row in rows], 0),
        token_type_ids=padded([row.token_type_ids for row in rows], 0),
        labels=padded([row.labels for row in rows], IGNORED),
    )


def _padded(sequence: Sequence[int], length: int, filler: int, side: Literal["left", "right"]) -> list[int]:
    padding = [filler] * (length - len(sequence))
    return [*sequence, *padding] if side == "right" else [*padding, *sequence]
