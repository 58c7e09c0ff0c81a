"""A PDF of which some pages are read by OCR: their words, and on scans their rules and pictures, come from pixels.

A scanned page is straightened, and its paper made white, before anything is looked for. All its boxes and pixels are
those of the straight page, which differs from the page as it is by the turn about its middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from figtune.pdf.document import Document, GreyImage
from figtune.pdf.geometry import Box
from figtune.pdf.layer_faults import is_picture_of_page
from figtune.pdf.ocr import DPI, recognize
from figtune.pdf.page import PageGraphics, PageText, Word
from figtune.pdf.recognized_text import MeasuredPage, RecognizedPage, measure_page, recognized_pages

_WHITE = 255
_LONGEST_SIDE = 3400  # pixels of a page: A3 at the usual resolution
_DPI = 300  # words in figures are small: at 200 one in twenty fewer is read
_LEAST_CONFIDENCE = 0.5  # lines of drawings look like letters
_KNOWN = 1.0  # points around a line of the text layer that are not read again


class OcrDocument(Document):
    """An open PDF whose pages can be read by OCR one by one; until then they are as `Document` has them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._recognized: dict[int, RecognizedPage] = {}
        self._dpis: dict[int, int] = {}
        self._skews: dict[int, float] = {}
        self._scan_graphics: dict[int, PageGraphics] = {}
        self._marks: dict[int, list[Box]] = {}
        self._straight: tuple[int, GreyImage] | None = None

    def recognize(self, indices: Iterable[int]) -> None:
        """Read the pages at `indices` by OCR; from now on their words, and of scans the graphics and pixels, are those.

        Raises:
            ResourceError: OCR is not installed.
            UnreadablePaperError: a page cannot be rendered.
        """
        measured = [self._read(index) for index in indices]
        self._recognized.update((page.text.index, page) for page in recognized_pages(measured))

    def set_view(self, scale: float, turns: Mapping[int, int]) -> None:
        """Read pages from now on at another scale, and some of them turned; those read by OCR are read anew."""
        super().set_view(scale, turns)
        read = sorted(self._recognized)
        for known in (self._recognized, self._skews, self._scan_graphics, self._marks):
            known.clear()
        self._straight = None
        self.recognize(read)

    def _read(self, index: int) -> MeasuredPage:
        from figtune.pdf.scan_pixels import (
            graphics_in,  # SciPy, which papers with a text layer need not wait for
            lone_marks,
            skew_of,
        )

        layer = super().text(index)
        scanned = is_picture_of_page(layer, super().graphics(index))
        dpi = self._dpis[index] = _dpi_for(layer.box)
        pixels = super().grey(index, dpi)
        if scanned:
            self._skews[index] = skew_of(pixels)
            pixels = self._straight_page(index)
        lines = recognize(pixels, dpi)
        if scanned:
            words = [word.box for line in lines for word in line.words]
            self._marks[index] = lone_marks(pixels, words, dpi)
            self._straight = None
            self._scan_graphics[index] = graphics_in(self._straight_page(index), dpi, words)
        return measure_page(layer, lines, pixels, dpi)

    def confidence_in(self, index: int, box: Box) -> float:
        """Return how sure OCR is of the words in `box` of the page at `index`, in [0, 1]; 1 where it has a text
        layer."""
        page = self._recognized.get(index)
        return 1.0 if page is None else page.confidence_in(box)

    def text(self, index: int) -> PageText:
        """Return the text of the page at `index`: what OCR has read, if it has, else the text layer."""
        page = self._recognized.get(index)
        return super().text(index) if page is None else page.text

    def words(self, text: PageText) -> tuple[Word, ...]:
        """Return the words of the page that `text` was read from."""
        page = self._recognized.get(text.index)
        return super().words(text) if page is None else page.words

    def graphics(self, index: int) -> PageGraphics:
        """Return images and vector paths of the page at `index`; of a scan the pictures and rules in its pixels."""
        return self._scan_graphics[index] if index in self._scan_graphics else super().graphics(index)

    def grey(self, index: int, dpi: float) -> GreyImage:
        """Return the page at `index` in grey: uint8[H, W]; a scanned one straight and on white paper."""
        if index not in self._skews:
            return super().grey(index, dpi)
        page = self._straight_page(index)
        factor = dpi / self._dpis[index]
        height, width = (int(np.ceil(size * factor - 0.01)) for size in page.shape)
        return np.asarray(Image.fromarray(page).resize((width, height), Image.Resampling.BOX))

    def color(self, index: int, box: Box, dpi: float) -> NDArray[np.uint8]:
        """Return the part of the page at `index` inside `box` (points): uint8[H, W, 3], RGB; a scan straight."""
        if not (skew := self._skews.get(index, 0.0)):
            return super().color(index, box, dpi)
        from figtune.pdf.scan_pixels import straightened

        whole = self._recognized[index].text.box
        page = straightened(super().color(index, whole, dpi), skew)
        scale = dpi / 72.0
        rows = slice(max(0, int(box.top * scale)), max(1, int(np.ceil(box.bottom * scale))))
        columns = slice(max(0, int(box.x0 * scale)), max(1, int(np.ceil(box.x1 * scale))))
        return np.ascontiguousarray(page[rows, columns])

    def text_ink(self, index: int, box: Box, dpi: float) -> NDArray[np.bool_] | None:
        """Return the pixels inside `box` that the text of the page at `index` changes; None where OCR has read it."""
        return None if index in self._recognized else super().text_ink(index, box, dpi)

    def _straight_page(self, index: int) -> GreyImage:
        """Return the scanned page at `index`, straight and white, without lone marks; the last one is kept."""
        from figtune.pdf.scan_pixels import straightened, whitened

        if self._straight is None or self._straight[0] != index:
            pixels = whitened(straightened(super().grey(index, self._dpis[index]), self._skews[index])).copy()
            scale = self._dpis[index] / 72.0
            for mark in self._marks.get(index, ()):
                rows = slice(max(0, int(mark.top * scale)), int(np.ceil(mark.bottom * scale)))
                pixels[rows, max(0, int(mark.x0 * scale)) : int(np.ceil(mark.x1 * scale))] = _WHITE
            self._straight = index, pixels
        return self._straight[1]


