"""Attention masks of packed rows: a token attends within its example and to the prefix that its example shares."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from figtune.batching.collator import TrainingBatch
from figtune.models.family import FULL, SLIDING, Family


def attention_masks(batch: TrainingBatch, decoder: PreTrainedConfig, family: Family) -> dict[str, Tensor]:
    """Return block-diagonal masks by layer type, bool[R, 1, L, L]: true where a query attends to a key.

    A token attends to the prefix that its example shares and to its example: to the tokens before it, and between
    bidirectional tokens of one run both ways, where the family has that. Two examples (1, 2) that share a prefix (p):

        p p 1 1 2 2
        1 0 0 0 0 0   p
        1 1 0 0 0 0   p
        1 1 1 0 0 0   1
        1 1 1 1 0 0   1
        1 1 0 0 1 0   2
        1 1 0 0 1 1   2

    The window counts tokens of each example alone, so that neither sharing nor packing moves it. Both masks are dense
    booleans, which PyTorch's fused attention takes on CPU and CUDA (FlashAttention takes none): 0.6 MB for 800 tokens.

    Args:
        decoder: configuration of the text decoder.
    """
    bidirectional_layers, window = family.bidirectional_layers(decoder), _sliding_window(decoder)
    same_example = _same(batch.group_ids) & (_same(batch.example_ids) | (batch.example_ids == 0)[:, None, :])
    block = same_example & _same(_runs(batch.bidirectional)) & batch.bidirectional[:, None, :]
    distance = batch.token_index[:, :, None] - batch.token_index[:, None, :]
    causal = same_example & (distance >= 0)
    masks = {FULL: causal | block if FULL in bidirectional_layers else causal}
    if window is not None:
        near = distance < window
        masks[SLIDING] = causal & near
        if SLIDING in bidirectional_layers:
            masks[SLIDING] = masks[SLIDING] | (block & near if family.window_bounds_blocks else block)
    return {kind: mask[:, None] for kind, mask in masks.items()}


def _sliding_window(decoder: PreTrainedConfig) -> int | None:
    """Return the window of a decoder's sliding layers, in tokens; None where it has none."""
    return int(decoder.sliding_window) if SLIDING in (getattr(decoder, "layer_types", None) or ()) else None


def _same(values: Tensor) -> Tensor:
    """bool[R, L, L]"""
    return torch.eq(values[:, :, None], values[:, None, :])


def _runs(bidirectional: Tensor) -> Tensor:
    """Number the runs of bidirectional tokens of each row, from 1; 0 at all others: int64[R, L]."""
    starts = bidirectional & ~F.pad(bidirectional, (1, 0))[:, :-1]
    return starts.cumsum(dim=1) * bidirectional


def mask_for_backend(base: PreTrainedModel, mask: Tensor) -> Tensor:
    """Return the mask as the attention takes it: boolean for sdpa, added numbers for eager."""
    if base.config.get_text_config()._attn_implementation != "eager":
        return mask
    embeddings = base.get_input_embeddings()
    dtype: torch.dtype = embeddings.weight.dtype  # type: ignore[assignment]
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
