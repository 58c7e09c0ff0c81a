"""The one way examples go through a model: in training, in evaluation during training and in scoring."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

from figtune.models.collation import Batch
from figtune.models.family import IGNORED, Family


def learned_logits(tuned: PeftModel, family: Family, batch: Batch, features: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions for the tokens that have labels, and those labels.

    Logits are made only where a label is: over the whole row they would be most of the memory of a step, since the
    vocabulary has 262 thousand entries.

    Args:
        features: float[B, T, V], as `Family.vision_features` gives them.

    Returns:
        `logits: float32[N, vocabulary]` and `targets: int64[N]`, N being the learned tokens of the whole batch, row by
        row in reading order.
    """
    # The token at position i is predicted at position i - 1.
    shifted = F.pad(batch.labels, (0, 1), value=IGNORED)[:, 1:]
    learned = shifted != IGNORED
    embeddings = family.image_embeddings(tuned.get_base_model(), features)
    output = tuned(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        token_type_ids=batch.token_type_ids,
        mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=embeddings)},
        logits_to_keep=learned,
        use_cache=False,
    )
    return output.logits.float().flatten(0, -2), shifted[learned]


def summed_loss(tuned: PeftModel, family: Family, batch: Batch, features: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over the learned tokens of the batch: float32[]."""
    logits, targets = learned_logits(tuned, family, batch, features)
    return F.cross_entropy(logits, targets, reduction="sum")


def mean_loss(tuned: PeftModel, family: Family, batches: Iterable[tuple[Batch, Tensor]]) -> float:
    """Cross-entropy per learned token over all `batches` together, in evaluation mode and without gradients."""
    total, count = 0.0, 0
    was_training = tuned.training
    tuned.eval()
    with torch.no_grad():
        for batch, features in batches:
            total += float(summed_loss(tuned, family, batch, features))
            count += int((batch.labels != IGNORED).sum())
    tuned.train(was_training)
    return total / count