def _dpi_for(page: Box) -> int:
    """Return the resolution to read a page at: some scanners write a point for every pixel."""
    return max(1, min(DPI, int(_LONGEST_SIDE * 72.0 / max(page.width, page.height, 1.0))))


def picture_words(document: OcrDocument, text: PageText, region: Box) -> tuple[tuple[str, Box], ...]:
    """Return the words in `region` that the text layer lacks, line by line, with their place on the page.

    Raises:
        UnreadablePaperError: the page cannot be rendered.
        ResourceError: OCR is not installed.
    """
    scale = _DPI / 72.0
    grey = document.color(text.index, region, _DPI).mean(axis=2).astype(np.uint8)
    for line in text.lines:
        if line.text and region.overlap(line.box) > 0:
            box = line.box.expanded(_KNOWN)
            rows = slice(max(0, int((box.top - region.top) * scale)), max(0, int((box.bottom - region.top) * scale)))
            columns = slice(max(0, int((box.x0 - region.x0) * scale)), max(0, int((box.x1 - region.x0) * scale)))
            grey[rows, columns] = _WHITE
    read = []
    for found in recognize(grey, _DPI, "scattered"):
        words = [word for word in found.words if word.confidence >= _LEAST_CONFIDENCE]
        if any(map(str.isalnum, "".join(word.text for word in words))):
            box = Box.around(word.box for word in words)
            place = Box(region.x0 + box.x0, region.top + box.top, region.x0 + box.x1, region.top + box.bottom)
            read.append((" ".join(word.text for word in words), place))
    return tuple(read)
