"""The PDFs of a folder: found, named and hashed. Cheap to import, since a rerun with nothing to do needs no more."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from figtune.core.errors import InputError
from figtune.core.io import sha256_of
from figtune.core.log import progress_bar

_LONGEST_SLUG = 60
_HASH_DIGITS = 8
_MANY = 200  # papers, whose gigabytes take seconds to hash
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_BYTES = re.compile("[\udc80-\udcff]+")


@dataclass(frozen=True, kw_only=True)
class PdfFile:
    """A PDF given by the user."""

    path: Path
    file: str
    """Path relative to the folder given, with bytes that are no UTF-8 written as `\\xff`."""
    sha256: str
    """sha256 of its content in hex; empty where it is unreadable."""
    unreadable: str
    """Reason for being unreadable; empty otherwise."""

    @property
    def paper_id(self) -> str:
        """A name safe as a file name anywhere: from the stem, and the content (of an unreadable file: its path)."""
        identity = self.sha256 or sha256(self.file.encode()).hexdigest()
        return f"{_slug(os.fsencode(self.path.stem).decode('utf-8', 'ignore'))}-{identity[:_HASH_DIGITS]}"


def pdf_hashes(pdf_dir: Path) -> dict[str, str]:
    """Return the sha256 of every PDF below `pdf_dir` by relative path, or the reason for its being unreadable.

    Raises:
        InputError: no such folder, or no PDF in it.
    """
    return {source.file: source.sha256 or source.unreadable for source in find_pdfs(pdf_dir)}


def find_pdfs(pdf_dir: Path) -> list[PdfFile]:
    """Return every `*.pdf` (in any case) below `pdf_dir`, sorted by the bytes of its relative path.

    Folders behind symbolic links are not entered: they may lead in circles.

    Raises:
        InputError: no such folder, no PDF in it, or a folder in it that cannot be read.
    """
    if not pdf_dir.is_dir():
        problem = "is not a folder" if pdf_dir.exists() else "does not exist"
        raise InputError(f"the folder of papers {printable(str(pdf_dir))} {problem}", "give one with --pdf_dir")
    paths = sorted(_pdf_paths(pdf_dir), key=os.fsencode)
    if not paths:
        raise InputError(f"no PDF below {printable(str(pdf_dir))}", "give a folder with papers with --pdf_dir")
    if len(paths) < _MANY:
        return [_source(path, pdf_dir) for path in paths]
    return [
        _source(path, pdf_dir)
        for path in progress_bar(paths, total=len(paths), title="looking at papers", unit="paper")
    ]


def pdf_names(pdf_dir: Path) -> set[str]:
    """Return the relative paths of all PDFs below a folder, as `PdfFile` has them, without reading any.

    Raises:
        InputError: a folder cannot be read.
    """
    return {_name_of(path, pdf_dir) for path in _pdf_paths(pdf_dir)}


def _name_of(path: Path, pdf_dir: Path) -> str:
    return printable(path.relative_to(pdf_dir).as_posix())


def _pdf_paths(pdf_dir: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(pdf_dir, onerror=_refuse_folder):
        for name in names:
            if name.lower().endswith(".pdf"):
                yield Path(folder, name)


def _refuse_folder(error: OSError) -> None:
    folder = printable(str(error.filename))
    raise InputError(
        f"the folder {folder} {unreadable(error)}, so its papers would be missed",
        "change its permissions, or move it out of --pdf_dir",
    ) from None


def linked_folders(pdf_dir: Path) -> list[str]:
    """Return the relative paths of folders behind symbolic links, whose papers `find_pdfs` leaves out."""
    linked = (
        Path(folder, name)
        for folder, below, _ in os.walk(pdf_dir)
        for name in below
        if os.path.islink(f"{folder}/{name}")  # noqa: PTH114 - without a Path for each
    )
    return sorted(printable(path.relative_to(pdf_dir).as_posix()) for path in linked)


def _source(path: Path, pdf_dir: Path) -> PdfFile:
    digest, problem = "", ""
    try:
        # Opening a pipe or a socket would wait for ever.
        if path.is_file():
            digest = sha256_of(path)
        else:
            problem = "not a regular file"
    except OSError as error:
        problem = unreadable(error)
    return PdfFile(path=path, file=_name_of(path, pdf_dir), sha256=digest, unreadable=problem)


def unreadable(error: OSError) -> str:
    """Return the reason, in words, for a file being unreadable."""
    return f"cannot be read ({(error.strerror or 'input/output error').lower()})"


def printable(text: str) -> str:
    """Return `text` with the undecodable bytes of a file name, surrogates in Python, written as `\\xff`.

    Bytes that are UTF-8 are written as such, also where the locale has Python decode names as ASCII.
    """
    return _SURROGATE.sub("\ufffd", _ESCAPED_BYTES.sub(lambda match: _decoded(match[0]), text))


def _decoded(escaped: str) -> str:
    return escaped.encode("ascii", "surrogateescape").decode("utf-8", "backslashreplace")


def _slug(stem: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", stem).encode("ascii", errors="ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-")[:_LONGEST_SLUG].strip("-") or "paper"
