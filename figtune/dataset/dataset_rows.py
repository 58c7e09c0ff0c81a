"""Rows of an image-caption data set, whatever it is stored in, one by one and with their images still encoded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from figtune.core.errors import InputError
from figtune.dataset.settings import DataSettings

_ID_FLAG = "--data.id_column"
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")
_MIDNIGHT = " 00:00:00"


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """One row, as it stands in the data set."""

    number: int
    """Number from 1, within its part."""
    image: bytes | str | None
    """An encoded image, or the path of one; None where there is neither."""
    targets: tuple[str, ...]
    """Texts, one unless the data set gives an image several; at least one, which may be empty."""
    prompt: str
    row_id: str
    """Empty where the data set gives none."""


@dataclass(frozen=True, kw_only=True)
class DatasetSplit:
    """A split of a data set, under the name that the data set gives it."""

    name: str
    rows: Iterable[Mapping[str, object]]
    """Images as bytes, as paths, or as `{"bytes": ..., "path": ...}`; never decoded."""
    count: int | None
    """Number of rows, where it is known beforehand."""


@dataclass(frozen=True, kw_only=True)
class OpenedSource:
    """A data set that is being read."""

    name: str
    """The Hub id, or the name of the folder or file without where it lies."""
    folder: Path
    """Paths of images are relative to it and, in a data set of others, must not leave it."""
    trusted: bool
    """True where paths may lead anywhere on this machine, since the user wrote them."""
    parts: tuple[DatasetSplit, ...]


def rows_of(part: DatasetSplit, data: DataSettings) -> Iterator[DatasetRow]:
    """Yield the rows of a part.

    An empty name of a column is none, and a dotted one leads into a nested column: `conversations.0.value`.

    Raises:
        InputError: the data set lacks a column, or one cannot be used as it is meant to be.
    """
    for number, cells in enumerate(part.rows, start=1):
        if number == 1:
            _require_columns(cells, data)
        where = f"{data.source}, {part.name} row {number}"
        yield DatasetRow(
            number=number,
            image=_image(_cell(cells, data.image_column)),
            targets=_texts(_cell(cells, data.target_column), data.target_column, where),
            prompt=_scalar_text(_cell(cells, data.prompt_column)) or data.prompt,
            row_id=_row_id(_cell(cells, data.id_column), data.id_column, where),
        )


def _cell(cells: Mapping[str, object], column: str) -> object:
    """Return the value of a column, or what a dotted name leads to; None where there is none."""
    if column in cells or not column:
        return cells.get(column)
    value: object = cells
    for key in column.split("."):
        value = _below(value, key)
    return value


def _below(value: object, key: str) -> object:
    """Look a name up in a mapping or, item by item, in a list of them; a number counts items of a list from 0."""
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list):
        if key.isdecimal():
            return value[int(key)] if int(key) < len(value) else None
        return [_below(item, key) for item in value]
    return None


def _require_columns(cells: Mapping[str, object], data: DataSettings) -> None:
    source = data.source
    if isinstance(cells.get("images"), list) and isinstance(cells.get("annotations"), list):
        raise InputError(
            f"{source} is an annotation file in the layout of COCO",
            'give lines such as {"image": "000000391895.jpg", "caption": ["...", "..."]} in a .jsonl file',
        )
    for flag, name in data.columns.items():
        if name not in cells and not _has(cells, name.split(".")):
            has = ", ".join(_names(cells)) or "none"
            raise InputError(f'{source} has no column "{name}"; it has {has}', f"name another with {flag}")
        head, *below = name.split(".")
        if name not in cells and _is_conversation(cells[head]) and not below[0].isdecimal():
            one = ", ".join(_names({head: cells[head]}))
            raise InputError(
                f'{source}: the column "{head}" holds turns of a conversation', f"name one turn, as in {one}"
            )


def _has(value: object, keys: Sequence[str]) -> bool:
    """Tell whether a nested column may exist, by the values of one row; nothing is held against an empty value."""
    if not keys or value is None or value == []:
        return True
    if isinstance(value, Mapping):
        return keys[0] in value and _has(value[keys[0]], keys[1:])
    if isinstance(value, list):
        if keys[0].isdecimal():
            return int(keys[0]) >= len(value) or _has(value[int(keys[0])], keys[1:])
        return any(_has(item, keys) for item in value)
    return False


def _is_conversation(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(turn, Mapping) and {"role", "from"} & set(turn) for turn in value)


def _names(cells: Mapping[str, object]) -> Iterator[str]:
    """Yield the names of columns, nested ones as they can be typed."""
    for name, value in cells.items():
        nested = value[0] if isinstance(value, list) and value else value
        if isinstance(nested, Mapping) and set(nested) != {"bytes", "path"}:
            between = f"{name}.0" if isinstance(value, list) else name
            yield from (f"{between}.{below}" for below in nested)
        else:
            yield str(name)


def _image(value: object) -> bytes | str | None:
    if isinstance(value, Mapping):
        return _image(value.get("bytes")) or _image(value.get("path"))
    if isinstance(value, list):
        return _image(value[0]) if len(value) == 1 else None
    return value if isinstance(value, bytes | str) and value else None


def _texts(value: object, column: str, where: str) -> tuple[str, ...]:
    if isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(item, Mapping) for item in value)):
        below = [name for name in _names({column: value}) if name != column]
        raise InputError(
            f'{where}: the column "{column}" holds no texts{" but nested values" if below else ""}',
            f"name {'one of ' + ', '.join(below) if below else 'a column of texts'} with --data.target_column",
        )
    if isinstance(value, list):
        return tuple(text for text in map(_scalar_text, value) if text) or ("",)
    return (_scalar_text(value),)


def _row_id(value: object, column: str, where: str) -> str:
    """Return an id as text, the same for 1000, 1000.0 and "1000"; empty for a missing one.

    Readers turn integers into floats as soon as one cell is empty, and days into points of time; neither may part the
    rows of one id.
    """
    if _is_nested(value):
        raise InputError(
            f'{where}: the column "{column}" cannot be an id: it holds lists, nested values or images',
            f"name a column of texts, numbers or dates with {_ID_FLAG}",
        )
    text = _scalar_text(value).removesuffix(_MIDNIGHT)
    whole = _WHOLE_NUMBER.fullmatch(text)
    return whole[1] if whole else text


def _is_nested(value: object) -> bool:
    return isinstance(value, bytes | Mapping | Sequence) and not isinstance(value, str)


def _scalar_text(value: object) -> str:
    """Return a text, number, date or the like as text; empty for a missing one and for what is no single value."""
    if value is None or _is_nested(value) or value != value:
        return ""
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    # Half of a surrogate pair, which JSON can hold, cannot be written as UTF-8.
    return str(value).strip().encode("utf-8", "replace").decode("utf-8")
