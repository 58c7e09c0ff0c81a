"""Checkpoints of a run: whole or as good as absent, and used only by the run that they belong to.

The Trainer writes a checkpoint file by file. One is complete when it holds our mark, which is written last and names
the run: its data, its model and its recipe.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from figtune.pipeline.files import write_text

_MARK = "complete"
_PREFIX = "checkpoint-"


def mark_complete(folder: Path, step: int, run_id: str) -> None:
    """Declare the checkpoint of `step` whole."""
    write_text(folder / f"{_PREFIX}{step}" / _MARK, f"{run_id}\n")


def newest_complete(folder: Path, run_id: str) -> Path | None:
    """The checkpoint to carry on from; None where there is none of this run."""
    complete = [checkpoint for checkpoint in _checkpoints(folder) if _belongs(checkpoint, run_id)]
    return complete[-1] if complete else None


def remove_others(folder: Path, run_id: str, keep: int) -> None:
    """Remove half-written checkpoints, those of other runs, and all but the newest `keep` of this run's."""
    checkpoints = _checkpoints(folder)
    kept = [checkpoint for checkpoint in checkpoints if _belongs(checkpoint, run_id)][-keep:]
    for checkpoint in checkpoints:
        if checkpoint not in kept:
            shutil.rmtree(checkpoint)


def step_of(checkpoint: Path) -> int:
    """Optimizer steps done when it was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def _belongs(checkpoint: Path, run_id: str) -> bool:
    mark = checkpoint / _MARK
    return mark.is_file() and mark.read_text(encoding="utf-8").strip() == run_id


def _checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=step_of)
