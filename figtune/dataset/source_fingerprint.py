"""Fingerprint of a data set on this machine, cheap enough to be computed before every run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from figtune.core.errors import InputError
from figtune.core.image_formats import IMAGE_SUFFIXES
from figtune.core.io import sha256_of
from figtune.dataset.settings import DataSettings

_TEXTS = frozenset((".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".txt", ".md", ".yaml"))
_SAMPLE_BYTES = 1 << 16


def source_fingerprint(data: DataSettings) -> dict[str, str]:
    """Fingerprint texts by sha256, pictures all together by names and sizes, the rest by size and samples of its bytes.

    A Hub repository is identified by its name and revision alone: it has no files here.

    Raises:
        InputError: it is not there.
    """
    path = data.path
    if path is None:
        return {}
    if not (path.is_file() or path.is_dir()):
        raise InputError(
            f"there is no data set {data.source}", "give --data.source a Hub id, a folder, or a Parquet or JSONL file"
        )
    if path.is_file():
        return {path.name: _file_fingerprint(path)}
    identities, pictures = {}, []
    for name, size in _sizes(str(path), ""):
        if name.lower().endswith(IMAGE_SUFFIXES):
            pictures.append(f"{name} {size}\n".encode())
        else:
            identities[name] = _file_fingerprint(path / name)
    return {**identities, "pictures": _digest(sorted(pictures))}


def _sizes(folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield names and sizes of all files below a folder. Without a Path for each: there may be a hundred thousand."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield f"{prefix}{entry.name}", entry.stat().st_size


def _file_fingerprint(path: Path) -> str:
    if path.suffix.lower() in _TEXTS:
        return sha256_of(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
        file.seek(max(0, size - _SAMPLE_BYTES))
        # A Parquet file ends in the table of where everything lies.
        return f"{size} bytes, {_digest((head, file.read()))}"


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
