"""Fitting of images to the size that an image processor takes: letterboxed, or squashed by the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from figtune.models.records import ImageFit

if TYPE_CHECKING:
    from PIL import Image


def fit_to_square(image: Image.Image, fit: ImageFit, side: int) -> Image.Image:
    """Return an RGB image as an image processor of square images should get it.

    "letterbox": `side` x `side` pixels with white borders, proportions kept. "squash": as it is; the processor resizes
    it to the square whatever its proportions.
    """
    return image if fit == "squash" else letterbox(image, (side, side))


def letterbox(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an RGB image of the given width and height, proportions kept, with white borders."""
    from PIL import Image as PillowImage
    from PIL import ImageOps

    # An image so thin that a pixel's width of it would not be left is thickened first.
    least = -(-image.height // size[1]), -(-image.width // size[0])
    if image.width < least[0] or image.height < least[1]:
        image = image.resize((max(image.width, least[0]), max(image.height, least[1])))
    return ImageOps.pad(image, size, method=PillowImage.Resampling.LANCZOS, color=(255, 255, 255))
