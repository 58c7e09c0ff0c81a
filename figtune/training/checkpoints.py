"""Checkpoints of a run: whole or as good as absent, and used only by the run that they belong to.

The Trainer writes a checkpoint file by file. One is complete when it holds our mark, which is written last and names
the run: its data, its model and its recipe.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers import TrainerState

from figtune.pipeline.files import write_text
from figtune.training.history import best_step

_MARK = "complete"
_PREFIX = "checkpoint-"
_STATE_FILE = "trainer_state.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Those of one run."""

    folder: Path
    run_id: str
    keep: int
    """How many stay: the best, and the newest besides."""

    def at(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self.folder / f"{_PREFIX}{step}"

    def mark_complete(self, step: int) -> None:
        """Declare the checkpoint of `step` whole, then remove those that it makes superfluous."""
        write_text(self.at(step) / _MARK, f"{self.run_id}\n")
        self.tidy()

    def newest(self) -> Path | None:
        """The checkpoint to carry on from, None where there is none."""
        found = self._ours()
        return found[-1] if found else None

    def tidy(self) -> None:
        """Remove what is half-written, foreign or superfluous."""
        kept = self._kept()
        for checkpoint in self._all():
            if checkpoint not in kept:
                shutil.rmtree(checkpoint)

    def remove(self) -> None:
        """The run is finished: there is nothing to carry on."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kept(self) -> list[Path]:
        ours = self._ours()
        if not ours:
            return []
        newest = ours[-1]
        best = self.at(best_step(state_of(newest).log_history) or step_of(newest))
        others = [checkpoint for checkpoint in ours if checkpoint not in (best, newest)]
        room = max(0, self.keep - len({best, newest}))
        return [best, newest, *others[max(0, len(others) - room) :]]

    def _ours(self) -> list[Path]:
        return [checkpoint for checkpoint in self._all() if self._is_ours(checkpoint)]

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


def state_of(checkpoint: Path) -> TrainerState:
    """What the Trainer knew when it was written: what was logged, and which step was best."""
    state: TrainerState = TrainerState.load_from_json(str(checkpoint / _STATE_FILE))
    return state
