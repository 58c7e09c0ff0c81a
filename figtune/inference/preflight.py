"""Checks of the file that the model is asked about, before torch is imported or anything is loaded."""

from __future__ import annotations

from pathlib import Path

from figtune.core.errors import InputError, UsageError
from figtune.core.image_decoding import decode_file

_HEADER = b"%PDF-"
_HEADER_WITHIN = 1024  # bytes, as extraction looks for it


def is_paper(path: Path) -> bool:
    """Return True for a PDF, by its name or by its first bytes."""
    if path.suffix.lower() == ".pdf":
        return True
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with path.open("rb") as file:
            return _HEADER in file.read(_HEADER_WITHIN)
    except OSError:
        return False


def check_subject(about: Path, figure: str | None, answers: Path | None) -> None:
    """Check that an image, a PDF or a folder can be used with these flags.

    Raises:
        InputError: no such file, an unreadable one, or no image.
        UsageError: `figure` or `answers` without use.
    """
    if not about.exists():
        what = "paper" if is_paper(about) else "image"
        raise InputError(f"there is no {what} {about}", "check the path")
    if not about.is_dir() and not about.is_file():
        raise InputError(f"{about} is not a regular file", "give a PNG or JPEG file, a PDF, or a folder of images")
    if figure is not None and (about.is_dir() or not is_paper(about)):
        raise UsageError(f"--figure is for papers, and {about} is no PDF", "leave out --figure, or give a PDF")
    if about.is_dir():
        return
    if answers is not None:
        raise UsageError(f"--answers is for folders, and {about} is none", "leave it out: the answer goes to stdout")
    if not is_paper(about):
        decode_file(about)
