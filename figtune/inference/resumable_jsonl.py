"""A JSONL file written batch by batch, which a killed run leaves for the next one to continue."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import escape
from itertools import accumulate
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from figtune.core.io import write_bytes

Line = TypeVar("Line")

_PREFIX = ".unfinished-"


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
        written = [line for line in lines if line.endswith(b"\n")]
        kept = max((end for end in accumulate(batches) if end <= len(written)), default=0)
        whole = written[:kept]
        write_bytes(self.path, b"".join(whole))
        return [msgspec.json.decode(line, type=self.kind) for line in whole]

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
