"""The one way examples go through a model: in training, in evaluation during training and in scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from figtune.batches.collation import TrainingBatch
from figtune.batches.head import logits_of, summed_cross_entropy
from figtune.batches.masks import FULL, SLIDING, attention_masks
from figtune.models.family import IGNORED, Family


def learned_logits(model: nn.Module, family: Family, batch: TrainingBatch, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions for the tokens that have labels, and those labels.

    Logits are made only where a label is: over the whole row they would be most of the memory of a step, since the
    vocabulary has 262 thousand entries.

    Args:
        model: a `PeftModel`, or the same inside the wrapper that spreads it over processes.
        pictures: what `Family.image_embeddings` takes, one for each bundle, line by line.

    Returns:
        `logits: float32[N, vocabulary]` and `targets: int64[N]`, N being the learned tokens of the whole batch, line by
        line in reading order.
    """
    base = _base_of(model)
    return _read(model, family, batch, pictures, lambda states: logits_of(base, states)), _targets(batch)[0]


def summed_loss(model: nn.Module, family: Family, batch: TrainingBatch, pictures: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over the learned tokens of the batch: float32[]."""
    base, targets = _base_of(model), _targets(batch)[0]
    return _read(model, family, batch, pictures, lambda states: summed_cross_entropy(base, states, targets))


def _targets(batch: TrainingBatch) -> tuple[Tensor, Tensor]:
    """Labels, int64[N], and where the tokens are that they are predicted at, bool[R, L]: each one before its own."""
    shifted = F.pad(batch.labels, (0, 1), value=IGNORED)[:, 1:]
    learned = shifted != IGNORED
    return shifted[learned], learned


def _read(
    model: nn.Module, family: Family, batch: TrainingBatch, pictures: Tensor, head: Callable[[Tensor], Tensor]
) -> Tensor:
    """`head` of the decoder's last states at the tokens that predict a label, all within the model's forward pass.

    Only there are weights whole where they are spread over processes, the projector's and the head's too: FSDP2 gathers
    them before it. And only what comes from there makes DistributedDataParallel exchange gradients.
    """
    base = _base_of(model)
    masks = {kind: _as_taken(base, mask) for kind, mask in attention_masks(batch, _window(base)).items()}
    learned = _targets(batch)[1]

    def forward(*, pictures: Tensor, **_: object) -> Tensor:
        embeddings = family.image_embeddings(base, pictures)
        states: Tensor = base.model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            attention_mask=masks[FULL],
            mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=embeddings)},
            use_cache=False,
        ).last_hidden_state
        return head(states[learned])

    with _taking(base, forward), _seeing_by_kind_of_layer(base, masks):
        found: Tensor = model(input_ids=batch.input_ids, pictures=pictures)
    return found


def _base_of(model: nn.Module) -> PreTrainedModel:
    """FSDP2 shards a model in place; DistributedDataParallel wraps it."""
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    if not isinstance(inner, PeftModel):
        raise TypeError(f"{type(inner).__name__} is no PeftModel")
    base: PreTrainedModel = inner.get_base_model()
    return base


def _window(base: PreTrainedModel) -> int | None:
    """How far the decoder's sliding layers look back, in tokens."""
    decoder = base.config.get_text_config()
    return int(decoder.sliding_window) if SLIDING in getattr(decoder, "layer_types", ()) else None


def _as_taken(base: PreTrainedModel, mask: Tensor) -> Tensor:
    """Fused attention takes a boolean mask; the library's own, for decoders that have no fused one, adds numbers."""
    if base.config.get_text_config()._attn_implementation != "eager":
        return mask
    embeddings = base.get_input_embeddings()
    dtype: torch.dtype = embeddings.weight.dtype  # type: ignore[assignment]
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


@contextmanager
def _taking(base: PreTrainedModel, forward: Callable[..., Tensor]) -> Iterator[None]:
    """The base model's forward pass is another for the while; what is around it stays."""
    own = vars(base).get("forward")
    base.forward = forward
    try:
        yield
    finally:
        if own is None:
            del base.forward
        else:
            base.forward = own


@contextmanager
def _seeing_by_kind_of_layer(base: PreTrainedModel, masks: dict[str, Tensor]) -> Iterator[None]:
    """A decoder with layers of two kinds gets a mask for each; PaliGemma 2 would hand the same one to both."""
    if SLIDING not in masks:
        yield
        return

    def choose(
        _: nn.Module, arguments: tuple[object, ...], given: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        return arguments, {**given, "attention_mask": masks}

    hook = base.model.language_model.register_forward_pre_hook(choose, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
