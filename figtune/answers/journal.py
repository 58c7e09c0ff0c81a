"""Lines written as they come: what a killed run has written, the next one does not do again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from figtune.core.io import write_bytes

Line = TypeVar("Line")

_PREFIX = ".unfinished-"


@dataclass(frozen=True, kw_only=True)
class Journal(Generic[Line]):
    """A file of lines that grows batch by batch, and gets its name when it is whole."""

    kind: type[Line]
    final: Path
    identity: str
    """Of model, data and settings: lines of anything else are not carried on."""

    @property
    def path(self) -> Path:
        """Where the lines are until they are whole."""
        return self.final.with_name(f"{_PREFIX}{self.identity[:16]}-{self.final.name}")

    def resume(self, total: int, batch_size: int) -> list[Line]:
        """Lines of whole batches that an earlier run wrote; the rest is forgotten.

        Batches stay the same whether a run is interrupted or not, and with them every last digit of a loss.
        """
        self.final.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self.final.parent.glob(f"{_PREFIX}*-{escape(self.final.name)}"):
            if leftover != self.path:
                leftover.unlink()
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        if len(whole) < total:
            whole = whole[: len(whole) // batch_size * batch_size]
        write_bytes(self.path, b"".join(whole))
        return [msgspec.json.decode(line, type=self.kind) for line in whole]

    def append(self, lines: Sequence[Line]) -> None:
        """Write a batch, and see that it reaches the disk."""
        with self.path.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Give the file its name."""
        self.path.replace(self.final)
