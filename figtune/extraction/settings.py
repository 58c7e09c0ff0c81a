"""Settings of the extraction of papers; `config.py` holds their values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from typing import Literal

from figtune.core.settings import check_pair, check_setting
from figtune.core.worker_pool import TaskLimits
from figtune.layout.caption_labels import CaptionLabels

EngineName = Literal["local", "ray"]
OcrMode = Literal["auto", "never", "always"]
"""Pages that OCR reads: where the text layer is missing or scrambled, nowhere, everywhere."""


@dataclass(frozen=True, kw_only=True)
class ExtractSettings:
    """Extraction from papers."""

    dpi: int
    """Resolution of crops, in dots per inch."""
    longest_side: int
    """Crops are rendered at a lower dpi where their longest side would exceed this, in pixels."""
    timeout_seconds: float
    """A PDF that takes longer is recorded as failed."""
    memory_mb: int
    """A PDF that needs more memory is recorded as failed."""
    ocr: OcrMode
    """Read pages by OCR where their text layer is missing or scrambled, if it is installed
    (`pip install -r requirements-ocr.txt`); "never", or "always" on every page."""
    ocr_figures: bool
    """Add the words in pictures, read by OCR, to the text of figures."""
    figure_labels: tuple[str, ...]
    """Words that captions of figures begin with, in any case and with or without a point."""
    table_labels: tuple[str, ...]
    """Words that captions of tables begin with."""
    engine: EngineName
    """Place where papers are read: on this machine, or on a Ray cluster (`pip install -r requirements-cluster.txt`)."""
    ray_address: str
    """HOST:PORT of the cluster, of which this machine must be a node, or auto to find it; left out, Ray starts one here
    for as long as it takes."""

    def __post_init__(self) -> None:
        check_setting(36 <= self.dpi <= 1200, "extract.dpi", "from 36 to 1200")
        check_setting(self.longest_side >= 64, "extract.longest_side", "64 or more")
        check_setting(all(word.strip() for word in self.figure_labels), "extract.figure_labels", "words")
        check_setting(all(word.strip() for word in self.table_labels), "extract.table_labels", "words")
        check_setting(0 < self.timeout_seconds < inf, "extract.timeout_seconds", "a number above 0")
        check_setting(self.memory_mb >= 256, "extract.memory_mb", "256 or more")
        check_setting(
            re.fullmatch(r"(auto|[^/\s]+:\d{1,5})?", self.ray_address) is not None,
            "extract.ray_address",
            "auto or HOST:PORT",
        )
        check_pair(self.engine == "ray" or not self.ray_address, "extract.ray_address", "with --extract.engine ray")

    @property
    def labels(self) -> CaptionLabels:
        """Words that captions begin with."""
        return CaptionLabels(self.figure_labels, self.table_labels)

    @property
    def limits(self) -> TaskLimits:
        """Return the limits of reading one paper."""
        return TaskLimits(seconds=self.timeout_seconds, megabytes=self.memory_mb)
