"""Pictures as files become pictures as the vision encoder's processor wants them: RGB, on white, of a bounded size."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from figtune.models.records import ImageFit
from figtune.pipeline.errors import InputError

MAX_PIXELS = 200_000_000
_MODES_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_WHITE = (255, 255, 255)
# What Pillow's readers raise for a file that is not what its first bytes promise.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


def read_image(path: Path) -> Image.Image:
    """An image file as RGB, upright, transparency on white; the first frame of an animation.

    Raises:
        InputError: no such file, no image, a broken one, or one above MAX_PIXELS.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise _broken(path)
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is lower than ours, and only a warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_size(path, image)
                return _rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise InputError(f"there is no image {path}", "check the path") from None
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except _BROKEN:
        raise _broken(path) from None


def fitted(image: Image.Image, fit: ImageFit, side: int) -> Image.Image:
    """The image as the processor should get it.

    Args:
        side: of the vision encoder's square, in pixels.

    Returns:
        "letterbox": `side` x `side` with white borders, proportions kept. "squash": as it is; the processor resizes it
        to the square whatever its proportions.
    """
    if fit == "squash":
        return image
    return ImageOps.pad(image, (side, side), method=Image.Resampling.LANCZOS, color=_WHITE)


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)


def _broken(path: Path) -> InputError:
    return InputError(f"{path} is no image, or a broken one", "give a PNG or JPEG file that opens")


def _too_large(path: Path) -> InputError:
    return InputError(f"{path} has more than {MAX_PIXELS // 1_000_000} million pixels", "make it smaller")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in _MODES_16_BIT or image.mode in ("I", "F"):
        return _eight_bits(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    paper = Image.new("RGB", layer.size, _WHITE)
    paper.paste(layer, mask=layer.getchannel("A"))
    return paper


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey values of more than eight bits, scaled: Pillow's own conversion clips them to white."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode == "F" or values.min() < 0 or values.max() > 65_535:
        values = (values - values.min()) / (np.ptp(values) or 1.0)
    else:
        values = values / 65_535
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))
