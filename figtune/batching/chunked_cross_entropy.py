"""Chunked LM-head projection and cross-entropy: full logits are never materialised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F
from transformers import PreTrainedModel

from figtune.models.liger import CHUNK, fused_loss


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
