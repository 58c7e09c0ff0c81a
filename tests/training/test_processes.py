"""Two processes train as one does, killed and carried on too; launches that are of no use are refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

import setup_model
import train_model
from config import parse
from figtune.models.records import MetricsLine
from figtune.pipeline.artifacts import MadeFrom, Stage, write_manifest
from figtune.pipeline.crew import check_launch
from figtune.pipeline.errors import ExitCode, UsageError
from figtune.pipeline.records import read_records
from tests.training.runs import write_examples

ROOT = Path(__file__).parents[2]
FLAGS = (
    *("--model.name", "tiny-gemma3", "--model.max_length", "128", "--adapter.rank", "4", "--adapter.dropout", "0"),
    *("--device", "cpu", "--train.epochs", "8", "--train.batch_size", "1", "--train.learning_rate", "5e-3"),
    *("--train.evaluations", "8", "--train.answers", "1"),
)
TOGETHER = ("--train.gradient_accumulation_steps", "1")
ALONE = ("--train.gradient_accumulation_steps", "2")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a data set and a model."""
    folder = tmp_path_factory.mktemp("work")
    config = parse([*FLAGS, "--work_dir", str(folder)], "test", None)
    config.dataset_dir.mkdir()
    write_examples(config.dataset_dir)
    prepared = Stage(name="prepare", version=1, folder=config.dataset_dir, command="", settings={}, holds=())
    write_manifest(prepared, MadeFrom(settings={}, files={}, stages={}), {})
    setup_model.run(config)
    return folder


def command(work: Path, output: Path, *more: str) -> list[str]:
    return [*FLAGS, "--work_dir", str(work), "--output_dir", str(output), *more]


def launch(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Two processes in a group of their own."""
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--")
    return subprocess.Popen(
        [*torchrun, "train_model.py", *arguments], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )


def losses(output: Path) -> list[float]:
    lines = read_records(output / "metrics.jsonl", MetricsLine, "train")
    values = [value for line in lines for value in (line.loss, line.val_loss, line.minitrain_loss, line.gradient_norm)]
    return [value for value in values if value is not None]


def test_two_processes_killed_and_carried_on_learn_what_one_learns(work: Path, tmp_path: Path) -> None:
    assert train_model.main(command(work, tmp_path / "one", *ALONE)) == ExitCode.DONE
    two = command(work, tmp_path / "two", *TOGETHER)
    job = launch(two)
    while job.poll() is None and not list(tmp_path.glob("two/checkpoints/*/complete")):
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert not (tmp_path / "two" / "adapter").exists()
    assert launch(two).wait() == 0
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    ours, theirs = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("two", "one"))
    for name, weight in ours.items():
        assert_close(weight, theirs[name], rtol=1e-3, atol=1e-5)
    answers = [(tmp_path / name / "answers.jsonl").read_text() for name in ("two", "one")]
    assert answers[0] == answers[1]
    assert not (tmp_path / "two" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("environment", "refused"),
    [
        ({}, None),
        ({"WORLD_SIZE": "2", "ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "127.0.0.1"}, None),
        ({"ACCELERATE_MIXED_PRECISION": "no"}, None),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "127.0.0.1"}, "accelerate launch was asked for several"),
        ({"SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_STEP_NUM_TASKS": "8"}, "srun has started 8 processes"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "mpirun has started 4 processes"),
    ],
)
def test_a_launch_that_gives_one_process_in_place_of_several_is_refused(
    environment: dict[str, str], refused: str | None
) -> None:
    if refused is None:
        check_launch(environment)
    else:
        with pytest.raises(UsageError, match=refused):
            check_launch(environment)
