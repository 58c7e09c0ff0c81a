"""Forward pass and loss, shared by training, validation and evaluation: one module around a model and its head.

The head's projection and the cross-entropy go over a few tokens at a time: full logits are never materialised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel

from figtune.batching.collator import TrainingBatch, split_model_inputs, training_batch
from figtune.batching.packing import completions_in_one_row
from figtune.models.family import FULL, SLIDING, Family, TokenizedExample
from figtune.models.feature_cache import concatenate
from figtune.models.full_finetune import FullFinetuneModel
from figtune.models.liger import CHUNK, fused_loss
from figtune.models.loading import LoadedModel


class CompletionLoss(nn.Module):
    """A tuned model with its loss: cross-entropy over the target tokens of a batch.

    This is the module that DistributedDataParallel and FSDP wrap: everything from embeddings to the head's projection
    happens inside its forward pass, where sharded weights are gathered and gradients are exchanged. The methods after
    `forward` are those by which the Trainer and accelerate look into a model.
    """

    def __init__(self, peft_model: PeftModel, family: Family, *, weighted: bool = False) -> None:
        """Wrap a model.

        Args:
            weighted: count each target token by the batch's weights, in place of 1.
        """
        super().__init__()
        # Under this name it stands in the optimizer states of sharded checkpoints.
        self.tuned = peft_model
        self._family = family
        self._weighted = weighted

    def forward(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return the cross-entropy in nats, summed over the target tokens: float32[]."""
        return self.loss_sum(*split_model_inputs(tensors))

    def loss_sum(self, batch: TrainingBatch, images: Mapping[str, Tensor]) -> Tensor:
        """Return the cross-entropy in nats, summed over the target tokens of the batch: float32[].

        Weighted, the sum of the weighted ones: for a loss per example, of the examples' mean losses.

        Args:
            images: tensors of the images of all groups, row by row: see `Family.image_embeddings`.
        """
        with self.autocast():
            weights = batch.weights if self._weighted else None
            return summed_cross_entropy(self._base, self.target_states(batch, images), batch.targets, weights)

    def token_losses(self, batch: TrainingBatch, images: Mapping[str, Tensor]) -> Tensor:
        """Return the cross-entropy of each target token, in nats: float32[N], row by row."""
        with self.autocast():
            return token_cross_entropy(self._base, self.target_states(batch, images), batch.targets)

    def activation_checkpointing_enable(self, *arguments: object, **named: object) -> None:
        """Recompute activations in the backward pass.

        The library makes the embeddings require a gradient too, which only reentrant checkpointing needs.
        """
        self._base.activation_checkpointing_enable(*arguments, **named)  # type: ignore[arg-type]
        self._base.disable_input_require_grads()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embeddings."""
        return self._base.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Return the head's projection."""
        head: nn.Module = self._base.get_output_embeddings()  # type: ignore[no-untyped-call]
        return head

    def tie_weights(self) -> None:
        """Tie the head to the token embeddings again, after weights were replaced."""
        self._base.tie_weights()

    @property
    def _base(self) -> PreTrainedModel:
        base: PreTrainedModel = self.tuned.get_base_model()
        return base

    def target_states(self, batch: TrainingBatch, images: Mapping[str, Tensor]) -> Tensor:
        """Return the decoder's last states at the tokens that predict a target: float[N, D]."""
        base = self._base
        masks = attention_masks(batch, base.config.get_text_config(), self._family)
        masks = {kind: mask_for_backend(base, mask) for kind, mask in masks.items()}
        embeddings = self._family.image_embeddings(base, images)
        decoder = base.get_submodule(self._family.parts.text_decoder)
        states: Tensor = decoder(
            **self._family.decoder_inputs(base, batch.input_ids, embeddings),
            position_ids=batch.position_ids,
            # One mask for each type of layer, where there are several.
            attention_mask=masks if SLIDING in masks else masks[FULL],
            use_cache=False,
        ).last_hidden_state
        return states.flatten(0, 1)[batch.predicted_at]

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in the dtype of the step within the block, where whole parts are trained."""
        with self.tuned.autocast() if isinstance(self.tuned, FullFinetuneModel) else nullcontext():
            yield


def per_example_loss(
    loaded: LoadedModel, examples: Sequence[TokenizedExample], images: Sequence[dict[str, Tensor]]
) -> list[float]:
    """Return the mean cross-entropy of each example over its target tokens, in nats per token.

    Of the tuned model, or of the base model inside `loaded.peft_model.disable_adapter()`.

    Args:
        examples: B of them, with completions.
        images: the tensors of each example's image, see `Family.image_embeddings`.
    """
    return [loss for (loss,) in completion_losses(loaded, [(example,) for example in examples], images)]


@torch.inference_mode()
def completion_losses(
    loaded: LoadedModel, rows: Sequence[Sequence[TokenizedExample]], images: Sequence[dict[str, Tensor]]
) -> list[list[float]]:
    """Return the mean cross-entropy of each of several completions of one prompt, in nats per token.

    Image and prompt stand in a row once, and are attended to by all completions behind them.

    Args:
        rows: B prompts, each as the examples that differ in their completions alone.
        images: the tensors of each prompt's image, see `Family.image_embeddings`.
    """
    pad_id: int = loaded.processor.tokenizer.pad_token_id
    packed = [completions_in_one_row(examples) for examples in rows]
    batch = training_batch(packed, loaded.family, pad_id).to(loaded.device)
    on_device = {name: tensor.to(loaded.device) for name, tensor in concatenate(images).items()}
    losses = CompletionLoss(loaded.peft_model, loaded.family).token_losses(batch, on_device)
    counts = [example.num_target_tokens for examples in rows for example in examples]
    means = iter([float(of_example.mean()) for of_example in torch.split(losses, counts)])
    return [[next(means) for _ in examples] for examples in rows]


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


def logits_of(base: PreTrainedModel, states: Tensor) -> Tensor:
    """Return the logits, float32[N, vocabulary], of the decoder's last states, float[N, D]."""
    return _logits(states, base.lm_head.weight, _cap(base))


