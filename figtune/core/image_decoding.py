"""The one image decoder: files of any depth and colour space become RGB, upright, on white, letterboxed if asked.

Preparation, the feature cache, asking and the page all decode here, so that the pixels that are judged, stored and
encoded are the same. It bounds bytes and pixels before anything is decoded; every failure is an `InputError`.
"""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from figtune.core.errors import InputError
from figtune.core.image_formats import IMAGE_FORMATS

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 100_000_000
MAX_PIXELS = 40_000_000
"""Decoding takes 8 to 12 bytes a pixel (source, result and what the decoder needs): less than 500 MB, and 2 s."""
_MAX_PIXELS_SLOW = 16_000_000
_SLOW_FORMATS = ("JPEG2000", "WEBP")
"""Decoders of these take 190 ns and 18 bytes a pixel (JPEG 2000) or 15 bytes a pixel (WebP)."""
Remark = Literal["first_frame", "grey_window", "dark"]
REMARKS: Mapping[Remark, str] = {
    "first_frame": "several frames or pages, of which the first is used",
    "grey_window": "greys of more than 8 bits, spread from their lowest to their highest value",
    "dark": "nothing brighter than a quarter of white",
}
"""Facts about an image that its reader should know, to follow "has"."""
WHITE = (255, 255, 255)

_CORNER = (0, 0, 16, 16)
_DARK = 64
"""Brightest of 256 levels below which an image is called dark; 12 bits stored in 16 end at 15."""
_STRIP_PIXELS = 1 << 20
"""Pixels converted at a time."""
_STRAY_SHARE = 0.001
"""Share of pixels at either end that may be clipped, so that a dead pixel does not take all contrast ..."""
_STRAY_GAIN = 4
"""... where that spreads the others over at least so many times as many greys."""
_SAMPLE_PIXELS = 1 << 20
_FLAT_SHARE = 1 / 256
"""A range narrower than this share of its largest value would be one level in 8 bits: it is not spread."""
_PHOTOMETRIC = 262
"""The TIFF tag that is 0 where 0 is white."""
_PNG_EXIF = (b"eXIf", b"Raw profile type exif")
"""Marks of chunks in which a PNG may state an orientation."""
_SIDEWAYS = (5, 6, 7, 8)
"""Orientations in which width and height are exchanged."""
_EIGHT_BIT_MODES = ("1", "L", "P", "RGB")
_ADDRESS = re.compile(r" ?at 0x[0-9a-f]+|0x[0-9a-f]{6,}")


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """The pixels of an image file."""

    rgb: Image.Image
    """Mode RGB."""
    file_format: str
    """Pillow's name, as in `IMAGE_FORMATS`."""
    is_plain: bool
    """True where any other reader gets the same pixels by converting the file to RGB."""
    remarks: tuple[Remark, ...]

    @property
    def remarks_in_words(self) -> str:
        """The remarks as a text that follows "has"; empty without any."""
        return "; ".join(REMARKS[remark] for remark in self.remarks)


def read_image(path: Path) -> Image.Image:
    """Return the pixels of an image file as RGB, upright, on white. See `decode_file`."""
    return decode_file(path).rgb


def read_image_size(path: Path) -> tuple[int, int]:
    """Return width and height of the upright image in a file, without decoding its pixels.

    Raises:
        InputError: see `read_image_bytes`; or the header is none of an image.
    """
    data = read_image_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=tuple(IMAGE_FORMATS)) as image:
                # Pillow decodes a whole PNG to find its orientation, which may stand after the pixels.
                if image.format == "PNG" and not any(mark in data for mark in _PNG_EXIF):
                    return image.size
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _SIDEWAYS
                return image.size[::-1] if turned else image.size
    except Exception as fault:  # noqa: BLE001 - decoders raise anything for damaged files, see `decode_image`
        reason = type(fault).__name__
        raise InputError(f"{path} is no image, or a broken one: {reason}", "replace or remove it") from None


def decode_file(path: Path) -> DecodedImage:
    """Read and decode an image file.

    Raises:
        InputError: see `read_image_bytes` and `decode_image`.
    """
    return decode_image(read_image_bytes(path), str(path))


def read_image_bytes(path: Path) -> bytes:
    """Read a regular file of at most `MAX_BYTES`; pipes, devices, sockets and folders are never opened.

    Raises:
        InputError: no such file, none that may be read, no regular one, or too large.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is no image, or a broken one: not a regular file", "give an image file")
        # Not blocking, in case a pipe has taken its place meanwhile.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            # Room for MAX_BYTES takes longer to make than most files to read.
            data = file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
    except FileNotFoundError:
        raise InputError(f"there is no image {path}", "check the path") from None
    except (OSError, ValueError) as fault:  # ValueError: a name that no file can have
        reason = (getattr(fault, "strerror", None) or str(fault)).lower()
        raise InputError(f"the image {path} cannot be read: {reason}", "check the path") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path} has more than {MAX_BYTES // 1_000_000} MB", "make it smaller")
    return data


def decode_image(data: bytes, name: str) -> DecodedImage:
    """Decode an encoded image; the first frame where it has several.

    Args:
        name: how errors call it.

    Raises:
        InputError: it has none of the `IMAGE_FORMATS`, is broken, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damage that does not matter, and Pillow's own pixel limit
            with Image.open(io.BytesIO(data), formats=tuple(IMAGE_FORMATS)) as image:
                at_most = _MAX_PIXELS_SLOW if image.format in _SLOW_FORMATS else MAX_PIXELS
                if image.width * image.height > at_most:
                    raise _too_large(name, at_most)
                return _decoded(image)
    except UnidentifiedImageError:
        # Pillow's own words hold the address of the bytes in memory, which differs from run to run.
        formats = ", ".join(IMAGE_FORMATS)
        raise InputError(f"{name} is no image, or a broken one: none of {formats}", "convert it to PNG") from None
    except Image.DecompressionBombError:
        raise _too_large(name, MAX_PIXELS) from None
    except InputError:
        raise
    # Decoders raise SyntaxError, struct.error, RuntimeError, OverflowError, MemoryError and others for damaged files.
    except Exception as fault:  # noqa: BLE001
        reason = _ADDRESS.sub("", " ".join(str(fault).split()))[:200] or type(fault).__name__
        raise InputError(f"{name} is no image, or a broken one: {reason}", "replace or remove it") from None


