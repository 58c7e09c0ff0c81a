"""Work gone through on the meta device, where tensors have shapes and no numbers, to count the memory it will take."""

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
ATTENTION = "rehearsed"
"""Name of an attention that takes what sdpa takes on a CPU or a card. On the meta device sdpa itself would lay out the
whole square of weights of every head, as no kernel of theirs does."""
_aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class Fullest:
    """The moment at which most memory was taken, in bytes."""

    total: int
    wide: int
    """Of the total, tensors whose last dimension is the one asked about."""


class _Module(Protocol):
    num_key_value_groups: int


class MemoryCount(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch says not what it is
    """Counts what is allocated inside it and not yet freed again.

    Weights are on the meta device; what decides shapes (token ids, masks) is real and on the CPU, and meets them as if
    it were on the same device.
    """

    def __init__(self, wide: int) -> None:
        """Args: wide: a last dimension whose tensors are to be counted apart."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.fullest = Fullest(total=0, wide=0)
        self._wide_dimension = wide
        self._total = 0
        self._wide = 0
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self,
        func: OpOverload[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """One operation, whose new storages are counted until they are gone."""
        positional, named = _on_one_device(func, args, dict(kwargs or {}))
        given = {id(tensor.untyped_storage()) for tensor in _tensors((args, kwargs))}
        result = func(*positional, **named)
        for tensor in _tensors(result):
            if id(tensor.untyped_storage()) not in given:
                self._add(tensor)
        if self._total > self.fullest.total:
            self.fullest = Fullest(total=self._total, wide=self._wide)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = storage.nbytes()
        wide = size if tensor.ndim and tensor.shape[-1] == self._wide_dimension else 0
        self._known[storage] = size
        self._change(size, wide)
        weakref.finalize(storage, self._change, -size, -wide)

    def _change(self, size: int, wide: int) -> None:
        self._total += size
        self._wide += wide


def _tensors(tree: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _on_one_device(
    func: OpOverload[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Real tensors that meet shapes become shapes; a mask becomes the indices it stands for, while it can be read."""
    if any(tensor.is_meta for tensor in _tensors((args, kwargs))):
        if func is _aten.index.Tensor:
            args = (args[0], [index for mask in args[1] for index in _indices(mask)])  # type: ignore[attr-defined]
        moved = tree_map_only(Tensor, lambda tensor: tensor.to(META), (args, kwargs))
        return moved[0], moved[1]
    if func is _aten._to_copy.default and kwargs.get("device") == META and not args[0].is_floating_point():  # type: ignore[attr-defined]
        return args, {**kwargs, "device": None}
    return args, kwargs


def _indices(index: Tensor | None) -> Sequence[Tensor | None]:
    if index is None or index.dtype != torch.bool:
        return (index,)
    return index.nonzero().unbind(1)


def fullest_moment(work: Callable[[], None], *, wide: int) -> Fullest:
    """The most memory that `work` takes at once beside what was there before, on a device whose kernels fuse attention.

    Args:
        work: on modules whose weights are on the meta device and whose attention is ATTENTION.
        wide: a last dimension whose tensors are counted apart too.
    """
    count = MemoryCount(wide)
    with count:
        work()
    return count.fullest


def _rehearsed_attention(
    module: _Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """What `transformers.integrations.sdpa_attention.sdpa_attention_forward` allocates with a fused kernel."""
    groups = getattr(module, "num_key_value_groups", 1)
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    bias = None if attention_mask is None else query.new_empty(attention_mask.shape)
    seen = _aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, attn_mask=bias, scale=scaling)[0]
    return seen.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, _rehearsed_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
