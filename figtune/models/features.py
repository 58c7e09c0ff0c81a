"""What the frozen vision encoder sees in each picture, computed once and kept on disk until the encoder changes.

Encoding a picture is most of the work of a training step (Gemma 3 4B: 60 %), and its result never changes while the
encoder is frozen. What is kept comes before the projector, so that the projector can be trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from figtune.models.images import fitted, read_image
from figtune.models.loading import LoadedModel
from figtune.pipeline.files import replacing
from figtune.pipeline.progress import track

_TENSOR = "features"


@dataclass(frozen=True, kw_only=True)
class FeatureStore:
    """One file a picture, named by the sha256 of the picture's file, in a folder named for what decides its content."""

    folder: Path

    def __getitem__(self, image_sha256: str) -> Tensor:
        """float[T, V], T image tokens of V numbers."""
        return load_file(self._file(image_sha256))[_TENSOR]

    def __contains__(self, image_sha256: str) -> bool:
        try:
            # Only the header is read: it knows how long the file must be.
            with safe_open(self._file(image_sha256), framework="pt") as tensors:
                return _TENSOR in tensors.keys()  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError):
            return False

    def add(self, image_sha256: str, features: Tensor) -> None:
        """Keep what was seen in a picture."""
        with replacing(self._file(image_sha256)) as file:
            save_file({_TENSOR: features.contiguous().cpu()}, file)

    def _file(self, image_sha256: str) -> Path:
        return self.folder / f"{image_sha256}.safetensors"


def prepared_features(root: Path, loaded: LoadedModel, images: Mapping[str, Path]) -> FeatureStore:
    """A store that has every picture of `images` (file by sha256); what an earlier run kept is not computed again.

    Raises:
        InputError: a picture cannot be read.
    """
    store = FeatureStore(folder=root / _key(loaded))
    missing = sorted(sha256 for sha256 in images if sha256 not in store)
    for sha256 in track(missing, total=len(missing), title="encoding images", unit="image") if missing else ():
        store.add(sha256, picture_features(loaded, read_image(images[sha256])))
    return store


@torch.inference_mode()
def picture_features(loaded: LoadedModel, image: Image.Image) -> Tensor:
    """What the vision encoder sees in an RGB image: float[T, V].

    One picture at a time: in a batch its numbers would depend, in the last digits, on its neighbours.
    """
    prepared = fitted(image, loaded.record.image_fit, image_side(loaded))
    pixels = loaded.family.pixel_values(loaded.processor, [prepared]).to(loaded.device)
    return loaded.family.vision_features(loaded.model, pixels)[0]


def image_side(loaded: LoadedModel) -> int:
    """Of the vision encoder's square, in pixels."""
    return int(loaded.model.config.vision_config.image_size)


def _key(loaded: LoadedModel) -> str:
    """Everything that decides what the encoder sees: its weights, how pictures are prepared."""
    digest = hashlib.sha256()
    digest.update(loaded.record.image_fit.encode())
    digest.update(loaded.processor.image_processor.to_json_string().encode())
    for name, tensor in _encoder(loaded.model):
        digest.update(f"{name} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _encoder(model: PreTrainedModel) -> list[tuple[str, Tensor]]:
    return sorted(model.model.vision_tower.state_dict().items())