def _too_large(name: str, at_most: int) -> InputError:
    return InputError(f"{name} has more than {at_most // 1_000_000} million pixels", "make it smaller")


def _decoded(image: Image.Image) -> DecodedImage:
    is_deep = image.mode.startswith(("I", "F"))
    is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    has_frames = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    image.load()
    is_plain = image.mode in _EIGHT_BIT_MODES and not (image.has_transparency_data or is_turned or has_frames)
    ImageOps.exif_transpose(image, in_place=True)
    rgb = _rgb(image)
    remarks: dict[Remark, bool] = {
        "first_frame": has_frames,
        "grey_window": is_deep,
        # A corner of paper tells for most images.
        "dark": _brightest(rgb.crop(_CORNER)) < _DARK and _brightest(rgb) < _DARK,
    }
    return DecodedImage(
        rgb=rgb,
        file_format="JPEG" if image.format == "MPO" else image.format or "",
        is_plain=is_plain,
        remarks=tuple(remark for remark, holds in remarks.items() if holds),
    )


def _rgb(image: Image.Image) -> Image.Image:
    """Convert strip by strip, so that beside source and result no third copy takes memory."""
    if image.mode == "RGB" and not image.has_transparency_data:
        rgb = image.copy()
        rgb.info = {}  # of colour profiles and the like, which would go into every file written from it
        return rgb
    convert = _converter(image)
    rgb = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        rgb.paste(convert(strip), (0, top))
    return rgb


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    if image.mode.startswith(("I", "F")):
        window = _window(image)
        # Of greys where 0 is white, Pillow inverts only those of up to 8 bits.
        inverted = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
        return partial(_from_deep_grey, window=window[::-1] if inverted else window)
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.ImageCmsTransform(
            ImageCms.ImageCmsProfile(lab), ImageCms.ImageCmsProfile(srgb), "LAB", "RGB"
        ).apply
    return _on_white if image.has_transparency_data else methodcaller("convert", "RGB")


def _on_white(strip: Image.Image) -> Image.Image:
    layer = strip.convert("RGBA")
    paper = Image.new("RGB", layer.size, WHITE)
    paper.paste(layer, mask=layer.getchannel("A"))
    return paper


def _from_deep_grey(strip: Image.Image, window: tuple[float, float]) -> Image.Image:
    """Spread a window of grey values over 8 bits: Pillow's own conversion clips them to white."""
    black, white = window
    low, high = sorted(window)
    # Not a number is black; infinities are the ends.
    values = np.nan_to_num(np.asarray(strip).astype(np.float64), nan=black, posinf=high, neginf=low)
    levels = np.clip((values - black) * (255 / (white - black)), 0, 255)
    return Image.fromarray(np.rint(levels).astype(np.uint8)).convert("RGB")


def _brightest(rgb: Image.Image) -> int:
    return max(int(band[1]) for band in rgb.getextrema() if isinstance(band, tuple))


def _window(image: Image.Image) -> tuple[float, float]:
    """Return the values that become black and white: the lowest and the highest finite ones.

    The range is narrowed where a few stray pixels would squeeze the others together, and widened where it is so narrow
    that in 8 bits the image would be of one level.
    """
    step = max(1, image.width * image.height // _SAMPLE_PIXELS)
    low, high = np.inf, -np.inf
    samples = []
    for _, strip in _strips(image):
        values = np.asarray(strip)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            samples.append(finite[::step])
    if not samples:
        return 0.0, 1.0
    inner_low, inner_high = np.quantile(np.concatenate(samples), (_STRAY_SHARE, 1 - _STRAY_SHARE)).tolist()
    flat = _FLAT_SHARE * max(abs(inner_low), abs(inner_high))
    if flat < inner_high - inner_low < (high - low) / _STRAY_GAIN:
        low, high = inner_low, inner_high
    return low, max(high, low + (_FLAT_SHARE * max(abs(low), abs(high)) or 1.0))


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield (first row, strip of full width) from top to bottom."""
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def letterbox(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an RGB image of the given width and height, proportions kept, with white borders."""
    # An image so thin that a pixel's width of it would not be left is thickened first.
    least = -(-image.height // size[1]), -(-image.width // size[0])
    if image.width < least[0] or image.height < least[1]:
        image = image.resize((max(image.width, least[0]), max(image.height, least[1])))
    return ImageOps.pad(image, size, method=Image.Resampling.LANCZOS, color=(255, 255, 255))
