"""Measure peak memory by running a step on the meta device, where tensors have shapes and no data."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

META = torch.device("meta")
ATTENTION = "meta_sdpa"
"""Name of an attention that allocates what fused sdpa kernels do. On the meta device sdpa itself would allocate the
full attention matrix of every head."""
_aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Peak memory, in bytes."""

    total: int
    logits: int
    """Part of the total in tensors whose last dimension is `logits_dim`."""


class _Module(Protocol):
    num_key_value_groups: int


class PeakMemoryMode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Tracks bytes allocated inside it and not freed yet.

    Weights are on the meta device. Tensors that decide shapes (token ids, masks) are real and on the CPU; operations
    treat both as on one device.
    """

    def __init__(self, logits_dim: int) -> None:
        """Args: logits_dim: a last dimension whose tensors are counted separately."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = PeakMemory(total=0, logits=0)
        self._logits_dim = logits_dim
        self._total = 0
        self._logits = 0
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self,
        func: OpOverload[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Run one operation and count its new storages until they are freed."""
        positional, named = _on_one_device(func, args, dict(kwargs or {}))
        given = {id(tensor.untyped_storage()) for tensor in _tensors((args, kwargs))}
        run = _grouped_mm if func is _aten._grouped_mm.default else func
        result = run(*positional, **named)
        for tensor in _tensors(result):
            if id(tensor.untyped_storage()) not in given:
                self._add(tensor)
        if self._total > self.peak.total:
            self.peak = PeakMemory(total=self._total, logits=self._logits)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = storage.nbytes()
        logits = size if tensor.ndim and tensor.shape[-1] == self._logits_dim else 0
        self._known[storage] = size
        self._change(size, logits)
        weakref.finalize(storage, self._change, -size, -logits)

    def _change(self, size: int, logits: int) -> None:
        self._total += size
        self._logits += logits


def _grouped_mm(*matrices: object, **named: object) -> Tensor:
    """Multiply a mixture of experts in any dtype: on the meta device PyTorch 2.13 knows bfloat16 alone."""
    first, second, *others = matrices
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    found: Tensor = _aten._grouped_mm(first.bfloat16(), second.bfloat16(), *others, **named)
    return found.to(first.dtype)


def _tensors(tree: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _on_one_device(
    func: OpOverload[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Move real tensors that meet meta tensors to meta; turn boolean masks into indices while they can be read."""
    if any(tensor.is_meta for tensor in _tensors((args, kwargs))):
        if func is _aten.index.Tensor:
            args = (args[0], [index for mask in args[1] for index in _indices(mask)])  # type: ignore[attr-defined]
        if func is _aten._to_copy.default and kwargs.get("device") is not None:
            # Where the real step would copy nothing: all its tensors are on one device.
            kwargs = {**kwargs, "device": META}
        moved = tree_map_only(Tensor, lambda tensor: tensor.to(META), (args, kwargs))
        return moved[0], moved[1]
    if func is _aten._to_copy.default and kwargs.get("device") == META and not args[0].is_floating_point():  # type: ignore[attr-defined]
        return args, {**kwargs, "device": None}
    return args, kwargs


def _indices(index: Tensor | None) -> Sequence[Tensor | None]:
    if index is None or index.dtype != torch.bool:
        return (index,)
    return index.nonzero().unbind(1)


def trace_peak(work: Callable[[], None], *, logits_dim: int) -> PeakMemory:
    """Return the peak memory of `work` beyond what was allocated before, on a device with fused attention.

    Args:
        work: on modules whose weights are on the meta device and whose attention is ATTENTION.
        logits_dim: a last dimension whose tensors are counted separately too.
    """
    mode = PeakMemoryMode(logits_dim)
    with mode:
        work()
    return mode.peak


def _meta_sdpa(
    module: _Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Allocate what `transformers.integrations.sdpa_attention.sdpa_attention_forward` does with a fused kernel."""
    groups = getattr(module, "num_key_value_groups", 1)
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    bias = None if attention_mask is None else query.new_empty(attention_mask.shape)
    seen = _aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, attn_mask=bias, scale=scaling)[0]
    return seen.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, _meta_sdpa)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
