"""The folder of all uploads of a server: bounded in size, locked, and deleted with the server."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from figtune.core.errors import InputError

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
