"""The memory check before weights are downloaded: a table, a warning, or a stop with --memory."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from config import TRAIN
from figtune.core.errors import ResourceError
from figtune.models.setup import set_up_model
from figtune.training.memory_budget import StepConfig
from figtune.training.memory_check import MemoryBudget, check_setup_memory, check_training_memory, free_memory
from tests.models.tuned import choice


def described_alone(folder: Path, tiny: Path) -> Path:
    """A model's folder without its weights."""
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def settings(name: str) -> StepConfig:
    return StepConfig(
        adapter=choice(name).adapter,
        max_length=512,
        train=replace(
            TRAIN, batch_size=8, max_batch_tokens=8192, gradient_accumulation_steps=2, activation_checkpointing=True
        ),
    )


@pytest.mark.slow
def test_a_size_that_is_too_small_stops_with_what_to_change(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    name = str(described_alone(tmp_path / "model", tiny_folders["gemma3"]))
    with pytest.raises(
        ResourceError, match=r"more than 0.6 GB \(--memory\); give --train.batch_size \d --train.gradient"
    ):
        check_setup_memory(choice(name).model, settings(name), MemoryBudget.of("cpu", "550MB"))


@pytest.mark.slow
def test_enough_memory_is_told_with_a_table_and_without_weights(
    tmp_path: Path, tiny_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    name = str(described_alone(tmp_path / "model", tiny_folders["paligemma"]))
    check_setup_memory(choice(name).model, settings(name), MemoryBudget.of("cpu", None))
    said = capsys.readouterr().err
    assert "for 8 examples of 512 text tokens" in said
    assert "(free on this machine)" in said


@pytest.mark.slow
def test_a_larger_model_than_this_machine_is_a_warning(
    tmp_path: Path, tiny_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = described_alone(tmp_path / "model", tiny_folders["gemma3"])
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 1 << 34
    (folder / "config.json").write_text(json.dumps(config))
    check_setup_memory(choice(str(folder)).model, settings(str(folder)), MemoryBudget.of("cpu", None))
    assert "memory may be too small: training takes up to" in capsys.readouterr().err


def test_under_fsdp_the_share_of_a_process_is_estimated_and_no_quantisation_proposed(
    tmp_path: Path,
    tiny_folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_up_model(tmp_path, choice(str(tiny_folders["gemma3"])))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setattr("figtune.training.memory_check.world_size", lambda: 4)
    train = replace(settings("tiny-gemma3").train, batch_size=1, max_batch_tokens=1024, gradient_accumulation_steps=16)
    check_training_memory(tmp_path, train, MemoryBudget.of("cpu", "8GB"), "setup")
    assert "memory, each of 4 " in capsys.readouterr().err
    with pytest.raises(ResourceError) as refused:
        check_training_memory(tmp_path, train, MemoryBudget.of("cpu", "500MB"), "setup")
    assert "qlora" not in str(refused.value)


MB = 1_000_000


def group(folder: Path, **files: int | str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("memory_", "memory.", 1)).write_text(f"{content}\n")


def named(file: Path, line: str) -> Path:
    file.write_text(f"12:pids:/other\n{line}\n")
    return file


def test_free_memory_is_what_the_machine_has_available_without_control_groups(tmp_path: Path) -> None:
    free = free_memory(tmp_path / "cgroup", tmp_path / "none")
    assert free == pytest.approx(psutil.virtual_memory().available, rel=0.1)
    assert free < psutil.virtual_memory().total


def test_the_tightest_group_above_the_process_limits_it_and_cached_files_count_as_free(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    statistics = f"anon 1\ninactive_file {30 * MB}"
    group(root, memory_current=900 * MB, memory_stat=statistics)
    group(root / "job", memory_max=100 * MB, memory_current=80 * MB, memory_stat=statistics)
    group(root / "job" / "step", memory_max="max", memory_current=80 * MB, memory_stat=statistics)
    assert free_memory(root, named(tmp_path / "own", "0::/job/step")) == 50 * MB


def test_a_container_sees_its_own_limit_at_the_root(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    group(root, memory_max=100 * MB, memory_current=120 * MB, memory_stat="inactive_file 0")
    assert free_memory(root, named(tmp_path / "own", "0::/docker/abc")) == 0


def test_groups_of_the_first_version_limit_too(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    group(
        root / "memory" / "job",
        memory_limit_in_bytes=100 * MB,
        memory_usage_in_bytes=20 * MB,
        memory_stat=f"total_inactive_file {5 * MB}",
    )
    group(root / "memory", memory_limit_in_bytes=2**63 - 4096, memory_usage_in_bytes=1, memory_stat="cache 0")
    assert free_memory(root, named(tmp_path / "own", "4:cpu,memory:/job")) == 85 * MB
