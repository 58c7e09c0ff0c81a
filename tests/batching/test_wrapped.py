"""The forward pass through what spreads a model over processes, on one process: the same to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from figtune.batching.collator import TrainingBatch
from figtune.batching.loss import CompletionLoss
from figtune.models.family import ImageInputs
from figtune.models.loading import LoadedModel
from tests.models.tuned import batch_of, features_of, joined, moved_model, rows_of
from tests.rows import each_row

NAMES = ("tiny-gemma3", "tiny-paligemma", "tiny-smolvlm2", "tiny-gemma4")


@pytest.fixture(scope="module", autouse=True)
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    meeting = tmp_path_factory.mktemp("store") / "file"
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def result(loaded: LoadedModel, model: nn.Module, features: list[ImageInputs]) -> dict[str, Tensor]:
    """Loss, and gradients by name, the projector's among them."""
    loaded.peft_model.zero_grad()
    batch: TrainingBatch = batch_of(loaded, rows_of(loaded))
    loss = model({**{f"image.{name}": tensor for name, tensor in joined(features).items()}, **vars(batch)})
    loss.backward()
    found = {"loss": loss.detach()}
    for name, weight in loaded.peft_model.named_parameters():
        if weight.grad is not None:
            found[name] = weight.grad.full_tensor() if isinstance(weight.grad, DTensor) else weight.grad.clone()
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view tensor:UserWarning")  # nothing writes there
@each_row("name", NAMES)
def test_wrapped_and_sharded_models_give_the_same_loss_and_gradients(tmp_path: Path, name: str) -> None:
    loaded = moved_model(tmp_path, name)
    features, loss = features_of(loaded), CompletionLoss(loaded.peft_model, loaded.family)
    bare = result(loaded, loss, features)
    assert any(loaded.family.parts.part_of(weight) == "projector" for weight in bare)
    wrapped = result(loaded, DistributedDataParallel(loss), features)
    mesh = init_device_mesh("cpu", (1,))
    for layer in loaded.model.get_submodule(loaded.family.parts.text_decoder).layers:  # type: ignore[union-attr]
        fully_shard(layer, mesh=mesh)
    fully_shard(loss, mesh=mesh)
    sharded = result(loaded, loss, features)
    assert all(isinstance(weight, DTensor) for weight in loaded.peft_model.parameters())
    for other in (wrapped, sharded):
        assert other.keys() == bare.keys()
        for weight, tensor in bare.items():
            assert torch.equal(other[weight], tensor), weight
