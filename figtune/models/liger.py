"""Liger's fused kernels, on CUDA: the loss of a decoder's last states, and what its layers do beside matrix products.

The loss makes float32 of one row of logits at a time and writes their gradient over them, where PyTorch makes three
more tensors of their size. Norms, gated activations and rotary positions are a kernel each, where PyTorch launches up
to eight and goes over float32 tensors between them.

Liger's own `apply_liger_kernel_to_*` are not used: they replace classes and functions inside transformers for the whole
process, so that a model loaded later on a CPU could not run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from types import FunctionType, MappingProxyType, ModuleType

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

DEVICES = frozenset({"cuda"})
"""Device types that the kernels are compiled for."""
CHUNK = 256
"""Tokens whose logits exist at a time: 0.8 GB with what the loss makes of them, for 262 thousand words."""

_NORMS: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "GemmaRMSNorm": (1.0, "gemma"),
        "Gemma2RMSNorm": (1.0, "gemma"),
        "Gemma3RMSNorm": (1.0, "gemma"),
        "Gemma4RMSNorm": (0.0, "gemma"),
        "LlamaRMSNorm": (0.0, "llama"),
    }
)
"""Offset of a norm's weight, and Liger's name of the place where it rounds, by the class in transformers."""
_MLPS = frozenset({"GemmaMLP", "Gemma2MLP", "Gemma3MLP", "Gemma4TextMLP", "LlamaMLP"})
"""Classes of `down_proj(act_fn(gate_proj(x)) * up_proj(x))`."""
_ROTARY = "apply_rotary_pos_emb"
_ATTENTIONS = frozenset({"GemmaAttention", "Gemma2Attention", "Gemma3Attention", "LlamaAttention"})
"""Classes whose `forward` calls `apply_rotary_pos_emb(q, k, cos, sin)`; Gemma 4 rotates queries and keys apart."""


FusedLoss = Callable[[Tensor, Tensor, Tensor, float | None], Tensor]
"""Cross-entropy in nats, summed over tokens, float32[]: of `states: float[N, D]`, the head's `weight:
float[vocabulary, D]`, `targets: int64[N]`, and the softcap on the logits, `cap * tanh(logits / cap)`, or None."""


def fused_loss(device: torch.device) -> FusedLoss | None:
    """Return the kernel where it is installed (requirements-cuda.txt) and made for the device."""
    kernels = _liger() if device.type in DEVICES else None
    return None if kernels is None else partial(_loss, kernels)


def fuse_layers(decoder: nn.Module, device: torch.device) -> None:
    """Let the layers of a text decoder run fused kernels, where they are installed and made for the device.

    Each module is changed by itself, with its adapter: no other model of the process is. The numbers differ from
    PyTorch's by rounding alone.
    """
    kernels = _liger() if device.type in DEVICES else None
    if kernels is None:
        return
    from transformers.activations import ACT2FN

    activations = {
        type(ACT2FN["gelu_pytorch_tanh"]): kernels.liger_geglu,
        type(ACT2FN["silu"]): kernels.liger_swiglu,
    }
    for module in decoder.modules():
        name = type(module).__name__
        if name in _NORMS:
            module.forward = partial(_norm, kernels, module, *_NORMS[name])
        elif name in _MLPS and (activation := activations.get(type(module.act_fn))) is not None:
            module.forward = partial(_mlp, activation, module)
        elif name in _ATTENTIONS and isinstance(forward := type(module).forward, FunctionType):
            module.forward = partial(_with_rotation(forward, kernels), module)


@cache
def _liger() -> ModuleType | None:
    try:
        installed = version("liger-kernel")
        from liger_kernel.transformers import functional
    except (PackageNotFoundError, ImportError):
        return None
    logger.info(f"liger-kernel {installed} computes the loss, and norms, activations and positions of the decoder")
    kernels: ModuleType = functional
    return kernels


def _loss(kernels: ModuleType, states: Tensor, weight: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    # Left to itself it takes so few tokens at a time that it reads the whole head for each 32 of them. It waits for
    # the card once a call, so it gets all tokens in one.
    chunks = -(-len(states) // CHUNK)
    at_once = -(-len(weight) // (weight.shape[1] * chunks))
    found: Tensor = kernels.liger_fused_linear_cross_entropy(
        states, weight, targets, reduction="sum", softcap=cap, chunk_mem_const=at_once
    )
    return found


def _norm(kernels: ModuleType, norm: nn.Module, offset: float, casting: str, states: Tensor) -> Tensor:
    # Llama calls it by another name; Gemma 4 has norms without a weight.
    epsilon = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps
    weight = getattr(norm, "weight", None)
    # In place it would overwrite a gradient that the residual stream needs too.
    normed: Tensor = kernels.liger_rms_norm(states, weight, epsilon, offset, casting, in_place=False)
    return normed


def _mlp(activation: FunctionType, mlp: nn.Module, states: Tensor) -> Tensor:
    gate, up, down = (mlp.get_submodule(name) for name in ("gate_proj", "up_proj", "down_proj"))
    found: Tensor = down(activation(gate(states), up(states)))
    return found


def _with_rotation(forward: FunctionType, kernels: ModuleType) -> FunctionType:
    """Return an attention's `forward` that calls Liger's rotation where it called that of its own module."""
    changed = {**forward.__globals__, _ROTARY: kernels.liger_rope}
    return FunctionType(forward.__code__, changed, forward.__name__, forward.__defaults__, forward.__closure__)
