"""Several processes train as one does, carried on in another number too; launches of no use are refused."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

import main
import setup_model
import train_model
from config import parse
from figtune.core.artifacts import Provenance, Stage, write_manifest
from figtune.core.distributed import check_launch, process_group
from figtune.core.errors import ExitCode, UsageError
from figtune.core.jsonl import write_records
from figtune.dataset.records import examples_file
from figtune.models.loading import load_tuned_model
from figtune.models.lora import save_adapter
from figtune.models.records import LossPer
from figtune.models.settings import SetupSettings
from figtune.models.setup import set_up_model
from figtune.training.fsdp import check_resume_compatible
from figtune.training.settings import TrainSettings
from tests.models.tuned import choice
from tests.processes import Launched
from tests.rows import each_row
from tests.training.fsdp_process import save_sharded, train_and_carry_on
from tests.training.runs import SETTINGS, TEXTS, example, losses, run, write_examples

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TORCHRUN = f"{sys.executable} -m torch.distributed.run"
FLAGS = (
    *("--model.name", "tiny-gemma3", "--model.max_length", "128", "--adapter.rank", "4", "--adapter.dropout", "0"),
    *("--adapter.targets", "decoder", "projector"),
    *("--device", "cpu", "--train.epochs", "3", "--train.batch_size", "1", "--train.learning_rate", "5e-3"),
    *("--train.evaluations", "9", "--train.answers", "1", "--train.question_share", "0.43"),
    *("--train.visual_weight", "0.5", "--train.projector_learning_rate", "2e-3", "--train.fit_projector"),
)
STEP = 6
"""Batches in an optimizer step, over all processes."""
CAPTIONS, QUESTIONS = 8, 10
"""To train on: with the share of questions 14 an epoch, so that in the last step of one there are two batches, fewer
than three processes."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a data set and a model."""
    folder = tmp_path_factory.mktemp("work")
    config = parse([*FLAGS, "--work_dir", str(folder)], "test", None)
    config.dataset_dir.mkdir()
    write_examples(config.dataset_dir)
    texts = [f"{TEXTS[index % 3]} {'So it is. ' * (index // 3)}" for index in range(CAPTIONS + QUESTIONS)]
    made = [example(config.dataset_dir, index % 2, text) for index, text in enumerate(texts)]
    questions = [replace(each, task="question") for each in made[CAPTIONS:]]
    write_records(config.dataset_dir / examples_file("train"), [*made[:CAPTIONS], *questions])
    prepared = Stage(name="prepare", version=1, folder=config.dataset_dir, command="", settings={}, outputs=())
    write_manifest(prepared, Provenance(settings={}, files={}, stages={}), {})
    setup_model.run(config)
    return folder


