"""Trained weights: where they sit, in which dtype, and that it changes nothing before training."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from figtune.batching.loss import CompletionLoss
from figtune.core.errors import UsageError
from figtune.core.jsonl import read_json, write_json
from figtune.models.families import family_of
from figtune.models.loading import LoadedModel, load_base_model, load_tuned_model
from figtune.models.lora import adapter_config, load_adapter, save_adapter
from figtune.models.records import AdapterMode, AdapterRecord, Dtype, ModelRecord, ParameterTable
from figtune.models.setup import format_table, parameter_table, set_up_model
from tests.models.tuned import (
    CPU,
    TINY_NAMES,
    batch_of,
    choice,
    features_of,
    joined,
    moved_model,
    pixels_of,
    plain_fields,
    plain_pixels,
    rows_of,
)
from tests.rows import each_row

NAMES = [name for name in TINY_NAMES if name != "tiny-paligemma2"]


def trained_names(loaded: LoadedModel) -> list[str]:
    return [name for name, parameter in loaded.peft_model.named_parameters() if parameter.requires_grad]


def set_up(folder: Path, name: str, mode: AdapterMode, targets: tuple[str, ...]) -> LoadedModel:
    asked = choice(name, targets)
    set_up_model(folder, dataclasses.replace(asked, adapter=dataclasses.replace(asked.adapter, mode=mode)))
    return load_tuned_model(folder, CPU, "setup", trainable=True)


@each_row("name", NAMES)
def test_decoder_lora_sits_in_the_decoder_alone(tmp_path: Path, name: str) -> None:
    loaded = set_up(tmp_path, name, "lora", ("decoder",))
    names = trained_names(loaded)
    adapted = rf".*\.{loaded.family.parts.decoder_layers.path}\.\d+\.(self_attn|mlp)\.\w+_proj\.weight"
    base = load_base_model(loaded.base_dir, loaded.family, torch.float32, CPU, "sdpa")
    linear = [name for name, _ in base.named_parameters() if re.fullmatch(adapted, name)]
    assert len(names) == 2 * len(linear) > 0  # A and B
    assert all(f"{loaded.family.parts.text_decoder}.layers." in name and ".lora_" in name for name in names)


@each_row("name", NAMES)
def test_single_layers_can_be_named(tmp_path: Path, name: str) -> None:
    names = trained_names(set_up(tmp_path, name, "lora", ("q_proj", "v_proj")))
    assert {name.split(".self_attn.")[1].split(".")[0] for name in names} == {"q_proj", "v_proj"}


@pytest.mark.slow
@each_row("name", NAMES)
def test_projector_mode_trains_the_projector_whole(tmp_path: Path, name: str) -> None:
    loaded = set_up(tmp_path, name, "projector", ("decoder",))
    names = trained_names(loaded)
    assert names
    assert all(f"{loaded.family.parts.projector}.modules_to_save." in name for name in names)


@each_row("asked", [("decoder+projector",), ("decoder", "projector")])
def test_decoder_and_projector_can_be_trained_together(tmp_path: Path, asked: tuple[str, ...]) -> None:
    names = trained_names(set_up(tmp_path, "tiny-gemma3", "lora", asked))
    assert any("multi_modal_projector" in name for name in names)
    assert any("language_model" in name for name in names)


def test_a_target_that_does_not_exist_is_refused_with_those_that_do() -> None:
    adapter = AdapterRecord(mode="lora", rank=4, alpha=8, dropout=0.0, targets=("q_proj", "out_proj"))
    with pytest.raises(UsageError, match=r"no out_proj to adapt; .*decoder projector vision q_proj k_proj"):
        adapter_config(adapter, family_of("gemma3", ""), "a model", None)


@each_row("name", NAMES)
def test_a_new_adapter_changes_no_answer(tmp_path: Path, name: str) -> None:
    loaded = set_up(tmp_path, name, "lora", ("decoder", "projector"))
    fields = {**plain_fields(loaded, rows_of(loaded)), **plain_pixels(loaded, pixels_of(loaded))}
    with torch.no_grad():
        tuned = loaded.peft_model(**fields).logits
        with loaded.peft_model.disable_adapter():
            base = loaded.peft_model(**fields).logits
    assert torch.equal(tuned, base)


@each_row("dtype", [torch.float32, torch.bfloat16])
def test_trained_weights_are_float32_on_a_base_of_any_dtype(
    tmp_path: Path, tiny_folders: dict[str, Path], dtype: torch.dtype
) -> None:
    set_up_model(tmp_path, choice("tiny-gemma3"))
    family = family_of("gemma3", "")
    base = load_base_model(tiny_folders["gemma3"], family, dtype, CPU, "sdpa")
    tuned = load_adapter(base, tmp_path / "adapter", trainable=True)
    dtypes = {(parameter.requires_grad, parameter.dtype) for parameter in tuned.parameters()}
    assert dtypes == {(True, torch.float32), (False, dtype)}


def test_a_small_step_is_not_lost_on_a_bfloat16_base(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    set_up_model(tmp_path, choice("tiny-gemma3"))
    family = family_of("gemma3", "")
    base = load_base_model(tiny_folders["gemma3"], family, torch.bfloat16, CPU, "sdpa")
    tuned = load_adapter(base, tmp_path / "adapter", trainable=True)
    weights = [parameter for name, parameter in tuned.named_parameters() if "lora_A" in name]
    before = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.SGD(weights, lr=1e-5)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    moved = sum(int((weight != old).sum()) for weight, old in zip(weights, before, strict=True))
    assert moved > 0.99 * sum(weight.numel() for weight in weights)


@pytest.mark.slow
@each_row("name", NAMES)
def test_a_saved_adapter_loads_equal_and_names_its_base(tmp_path: Path, name: str) -> None:
    loaded = moved_model(tmp_path / "model", name)
    save_adapter(loaded.peft_model, tmp_path / "model" / "adapter")
    again = load_tuned_model(tmp_path / "model", CPU, "setup", trainable=True)
    ours, theirs = loaded.peft_model.state_dict(), again.peft_model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    config = json.loads((tmp_path / "model" / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "base"


@each_row("name", NAMES)
def test_the_parameter_table_counts_what_is_really_there(tmp_path: Path, name: str) -> None:
    loaded = set_up(tmp_path, name, "lora", ("decoder", "projector"))
    table = read_json(tmp_path / "parameters.json", ParameterTable, "setup")
    assert table == parameter_table(loaded.peft_model, loaded.family.parts)
    assert table.trained == sum(p.numel() for p in loaded.peft_model.parameters() if p.requires_grad)
    base = load_base_model(tmp_path / "base", loaded.family, torch.float32, CPU, "sdpa")
    lora = next(part.trained for part in table.parts if part.part.startswith("LoRA"))
    assert table.total == sum(p.numel() for p in base.parameters()) + lora
    assert f"{table.trained:,}" in format_table(table)[-1]


def moved(folder: Path, name: str, mode: AdapterMode, targets: Sequence[str]) -> None:
    """Write a model whose adapter has been moved at random."""
    loaded = set_up(folder, name, mode, tuple(targets))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in loaded.peft_model.parameters():
            if parameter.requires_grad:
                parameter += 0.03 * torch.randn(parameter.shape, generator=generator)
    save_adapter(loaded.peft_model, folder / "adapter")


def in_dtype(folder: Path, dtype: Dtype) -> LoadedModel:
    record = read_json(folder / "model.json", ModelRecord, "setup")
    write_json(folder / "model.json", dataclasses.replace(record, dtype=dtype))
    return load_tuned_model(folder, CPU, "setup", trainable=True)


def compute_as_peft_does(loaded: LoadedModel) -> None:
    """Compute LoRA in the dtype of its matrices, float32."""
    for layer in loaded.peft_model.modules():
        if isinstance(layer, LoraLayer):
            layer.forward = partial(type(layer).forward, layer)


def step(loaded: LoadedModel, *, checkpointing: bool = False) -> tuple[Tensor, Tensor]:
    """Return the loss of a step and the gradients of all trained weights, in one float32 vector."""
    loss = CompletionLoss(loaded.peft_model.train(), loaded.family)
    loaded.peft_model.zero_grad()
    if checkpointing:
        loss.activation_checkpointing_enable({"use_reentrant": False})
    found = loss.loss_sum(batch_of(loaded, rows_of(loaded)), joined(features_of(loaded)))
    found.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in loaded.peft_model.parameters() if parameter.requires_grad]
    assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in gradients)
    return found.detach(), torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])


def distance(gradient: Tensor, exact: Tensor) -> float:
    return float((gradient - exact).norm() / exact.norm())


WAYS = [*((name, "lora") for name in TINY_NAMES), ("tiny-gemma3", "qlora"), ("tiny-paligemma", "qlora")]


@pytest.mark.slow
@each_row(("name", "mode"), WAYS)
def test_lora_beside_bfloat16_layers_learns_as_in_float32(tmp_path: Path, name: str, mode: AdapterMode) -> None:
    """Beside float32 layers exactly; beside bfloat16 the loss to 0.1 %, and no farther from the exact gradient."""
    moved(tmp_path, name, mode, ("decoder", "projector"))
    exact = in_dtype(tmp_path, "float32")
    loss, gradient = step(exact)
    compute_as_peft_does(exact)
    loss_by_peft, by_peft = step(exact)
    assert torch.equal(loss, loss_by_peft)
    assert torch.equal(gradient, by_peft)

    rough = in_dtype(tmp_path, "bfloat16")
    assert rough.model.dtype == torch.bfloat16
    ours = step(rough)
    again = step(rough, checkpointing=True)
    assert torch.equal(ours[0], again[0])
    assert torch.equal(ours[1], again[1])
    compute_as_peft_does(rough)
    theirs = step(rough)
    assert ours[0].item() == pytest.approx(theirs[0].item(), rel=1e-3)
    assert ours[0].item() == pytest.approx(loss.item(), rel=5e-3)
    assert distance(ours[1], gradient) < 1.3 * distance(theirs[1], gradient)


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the dtypes of matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(  # type: ignore[no-untyped-def]  # its caller is torch
        self, operation: Callable[..., object], _: object, given: Sequence[object] = (), named=None
    ):
        if str(operation).split(".")[1] in {"mm", "addmm", "bmm"}:
            self.dtypes |= {each.dtype for each in given if isinstance(each, Tensor)}
        return operation(*given, **(named or {}))


@pytest.mark.slow
@each_row("dtype", ["float32", "bfloat16"])
def test_all_products_are_made_in_the_dtype_of_the_layers(tmp_path: Path, dtype: Dtype) -> None:
    moved(tmp_path, "tiny-gemma3", "lora", ("decoder",))
    loaded = in_dtype(tmp_path, dtype)
    images = joined(features_of(loaded))
    with Products() as products:
        loss = CompletionLoss(loaded.peft_model, loaded.family).loss_sum(batch_of(loaded, rows_of(loaded)), images)
        loss.backward()  # type: ignore[no-untyped-call]
    assert products.dtypes == {loaded.dtype}


@each_row("name", ["tiny-gemma3", "tiny-gemma4"])
def test_checkpointing_needs_no_gradient_of_embeddings(tmp_path: Path, name: str) -> None:
    loaded = set_up(tmp_path, name, "lora", ("decoder",))
    CompletionLoss(loaded.peft_model, loaded.family).activation_checkpointing_enable({"use_reentrant": False})
    assert loaded.model.is_activation_checkpointing
    assert not loaded.model.get_input_embeddings()(torch.tensor([1])).requires_grad
