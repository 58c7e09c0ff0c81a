"""What can be told of an image by looking at its pixels once."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from figtune.pipeline.errors import InputError

_HASH_SIDE = 16
"""256 bits: 64 confuse line plots on white paper with one another."""
HASH_BITS = _HASH_SIDE * _HASH_SIDE
_INK_CONTRAST = 24
"""Grey levels from the background at which a pixel counts as ink."""
_MAX_PIXELS = 200_000_000
_KEPT_FORMATS = {"PNG": ".png", "JPEG": ".jpg"}
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
# What Pillow's readers raise for a file that is not what its first bytes promise.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


@dataclass(frozen=True)
class ImageFacts:
    """One image file, seen."""

    sha256: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    ink_share: float
    """Share of pixels that differ from the most frequent grey level."""
    perceptual_hash: int
    """`HASH_BITS` bits; few differ between copies of one picture (imagehash.phash)."""


@dataclass(frozen=True)
class KeptImage:
    """An image as a data set keeps it."""

    facts: ImageFacts
    """Of `data`."""
    data: bytes
    """A PNG or JPEG file: the one given, or a PNG of the same pixels."""
    suffix: str


def look_at(path: Path) -> ImageFacts:
    """Read an image file once.

    Raises:
        InputError: it is missing, no image, or breaks off.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is not there", "extract again with --force") from None
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault}", "replace or remove it") from None
    return _facts(data, _decoded(data, str(path)))


def keep(data: bytes, name: str) -> KeptImage:
    """Look at an encoded image, decoding it once; what is neither PNG nor JPEG is encoded anew.

    Args:
        name: for the error.

    Raises:
        InputError: it is no image, or breaks off.
    """
    image = _decoded(data, name)
    suffix = _KEPT_FORMATS.get(image.format or "")
    if suffix is None:
        data, suffix = _png(image), ".png"
    return KeptImage(facts=_facts(data, image), data=data, suffix=suffix)


def _decoded(data: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is lower than ours, and only a warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError(f"it has more than {_MAX_PIXELS // 1_000_000} million pixels")
            image.load()
            return image
    except UnidentifiedImageError:
        # Its own words have the address of the bytes in memory, which differs from run to run.
        raise InputError(f"{name} is no image of a known format", "replace or remove it") from None
    except (Image.DecompressionBombError, *_BROKEN) as fault:
        raise InputError(f"{name} cannot be read as an image: {fault}", "replace or remove it") from None


def _png(image: Image.Image) -> bytes:
    upright = ImageOps.exif_transpose(image)
    file = io.BytesIO()
    (upright if upright.mode in _PNG_MODES else upright.convert("RGB")).save(file, "PNG")
    return file.getvalue()


def _facts(data: bytes, image: Image.Image) -> ImageFacts:
    grey = _grey(image)
    return ImageFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        width=grey.width,
        height=grey.height,
        ink_share=_ink_share(grey.histogram()),
        perceptual_hash=int(str(imagehash.phash(grey, hash_size=_HASH_SIDE)), 16),
    )


def _grey(image: Image.Image) -> Image.Image:
    """Eight bits a pixel. Pillow's own conversion clips deeper pictures to white, so those are stretched instead."""
    if not image.mode.startswith(("I", "F")):
        return image.convert("L")
    values = np.asarray(image, dtype=np.float64)
    return Image.fromarray(np.rint((values - values.min()) * (255 / (np.ptp(values) or 1))).astype(np.uint8))


def _ink_share(histogram: list[int]) -> float:
    background = max(range(len(histogram)), key=histogram.__getitem__)
    paper = sum(histogram[max(0, background - _INK_CONTRAST) : background + _INK_CONTRAST + 1])
    return 1 - paper / sum(histogram)
