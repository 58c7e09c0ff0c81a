"""Unload the vision tower while cached features replace it; reload it on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import Module
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from figtune.core.errors import ResourceError
from figtune.models.model_parts import ModelParts
from figtune.models.quiet import damage_explained


class UnloadedVisionTower(Module):
    """Placeholder without weights."""

    dtype = torch.float32

    def forward(self, **_: Tensor) -> Tensor:
        """Raises: RuntimeError, always: cached features must be used."""
        raise RuntimeError("the vision encoder is not loaded: cached features must take its place")


def unload_vision_tower(model: PreTrainedModel, parts: ModelParts) -> None:
    """Free the vision encoder's memory."""
    _set_tower(model, parts, UnloadedVisionTower())


@contextmanager
def vision_tower_loaded(
    model: PreTrainedModel, parts: ModelParts, folder: Path, dtype: torch.dtype, device: torch.device
) -> Iterator[None]:
    """Load the vision encoder for the block, unless it is in memory already.

    Raises:
        ResourceError: its weights are missing or damaged.
    """
    tower = model.get_submodule(parts.vision_encoder)
    if not isinstance(tower, UnloadedVisionTower) and not any(weight.is_meta for weight in tower.parameters()):
        yield
        return
    _set_tower(model, parts, _load(model.config.vision_config, parts, folder, dtype, device))
    try:
        yield
    finally:
        _set_tower(model, parts, tower)


def vision_tower_digest(folder: Path, parts: ModelParts) -> str:
    """Return the sha256 of the vision encoder's weights as they lie on the disk, by name, in hex.

    Raises:
        ResourceError: they are missing or damaged.
    """
    files = tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.glob("*.safetensors")))
    return _digest(folder, parts, files)


def stored_weights(folder: Path, module: str) -> dict[str, Tensor]:
    """Read the weights of one module of a model by their names inside it, without the others.

    Raises:
        ResourceError: the files are damaged, or hold no such module.
    """
    found = {}
    with damage_explained(f"the weights in {folder} are damaged", "download the model again"):
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    if f".{module}." in f".{name}":
                        found[f".{name}".partition(f".{module}.")[2]] = tensors.get_tensor(name)
    if not found:
        raise ResourceError(f"{folder} has no weights of a {module}", "download the model again")
    return found


def _set_tower(model: PreTrainedModel, parts: ModelParts, tower: Module) -> None:
    parent, _, name = parts.vision_encoder.rpartition(".")
    setattr(model.get_submodule(parent), name, tower)


@lru_cache(maxsize=8)
def _digest(folder: Path, parts: ModelParts, _: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(stored_weights(folder, parts.vision_name).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load(
    config: PreTrainedConfig, parts: ModelParts, folder: Path, dtype: torch.dtype, device: torch.device
) -> Module:
    stored = stored_weights(folder, parts.vision_name)
    # Checkpoints on the Hub may have a level above the layers that the module has not.
    older = f"{parts.vision_layers.older_level}."
    weights = {name.removeprefix(older): tensor for name, tensor in stored.items()}
    tower: Module = AutoModel.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    try:
        tower.load_state_dict(weights)
    except RuntimeError:
        raise ResourceError(
            f"the vision encoder in {folder} is not the one that its config.json describes", "download the model again"
        ) from None
    return tower.requires_grad_(False).eval().to(device)
