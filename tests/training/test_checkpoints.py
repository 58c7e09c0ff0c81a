"""Checkpoints of a run that was given up are kept until this one has its first."""

from __future__ import annotations

from pathlib import Path

import pytest

from figtune.training.checkpoints import Checkpoints


@pytest.fixture
def ours(tmp_path: Path) -> Checkpoints:
    return Checkpoints(folder=tmp_path, run_id="ours", keep=2)


def _write(checkpoints: Checkpoints, step: int, run_id: str = "") -> Path:
    """Leave a checkpoint, complete where the run is named."""
    folder = checkpoints.at(step)
    folder.mkdir()
    (folder / "trainer_state.json").write_text('{"log_history": []}')
    if run_id:
        (folder / "complete").write_text(f"{run_id}\n")
    return folder


def test_those_of_another_run_go_when_there_is_one_of_ours(ours: Checkpoints) -> None:
    theirs, torn = _write(ours, 20, "theirs"), _write(ours, 30)
    ours.tidy()
    assert (theirs.exists(), torn.exists()) == (True, False)
    assert (ours.of_another_run, ours.newest()) == (theirs, None)
    _write(ours, 5)
    ours.mark_complete(5)
    assert not theirs.exists()
    assert (ours.of_another_run, ours.newest()) == (None, ours.at(5))


def test_another_runs_checkpoint_of_the_same_step_is_not_mixed_with_ours(ours: Checkpoints) -> None:
    mine, theirs = _write(ours, 5, "ours"), _write(ours, 10, "theirs")
    for step in (5, 10, 15):
        ours.make_room(step)
    assert (mine.exists(), theirs.exists()) == (True, False)
