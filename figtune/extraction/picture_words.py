"""Words in the pictures of a figure, read by OCR: those that the text layer cannot have, since they are pixels."""

from __future__ import annotations

import numpy as np

from figtune.pdf.geometry import Box
from figtune.pdf.ocr import recognize
from figtune.pdf.ocr_document import OcrDocument
from figtune.pdf.page import PageText

_DPI = 300  # words in figures are small: at 200 one in twenty fewer is read
_LEAST_CONFIDENCE = 0.5  # lines of drawings look like letters
_KNOWN = 1.0  # points around a line of the text layer that are not read again
_WHITE = 255


def picture_words(document: OcrDocument, text: PageText, region: Box) -> str:
    """Return the words in the pictures inside `region`, line by line; empty where it holds no picture.

    Raises:
        UnreadablePaperError: the page cannot be rendered.
        ResourceError: OCR is not installed.
    """
    if not any(image.overlap(region) > 0 for image in document.graphics(text.index).images):
        return ""
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
        words = [word.text for word in found.words if word.confidence >= _LEAST_CONFIDENCE]
        if any(map(str.isalnum, "".join(words))):
            read.append(" ".join(words))
    return "\n".join(read)
