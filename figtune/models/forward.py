"""The one way examples go through a model: in training, in evaluation during training and in scoring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from figtune.models.collation import TrainingBatch
from figtune.models.family import IGNORED, Family
from figtune.models.masks import FULL, SLIDING, attention_masks

_PICTURES = "pictures"
_MASKS = "attention_mask"


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
    # The token at position i is predicted at position i - 1.
    shifted = F.pad(batch.labels, (0, 1), value=IGNORED)[:, 1:]
    learned = shifted != IGNORED
    tuned = _unwrapped(model)
    masks = _as_the_kernel_takes_them(attention_masks(batch, _window(tuned)), tuned)
    with _reading_pictures(tuned, family), _seeing_by_kind_of_layer(tuned, masks):
        output = model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            attention_mask=masks[FULL],
            logits_to_keep=learned,
            use_cache=False,
            **{_PICTURES: pictures},
        )
    return output.logits.float().flatten(0, -2), shifted[learned]


def summed_loss(model: nn.Module, family: Family, batch: TrainingBatch, pictures: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over the learned tokens of the batch: float32[]."""
    logits, targets = learned_logits(model, family, batch, pictures)
    return F.cross_entropy(logits, targets, reduction="sum")


def _unwrapped(model: nn.Module) -> PeftModel:
    """FSDP2 shards a model in place; DistributedDataParallel wraps it."""
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    if not isinstance(inner, PeftModel):
        raise TypeError(f"{type(inner).__name__} is no PeftModel")
    return inner


def _window(tuned: PeftModel) -> int | None:
    """How far the decoder's sliding layers look back, in tokens."""
    decoder = tuned.get_base_model().config.get_text_config()
    return int(decoder.sliding_window) if SLIDING in getattr(decoder, "layer_types", ()) else None


def _as_the_kernel_takes_them(masks: dict[str, Tensor], tuned: PeftModel) -> dict[str, Tensor]:
    """Eager attention, which PaliGemma 2 needs, adds its mask to the scores; a boolean one would forbid nothing."""
    model = tuned.get_base_model()
    if model.config.get_text_config()._attn_implementation != "eager":
        return masks
    lowest = torch.finfo(model.dtype).min
    return {kind: torch.zeros_like(mask, dtype=model.dtype).masked_fill(~mask, lowest) for kind, mask in masks.items()}


@contextmanager
def _reading_pictures(tuned: PeftModel, family: Family) -> Iterator[None]:
    """The model takes pictures beside its tokens, and brings them into the decoder's space within its forward pass.

    Only there are the projector's weights whole, where they are spread over processes (FSDP2 gathers the weights of a
    module before it, and before its other hooks), and their gradients known to DistributedDataParallel.
    """

    def project(
        module: PeftModel, arguments: tuple[object, ...], given: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        pictures = given.pop(_PICTURES)
        embeddings = family.image_embeddings(module.get_base_model(), pictures)  # type: ignore[arg-type]
        return arguments, {
            **given,
            "mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=embeddings)},
        }

    hook = tuned.register_forward_pre_hook(project, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _seeing_by_kind_of_layer(tuned: PeftModel, masks: dict[str, Tensor]) -> Iterator[None]:
    """A decoder with layers of two kinds gets a mask for each; PaliGemma 2 would hand the same one to both."""
    if SLIDING not in masks:
        yield
        return

    def choose(
        _: nn.Module, arguments: tuple[object, ...], given: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        return arguments, {**given, _MASKS: masks}

    decoder = tuned.get_base_model().model.language_model
    hook = decoder.register_forward_pre_hook(choose, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