def summed_cross_entropy(
    base: PreTrainedModel, states: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy in nats, summed: float32[].

    Logits of a few tokens at a time, gone before the next ones are made: those of a whole batch would take as much
    memory as the decoder's weights. What the gradient needs goes with them, so it is made beside the loss.

    Args:
        states: float[N, D], the decoder's last ones.
        targets: int64[N]
        weights: float32[N], by which each token counts; None for 1.
    """
    weight: Tensor = base.lm_head.weight
    fused = fused_loss(weight.device)
    # Not of a trained head, which it would copy for each chunk.
    if fused is not None and weights is None and len(targets) and not weight.requires_grad:
        return fused(states, weight, targets, _cap(base))
    loss = partial(_cross_entropy if weights is None else _weighted_cross_entropy, cap=_cap(base))
    wanted = (targets,) if weights is None else (targets, weights)
    if torch.is_grad_enabled():
        found: Tensor = ChunkedCrossEntropy.apply(loss, wanted, states, weight)  # type: ignore[no-untyped-call]
        return found
    return torch.stack([loss(chunk, weight, *of_chunk) for chunk, *of_chunk in _chunks(states, *wanted)]).sum()


def token_cross_entropy(base: PreTrainedModel, states: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each token in nats, float32[N]; logits of a few tokens exist at a time.

    Args:
        states: float[N, D], the decoder's last ones.
        targets: int64[N]
    """
    losses = [
        F.cross_entropy(logits_of(base, chunk), wanted, reduction="none") for chunk, wanted in _chunks(states, targets)
    ]
    return torch.cat(losses)


class ChunkedCrossEntropy(Function):
    """Sum of a loss over chunks of its input, and its gradient to `states` and to a `weight` that is trained."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, loss: Callable[..., Tensor], wanted: tuple[Tensor, ...], states: Tensor, weight: Tensor
    ) -> Tensor:
        total = states.new_zeros((), dtype=torch.float32)
        to_states = torch.empty_like(states)
        to_weight = torch.zeros_like(weight) if weight.requires_grad else None
        for chunk, to_chunk, *of_chunk in _chunks(states.detach(), to_states, *wanted):
            with torch.enable_grad():
                found = loss(chunk.requires_grad_(), weight, *of_chunk)
            gradients = torch.autograd.grad(found, [each for each in (chunk, weight) if each.requires_grad])
            total += found.detach()
            to_chunk.copy_(gradients[0])
            if to_weight is not None:
                to_weight += gradients[1]
        ctx.save_for_backward(to_states, to_weight)  # type: ignore[arg-type]  # it takes None as well
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, *outer: Tensor) -> tuple[Tensor | None, ...]:
        kept: tuple[Tensor | None, ...] = ctx.saved_tensors  # type: ignore[attr-defined]
        return (None, None, *(None if gradient is None else gradient * outer[0] for gradient in kept))


def _chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(tensor, CHUNK) for tensor in tensors), strict=True)


def _cross_entropy(states: Tensor, weight: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    return F.cross_entropy(_logits(states, weight, cap), targets, reduction="sum")


def _weighted_cross_entropy(
    states: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, cap: float | None
) -> Tensor:
    losses = F.cross_entropy(_logits(states, weight, cap), targets, reduction="none")
    return (losses * weights).sum()


def _logits(states: Tensor, weight: Tensor, cap: float | None) -> Tensor:
    logits = F.linear(states, weight)
    return (logits if cap is None else cap * torch.tanh(logits / cap)).float()


def _cap(base: PreTrainedModel) -> float | None:
    """Return the softcap of the logits, in decoders that have one."""
    cap: float | None = getattr(base.config.get_text_config(), "final_logit_softcapping", None)
    return cap
