"""Preparation from a data set as a user types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import main
import prepare_data
from figtune.core.errors import ExitCode
from tests.conftest import ROOT
from tests.dataset.scans import scan, write_parquet


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_parquet(tmp_path / "source", {"train": [scan(number) for number in range(20)]})


def flags(source: Path, tmp_path: Path) -> list[str]:
    return ["--data.source", str(source), "--work_dir", str(tmp_path / "work"), "--prepare.min_side_pixels", "32"]


def test_no_papers_are_needed_and_the_step_is_said_to_be_left_out(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [*flags(source, tmp_path), "--steps", "extract", "prepare", "--export", str(tmp_path / "export")]
    assert main.main(arguments) == ExitCode.DONE
    said = capfd.readouterr().err
    assert f"extract: left out, since the examples come from {source}" in said
    assert "prepare  done in" in said
    assert "20 rows used, 0 rejected" in said
    assert (tmp_path / "work" / "dataset" / "preview.html").is_file()
    assert (tmp_path / "export" / "data").is_dir()


@pytest.mark.slow
def test_a_second_run_reads_nothing(source: Path, tmp_path: Path) -> None:
    assert prepare_data.main(flags(source, tmp_path)) == ExitCode.DONE
    code = (
        f"import sys, prepare_data; code = prepare_data.main({flags(source, tmp_path)!r});"
        "print(code, *sorted({'datasets', 'pyarrow', 'PIL', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"]
    assert "prepare  up to date" in done.stderr


def test_only_what_is_read_of_the_settings_counts(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert prepare_data.main(flags(source, tmp_path)) == ExitCode.DONE
    capfd.readouterr()
    for more, reason in (
        (("--prepare.tasks", "caption", "--prepare.min_confidence", "0.9"), "up to date"),
        (("--data.prompt", "What is this?"), "settings changed: data.prompt Describe this image. -> What is this?"),
    ):
        assert prepare_data.main([*flags(source, tmp_path), "--dry_run", *more]) == ExitCode.DONE
        assert capfd.readouterr().out == f"prepare: {reason}\n"
    (source / "data" / "train-00000-of-00001.parquet").rename(source / "data" / "test-00000-of-00001.parquet")
    assert prepare_data.main([*flags(source, tmp_path), "--dry_run"]) == ExitCode.DONE
    assert capfd.readouterr().out == "prepare: inputs changed: 1 added, 1 removed\n"


def test_extraction_alone_makes_no_sense_with_a_data_set(source: Path, tmp_path: Path) -> None:
    assert main.main([*flags(source, tmp_path), "--steps", "extract"]) == ExitCode.USAGE


def test_a_data_set_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert prepare_data.main(flags(tmp_path / "nowhere", tmp_path)) == ExitCode.BAD_INPUT
    assert "there is no data set" in capfd.readouterr().err
