"""Rows of an image-caption data set, whatever it is stored in, one by one and with their images still encoded.

CSV and JSON files are read line by line. Cells of a CSV file stay texts: a reader that guesses types turns the ids
"007" and "12" of one block into numbers and leaves those of the next as they are.
"""

from __future__ import annotations

import codecs
import csv
import json
import logging
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from figtune.core.errors import InputError
from figtune.dataset.settings import TABLE_SUFFIXES, DataSettings

logger = logging.getLogger(__name__)

_ID_FLAG = "--data.id_column"
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")
_MIDNIGHT = " 00:00:00"
_LINE_END = re.compile(r"\r\n?")
_NEVER_PRINTED = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
"""Control sequences of terminals (ECMA-48, 5.4), such as colours, whole; other control characters and byte order marks.
No text that a model should learn."""

CSV_SUFFIXES = frozenset((".csv", ".tsv"))
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MISSING = frozenset(("", "NA", "N/A", "n/a", "<NA>", "nan", "NaN", "null", "NULL", "None"))
"""Cells that stand for no value, as pandas takes them."""
_LONGEST_CELL = 10_000_000
"""Characters; Python's own limit of 131,072 refuses long reports."""
_BLOCK_BYTES = 1 << 20
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


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

    An empty name of a column is none, and a dotted one leads into a nested column: `conversations.0.value`. Characters
    that are never printed are left out of targets and prompts, and the rows that have any are counted in the log.

    Raises:
        InputError: the data set lacks a column, or one cannot be used as it is meant to be.
    """
    with_controls = 0
    for number, cells in enumerate(part.rows, start=1):
        if number == 1:
            _require_columns(cells, data)
        where = f"{data.source}, {part.name} row {number}"
        texts = _texts(_cell(cells, data.target_column), data.target_column, where)
        asked = _scalar_text(_cell(cells, data.prompt_column))
        targets, prompt = tuple(map(_printable, texts)), _printable(asked)
        with_controls += (targets, prompt) != (texts, asked)
        yield DatasetRow(
            number=number,
            image=_image(_cell(cells, data.image_column)),
            targets=targets,
            prompt=prompt or data.prompt,
            row_id=_row_id(_cell(cells, data.id_column), data.id_column, where),
        )
    if with_controls:
        logger.info(f"rows of {part.name} with control characters in their texts, left out there: {with_controls:,}")


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
            remedy = f"name another with {flag}"
            if tables := _tables_in(data.path):
                remedy += f", or give a table in it: --data.source {tables[0]}"
            raise InputError(f'{source} has no column "{name}"; it has {has}', remedy)
        head, *below = name.split(".")
        if name not in cells and _is_conversation(cells[head]) and not below[0].isdecimal():
            one = ", ".join(_names({head: cells[head]}))
            raise InputError(
                f'{source}: the column "{head}" holds turns of a conversation', f"name one turn, as in {one}"
            )


def _tables_in(folder: Path | None) -> list[Path]:
    """Return the tables of a folder: beside many pictures they are not read unless they are called metadata."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file())


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
    return _LINE_END.sub("\n", str(value).strip().encode("utf-8", "replace").decode("utf-8"))


def _printable(text: str) -> str:
    return _NEVER_PRINTED.sub("", text).strip()


def table_rows(path: Path, columns: Collection[str]) -> Iterator[Mapping[str, object]]:
    """Yield the rows of a CSV or JSON file by column; None stands for a missing cell.

    Args:
        columns: names that its header should have, by which the delimiter of a CSV file is found.

    Raises:
        ValueError: a line is not what it should be.
    """
    return _csv_rows(path, columns) if path.suffix.lower() in CSV_SUFFIXES else _json_rows(path)


def _csv_rows(path: Path, columns: Collection[str]) -> Iterator[Mapping[str, object]]:
    csv.field_size_limit(_LONGEST_CELL)
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        delimiter = _delimiter(file.readline(), columns)
        file.seek(0)
        if delimiter != "," or encoding not in ("utf-8", "utf-8-sig"):
            logger.info(f"{path.name} is read as {encoding} text with cells between {_DELIMITERS[delimiter]}")
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(rows, [])]
            if twice := next((name for name in filter(None, header) if header.count(name) > 1), None):
                raise ValueError(f'the header has the column "{twice}" more than once')
            for cells in filter(None, rows):
                if len(cells) != len(header):
                    raise ValueError(f"{len(cells)} cells where the header has {len(header)}")
                pairs = zip(header, cells, strict=True)
                yield {name: None if cell.strip() in _MISSING else cell for name, cell in pairs}
        except (csv.Error, ValueError) as misfit:
            raise ValueError(f"{path.name}, line {rows.line_num}: {misfit}") from None


def _encoding(path: Path) -> str:
    """Return the encoding of a text file: by its byte order mark, else UTF-8 where it is valid, else Windows-1252."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        head = file.read(4)
        for mark, encoding in _BYTE_ORDER_MARKS:
            if head.startswith(mark):
                return encoding
        try:
            decoder.decode(head)
            while block := file.read(_BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return _western(path)
    return "utf-8"


def _western(path: Path) -> str:
    """Return Windows-1252, or Latin-1 where a byte stands for nothing in it."""
    unused = b"\x81\x8d\x8f\x90\x9d"
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            if len(block.translate(None, unused)) < len(block):
                return "latin-1"
    return "cp1252"


def _delimiter(header: str, columns: Collection[str]) -> str:
    """Return the delimiter that gives all of `columns`, else the one that gives the most cells."""
    cells = {delimiter: next(csv.reader([header], delimiter=delimiter), []) for delimiter in _DELIMITERS}
    for delimiter, names in cells.items():
        if set(columns) <= {name.strip() for name in names}:
            return delimiter
    return max(cells, key=lambda delimiter: len(cells[delimiter]))


def _json_rows(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open(encoding=_encoding(path)) as file:
        rows = _json_values(file.read()) if path.suffix.lower() == ".json" else None
        file.seek(0)
        for number, row in enumerate(_json_lines(file, path.name) if rows is None else rows, start=1):
            if not isinstance(row, dict):
                raise ValueError(f"{path.name}, row {number}: {type(row).__name__} where an object should be")
            yield row


def _json_values(text: str) -> list[object] | None:
    """Return the items of an array, or one value; None where lines are values of their own."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, list) else [value]


def _json_lines(lines: Iterable[str], name: str) -> Iterator[object]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as misfit:
                raise ValueError(f"{name}, line {number}: {misfit}") from None
