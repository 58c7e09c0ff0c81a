"""What a model is given of each picture: what its frozen vision encoder sees, computed once and kept on disk.

Encoding a picture is most of the work of a training step (Gemma 3 4B: 60 %), and its result never changes while the
encoder is frozen. What is kept comes before the projector, so that the projector can be trained. Where the encoder is
trained nothing is kept, and the model is given the pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ProcessorMixin

from figtune.core.distributed import barrier, shard
from figtune.core.images import WHITE, read_image
from figtune.core.io import atomic_write
from figtune.core.log import log, progress_bar
from figtune.models.encoder import encoder_digest, encoder_present
from figtune.models.family import Family
from figtune.models.loading import LoadedModel
from figtune.models.records import ImageFit

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
        with atomic_write(self._file(image_sha256)) as file:
            save_file({_TENSOR: features.contiguous().cpu()}, file)

    def _file(self, image_sha256: str) -> Path:
        return self.folder / f"{image_sha256}.safetensors"


@dataclass(frozen=True, kw_only=True)
class PixelStore:
    """Pictures as the vision encoder takes them, prepared from their files each time."""

    family: Family
    processor: ProcessorMixin
    fit: ImageFit
    side: int
    """Of the vision encoder's square, in pixels."""
    files: Mapping[str, Path]

    def __getitem__(self, image_sha256: str) -> Tensor:
        """float32[3, H, W]"""
        return self.pixels(read_image(self.files[image_sha256]))

    def pixels(self, image: Image.Image) -> Tensor:
        """An RGB image: float32[3, H, W]."""
        return self.family.pixel_values(self.processor, [fitted(image, self.fit, self.side)])[0]


PictureStore = FeatureStore | PixelStore
"""By the sha256 of a picture's file, what the model is given of it: float[T, V] or float32[3, H, W]."""


def prepared_features(root: Path, loaded: LoadedModel, images: Mapping[str, Path]) -> PictureStore:
    """A store that has every picture of `images` (file by sha256); what an earlier run kept is not computed again.

    Each process of a run computes its share.

    Raises:
        InputError: a picture cannot be read.
    """
    pixels = _pixels(loaded, images)
    if loaded.trains_vision:
        log("features: off, since the vision encoder is trained; every picture goes through it each time")
        return pixels
    store = FeatureStore(folder=root / _key(loaded))
    missing = [sha256 for sha256 in shard(sorted(images)) if sha256 not in store]
    if missing:
        with _encoder(loaded):
            for sha256 in progress_bar(missing, total=len(missing), title="encoding images", unit="image"):
                store.add(sha256, _features(loaded, pixels[sha256]))
    barrier()
    return store


def picture_features(loaded: LoadedModel, image: Image.Image) -> Tensor:
    """What the model is given of an RGB image: float[T, V]; float32[3, H, W] where the vision encoder is trained."""
    pixels = _pixels(loaded, {}).pixels(image)
    if loaded.trains_vision:
        return pixels
    with _encoder(loaded):
        return _features(loaded, pixels)


def fitted(image: Image.Image, fit: ImageFit, side: int) -> Image.Image:
    """Return the image as the processor should get it.

    Args:
        side: of the vision encoder's square, in pixels.

    Returns:
        "letterbox": `side` x `side` with white borders, proportions kept. "squash": as it is; the processor resizes it
        to the square whatever its proportions.
    """
    if fit == "squash":
        return image
    return ImageOps.pad(image, (side, side), method=Image.Resampling.LANCZOS, color=WHITE)


def image_side(loaded: LoadedModel) -> int:
    """Of the vision encoder's square, in pixels."""
    return int(loaded.model.config.vision_config.image_size)


@torch.inference_mode()
def _features(loaded: LoadedModel, pixels: Tensor) -> Tensor:
    """One picture at a time: in a batch its numbers would depend, in the last digits, on its neighbours."""
    return loaded.family.vision_features(loaded.model, pixels[None].to(loaded.device))[0]


def _pixels(loaded: LoadedModel, images: Mapping[str, Path]) -> PixelStore:
    return PixelStore(
        family=loaded.family,
        processor=loaded.processor,
        fit=loaded.record.image_fit,
        side=image_side(loaded),
        files=images,
    )


def _encoder(loaded: LoadedModel) -> AbstractContextManager[None]:
    return encoder_present(loaded.model, loaded.base, loaded.dtype, loaded.device)


def _key(loaded: LoadedModel) -> str:
    """Everything that decides what the encoder sees: its weights and their dtype, how pictures are prepared."""
    digest = hashlib.sha256()
    digest.update(f"{loaded.record.image_fit} {loaded.dtype} {encoder_digest(loaded.base)}".encode())
    digest.update(loaded.processor.image_processor.to_json_string().encode())
    return digest.hexdigest()[:16]
