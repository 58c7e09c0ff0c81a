"""A really pretrained text recogniser, PP-OCRv6 small (PyPI `rapidocr`, Apache-2.0)."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGES = (
    "rapidocr==3.10.0",
    "onnxruntime==1.32.0",
    "opencv-python-headless==5.0.0.93",
    "pyclipper==1.4.0",
    "shapely==2.2.0",
    "omegaconf==2.4.0",
    "colorlog==6.12.0",
    "flatbuffers==25.12.19",
    "six==1.17.0",
)
LEAST_SCORE = 0.7
"""Mean probability of its characters from which a line is taken as read. Chosen, not fitted."""
_WORD = re.compile(r"[^\W\d_]{2}")


def read_lines(image: NDArray[np.uint8]) -> list[str]:
    """Return the lines of text in an image, each once: from top to bottom, lines without a word after all others.

    Args:
        image: uint8[H, W, 3], RGB.
    """
    found = _engine()(np.ascontiguousarray(image[:, :, ::-1]), use_cls=False)
    lines = [text for text, score in zip(found.txts or (), found.scores or (), strict=True) if score >= LEAST_SCORE]
    return words_first(lines)


def words_first(lines: list[str]) -> list[str]:
    """Return each line once, those without a word after all others: numbers of axes take up most of a plot's text."""
    return sorted(dict.fromkeys(lines), key=lambda line: _WORD.search(line) is None)


@cache
def _engine() -> Any:
    options = {"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": 1}
    return import_module("rapidocr").RapidOCR(params=options)
