"""Which token of a training batch may see which: the library's own masks for rows that stand alone, and no more.

Both are dense booleans, which PyTorch's fused attention takes on CPU and CUDA (FlashAttention takes none). A line of
800 tokens costs 0.6 MB for each kind; they are made where the model is, from a few integers a token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from figtune.batches.collation import TrainingBatch

FULL = "full_attention"
SLIDING = "sliding_attention"
"""Kinds of layers, as `layer_types` of a text decoder's configuration names them."""


def attention_masks(batch: TrainingBatch, window: int | None) -> dict[str, Tensor]:
    """Masks by kind of layer, bool[R, 1, L, L]: true where the token of the third axis sees that of the fourth.

    A token sees what its example shares with others and its example itself: of that, what stands before it, and all
    that is mutual if it is mutual too. In a sliding layer it sees no further back than `window` positions, except
    among what is mutual (`transformers.masking_utils`, `create_sliding_window_causal_mask` with blocks). Positions are
    those that each example would have alone, so that neither sharing nor packing moves the window.

    Args:
        window: of the sliding layers, in tokens; None where the model has none.
    """
    same_example = _same(batch.bundle) & (_same(batch.branch) | (batch.branch == 0)[:, None, :])
    mutual = same_example & batch.mutual[:, :, None] & batch.mutual[:, None, :]
    back = batch.position_ids[:, :, None] - batch.position_ids[:, None, :]
    causal = same_example & (back >= 0)
    masks = {FULL: (causal | mutual)[:, None]}
    if window is not None:
        masks[SLIDING] = ((causal & (back < window)) | mutual)[:, None]
    return masks


def _same(values: Tensor) -> Tensor:
    """bool[R, L, L]"""
    return torch.eq(values[:, :, None], values[:, None, :])
