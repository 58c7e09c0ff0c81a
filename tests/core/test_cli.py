"""Errors end in one line and an exit code; only faults of the program show a traceback."""

from __future__ import annotations

import errno
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from figtune.core import errors
from figtune.core.artifacts import Stage
from figtune.core.cli import StageScript, run_cli, run_stages
from figtune.core.settings import RunSettings
from figtune.core.stages import StageResult, StageSummary, run_if_stale
from tests.rows import each_row


def _raising(error: BaseException) -> int:
    def action() -> None:
        raise error

    return run_cli(action)


@each_row(
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
    assert capsys.readouterr().err.startswith("error: the disk of work/x is full; free some space")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = (
        "from figtune.core.cli import run_cli; from figtune.core.log import print_result; "
        "raise SystemExit(run_cli(lambda: print_result('line\\n' * 100_000)))"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "")


def test_an_interruption_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert _raising(KeyboardInterrupt()) == 130
    assert "carries on" in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert _raising(ZeroDivisionError("here")) == 1
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "ZeroDivisionError: here" in printed


SWITCHES = RunSettings(
    pdf_dir=Path("papers"),
    output_dir=Path("output"),
    work_dir=Path("work"),
    device="cpu",
    dry_run=False,
    force=False,
    strict=False,
    quiet=False,
    verbose=False,
)


@pytest.fixture
def script(tmp_path: Path) -> StageScript[RunSettings]:
    stage = Stage(
        name="extract",
        version=1,
        folder=tmp_path / "content",
        command="python extract_content.py",
        settings={},
        outputs=("papers.jsonl",),
        html_pages=("gallery.html",),
    )

    def produce(_: Path) -> StageResult:
        (stage.folder / "papers.jsonl").write_text("{}")
        return StageResult(counts={"papers": 1200}, failed=2)

    def run(switches: RunSettings) -> StageSummary:
        return run_if_stale(stage, produce, lock_folders=(tmp_path,), force=switches.force)

    return StageScript(describe=lambda switches: stage, run=run)


def test_a_run_says_why_counts_and_names_pages(
    script: StageScript[RunSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_stages([script], SWITCHES)
    first = capsys.readouterr().err
    assert "extract: not made yet" in first
    assert "1,200 papers" in first
    run_stages([script], SWITCHES)
    second = capsys.readouterr().err
    assert "extract  up to date" in second
    assert str(tmp_path / "content" / "gallery.html") in second


def test_what_is_asked_for_rather_than_made_is_said_to_lie_nowhere(
    script: StageScript[RunSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = replace(script.describe(SWITCHES), always_run="asked about figure.png")

    def run(switches: RunSettings) -> StageSummary:
        return run_if_stale(
            asked, lambda _: StageResult(counts={"answer": 1}), lock_folders=(tmp_path,), force=switches.force
        )

    run_stages([StageScript(describe=lambda _: asked, run=run)], SWITCHES)
    assert "s: 1 answer" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_as_data_and_writes_nothing(
    script: StageScript[RunSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_stages([script], replace(SWITCHES, dry_run=True))
    assert capsys.readouterr().out == "extract: not made yet\n"
    assert list(tmp_path.iterdir()) == []


def test_strict_ends_with_the_stage_whose_inputs_failed_and_so_does_a_rerun(
    script: StageScript[RunSettings], tmp_path: Path
) -> None:
    def never(switches: RunSettings) -> StageSummary:
        raise AssertionError

    for _ in range(2):
        with pytest.raises(errors.PartialError, match="inputs that failed or are damaged: 2"):
            run_stages([script, StageScript(describe=script.describe, run=never)], replace(SWITCHES, strict=True))
        assert (tmp_path / "content" / "manifest.json").exists()


def _refuse(switches: RunSettings) -> None:
    raise errors.UsageError("there is no such model", "give another one")


def test_what_a_later_stage_would_refuse_is_refused_before_the_first_begins(
    script: StageScript[RunSettings], tmp_path: Path
) -> None:
    later = StageScript(
        describe=lambda switches: replace(script.describe(switches), name="setup", folder=tmp_path / "model"),
        run=script.run,
        check=_refuse,
    )
    with pytest.raises(errors.UsageError, match="no such model"):
        run_stages([script, later], SWITCHES)
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_is_current_is_not_checked(script: StageScript[RunSettings]) -> None:
    run_stages([script], SWITCHES)
    run_stages([replace(script, check=_refuse)], SWITCHES)
