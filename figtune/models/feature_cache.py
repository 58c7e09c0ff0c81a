"""Sources of images for a model: files, and the on-disk cache of a frozen vision encoder's features.

Encoding an image is most of the work of a training step (Gemma 3 4B: 60 %), and its result never changes while the
encoder is frozen. What is cached comes before the projector, so that the projector can be trained. Where the encoder is
trained nothing is cached, and the model gets pixels.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from figtune.core.distributed import barrier, shard, world_size
from figtune.core.errors import ResourceError
from figtune.core.image_decoding import read_image, read_image_size
from figtune.core.log import progress_bar
from figtune.core.number_format import count, gigabytes
from figtune.models.encoding import encode_ahead, encode_tensors
from figtune.models.family import FEATURES, Family, ImageInputs, ImageLayout, Processor
from figtune.models.feature_shards import FeatureShards, ShardWriter
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
    """Cached features of images, in a folder named for what decides their content."""

    images: ImageFiles
    shards: FeatureShards

    def layout(self, image_sha256: str) -> ImageLayout:
        """Return the image tokens of an image."""
        return self.images.layout(image_sha256)

    def tensors(self, image_sha256: str) -> dict[str, Tensor]:
        """Read the features of an image: float[T, V], T image tokens of V numbers.

        Raises:
            ResourceError: they are damaged.
        """
        return {FEATURES: self.shards.read(image_sha256)}


def image_files(loaded: LoadedModel, files: Mapping[str, Path]) -> ImageFiles:
    """Return the source of images for a model, from their files by sha256."""
    return ImageFiles(family=loaded.family, processor=loaded.processor, fit=loaded.record.image_fit, files=files)


def prepared_features(root: Path, loaded: LoadedModel, images: ImageFiles, rows: int | None = None) -> ImageSource:
    """Return a source that has every image; features that an earlier run cached are not computed again.

    Each process of a run computes its share.

    Args:
        rows: images, or tiles of them, that go through the encoder at once; None for what suits the device.

    Raises:
        InputError: an image cannot be read.
        ResourceError: the disk has no room for the features.
    """
    if loaded.trains_vision:
        logger.info("features: off, since the vision encoder is trained; every picture goes through it each time")
        return images
    folder = root / _key(loaded)
    # A share of all, not of those that are missing: another process may have written some of its own already.
    missing = FeatureShards(folder).missing(shard(sorted(images.files)))
    if missing:
        with _encoder(loaded), ShardWriter(folder=folder) as writer:
            _encode_all(loaded, images, missing, writer, rows)
    barrier()
    return FeatureStore(images=images, shards=FeatureShards(folder))


def _encode_all(
    loaded: LoadedModel, images: ImageFiles, missing: Sequence[str], writer: ShardWriter, rows: int | None
) -> None:
    batches = encode_ahead(loaded, missing, images.tensors, lambda sha256: images.layout(sha256).tokens, rows)
    bar = progress_bar(missing, total=len(missing), title="encoding images", unit="image")
    is_first = True
    with closing(batches), closing(bar):
        for features in batches:
            if is_first:
                _check_disk(writer.folder, images, missing, features[0][1])
                is_first = False
            writer.append(features)
            bar.update(len(features))


def _check_disk(folder: Path, images: ImageFiles, missing: Sequence[str], example: Tensor) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        example: features of one image, by which those of the others are reckoned.
    """
    tokens = sum(images.layout(sha256).tokens for sha256 in missing) * world_size()
    needed = tokens * example.shape[1] * example.dtype.itemsize
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if needed > (free := disk_usage(existing).free):
        raise ResourceError(
            f"the features of {count(len(missing) * world_size(), 'images')} take {gigabytes(needed)}, and the disk of "
            f"{folder} has {gigabytes(free)} free",
            "free some space there, or give another --work_dir",
        )


def encode_image(loaded: LoadedModel, image: Image.Image, fit: ImageFit | None = None) -> ImageInputs:
    """Return an RGB image as the model takes it: features, or the encoder's inputs where the encoder is trained.

    Args:
        fit: how it is fitted to the encoder's square, where not as the images that the model was trained on.
    """
    layout = loaded.family.image_layout(loaded.processor, image.size)
    tensors = loaded.family.image_inputs(loaded.processor, image, fit or loaded.record.image_fit)
    if not loaded.trains_vision:
        with _encoder(loaded):
            tensors = {FEATURES: encode_tensors(loaded, tensors)}
    return ImageInputs(layout=layout, tensors=tensors)


def grey_images(loaded: LoadedModel, images: ImageFiles, names: Iterable[str]) -> GreyImages:
    """Return a source with a uniform grey image in place of each, of its size; encoded once for each layout."""
    sizes = {images.layout(image): images.files[image] for image in names}
    with nullcontext() if loaded.trains_vision else _encoder(loaded):
        # Not letterboxed: borders would be visible.
        greys = {
            layout: encode_image(loaded, Image.new("RGB", read_image_size(file), _GREY), "squash").tensors
            for layout, file in sizes.items()
        }
    return GreyImages(images=images, greys=greys)


@dataclass(frozen=True, kw_only=True)
class GreyImages:
    """Grey images of the same shapes as others, one for each layout."""

    images: ImageFiles
    greys: Mapping[ImageLayout, dict[str, Tensor]]

    def layout(self, image_sha256: str) -> ImageLayout:
        """Return the image tokens of an image."""
        return self.images.layout(image_sha256)

    def tensors(self, image_sha256: str) -> dict[str, Tensor]:
        """Return the tensors of its grey image."""
        return self.greys[self.layout(image_sha256)]


def read_inputs(images: ImageSource, image_sha256: str) -> ImageInputs:
    """Read one image of a source."""
    return ImageInputs(layout=images.layout(image_sha256), tensors=images.tensors(image_sha256))


def concatenate(images: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join the tensors of several images on their first axes."""
    return {name: torch.cat([tensors[name] for tensors in images]) for name in images[0]}


def _encoder(loaded: LoadedModel) -> AbstractContextManager[None]:
    return vision_tower_loaded(loaded.model, loaded.family.parts, loaded.base_dir, loaded.dtype, loaded.device)


def _key(loaded: LoadedModel) -> str:
    """Return a hash of everything that decides the features: encoder weights, dtype, image preparation."""
    digest = hashlib.sha256()
    encoder = vision_tower_digest(loaded.base_dir, loaded.family.parts)
    digest.update(f"{loaded.record.image_fit} {loaded.dtype} {encoder}".encode())
    digest.update(loaded.processor.image_processor.to_json_string().encode())
    return digest.hexdigest()[:16]
