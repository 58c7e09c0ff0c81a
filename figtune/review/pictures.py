"""Pictures of the page: those of examples at a size for the screen, and pages of papers to draw a box on."""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from figtune.core.errors import InputError
from figtune.core.image_decoding import read_image
from figtune.core.worker_pool import PersistentWorker, TaskFailure, TaskLimits
from figtune.dataset.recrop import paper_path
from figtune.extraction.records import PaperRecord
from figtune.pdf.document import Document

_LONGEST_SIDE = 1600  # pixels
_PAGE_DPI = 150
_LIMITS = TaskLimits(seconds=20.0, megabytes=1000)
_KEPT = 16
"""Pictures, of which each has at most a few megabytes."""


@dataclass(frozen=True)
class PagePicture:
    """A page as a reader shows it."""

    data: bytes
    """PNG."""
    width: float
    """Points."""
    height: float
    """Points."""


@dataclass(frozen=True)
class _PageTask:
    path: Path
    index: int


class Pictures:
    """Renders in a worker process with limits of time and memory, one page at a time: papers may be hostile."""

    def __init__(self, pdf_dir: Path | None) -> None:
        self._pdf_dir = pdf_dir
        self._worker: PersistentWorker[_PageTask, PagePicture | str] = PersistentWorker(page_picture)
        self._rendered = lru_cache(_KEPT)(self._render)
        self._hashed = lru_cache(None)(self._compared)

    def paper(self, paper: PaperRecord) -> Path | None:
        """Return the file of a paper where it is at hand, unchanged."""
        if self._pdf_dir is None:
            return None
        try:
            found = (self._pdf_dir / paper.file).stat()
        except OSError:
            return None
        return self._hashed(paper, found.st_size, found.st_mtime_ns)

    def _compared(self, paper: PaperRecord, size: int, time: int) -> Path | None:  # noqa: ARG002 - they key the cache
        return None if self._pdf_dir is None else paper_path(self._pdf_dir, paper)

    def page(self, path: Path, index: int) -> PagePicture:
        """Render the page at `index` of a paper.

        Raises:
            InputError: it cannot be rendered.
        """
        return self._rendered(path, index)

    def _render(self, path: Path, index: int) -> PagePicture:
        outcome = self._worker.run(_PageTask(path, index), _LIMITS)
        if isinstance(outcome, TaskFailure):
            raise InputError(f"page {index + 1} of {path.name} {outcome.reason}", "reject the figure, or leave its box")
        if isinstance(outcome, str):
            raise InputError(outcome, "reject the figure, or leave its box")
        return outcome


def scaled(path: Path) -> bytes:
    """Return an image as PNG of at most `_LONGEST_SIDE` pixels; a smaller PNG as it is.

    Raises:
        InputError: it is missing or no image.
    """
    image = read_image(path)
    if max(image.size) <= _LONGEST_SIDE and path.suffix == ".png":
        return path.read_bytes()
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return _png(image)


def page_picture(task: _PageTask) -> PagePicture | str:
    """Render a page in the worker; return the problem where it cannot be."""
    try:
        with closing(Document(task.path)) as document:
            box = document.text(task.index).box
            dpi = min(_PAGE_DPI, _LONGEST_SIDE * 72 / max(box.width, box.height, 1.0))
            pixels = document.color(task.index, box, dpi)
    except InputError as error:
        return error.problem
    return PagePicture(_png(Image.fromarray(pixels)), box.width, box.height)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
