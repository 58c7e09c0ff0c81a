"""Records: one frozen dataclass per line of a JSONL file.

Reading is strict: a missing field, a wrong type or a foreign schema number is an `InputError` that names file,
line and field. Writing is deterministic: fields in the order of the dataclass, UTF-8, no timestamps. A killed run
leaves a `ResumableJsonl` for the next one to continue.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from itertools import accumulate
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from figtune.core.errors import ArtifactMissingError, InputError
from figtune.core.io import atomic_write, write_bytes

Record = TypeVar("Record")

_MISSING_FIELD = re.compile(r"Object missing required field `(\w+)`(?: - at `\$\.?(.*)`)?")
_MISFIT = re.compile(r"(.*) - at `\$\.(.*)`")

Line = TypeVar("Line")
_PREFIX = ".unfinished-"


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
    """Return all records of a JSONL file. See `stream_records`."""
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


@dataclass(frozen=True, kw_only=True)
class ResumableJsonl(Generic[Line]):
    """A file of lines that grows under a temporary name, and gets its own name when it is complete."""

    kind: type[Line]
    final: Path
    fingerprint: str
    """Hash of model, data and settings: lines with another one are not continued."""

    @property
    def path(self) -> Path:
        """Path of the file until it is complete."""
        return self.final.with_name(f"{_PREFIX}{self.fingerprint[:16]}-{self.final.name}")

    def resume(self, batches: Iterable[int]) -> list[Line]:
        """Return the lines of whole batches that an earlier run wrote, and drop the rest.

        Batches stay the same whether a run is interrupted or not, and with them every last digit of a loss.

        Args:
            batches: lines of each batch of the whole file.
        """
        self.final.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self.final.parent.glob(f"{_PREFIX}*-{escape(self.final.name)}"):
            if leftover != self.path:
                leftover.unlink()
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        written = list(self._leading_records(lines))
        kept = max((end for end in accumulate(batches) if end <= len(written)), default=0)
        write_bytes(self.path, b"".join(lines[:kept]))
        return written[:kept]

    def _leading_records(self, lines: Iterable[bytes]) -> Iterator[Line]:
        """Yield records up to the first line that is cut or damaged, by a power failure say."""
        for line in lines:
            try:
                record = msgspec.json.decode(line, type=self.kind)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return
            if not line.endswith(b"\n"):
                return
            yield record

    def append(self, lines: Sequence[Line]) -> None:
        """Write a batch, and flush it to the disk."""
        with self.path.open("ab") as file:
            file.write(self._encoded(lines))
            file.flush()
            os.fsync(file.fileno())

    def commit(self, lines: Sequence[Line] | None = None) -> None:
        """Give the file its name.

        Args:
            lines: the same lines in the order that the file shall have; None for the order in which they were written.
        """
        if lines is None:
            self.path.replace(self.final)
        else:
            write_bytes(self.final, self._encoded(lines))
            self.path.unlink()

    def _encoded(self, lines: Sequence[Line]) -> bytes:
        return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def batch_sizes(total: int, size: int) -> list[int]:
    """Return the sizes of batches of `size` lines, the last one of what is left."""
    return [min(size, total - first) for first in range(0, total, size)]
