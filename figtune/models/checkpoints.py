"""Checkpoints of a run: whole or as good as absent, and used only by the run that they belong to.

The Trainer writes a checkpoint file by file. One is complete when it holds our mark, which is written last and names
the run: its data, its model and its recipe.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from figtune.pipeline.files import write_text

_MARK = "complete"
_PREFIX = "checkpoint-"


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Those of one run."""

    folder: Path
    run_id: str
    keep: int
    """How many of the newest stay."""

    def mark_complete(self, step: int) -> None:
        """Declare the checkpoint of `step` whole, then remove those that it makes superfluous."""
        write_text(self.folder / f"{_PREFIX}{step}" / _MARK, f"{self.run_id}\n")
        self._tidy()

    def newest(self) -> Path | None:
        """The checkpoint to carry on from, None where there is none; half-written and foreign ones are removed."""
        self._tidy()
        found = self._all()
        return found[-1] if found else None

    def remove(self) -> None:
        """The run is finished: there is nothing to carry on."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tidy(self) -> None:
        kept = [checkpoint for checkpoint in self._all() if self._is_ours(checkpoint)][-self.keep :]
        for checkpoint in self._all():
            if checkpoint not in kept:
                shutil.rmtree(checkpoint)

    def _is_ours(self, checkpoint: Path) -> bool:
        mark = checkpoint / _MARK
        return mark.is_file() and mark.read_text(encoding="utf-8").strip() == self.run_id

    def _all(self) -> list[Path]:
        """Oldest first."""
        found = [path for path in self.folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
        return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """Optimizer steps done when it was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))
