"""Weights of a base model spread over processes: built without them, then read shard by shard.

No process holds the whole model at any time, neither on its card nor in main memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict_loader import load
from transformers import AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel

from figtune.core.errors import ResourceError
from figtune.models.family import REMEDY
from figtune.models.model_parts import ModelParts
from figtune.models.quiet import damage_explained

_BY_PEFT = (".base_layer.", ".original_module.")
"""Levels that peft puts above a base model's own weights."""


def model_without_weights(
    config: PreTrainedConfig, dtype: torch.dtype, attention: Mapping[str, str]
) -> PreTrainedModel:
    """Build a model with its parameters on the meta device; buffers, such as rotary frequencies, are real."""
    with init_empty_weights(include_buffers=False):
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call]
            config, dtype=dtype, attn_implementation=dict(attention)
        )
    # Without weights each module has got a parameter of its own; FSDP would spread a tied one twice, and update one.
    model.tie_weights()
    return model


def load_shards(
    module: nn.Module, base: PreTrainedModel, folder: Path, parts: ModelParts, device: torch.device
) -> None:
    """Allocate this process's shards of the weights that are on the meta device, and read them from safetensors.

    Args:
        module: the root that `fully_shard` was applied to.
        base: the base model inside it; the adapter's layers are inside.
        folder: of the base model's files.

    Raises:
        ResourceError: the files are damaged, or have other weights.
    """
    missing = {name for name, weight in base.named_parameters() if weight.device.type == "meta"}
    module._apply(  # type: ignore[no-untyped-call]
        lambda tensor: torch.empty_like(tensor, device=device) if tensor.is_meta else tensor.to(device)
    )
    base.tie_weights()
    wanted: dict[str, Tensor] = {name: weight for name, weight in base.named_parameters() if name in missing}
    kept = base.state_dict().keys()
    wanted |= {name: buffer for name, buffer in base.named_buffers() if name in kept}
    with damage_explained(f"{folder} cannot be loaded", REMEDY):
        stored = {canonical_name(name, parts): name for name in _names(folder)}
    state: dict[str, Tensor] = {}
    for name, tensor in wanted.items():
        found = stored.get(canonical_name(name, parts))
        if found is None:
            raise ResourceError(f"{folder} has no weight {name}", "launch without FSDP, or download the model again")
        state[found] = tensor.detach()
    with torch.no_grad(), warnings.catch_warnings(), damage_explained(f"{folder} cannot be loaded", REMEDY):
        # Each process reads its own share, and need not agree on that with the others.
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        load(state, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)


def canonical_name(weight: str, parts: ModelParts) -> str:
    """Return a weight's name without the levels in which transformers 4, transformers 5 and peft differ."""
    for level in _BY_PEFT:
        weight = weight.replace(level, ".")
    components = weight.split(".")
    if components[-2:-1] == ["lm_head"]:
        return ".".join(components[-2:])
    for path in (parts.vision_encoder, parts.projector, parts.text_decoder):
        part = path.rpartition(".")[2]
        if part in components:
            rest = components[components.index(part) + 1 :]
            if rest[0] in ("model", parts.vision_layers.older_level):
                rest = rest[1:]
            return ".".join((part, *rest))
    return weight


def _names(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            yield from tensors.keys()
