"""Uploads opened for questions: one image, or the figures of a paper, kept in the upload folder.

Images are decoded in worker processes with limits of time and memory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
from PIL import Image

from figtune.core.errors import FigtuneError, InputError
from figtune.core.image_decoding import read_image
from figtune.core.worker_pool import PersistentWorker, TaskFailure, TaskLimits
from figtune.extraction.records import FigureRecord
from figtune.extraction.settings import ExtractSettings
from figtune.inference.adapter_record import is_paper
from figtune.inference.paper_figures import Paper, PromptSpec, open_paper, read_paper
from figtune.inference.upload_folder import UploadFolder

_PAPERS_AT_A_TIME = 2
_PAPER_SECONDS = 20.0
"""Maximum time for one paper: seconds for typical papers, and a slow one blocks a slot no longer."""
_PATIENCE_SECONDS = 15.0
_IMAGE_FILE = "picture.png"
_NAME_FILE = "name"
_WORKERS = 2
_LIMITS = TaskLimits(seconds=10.0, megabytes=700)
_IMAGE_PATIENCE_SECONDS = 15.0
_LONGEST_SIDE = 2048
"""Maximum longer side of a kept image, in pixels, as of crops; vision encoders take fewer."""


@dataclass(frozen=True, kw_only=True)
class UploadedItem:
    """An image to ask about, and its context."""

    label: str
    file: Path
    """PNG file in the upload folder."""
    figure: FigureRecord | None
    paper: Paper | None
    """Paper of the figure."""

    def image(self) -> Image.Image:
        """Decode it to RGB."""
        return read_image(self.file)

    def prompt(self, spec: PromptSpec) -> str:
        """Build the prompt about it."""
        if self.figure is None or self.paper is None:
            return spec.image_prompt()
        return spec.figure_prompt(self.paper, self.figure)


class UploadReader:
    """Open uploads, a few at a time, and find opened ones again."""

    def __init__(self, folder: UploadFolder, settings: ExtractSettings) -> None:
        self.folder = folder
        self._settings = replace(settings, timeout_seconds=min(settings.timeout_seconds, _PAPER_SECONDS))
        self._papers = asyncio.Semaphore(_PAPERS_AT_A_TIME)
        self._images = ImageReader()

    async def open(self, upload: Path) -> str:
        """Read an upload; return the name by which `items` finds it.

        Raises:
            InputError: an unusable image or paper, or too many uploads at a time; the upload is named without its
                folder.
        """
        if not self.folder.contains(upload):
            raise InputError("this file was not uploaded here", "upload it again")
        entry = self.folder.new_entry()
        try:
            if is_paper(upload):
                await self._open_paper(upload, entry)
            else:
                await self._images.convert(upload, entry / _IMAGE_FILE)
                (entry / _NAME_FILE).write_text(upload.name, encoding="utf-8", errors="surrogateescape")
        except InputError as error:
            shutil.rmtree(entry, ignore_errors=True)
            raise InputError(error.problem.replace(str(upload), upload.name), error.remedy) from None
        finally:
            await anyio.to_thread.run_sync(self.folder.make_room)
        return entry.name

    def items(self, opened: str) -> list[UploadedItem]:
        """Return the image, or the figures of a paper in their order; nothing if the upload has been deleted."""
        entry = self.folder.path / opened
        if not opened or not entry.is_dir():
            return []
        try:
            os.utime(entry)  # the least recently used is deleted first
            if (entry / _IMAGE_FILE).exists():
                name = (entry / _NAME_FILE).read_text(encoding="utf-8", errors="surrogateescape")
                return [UploadedItem(label=name, file=entry / _IMAGE_FILE, figure=None, paper=None)]
            return _items_of(open_paper(entry))
        except (OSError, FigtuneError):  # deleted meanwhile
            return []

    async def _open_paper(self, upload: Path, entry: Path) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._papers.acquire()
        except TimeoutError:
            raise InputError("other papers are being read", "try again in a moment") from None
        try:
            await anyio.to_thread.run_sync(self._extract, upload, entry)
        finally:
            self._papers.release()

    def _extract(self, upload: Path, entry: Path) -> None:
        with self.folder.writing():
            read_paper(upload, entry, self._settings)


def _items_of(paper: Paper) -> list[UploadedItem]:
    return [
        UploadedItem(label=f"{figure.figure_type} {figure.name}", file=paper.crop(figure), figure=figure, paper=paper)
        for figure in paper.figures
    ]


@dataclass(frozen=True)
class _Conversion:
    source: Path
    target: Path
    """PNG to write."""


class ImageReader:
    """A pool of worker processes, each decoding one image at a time."""

    def __init__(self) -> None:
        self._idle: asyncio.Queue[PersistentWorker[_Conversion, str]] = asyncio.Queue()
        for _ in range(_WORKERS):
            self._idle.put_nowait(PersistentWorker(write_png))

    async def convert(self, source: Path, target: Path) -> None:
        """Write the image in `source` to `target` as a PNG of bounded size.

        Raises:
            InputError: no image, a broken one, one that takes too much time or memory, or too many at a time.
        """
        try:
            async with asyncio.timeout(_IMAGE_PATIENCE_SECONDS):
                guard = await self._idle.get()
        except TimeoutError:
            raise InputError("other images are being decoded", "try again in a moment") from None
        try:
            outcome = await anyio.to_thread.run_sync(guard.run, _Conversion(source, target), _LIMITS)
        finally:
            self._idle.put_nowait(guard)
        if isinstance(outcome, TaskFailure):
            raise InputError(f"{source.name} {outcome.reason}", "make it smaller")
        if outcome:
            raise InputError(outcome, "give a PNG or JPEG file that opens")


def write_png(task: _Conversion) -> str:
    """Decode, shrink and write an image, in the worker; return the problem, or an empty text."""
    try:
        decoded = read_image(task.source)
        decoded.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        decoded.save(task.target, "PNG", compress_level=1)
    except InputError as error:
        return error.problem.replace(str(task.source), task.source.name)
    except Exception as error:  # noqa: BLE001 - any failure of a decoder concerns this upload only
        return f"{task.source.name} cannot be read: {type(error).__name__}"
    return ""
