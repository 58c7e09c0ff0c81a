"""What an upload can be asked about: one picture, or the figures of a paper, kept in the upload folder."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
from PIL import Image

from figtune.figures.records import FigureRecord
from figtune.inference.image_worker import PictureReader
from figtune.inference.paper_figures import Paper, Reading, is_paper, open_paper, read_paper
from figtune.inference.prompt_spec import Request
from figtune.inference.upload_folder import UploadFolder
from figtune.pipeline.errors import FigtuneError, InputError
from figtune.pipeline.images import read_image

_PAPERS_AT_A_TIME = 2
_PAPER_SECONDS = 20.0
"""Longest time for one paper; the page is for looking at a figure, not for extracting a library."""
_PATIENCE_SECONDS = 15.0
_PICTURE_FILE = "picture.png"
_NAME_FILE = "name"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A picture and what is known of it."""

    label: str
    file: Path
    """PNG, in the upload folder."""
    figure: FigureRecord | None
    paper: Paper | None
    """Where the figure is from."""

    def picture(self) -> Image.Image:
        """Read it, as RGB."""
        return read_image(self.file)

    def prompt(self, request: Request) -> str:
        """Return what is asked about it."""
        if self.figure is None or self.paper is None:
            return request.of_image()
        return request.of_figure(self.paper, self.figure)


class Uploads:
    """Opens uploads, a few at a time, and finds again what was opened."""

    def __init__(self, folder: UploadFolder, reading: Reading) -> None:
        self.folder = folder
        self._reading = replace(reading, timeout_s=min(reading.timeout_s, _PAPER_SECONDS))
        self._papers = asyncio.Semaphore(_PAPERS_AT_A_TIME)
        self._pictures = PictureReader()

    async def open(self, upload: Path) -> str:
        """Read an upload; return the name by which `subjects` finds it.

        Raises:
            InputError: a picture or a paper that cannot be used, or too many are being read; the upload is named by
                its name alone.
        """
        if not self.folder.holds(upload):
            raise InputError("this file was not uploaded here", "upload it again")
        entry = self.folder.new_entry()
        try:
            if is_paper(upload):
                await self._open_paper(upload, entry)
            else:
                await self._pictures.convert(upload, entry / _PICTURE_FILE)
                (entry / _NAME_FILE).write_text(upload.name, encoding="utf-8", errors="surrogateescape")
        except InputError as error:
            shutil.rmtree(entry, ignore_errors=True)
            raise InputError(error.problem.replace(str(upload), upload.name), error.remedy) from None
        finally:
            await anyio.to_thread.run_sync(self.folder.make_room)
        return entry.name

    def subjects(self, opened: str) -> list[Subject]:
        """Return the picture, or the figures of a paper in their order; nothing if it has been deleted since."""
        entry = self.folder.path / opened
        if not opened or not entry.is_dir():
            return []
        os.utime(entry)  # what is looked at is deleted last
        try:
            if (entry / _PICTURE_FILE).exists():
                name = (entry / _NAME_FILE).read_text(encoding="utf-8", errors="surrogateescape")
                return [Subject(label=name, file=entry / _PICTURE_FILE, figure=None, paper=None)]
            return _figures(open_paper(entry, self._reading))
        except (OSError, FigtuneError):  # deleted a moment ago
            return []

    async def _open_paper(self, upload: Path, entry: Path) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._papers.acquire()
        except TimeoutError:
            raise InputError("other papers are being read", "try again in a moment") from None
        try:
            await anyio.to_thread.run_sync(read_paper, upload, entry, self._reading)
        finally:
            self._papers.release()


def _figures(paper: Paper) -> list[Subject]:
    return [
        Subject(label=f"{figure.figure_type} {figure.name}", file=paper.crop(figure), figure=figure, paper=paper)
        for figure in paper.figures
    ]
