"""Checkpoints of a run: complete or ignored, and resumed only by the run that wrote them.

The Trainer writes a checkpoint file by file. It is complete once it holds the marker, which is written last and names
the run: its data, its model and its settings.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers import TrainerState

from figtune.core.io import write_text
from figtune.training.metrics_log import best_step

_MARKER = "complete"
_PREFIX = "checkpoint-"
_STATE_FILE = "trainer_state.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Checkpoints of one run."""

    folder: Path
    run_id: str
    keep: int
    """Number of checkpoints kept: the best, and the newest besides."""

    def at(self, step: int) -> Path:
        """Return the folder of the checkpoint of a step."""
        return self.folder / f"{_PREFIX}{step}"

    def mark_complete(self, step: int) -> None:
        """Mark the checkpoint of `step` complete, then remove superfluous ones."""
        write_text(self.at(step) / _MARKER, f"{self.run_id}\n")
        self.tidy()

    def newest(self) -> Path | None:
        """Return the checkpoint to resume from, or None."""
        found = self._ours()
        return found[-1] if found else None

    def make_room(self, step: int) -> None:
        """Remove another run's checkpoint of the same step, before its files are mixed with those of this one."""
        if not self._is_ours(self.at(step)):
            shutil.rmtree(self.at(step), ignore_errors=True)

    @property
    def of_another_run(self) -> Path | None:
        """Newest checkpoint to resume another run from, one of other data, model or settings; None beside ours."""
        others = [] if self._ours() else [checkpoint for checkpoint in self._all() if _run_of(checkpoint)]
        return others[-1] if others else None

    def tidy(self) -> None:
        """Remove incomplete and superfluous checkpoints; those of another run as soon as there is one of ours: until
        then that run can be carried on."""
        kept = self._kept()
        for checkpoint in self._all():
            if checkpoint not in kept:
                shutil.rmtree(checkpoint)

    def remove(self) -> None:
        """Remove all checkpoints of a finished run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kept(self) -> list[Path]:
        ours = self._ours()
        if not ours:
            return [checkpoint for checkpoint in self._all() if _run_of(checkpoint)]
        newest = ours[-1]
        best = self.at(best_step(state_of(newest).log_history) or step_of(newest))
        others = [checkpoint for checkpoint in ours if checkpoint not in (best, newest)]
        room = max(0, self.keep - len({best, newest}))
        return [best, newest, *others[max(0, len(others) - room) :]]

    def _ours(self) -> list[Path]:
        return [checkpoint for checkpoint in self._all() if self._is_ours(checkpoint)]

    def _is_ours(self, checkpoint: Path) -> bool:
        return _run_of(checkpoint) == self.run_id

    def _all(self) -> list[Path]:
        """Return all checkpoint folders, oldest first."""
        found = [path for path in self.folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
        return sorted(found, key=step_of)


def _run_of(checkpoint: Path) -> str:
    """Return the identity of the run that a checkpoint is of; empty where it is incomplete."""
    marker = checkpoint / _MARKER
    return marker.read_text(encoding="utf-8").strip() if marker.is_file() else ""


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step of a checkpoint."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def state_of(checkpoint: Path) -> TrainerState:
    """Return the Trainer's state in a checkpoint, log history included."""
    state: TrainerState = TrainerState.load_from_json(str(checkpoint / _STATE_FILE))
    return state
