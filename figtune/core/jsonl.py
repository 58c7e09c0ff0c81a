"""Records: one frozen dataclass per line of a JSONL file.

Reading is strict: a missing field, a wrong type or a foreign schema number is an `InputError` that names file,
line and field. Writing is deterministic: fields in the order of the dataclass, UTF-8, no timestamps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from figtune.core.errors import ArtifactMissingError, InputError
from figtune.core.io import atomic_write, write_bytes

Record = TypeVar("Record")

_MISSING_FIELD = re.compile(r"Object missing required field `(\w+)`(?: - at `\$\.?(.*)`)?")
_MISFIT = re.compile(r"(.*) - at `\$\.(.*)`")


def write_records(path: Path, records: Iterable[object]) -> int:
    """Write one JSON object a line, the file whole or not at all; return the number of lines."""
    count = 0
    with jsonl_writer(path) as write:
        for record in records:
            write(record)
            count += 1
    return count


@contextmanager
def jsonl_writer(path: Path) -> Iterator[Callable[[object], None]]:
    """Yield a function that adds a record to `path`; the file is there, whole, when the block ends well."""
    encoder = msgspec.json.Encoder()
    with atomic_write(path) as temporary, temporary.open("wb") as file:

        def write(record: object) -> None:
            file.write(encoder.encode(record) + b"\n")

        yield write


def read_records(path: Path, kind: type[Record], made_by: str) -> list[Record]:
    """All records of a JSONL file. See `stream_records`."""
    return list(stream_records(path, kind, made_by))


def stream_records(path: Path, kind: type[Record], made_by: str) -> Iterator[Record]:
    """Yield the records of a JSONL file one by one.

    Args:
        made_by: the command that makes the file, for the remedy of the error.

    Raises:
        ArtifactMissingError: the file is not there.
        InputError: a line is not a record of this kind, `figures.jsonl:17: missing "caption"`.
    """
    decoder = msgspec.json.Decoder(kind)
    _check_regular(path, made_by)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as misfit:
                where = f"{path}:{number}"
                raise InputError(
                    f"{where}: {_readable_misfit(misfit)}", f"make it again with: {made_by} --force"
                ) from None


def write_json(path: Path, value: object) -> None:
    """Write one value as indented JSON with a final newline."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def read_json(path: Path, kind: type[Record], made_by: str) -> Record:
    """Read one value as strictly as a record.

    Raises:
        ArtifactMissingError: the file is not there.
        InputError: it is not of this kind.
    """
    _check_regular(path, made_by)
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as misfit:
        raise InputError(f"{path}: {_readable_misfit(misfit)}", f"make it again with: {made_by} --force") from None


def _check_regular(path: Path, made_by: str) -> None:
    """See that a file is there, and that reading it will end: a pipe would wait for ever."""
    if path.is_file():
        return
    if path.exists():
        raise InputError(f"{path} is not a regular file", f"remove it, then make it again with: {made_by} --force")
    raise ArtifactMissingError(f"{path} is not there", f"make it with: {made_by}")


def _readable_misfit(misfit: Exception) -> str:
    """`Object missing required field `caption`` -> `missing "caption"`."""
    text = str(misfit)
    if found := _MISSING_FIELD.fullmatch(text):
        return f'missing "{".".join(filter(None, (found[2], found[1])))}"'
    if found := _MISFIT.fullmatch(text):
        return f'"{found[2]}": {found[1][0].lower()}{found[1][1:]}'
    return text
