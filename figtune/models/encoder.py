"""The vision encoder apart from the rest of its model: left on the disk while what it sees is known already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import Module
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from figtune.core.errors import ResourceError
from figtune.models.damage import damage_explained

_ENCODER = "vision_tower."
_OLDER_LEVEL = "vision_model."
"""Checkpoints on the Hub have this level between the encoder and its layers; the module has not."""


class AbsentEncoder(Module):
    """Stands where the vision encoder would be; it has no weights and sees nothing."""

    dtype = torch.float32

    def forward(self, **_: Tensor) -> Tensor:
        """Raises: RuntimeError, always: whoever comes here should have kept features."""
        raise RuntimeError("the vision encoder is not loaded: what it sees must be taken from the kept features")


def without_layers(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the same model with a vision encoder of no layers: of no size to speak of when loaded."""
    reduced = deepcopy(config)
    reduced.vision_config.num_hidden_layers = 0
    return reduced


def remove_encoder(model: PreTrainedModel) -> None:
    """Free the vision encoder's memory."""
    model.model.vision_tower = AbsentEncoder()


@contextmanager
def encoder_present(model: PreTrainedModel, folder: Path, dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """The vision encoder in its place, loaded for the while if it is not there.

    Args:
        folder: of the base model.
        dtype: of the encoder's weights.

    Raises:
        ResourceError: its weights are missing or damaged.
    """
    if not isinstance(model.model.vision_tower, AbsentEncoder):
        yield
        return
    model.model.vision_tower = _load(model.config.vision_config, folder, dtype, device)
    try:
        yield
    finally:
        remove_encoder(model)


def encoder_digest(folder: Path) -> str:
    """The sha256 of the vision encoder's weights as they lie on the disk, by name, in hex.

    Raises:
        ResourceError: they are missing or damaged.
    """
    files = tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.glob("*.safetensors")))
    return _digest(folder, files)


@lru_cache(maxsize=8)
def _digest(folder: Path, _: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(_tensors(folder).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load(config: PreTrainedConfig, folder: Path, dtype: torch.dtype, device: torch.device) -> Module:
    weights = {name.removeprefix(_OLDER_LEVEL): tensor for name, tensor in _tensors(folder).items()}
    encoder: Module = AutoModel.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    try:
        encoder.load_state_dict(weights)
    except RuntimeError:
        raise ResourceError(
            f"the vision encoder in {folder} is not the one that its config.json describes", "download the model again"
        ) from None
    return encoder.requires_grad_(False).eval().to(device)


def _tensors(folder: Path) -> dict[str, Tensor]:
    """The vision encoder's weights by name, read without the others."""
    found = {}
    with damage_explained(f"the weights in {folder} are damaged", "download the model again"):
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    if _ENCODER in name:
                        found[name.rpartition(_ENCODER)[2]] = tensors.get_tensor(name)
    if not found:
        raise ResourceError(f"{folder} has no weights of a vision encoder", "download the model again")
    return found
