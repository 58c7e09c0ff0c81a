"""Two processes evaluate as one does, carried on after one of them was killed; what ends one ends both, told once."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import test_model
from figtune.core.artifacts import Provenance, Stage, write_manifest
from figtune.core.errors import ExitCode
from figtune.evaluation.eval_items import image_paths, read_eval_items
from tests.inference.trained_model import write_dataset, write_trained_model
from tests.processes import Launched

pytestmark = pytest.mark.slow

FLAGS = ("--device", "cpu", "--test.batch_size", "1", "--test.max_new_tokens", "24", "--test.bootstrap_samples", "100")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a trained model."""
    folder = tmp_path_factory.mktemp("made")
    write_dataset(folder / "work" / "dataset", test_papers=4)
    write_trained_model(folder / "output")
    for name, place in (("prepare", folder / "work" / "dataset"), ("train", folder / "output")):
        stage = Stage(name=name, version=1, folder=place, command="", settings={}, outputs=())
        write_manifest(stage, Provenance(settings={}, files={}, stages={}), {})
    return folder


def flags(folder: Path) -> Sequence[str]:
    return [*FLAGS, "--work_dir", str(folder / "work"), "--output_dir", str(folder / "output")]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "output" / "evaluation").iterdir()}


def errors(launched: Launched) -> list[str]:
    return [line for line in launched.said().splitlines() if "error" in line]


def test_two_processes_of_which_one_was_killed_make_the_bytes_of_one(made: Path, tmp_path: Path) -> None:
    one, two = (shutil.copytree(made, tmp_path / name) for name in ("one", "two"))
    assert test_model.main(flags(one)) == ExitCode.DONE
    first = Launched(2, test_model.main, flags(two), log=tmp_path / "first")
    while first.processes[0].is_alive() and not any(
        journal.stat().st_size for journal in two.glob("output/evaluation/.unfinished-*")
    ):
        time.sleep(0.005)
    first.processes[1].kill()
    assert first.codes() == [ExitCode.RESOURCE, -signal.SIGKILL]
    assert [line.split(";")[0] for line in errors(first)] == ["error: another process of this run has ended"]
    assert errors(first)[0].endswith("(exit code 6)")
    (journal,) = two.glob("output/evaluation/*")
    assert 0 < (written := journal.read_bytes().count(b"\n")) < 10
    assert written % 2 == 0
    second = Launched(2, test_model.main, flags(two), log=tmp_path / "second")
    assert second.codes() == [ExitCode.DONE, ExitCode.DONE]
    assert files(two) == files(one)


def test_what_ends_one_process_ends_both_and_is_told_once(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "broken")
    dataset = folder / "work" / "dataset"
    seen = sorted(image_paths(read_eval_items(dataset), dataset).items())
    broken = seen[1][1]
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    launched = Launched(2, test_model.main, flags(folder), log=tmp_path / "log")
    codes = launched.codes()
    assert codes[1] == ExitCode.BAD_INPUT
    (told,) = errors(launched)
    assert told.startswith("error in process 1: ")
    assert f"{broken.name} is no image" in told
    assert told.endswith("(exit code 3)")


def test_talk_takes_no_launcher(made: Path, tmp_path: Path) -> None:
    asked = [*flags(made), "--test_image", str(next(made.rglob("*.png")))]
    launched = Launched(2, test_model.main, asked, log=tmp_path / "log")
    assert ExitCode.USAGE in launched.codes()
    (told,) = errors(launched)
    assert "test runs in one process, but 2 were launched; run python test_model.py without a launcher" in told
