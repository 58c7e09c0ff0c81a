"""The memory check before weights are downloaded: a table, a warning, or a stop with --memory."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from config import TRAIN
from figtune.core.errors import ResourceError
from figtune.training.memory_budget import StepConfig
from figtune.training.memory_check import MemoryBudget, check_setup_memory
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


def test_a_size_that_is_too_small_stops_with_what_to_change(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    name = str(described_alone(tmp_path / "model", tiny_folders["gemma3"]))
    with pytest.raises(ResourceError, match=r"--memory has 0.6 GB; give --train.batch_size \d --train.gradient"):
        check_setup_memory(choice(name).model, settings(name), MemoryBudget.of("cpu", "550MB"))


def test_enough_memory_is_told_with_a_table_and_without_weights(
    tmp_path: Path, tiny_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    name = str(described_alone(tmp_path / "model", tiny_folders["paligemma"]))
    check_setup_memory(choice(name).model, settings(name), MemoryBudget.of("cpu", None))
    said = capsys.readouterr().err
    assert "for 8 examples of 512 text tokens" in said
    assert "(this machine)" in said


def test_a_larger_model_than_this_machine_is_a_warning(
    tmp_path: Path, tiny_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = described_alone(tmp_path / "model", tiny_folders["gemma3"])
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 1 << 34
    (folder / "config.json").write_text(json.dumps(config))
    check_setup_memory(choice(str(folder)).model, settings(str(folder)), MemoryBudget.of("cpu", None))
    assert "memory may be too small: training takes up to" in capsys.readouterr().err
