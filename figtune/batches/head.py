"""What a decoder's last states predict, and the loss of that: as many numbers as words, so few tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F
from transformers import PreTrainedModel

from figtune.batches.fused_loss import CappedLoss, Loss, fused_loss

_PIECE = 256
"""Tokens whose logits are there at a time: 0.8 GB with what the loss makes of them, for 262 thousand words."""


def logits_of(base: PreTrainedModel, states: Tensor) -> Tensor:
    """float32[N, vocabulary] of the decoder's last states, float[N, D]."""
    return _logits(states, base.lm_head.weight, _cap(base))


def summed_cross_entropy(base: PreTrainedModel, states: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats, summed: float32[].

    Logits of a few tokens at a time, gone before the next ones are made: those of a whole batch would take as much
    memory as the decoder's weights. What the gradient needs goes with them, so it is made beside the loss.

    Args:
        states: float[N, D], the decoder's last ones.
        targets: int64[N]
    """
    weight: Tensor = base.lm_head.weight
    loss: Loss = partial(_loss(weight, len(targets)), cap=_cap(base))
    if torch.is_grad_enabled():
        found: Tensor = _InPieces.apply(loss, targets, states, weight)  # type: ignore[no-untyped-call]
        return found
    return torch.stack([loss(piece, weight, wanted) for piece, wanted in _pieces(states, targets)]).sum()


def _loss(weight: Tensor, tokens: int) -> CappedLoss:
    """Fused where that is to be had: not for a head that is trained, copied whole for each piece; nor for nothing."""
    fused = fused_loss(weight.device)
    return _cross_entropy if fused is None or weight.requires_grad or not tokens else fused


class _InPieces(Function):
    """The sum of a loss over pieces of its input, and its gradient to `states` and to a `weight` that is trained."""

    @staticmethod
    def forward(ctx: FunctionCtx, loss: Loss, targets: Tensor, states: Tensor, weight: Tensor) -> Tensor:
        total = states.new_zeros((), dtype=torch.float32)
        to_states = torch.empty_like(states)
        to_weight = torch.zeros_like(weight) if weight.requires_grad else None
        for piece, wanted, to_piece in _pieces(states.detach(), targets, to_states):
            with torch.enable_grad():
                found = loss(piece.requires_grad_(), weight, wanted)
            gradients = torch.autograd.grad(found, [each for each in (piece, weight) if each.requires_grad])
            total += found.detach()
            to_piece.copy_(gradients[0])
            if to_weight is not None:
                to_weight += gradients[1]
        ctx.save_for_backward(to_states, to_weight)  # type: ignore[arg-type]  # it takes None as well
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, *outer: Tensor) -> tuple[Tensor | None, ...]:
        kept: tuple[Tensor | None, ...] = ctx.saved_tensors  # type: ignore[attr-defined]
        return (None, None, *(None if gradient is None else gradient * outer[0] for gradient in kept))


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(tensor, _PIECE) for tensor in tensors), strict=True)


def _cross_entropy(states: Tensor, weight: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    return F.cross_entropy(_logits(states, weight, cap), targets, reduction="sum")


def _logits(states: Tensor, weight: Tensor, cap: float | None) -> Tensor:
    logits = F.linear(states, weight)
    return (logits if cap is None else cap * torch.tanh(logits / cap)).float()


def _cap(base: PreTrainedModel) -> float | None:
    """What no logit goes beyond, in decoders that have such a thing."""
    cap: float | None = getattr(base.config.get_text_config(), "final_logit_softcapping", None)
    return cap
