"""What can be told of an image by looking at its pixels once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imagehash
from PIL import Image, UnidentifiedImageError

from figtune.pipeline.errors import InputError
from figtune.pipeline.files import sha256_of

_HASH_SIDE = 16
"""256 bits: 64 confuse line plots on white paper with one another."""
HASH_BITS = _HASH_SIDE * _HASH_SIDE
_INK_CONTRAST = 24
"""Grey levels from the background at which a pixel counts as ink."""


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


def look_at(path: Path) -> ImageFacts:
    """Read an image file once.

    Raises:
        InputError: it is missing, no image, or breaks off.
    """
    try:
        sha256 = sha256_of(path)
        with Image.open(path) as image:
            grey = image.convert("L")
    except FileNotFoundError:
        raise InputError(f"{path} is not there", "extract again with --force") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as fault:
        raise InputError(f"{path} cannot be read as an image: {fault}", "replace or remove it") from None
    return ImageFacts(
        sha256=sha256,
        width=grey.width,
        height=grey.height,
        ink_share=_ink_share(grey.histogram()),
        perceptual_hash=int(str(imagehash.phash(grey, hash_size=_HASH_SIDE)), 16),
    )


def _ink_share(histogram: list[int]) -> float:
    background = max(range(len(histogram)), key=histogram.__getitem__)
    paper = sum(histogram[max(0, background - _INK_CONTRAST) : background + _INK_CONTRAST + 1])
    return 1 - paper / sum(histogram)
