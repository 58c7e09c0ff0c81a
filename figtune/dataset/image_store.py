"""Images of a data set: facts of decoded pixels (size, ink, hashes), and one file for each, named by its content."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import imagehash
from PIL import Image

from figtune.core.errors import InputError
from figtune.core.image_decoding import Remark, decode_image, read_image_bytes
from figtune.core.io import write_bytes
from figtune.dataset.records import IMAGES_FOLDER

_HASH_SIDE = 16
"""256 bits: 64 confuse line plots on white paper with one another."""
HASH_BITS = _HASH_SIDE * _HASH_SIDE
_INK_CONTRAST = 24
"""Grey levels from the background at which a pixel counts as ink."""
_KEPT_FORMATS = {"PNG": ".png", "JPEG": ".jpg"}


@dataclass(frozen=True)
class PixelFacts:
    """Facts of one image that rules judge it by."""

    sha256: str
    """sha256 of the file."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    ink_share: float
    """Share of pixels that differ from the most frequent grey level."""


@dataclass(frozen=True)
class ImageFacts(PixelFacts):
    """Facts of one image."""

    perceptual_hash: int
    """`HASH_BITS` bits; few differ between copies of one picture (imagehash.phash)."""


@dataclass(frozen=True)
class StoredImage:
    """An image as a data set keeps it."""

    facts: ImageFacts
    """Facts of `data`."""
    data: bytes
    """A PNG or JPEG file of the decoded pixels: the one given where every reader gets these from it, else a new PNG."""
    suffix: str
    remarks: tuple[Remark, ...]
    """Remarks on the image given."""


def inspect_image(path: Path) -> ImageFacts:
    """Read an image file of this project once.

    Raises:
        InputError: it is missing, no image, or breaks off.
    """
    if not path.exists():
        raise InputError(f"{path} is not there", "extract again with --force")
    data = read_image_bytes(path)
    return _facts(data, decode_image(data, str(path)).rgb)


def prepare_image(data: bytes, name: str) -> StoredImage:
    """Decode an encoded image once, take its facts, and encode it anew where readers could differ about its pixels.

    Args:
        name: for the error.

    Raises:
        InputError: it is no image, or breaks off.
    """
    image = decode_image(data, name)
    suffix = _KEPT_FORMATS.get(image.file_format)
    if suffix is None or not image.is_plain:
        data, suffix = _png(image.rgb), ".png"
    return StoredImage(facts=_facts(data, image.rgb), data=data, suffix=suffix, remarks=image.remarks)


def _png(rgb: Image.Image) -> bytes:
    red, green, blue = rgb.split()
    file = io.BytesIO()
    (red if red == green == blue else rgb).save(file, "PNG")
    return file.getvalue()


def _facts(data: bytes, rgb: Image.Image) -> ImageFacts:
    grey = rgb.convert("L")
    perceptual_hash = int(str(imagehash.phash(grey, hash_size=_HASH_SIDE)), 16)
    return ImageFacts(**vars(_pixel_facts(data, grey)), perceptual_hash=perceptual_hash)


def pixel_facts(data: bytes, rgb: Image.Image) -> PixelFacts:
    """Return the facts of an image whose pixels are known, without the hash that finds copies.

    Args:
        data: the encoded image.
        rgb: its pixels.
    """
    return _pixel_facts(data, rgb.convert("L"))


def _pixel_facts(data: bytes, grey: Image.Image) -> PixelFacts:
    return PixelFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        width=grey.width,
        height=grey.height,
        ink_share=_ink_share(grey.histogram()),
    )


def _ink_share(histogram: list[int]) -> float:
    background = max(range(len(histogram)), key=histogram.__getitem__)
    paper = sum(histogram[max(0, background - _INK_CONTRAST) : background + _INK_CONTRAST + 1])
    return 1 - paper / sum(histogram)


def store_image(dataset_dir: Path, image: StoredImage) -> str:
    """Write an image unless it is there already; return its path, relative to the dataset folder."""
    return store_file(dataset_dir, image.data, f"{image.facts.sha256}{image.suffix}")


def store_file(dataset_dir: Path, data: bytes, name: str) -> str:
    """Write an encoded image unless it is there already; return its path, relative to the dataset folder.

    Args:
        name: sha256 of the data, with the suffix of its format.
    """
    path = dataset_dir / IMAGES_FOLDER / name[:2] / name
    if not path.is_file():
        write_bytes(path, data)
    return path.relative_to(dataset_dir).as_posix()


def prune_images(dataset_dir: Path, wanted: Container[bytes]) -> None:
    """Remove what an earlier preparation kept and this one does not.

    Args:
        wanted: sha256 of the images to keep.
    """
    folder = dataset_dir / IMAGES_FOLDER
    for path in folder.glob("*/*"):
        if not _is_wanted(path, wanted):
            path.unlink()
    for below in (*folder.glob("*"), *folder.parent.glob(IMAGES_FOLDER)):
        if not any(below.iterdir()):
            below.rmdir()


def _is_wanted(path: Path, wanted: Container[bytes]) -> bool:
    try:
        return bytes.fromhex(path.stem) in wanted
    except ValueError:  # none of ours
        return False
