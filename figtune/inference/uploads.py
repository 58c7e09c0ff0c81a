"""Uploads of a server: the folder that holds them, bounded, locked and deleted with it, and each opened for questions.

An upload is one image, or a paper whose figures are asked about. Images are decoded in worker processes with limits of
time and memory.
"""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

_PREFIX = "figtune-page-"
_KEPT_SECONDS = 3600
_PART_KEPT_SECONDS = 600
"""Age at which a file that an interrupted upload has left is deleted."""
_MOST_ENTRIES = 2000
_SECONDS_TO_STOP = 20.0
_POLL_SECONDS = 0.1


class UploadFolder:
    """A folder with an upper bound on its size: the oldest entries make room for new ones."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path = path.resolve()
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._writers = 0
        self._closed = False

    def contains(self, path: Path) -> bool:
        """Return True for a regular file that lies below the folder once all links are followed."""
        try:
            real = path.resolve(strict=True)
            return real.is_file() and real.is_relative_to(self.path)
        except (OSError, RuntimeError, ValueError):  # missing, a circle of links, a NUL byte
            return False

    def new_entry(self) -> Path:
        """Make an empty folder in it."""
        return Path(tempfile.mkdtemp(prefix="opened-", dir=self.path))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep the folder from being deleted while something is written into it.

        Raises:
            InputError: the server is shutting down.
        """
        with self._lock:
            if self._closed:
                raise InputError("the page is closing", "start it again")
            self._writers += 1
        try:
            yield
        finally:
            with self._lock:
                self._writers -= 1

    def delete(self) -> None:
        """Stop the workers, wait for whatever still writes, and delete the folder."""
        with self._lock:
            self._closed = True
        end = time.monotonic() + _SECONDS_TO_STOP
        while True:
            for worker in multiprocessing.active_children():
                worker.kill()
            with self._lock:
                if self._writers == 0 or time.monotonic() > end:
                    break
            time.sleep(_POLL_SECONDS)
        shutil.rmtree(self.path, ignore_errors=True)

    def make_room(self, wanted: int = 0) -> None:
        """Delete expired entries, then the oldest ones until `wanted` more bytes fit."""
        with self._lock:
            now = time.time()
            entries = sorted((_Entry(path) for path in self.path.iterdir()), key=lambda entry: entry.modified)
            excess = sum(entry.size for entry in entries) + wanted - self._most_bytes
            surplus = len(entries) - _MOST_ENTRIES
            for entry in entries:
                if excess > 0 or surplus > 0 or now - entry.modified > entry.kept_seconds:
                    entry.delete()
                    excess -= entry.size
                    surplus -= 1


class _Entry:
    """One file or folder of the upload folder."""

    def __init__(self, path: Path) -> None:
        states = [state for file in (path, *path.rglob("*")) if (state := _state(file)) is not None]
        self._path = path
        self.size = sum(state.st_size for state in states)
        self.modified = max((state.st_mtime for state in states), default=0.0)
        self.kept_seconds = _KEPT_SECONDS if path.is_dir() else _PART_KEPT_SECONDS

    def delete(self) -> None:
        if self._path.is_dir():
            shutil.rmtree(self._path, ignore_errors=True)
        else:
            self._path.unlink(missing_ok=True)


@contextmanager
def upload_folder(most_bytes: int) -> Iterator[UploadFolder]:
    """Make the folder of one server and delete it in the end; delete folders of killed servers, too."""
    _sweep()
    path, lock = _locked_folder()
    folder = UploadFolder(path, most_bytes)
    try:
        yield folder
    finally:
        folder.delete()
        os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    """Make a folder and lock it; the system releases the lock when the process ends, however it ends."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
        lock = _try_lock(path)
        if lock is not None and path.exists():
            return path, lock
        if lock is not None:
            os.close(lock)  # another server has deleted it before it was locked


def _sweep() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        state = _state(path)
        if state is None or state.st_uid != os.getuid():
            continue
        lock = _try_lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _try_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock; None if another process holds it, or `path` is no folder."""
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        return None
    return descriptor


def _state(path: Path) -> os.stat_result | None:
    with suppress(OSError):
        return path.lstat()
    return None


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
