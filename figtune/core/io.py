"""Atomic files and folders."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".partial-"
_UMASK = os.umask(0o022)
os.umask(_UMASK)
# Python tells the umask only to whoever sets another one, which is for the whole process: best done once.
_OF_TEMPFILE = 0o600


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there becomes `path` when the block ends well.

    The temporary name keeps the suffix of `path`, since image and plot libraries choose a format by it.
    Anything that the block leaves behind when it fails is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        yield temporary
        lend(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write_dir(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `folder` when the block ends well. `os.replace` refuses a folder that
    is not empty, so the old one goes first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        lend(temporary)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def lend(path: Path) -> None:
    """Give what libraries wrote through `tempfile`, for its owner alone, the mode that the umask grants other files."""
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names) if path.is_dir() else (path,)
    for file in files:
        if not file.is_symlink() and stat.S_IMODE(file.stat().st_mode) == _OF_TEMPFILE:
            file.chmod(0o666 & ~_UMASK)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `path` whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `path` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_partial_files(folder: Path, names: Iterable[str]) -> None:
    """Remove what a killed process left half-written directly in `folder` and anywhere below its `names`."""
    leftovers = list(folder.glob(f"{TEMPORARY_PREFIX}*"))
    for name in names:
        leftovers += (folder / name).rglob(f"{TEMPORARY_PREFIX}*")
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
