"""On-disk cache of frozen vision-tower features, one file per image.

Encoding an image is most of the work of a training step (Gemma 3 4B: 60 %), and its result never changes while the
encoder is frozen. What is cached comes before the projector, so that the projector can be trained. Where the encoder is
trained nothing is cached, and the model gets pixels.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from figtune.core.distributed import barrier, shard
from figtune.core.images import read_image, read_image_size
from figtune.core.io import atomic_write
from figtune.core.log import progress_bar
from figtune.models.family import FEATURES, Family, ImageInputs, ImageLayout, Processor
from figtune.models.loading import LoadedModel
from figtune.models.records import ImageFit
from figtune.models.vision_tower import vision_tower_digest, vision_tower_loaded

logger = logging.getLogger(__name__)

_GREY = (128, 128, 128)


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """Image files by the sha256 of their content, and the image tokens of each."""

    family: Family
    processor: Processor
    fit: ImageFit
    files: Mapping[str, Path]
    _layouts: dict[str, ImageLayout] = field(default_factory=dict, repr=False, compare=False)

    def layout(self, image_sha256: str) -> ImageLayout:
        """Return the image tokens of an image; its file is read only where they depend on its size.

        Raises:
            InputError: the image cannot be read.
        """
        if image_sha256 not in self._layouts:
            size = (1, 1)
            if self.family.tokens_depend_on_size(self.processor):
                size = read_image_size(self.files[image_sha256])
            self._layouts[image_sha256] = self.family.image_layout(self.processor, size)
        return self._layouts[image_sha256]

    def tensors(self, image_sha256: str) -> dict[str, Tensor]:
        """Read an image as the vision encoder takes it.

        Raises:
            InputError: it cannot be read.
        """
        return self.family.image_inputs(self.processor, read_image(self.files[image_sha256]), self.fit)


class ImageSource(Protocol):
    """Images by the sha256 of their files, each as the model takes it."""

    def layout(self, image_sha256: str) -> ImageLayout:
        """Return its image tokens."""
        ...

    def tensors(self, image_sha256: str) -> dict[str, Tensor]:
        """Read its tensors: `{"features": float[T, V]}`, or those of `Family.image_inputs`."""
        ...


@dataclass(frozen=True, kw_only=True)
class FeatureStore:
    """One file an image, named by the sha256 of the image's file, in a folder named for what decides its content."""

    folder: Path
    images: ImageFiles

    def layout(self, image_sha256: str) -> ImageLayout:
        """Return the image tokens of an image."""
        return self.images.layout(image_sha256)

    def tensors(self, image_sha256: str) -> dict[str, Tensor]:
        """Read the features of an image: float[T, V], T image tokens of V numbers."""
        return {FEATURES: load_file(self._file(image_sha256))[FEATURES]}

    def __contains__(self, image_sha256: str) -> bool:
        file = self._file(image_sha256)
        if not file.is_file():  # a pipe would block for ever
            return False
        try:
            # Only the header is read: it knows how long the file must be.
            with safe_open(file, framework="pt") as tensors:
                return FEATURES in tensors.keys()  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError):
            return False

    def add(self, image_sha256: str, features: Tensor) -> None:
        """Write the features of an image: float[T, V]."""
        with atomic_write(self._file(image_sha256)) as file:
            save_file({FEATURES: features.contiguous().cpu()}, file)

    def _file(self, image_sha256: str) -> Path:
        return self.folder / f"{image_sha256}.safetensors"


def image_files(loaded: LoadedModel, files: Mapping[str, Path]) -> ImageFiles:
    """Return the source of images for a model, from their files by sha256."""
    return ImageFiles(family=loaded.family, processor=loaded.processor, fit=loaded.record.image_fit, files=files)


def prepared_features(root: Path, loaded: LoadedModel, images: ImageFiles) -> ImageSource:
    """Return a source that has every image; features that an earlier run cached are not computed again.

    Each process of a run computes its share.

    Raises:
        InputError: an image cannot be read.
    """
    if loaded.trains_vision:
        logger.info("features: off, since the vision encoder is trained; every picture goes through it each time")
        return images
    store = FeatureStore(folder=root / _key(loaded), images=images)
    missing = [sha256 for sha256 in shard(sorted(images.files)) if sha256 not in store]
    if missing:
        with _encoder(loaded):
            for sha256 in progress_bar(missing, total=len(missing), title="encoding images", unit="image"):
                store.add(sha256, _features(loaded, images.tensors(sha256)))
    barrier()
    return store


def encode_image(loaded: LoadedModel, image: Image.Image, fit: ImageFit | None = None) -> ImageInputs:
    """Return an RGB image as the model takes it: features, or the encoder's inputs where the encoder is trained.

    Args:
        fit: how it is fitted to the encoder's square, where not as the images that the model was trained on.
    """
    layout = loaded.family.image_layout(loaded.processor, image.size)
    tensors = loaded.family.image_inputs(loaded.processor, image, fit or loaded.record.image_fit)
    if not loaded.trains_vision:
        with _encoder(loaded):
            tensors = {FEATURES: _features(loaded, tensors)}
    return ImageInputs(layout=layout, tensors=tensors)


def grey_images(loaded: LoadedModel, sizes: Iterable[tuple[int, int]]) -> list[ImageInputs]:
    """Return a uniform grey image of each size, in pixels, as the model takes it."""
    with nullcontext() if loaded.trains_vision else _encoder(loaded):
        # Not letterboxed: borders would be visible.
        return [encode_image(loaded, Image.new("RGB", size, _GREY), "squash") for size in sizes]


def read_inputs(images: ImageSource, image_sha256: str) -> ImageInputs:
    """Read one image of a source."""
    return ImageInputs(layout=images.layout(image_sha256), tensors=images.tensors(image_sha256))


def concatenate(images: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join the tensors of several images on their first axes."""
    return {name: torch.cat([tensors[name] for tensors in images]) for name in images[0]}


@torch.inference_mode()
def _features(loaded: LoadedModel, tensors: dict[str, Tensor]) -> Tensor:
    """One image at a time: in a batch its numbers would depend, in the last digits, on its neighbours."""
    on_device = {name: tensor.to(loaded.device) for name, tensor in tensors.items()}
    return loaded.family.features(loaded.model, on_device)


def _encoder(loaded: LoadedModel) -> AbstractContextManager[None]:
    return vision_tower_loaded(loaded.model, loaded.family.parts, loaded.base, loaded.dtype, loaded.device)


def _key(loaded: LoadedModel) -> str:
    """Return a hash of everything that decides the features: encoder weights, dtype, image preparation."""
    digest = hashlib.sha256()
    encoder = vision_tower_digest(loaded.base, loaded.family.parts)
    digest.update(f"{loaded.record.image_fit} {loaded.dtype} {encoder}".encode())
    digest.update(loaded.processor.image_processor.to_json_string().encode())
    return digest.hexdigest()[:16]
