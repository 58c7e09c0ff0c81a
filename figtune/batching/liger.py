"""Liger's fused linear cross-entropy: the loss of a decoder's last states and its gradient in one kernel, on CUDA.

It makes float32 of one row of logits at a time and writes their gradient over them, where PyTorch makes three more
tensors of their size.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


DEVICES = frozenset({"cuda"})
"""Device types that the kernel is compiled for."""


CHUNK = 256
"""Tokens whose logits exist at a time: 0.8 GB with what the loss makes of them, for 262 thousand words."""


class Loss(Protocol):
    """Cross-entropy in nats, summed over tokens."""

    def __call__(self, states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        """float32[] of `states: float[N, D]`, the head's `weight: float[vocabulary, D]` and `targets: int64[N]`."""


class SoftcappedLoss(Protocol):
    """The same with a softcap on the logits: `cap * tanh(logits / cap)`, where the decoder has one."""

    def __call__(self, states: Tensor, weight: Tensor, targets: Tensor, cap: float | None) -> Tensor: ...


def fused_loss(device: torch.device) -> SoftcappedLoss | None:
    """Return the kernel where it is installed (requirements-cuda.txt) and made for the device."""
    return _liger() if device.type in DEVICES else None


@cache
def _liger() -> SoftcappedLoss | None:
    try:
        installed = version("liger-kernel")
        from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy as liger
    except (PackageNotFoundError, ImportError):
        return None
    logger.info(f"loss: made by liger-kernel {installed}")

    def loss(states: Tensor, weight: Tensor, targets: Tensor, cap: float | None) -> Tensor:
        # Left to itself it takes so few tokens at a time that it reads the whole head for each 32 of them. It waits for
        # the card once a call, so it gets all tokens in one.
        chunks = -(-len(states) // CHUNK)
        at_once = -(-len(weight) // (weight.shape[1] * chunks))
        found: Tensor = liger(states, weight, targets, reduction="sum", softcap=cap, chunk_mem_const=at_once)
        return found

    return loss
