"""Losses of single examples, so that they can be grouped by paper, task and kind."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from figtune.models.collation import Batch, training_batch
from figtune.models.family import TokenisedRow
from figtune.models.forward import learned_logits
from figtune.models.loading import LoadedModel


@torch.inference_mode()
def completion_losses(loaded: LoadedModel, rows: Sequence[TokenisedRow], features: Tensor) -> list[float]:
    """Mean cross-entropy of each row over its learned tokens, in nats per token.

    Of the tuned model, or of the base model inside `loaded.tuned.disable_adapter()`.

    Args:
        rows: B of them, with completions.
        features: float[B, T, V], what the vision encoder sees in each row's image.
    """
    batch = on_device(training_batch(rows, loaded.processor.tokenizer.pad_token_id), loaded.device)
    logits, targets = learned_logits(loaded.tuned, loaded.family, batch, features.to(loaded.device))
    counts = [row.learned_tokens for row in rows]
    each = zip(torch.split(logits, counts), torch.split(targets, counts), strict=True)
    return [float(F.cross_entropy(of_row, wanted)) for of_row, wanted in each]


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch where the model is."""
    return Batch(
        input_ids=batch.input_ids.to(device),
        attention_mask=batch.attention_mask.to(device),
        token_type_ids=batch.token_type_ids.to(device),
        labels=batch.labels.to(device),
    )
