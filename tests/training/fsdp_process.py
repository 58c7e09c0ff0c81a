"""Weights spread over processes by FSDP2 through the Trainer, on a machine without cards."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from figtune.core.distributed import process_group
from figtune.models.loading import load_tuned_model
from figtune.models.lora import save_adapter
from figtune.models.model_parts import ModelParts
from figtune.models.sharding import load_shards
from figtune.training.settings import TrainSettings
from tests.training.runs import run


def train_and_carry_on(dataset: Path, model: Path, output: Path, settings: TrainSettings) -> int:
    """A whole run; then again from its checkpoint before the last."""
    os.environ.update(
        {
            "ACCELERATE_USE_FSDP": "true",
            "FSDP_VERSION": "2",
            "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
            "FSDP_RESHARD_AFTER_FORWARD": "true",
        }
    )
    with process_group(on_cpu=True), pytest.MonkeyPatch.context() as patched:
        patched.setattr(AcceleratorState, "__init__", _on_the_cpu_too)
        patched.setattr("figtune.training.fsdp.load_shards", _load_shards_alone)
        with patched.context() as broken:
            broken.setattr("figtune.training.train.metrics_lines", _interrupt)
            with pytest.raises(InterruptedError):
                run(dataset, model, output, settings)
        newest = max((output / "checkpoints").iterdir(), key=lambda path: int(path.name.removeprefix("checkpoint-")))
        torch.distributed.barrier()
        (newest / "complete").unlink(missing_ok=True)
        torch.distributed.barrier()
        summary = run(dataset, model, output, settings)
        assert 0 < summary.resumed_from < summary.steps
    return 0


def save_sharded(model: Path, target: Path) -> int:
    """The adapter of a folder once more, from weights that are spread over the processes."""
    with process_group(on_cpu=True):
        loaded = load_tuned_model(model, torch.device("cpu"), "setup", trainable=True, encoder=False)
        for layer in loaded.model.model.language_model.layers:
            fully_shard(layer)
        fully_shard(loaded.peft_model)
        save_adapter(loaded.peft_model, target)
    return 0


def _load_shards_alone(
    module: nn.Module, base: PreTrainedModel, folder: Path, parts: ModelParts, device: torch.device
) -> None:
    """As the product does, seeing that a process has no weight of the base model before, and half of each after."""
    names = [name for name, _ in base.named_parameters() if "lora_" not in name and "modules_to_save" not in name]
    assert len(names) > 10
    assert all(base.get_parameter(name).device.type == "meta" for name in names)
    load_shards(module, base, folder, parts, device)
    for weight in base.parameters():
        assert isinstance(weight, DTensor)
        assert weight.to_local().numel() <= ceil(weight.shape[0] / 2) * weight[0].numel()
        assert weight.device == device
    assert base.get_submodule("lm_head").weight is base.get_input_embeddings().weight


_init = AcceleratorState.__init__


def _on_the_cpu_too(self: AcceleratorState, *given: object, fsdp_plugin: object = None, **named: object) -> None:
    """accelerate spreads weights over cards only; nothing but this condition is in the way on the CPU."""
    _init(self, *given, fsdp_plugin=fsdp_plugin, **named)
    if fsdp_plugin is not None:
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin


def _interrupt(*_: object) -> None:
    raise InterruptedError
