"""Small pictures of pages, for the gallery."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from figtune.extraction.records import THUMBNAIL_DPI
from figtune.pdf.document import GreyImage
from figtune.pdf.ocr_document import OcrDocument

_QUALITY = 70


class ThumbnailDocument(OcrDocument):
    """A document that keeps a thumbnail of every page it renders, since rendering anew costs as much as finding
    the figures does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._thumbnails: dict[int, bytes] = {}

    def grey(self, index: int, dpi: float) -> GreyImage:
        """The page at `index` in grey: uint8[H, W]."""
        pixels = super().grey(index, dpi)
        factor = round(dpi / THUMBNAIL_DPI)
        if self.scale == 1.0 and factor * THUMBNAIL_DPI == dpi and index not in self._thumbnails:
            self._thumbnails[index] = _jpeg(self.turned_back(index, pixels), factor)
        return pixels

    def thumbnail(self, index: int) -> bytes:
        """The page at `index` as grey JPEG at `THUMBNAIL_DPI`."""
        if index not in self._thumbnails:
            pixels = super().grey(index, THUMBNAIL_DPI / self.scale)
            self._thumbnails[index] = _jpeg(self.turned_back(index, pixels), 1)
        return self._thumbnails[index]


def _jpeg(pixels: GreyImage, factor: int) -> bytes:
    """Every `factor` x `factor` pixels as one."""
    file = io.BytesIO()
    Image.fromarray(pixels).reduce(factor).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
