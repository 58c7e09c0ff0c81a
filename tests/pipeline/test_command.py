"""Errors end in one line and an exit code; only faults of the program show a traceback."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from figtune.pipeline import errors
from figtune.pipeline.artifacts import Stage
from figtune.pipeline.command import exit_code_of, report
from figtune.pipeline.stages import Outcome, Summary


def _raising(error: BaseException) -> int:
    def action() -> None:
        raise error

    return exit_code_of(action)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 2),
        (errors.InputError, 3),
        (errors.ArtifactMissingError, 4),
        (errors.NothingProducedError, 5),
        (errors.ResourceError, 6),
        (errors.PartialError, 7),
    ],
)
def test_each_error_has_its_exit_code_and_one_line(
    kind: type[errors.FigtuneError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _raising(kind("no PDF in papers", "give another folder")) == code
    assert capsys.readouterr().err == "error: no PDF in papers; give another folder\n"


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert _raising(OSError(errno.ENOSPC, "No space left on device", "work/x")) == 6
    assert capsys.readouterr().err.startswith("error: no space left on device: work/x; free some space")


def test_an_interruption_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert _raising(KeyboardInterrupt()) == 130
    assert "carries on" in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert _raising(ZeroDivisionError("here")) == 1
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "ZeroDivisionError: here" in printed


def test_the_report_counts_and_names_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage(
        name="extract",
        version=1,
        folder=tmp_path,
        command="",
        settings={},
        holds=(),
        pages=("gallery.html",),
    )
    done = Summary(stage=stage, reason="new", outcome=Outcome(counts={"papers": 1200}, failed=2), seconds=3.21)
    current = Summary(stage=stage, reason=None, outcome=None, seconds=0)
    report([current, done], strict=False)
    printed = capsys.readouterr().err
    assert "extract  up to date" in printed
    assert "1,200 papers" in printed
    assert str(tmp_path / "gallery.html") in printed
    with pytest.raises(errors.PartialError, match="2 inputs failed"):
        report([done], strict=True)
