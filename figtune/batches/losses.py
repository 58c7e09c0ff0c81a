"""Losses of single examples, so that they can be grouped by paper, task and kind."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from figtune.batches.bundles import apart
from figtune.batches.collation import training_batch
from figtune.batches.forward import learned_logits
from figtune.models.family import TokenisedRow
from figtune.models.loading import LoadedModel


@torch.inference_mode()
def completion_losses(loaded: LoadedModel, rows: Sequence[TokenisedRow], pictures: Tensor) -> list[float]:
    """Mean cross-entropy of each row over its learned tokens, in nats per token.

    Of the tuned model, or of the base model inside `loaded.tuned.disable_adapter()`.

    Args:
        rows: B of them, with completions.
        pictures: each row's, as `Family.image_embeddings` takes them.
    """
    batch = training_batch(apart(rows), loaded.family, loaded.processor.tokenizer.pad_token_id).to(loaded.device)
    logits, targets = learned_logits(loaded.tuned, loaded.family, batch, pictures.to(loaded.device))
    counts = [row.learned_tokens for row in rows]
    each = zip(torch.split(logits, counts), torch.split(targets, counts), strict=True)
    return [float(F.cross_entropy(of_row, wanted)) for of_row, wanted in each]