def command(work: Path, output: Path, processes: int) -> list[str]:
    accumulation = ("--train.gradient_accumulation_steps", str(STEP // processes))
    return [*FLAGS, "--work_dir", str(work), "--output_dir", str(output), *accumulation]


def submit(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """The batch script of the documentation, for one machine with two cards."""
    commands = {"srun": 'exec "$@"', "scontrol": "echo localhost", "torchrun": f'exec {TORCHRUN} "$@"'}
    for name, body in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"NODELIST": "localhost", "JOB_NODELIST": "localhost", "NNODES": "1", "JOB_ID": "1", "GPUS_ON_NODE": "2"}
    slurm = {f"SLURM_{name}": value for name, value in given.items()}
    return subprocess.Popen(
        ["bash", "docs/launch.sbatch", "train_model.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **slurm, "PATH": f"{folder}:{os.environ['PATH']}", "PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "adapter" / "adapter_model.safetensors")


def test_a_job_of_two_processes_is_carried_on_by_three_and_by_one_as_if_it_had_not_been_killed(
    work: Path, tmp_path: Path
) -> None:
    assert train_model.main(command(work, tmp_path / "whole", 1)) == ExitCode.DONE
    job = submit(tmp_path, command(work, tmp_path / "killed", 2))
    while job.poll() is None and len(list(tmp_path.glob("killed/checkpoints/*/complete"))) < 2:
        time.sleep(0.02)
    processes = psutil.Process(job.pid).children(recursive=True)
    for process in processes:
        process.kill()
    job.kill()
    assert job.wait() == -signal.SIGKILL
    psutil.wait_procs(processes)  # the lock is theirs until they are gone
    assert not (tmp_path / "killed" / "adapter").exists()
    ours = {count: shutil.copytree(tmp_path / "killed", tmp_path / f"by {count}") for count in (1, 3)}
    assert train_model.main(command(work, ours[1], 1)) == ExitCode.DONE
    three = Launched(3, train_model.main, command(work, ours[3], 3), log=tmp_path / "log")
    assert three.codes() == [ExitCode.DONE] * 3, three.said()
    assert "resuming from step" in three.said()
    for output in ours.values():
        assert losses(output) == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)
        for name, weight in weights(output).items():
            assert_close(weight, weights(tmp_path / "whole")[name], rtol=1e-3, atol=1e-5)
        assert (output / "answers.jsonl").read_text() == (tmp_path / "whole" / "answers.jsonl").read_text()
        assert not (output / "checkpoints").exists()


@pytest.mark.parametrize(
    ("name", "loss_per", "drift"),
    [("tiny-gemma3", "token", 1e-5), ("tiny-gemma3", "example", 1e-5), ("tiny-gemma4", "token", 2e-5)],
)
def test_two_examples_are_shared_out_to_three_processes(
    tmp_path: Path, name: str, loss_per: LossPer, drift: float
) -> None:
    """Sums in another order grow apart step by step; in the gradients of capped logits, faster."""
    dataset, model = tmp_path / "dataset", tmp_path / "model"
    dataset.mkdir()
    write_examples(dataset)
    write_records(dataset / examples_file("train"), [example(dataset, index, TEXTS[index]) for index in range(2)])
    set_up_model(model, choice(name))
    settings = replace(SETTINGS, batch_size=1, gradient_accumulation_steps=2, loss_per=loss_per)
    run(dataset, model, tmp_path / "one", replace(settings, gradient_accumulation_steps=6))
    three = Launched(3, meet_and_train, dataset, model, tmp_path / "three", settings, log=tmp_path / "log")
    assert three.codes() == [0, 0, 0], three.said()
    assert losses(tmp_path / "three") == pytest.approx(losses(tmp_path / "one"), rel=drift)


def meet_and_train(dataset: Path, model: Path, output: Path, settings: TrainSettings) -> int:
    with process_group(on_cpu=True):
        run(dataset, model, output, settings)
    return 0


WHOLE = replace(
    choice("tiny-paligemma"),
    adapter=replace(choice("tiny-paligemma").adapter, mode="full", freeze=("vision",)),
)


@pytest.mark.parametrize(
    ("chosen", "rate", "drift"),
    [
        # Of matrices of rank 1 the second process has empty shards.
        (choice("tiny-gemma3", rank=1), 5e-3, 1e-5),
        (choice("tiny-gemma4"), 5e-3, 2e-4),
        (choice("tiny-gemma3", dtype="bfloat16"), 5e-3, 1e-5),
        # The norm over its embeddings is summed up in float32: .00004 off in either.
        (WHOLE, 1e-4, 1e-4),
    ],
    ids=["gemma3", "gemma4", "bfloat16", "whole"],
)
def test_weights_spread_over_two_processes_learn_the_same_and_are_carried_on(
    tmp_path: Path, chosen: SetupSettings, rate: float, drift: float
) -> None:
    """Sums in another order grow apart step by step; in the gradients of capped logits, faster."""
    dataset, model = tmp_path / "dataset", tmp_path / "model"
    dataset.mkdir()
    write_examples(dataset)
    set_up_model(model, chosen)
    settings = replace(SETTINGS, answers=1, learning_rate=rate)
    run(dataset, model, tmp_path / "one", replace(settings, gradient_accumulation_steps=2))
    two = Launched(2, train_and_carry_on, dataset, model, tmp_path / "two", settings, log=tmp_path / "log")
    assert two.codes() == [0, 0], two.said()
    assert "no sample answers during training" in two.said()
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=drift)
    assert weights(tmp_path / "two").keys() == weights(tmp_path / "one").keys()
    for each, weight in weights(tmp_path / "two").items():
        assert_close(weight, weights(tmp_path / "one")[each], rtol=100 * drift, atol=drift)


def run_where_cards_are_in_sight(arguments: Sequence[str]) -> int:
    def touched() -> None:
        raise AssertionError("CUDA was initialized")

    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    with pytest.MonkeyPatch.context() as patched:
        # As torch reports a card: in sight unless the environment hides it.
        patched.setattr(torch.cuda, "is_available", lambda: os.environ.get("CUDA_VISIBLE_DEVICES") != "")
        patched.setattr(torch.cuda, "_lazy_init", touched)
        assert torch.cuda.is_available()
        code = main.main(["--steps", "setup", "train", "--force", *arguments])
        assert not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    return code


def test_a_run_on_the_cpu_takes_no_memory_of_a_card(work: Path, tmp_path: Path) -> None:
    work = shutil.copytree(work, tmp_path / "work")
    arguments = [*command(work, tmp_path / "output", 1), "--train.evaluations", "1"]
    alone = Launched(1, run_where_cards_are_in_sight, arguments, log=tmp_path / "log")
    assert alone.codes() == [0], alone.said()
    assert (tmp_path / "output" / "adapter").is_dir()


@each_row("sharded", [True, False])
def test_a_checkpoint_is_carried_on_as_it_was_written(tmp_path: Path, sharded: bool) -> None:
    checkpoint = tmp_path / "checkpoint-1"
    checkpoint.mkdir()
    if not sharded:
        (checkpoint / "pytorch_model_fsdp_0").mkdir()
    with pytest.raises(UsageError, match=rf"was written with{'out' if sharded else ''} FSDP; launch with"):
        check_resume_compatible(checkpoint, sharded=sharded)


def test_a_model_trained_whole_is_saved_from_all_its_shards(tmp_path: Path) -> None:
    set_up_model(tmp_path / "model", WHOLE)
    alone = load_tuned_model(tmp_path / "model", torch.device("cpu"), "setup", trainable=True, encoder=False)
    save_adapter(alone.peft_model, tmp_path / "alone" / "adapter")
    two = Launched(2, save_sharded, tmp_path / "model", tmp_path / "shards" / "adapter", log=tmp_path / "log")
    assert two.codes() == [0, 0], two.said()
    files = [(tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in ("alone", "shards")]
    assert files[0] == files[1]


@each_row(
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
        check_launch(environment, "train_model.py")
    else:
        with pytest.raises(UsageError, match=refused):
            check_launch(environment, "train_model.py")
