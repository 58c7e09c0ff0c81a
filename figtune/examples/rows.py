"""Rows of an image-caption data set, whatever it is stored in, one by one and with their images still encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from figtune.pipeline.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column holds what; an empty name is none."""

    image: str
    target: str
    prompt: str
    row_id: str

    @property
    def named(self) -> dict[str, str]:
        """Those that the user named, by the flag that names them."""
        flags = {
            "--data.image_column": self.image,
            "--data.target_column": self.target,
            "--data.prompt_column": self.prompt,
            "--data.id_column": self.row_id,
        }
        return {flag: name for flag, name in flags.items() if name}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row, as it stands in the data set."""

    number: int
    """From 1, within its part."""
    image: bytes | str | None
    """An encoded image, or the path of one; None where there is neither."""
    target: str
    prompt: str
    row_id: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """A split of a data set, under the name that the data set gives it."""

    name: str
    rows: Iterable[Mapping[str, object]]
    """Images as bytes, as paths, or as `{"bytes": ..., "path": ...}`; never decoded."""
    count: int | None
    """Of the rows, where it is known beforehand."""


@dataclass(frozen=True, kw_only=True)
class OpenedSource:
    """A data set that is being read."""

    name: str
    """The Hub id, or the name of the folder or file without where it lies."""
    folder: Path
    """What paths of images are relative to, and, for a data set of others, must not leave."""
    trusted: bool
    """Whether its paths may lead anywhere on this machine, since the user wrote them."""
    parts: tuple[Part, ...]


def rows_of(part: Part, columns: Columns, default_prompt: str, source: str) -> Iterator[Row]:
    """The rows of a part.

    Args:
        default_prompt: asked of rows without one of their own.

    Raises:
        InputError: the data set lacks a column.
    """
    for number, cells in enumerate(part.rows, start=1):
        if number == 1:
            _require_columns(cells, columns, source)
        yield Row(
            number=number,
            image=_image(cells[columns.image]),
            target=_text(cells.get(columns.target)),
            prompt=_text(cells.get(columns.prompt)) or default_prompt,
            row_id=_text(cells.get(columns.row_id)),
        )


def _require_columns(cells: Mapping[str, object], columns: Columns, source: str) -> None:
    for flag, name in columns.named.items():
        if name not in cells:
            raise InputError(
                f'{source} has no column "{name}"; it has {", ".join(map(str, cells))}', f"name another with {flag}"
            )


def _image(value: object) -> bytes | str | None:
    if isinstance(value, Mapping):
        return _image(value.get("bytes")) or _image(value.get("path"))
    return value if isinstance(value, bytes | str) and value else None


def _text(value: object) -> str:
    """Numbers and dates, as of ids, become text; nothing else that is no text does."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | date) else ""
