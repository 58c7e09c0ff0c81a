"""CSV and JSON files as rows, read line by line.

Cells of a CSV file stay texts: a reader that guesses types turns the ids "007" and "12" of one block into numbers and
leaves those of the next as they are.
"""

from __future__ import annotations

import codecs
import csv
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

logger = logging.getLogger(__name__)


CSV_SUFFIXES = frozenset((".csv", ".tsv"))

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MISSING = frozenset(("", "NA", "N/A", "n/a", "<NA>", "nan", "NaN", "null", "NULL", "None"))
"""Cells that stand for no value, as pandas takes them."""
_LONGEST_CELL = 10_000_000
"""Characters; Python's own limit of 131,072 refuses long reports."""
_BLOCK_BYTES = 1 << 20
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


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
