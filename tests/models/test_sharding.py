"""Base models without weights, and their weights read into them afterwards: the same as loading them at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from figtune.core.errors import ResourceError, UsageError
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.settings import SetupSettings
from figtune.models.setup import set_up_model
from figtune.models.sharding import load_shards
from tests.models.tuned import TINY_NAMES, choice
from tests.rows import each_row

CPU = torch.device("cpu")


def loaded(folder: Path, *, sharded: bool) -> LoadedModel:
    return load_tuned_model(folder, CPU, "setup", trainable=True, encoder=False, sharded=sharded)


def full(name: str) -> SetupSettings:
    settings = choice(name)
    return replace(settings, adapter=replace(settings.adapter, mode="full"))


@pytest.mark.slow
@each_row(
    "settings",
    [
        *(choice(name, dtype="bfloat16") for name in TINY_NAMES),
        choice("tiny-gemma3", ("vision", "projector")),
        full("tiny-paligemma"),
    ],
)
def test_weights_read_afterwards_are_those_of_a_model_loaded_at_once(tmp_path: Path, settings: SetupSettings) -> None:
    set_up_model(tmp_path, settings)
    whole, empty = loaded(tmp_path, sharded=False), loaded(tmp_path, sharded=True)
    assert not any(weight.is_meta for weight in whole.peft_model.parameters())
    of_base = [
        weight for name, weight in empty.peft_model.named_parameters() if "lora" not in name and "modules_" not in name
    ]
    assert all(weight.is_meta for weight in of_base)
    load_shards(empty.peft_model, empty.model, empty.base_dir, empty.family.parts, CPU)
    expected = dict(whole.peft_model.named_parameters()) | dict(whole.peft_model.named_buffers())
    found = dict(empty.peft_model.named_parameters()) | dict(empty.peft_model.named_buffers())
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        assert weight.dtype == expected[name].dtype, name
        assert weight.requires_grad == expected[name].requires_grad, name
        assert torch.equal(weight, expected[name]), name


def test_a_base_model_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    set_up_model(tmp_path, choice("tiny-gemma3"))
    empty = loaded(tmp_path, sharded=True)
    file = tmp_path / "base" / "model.safetensors"
    weights = load_file(file)
    lost = next(name for name in weights if "layers.1.mlp.up_proj" in name and "vision" not in name)
    del weights[lost]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ResourceError, match=r"has no weight .*layers\.1\.mlp\.up_proj"):
        load_shards(empty.peft_model, empty.model, empty.base_dir, empty.family.parts, CPU)


def test_weights_in_four_bits_are_not_sharded(tmp_path: Path) -> None:
    settings = choice("tiny-gemma3")
    set_up_model(tmp_path, replace(settings, adapter=replace(settings.adapter, mode="qlora")))
    with pytest.raises(UsageError, match=r"FSDP cannot shard weights in 4 bits.*--adapter.mode lora"):
        loaded(tmp_path, sharded=True)
