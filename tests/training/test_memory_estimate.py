"""Estimated memory of training equals what is really allocated, for every family and mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, Gemma4ForConditionalGeneration

from config import TRAIN
from figtune.batching.collator import training_batch
from figtune.batching.loss import CompletionLoss
from figtune.batching.packing import one_per_row
from figtune.batching.tokenization import tokenize_example
from figtune.models.feature_cache import concatenate, encode_image
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.precision import precision_of
from figtune.models.records import AdapterMode, AdapterRecord, Dtype
from figtune.models.settings import AdapterSettings
from figtune.models.setup import set_up_model
from figtune.models.tiny import TINY_MODELS
from figtune.training.memory_budget import BatchShape, StepConfig, memory_lines
from figtune.training.memory_estimate import ModelSpec, describe_model, memory_use
from tests.models.tuned import CPU, PROMPT, choice
from tests.rows import each_row

pytestmark = pytest.mark.slow

TEXT = "The encoder reads the image. " * 40
MIXTURE = "mixture of experts"
"""A Gemma 4 built as 26B-A4B is."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model as it is trained."""

    name: str = "tiny-gemma3"
    mode: AdapterMode = "lora"
    targets: tuple[str, ...] = ("decoder",)
    dtype: Dtype = "float32"
    examples: int = 2
    checkpointing: bool = False


CASES = (
    Case(examples=5, checkpointing=True),
    Case(mode="qlora", checkpointing=True),
    Case(mode="full"),
    Case(targets=("decoder", "projector", "vision"), checkpointing=True),
    Case(name="tiny-paligemma", examples=3),
    Case(name="tiny-paligemma", mode="projector", dtype="bfloat16"),
    Case(name="tiny-paligemma2", checkpointing=True),
    Case(name="tiny-smolvlm2", examples=2),
    Case(name="tiny-smolvlm2", targets=("decoder", "projector", "vision"), checkpointing=True),
    Case(name="tiny-gemma4", examples=2),
    Case(name="tiny-gemma4", mode="qlora", examples=4, checkpointing=True),
    Case(name="tiny-gemma4", mode="full"),
    Case(name="tiny-gemma4-31b", targets=("decoder", "projector", "vision"), checkpointing=True),
    Case(name=MIXTURE, examples=2),
    Case(name=MIXTURE, mode="qlora", checkpointing=True),
    Case(name=MIXTURE, mode="full"),
)


def allocated(work: Callable[[], None]) -> int:
    """Bytes that PyTorch's allocator has given out at the fullest moment of `work`, by its own account."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return int(peak)


def mixture_of_experts(folder: Path) -> Path:
    """Write a model of two layers, each with eight experts beside its dense half."""
    TINY_MODELS["tiny-gemma4-31b"](folder)
    config = AutoConfig.from_pretrained(folder)
    decoder = config.text_config.to_dict()
    decoder |= {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 32}
    config.text_config = type(config.text_config)(**decoder)
    torch.manual_seed(0)
    Gemma4ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def prepared(folder: Path, case: Case) -> LoadedModel:
    adapter = AdapterSettings(mode=case.mode, rank=8, alpha=8, dropout=0.05, targets=case.targets)
    name = str(mixture_of_experts(folder / "base model")) if case.name == MIXTURE else case.name
    set_up_model(folder, replace(choice(name, dtype=case.dtype), adapter=adapter))
    loaded = load_tuned_model(folder, CPU, "setup", trainable=True, encoder=False)
    loaded.peft_model.train()
    if case.checkpointing:
        CompletionLoss(loaded.peft_model, loaded.family).activation_checkpointing_enable({"use_reentrant": False})
    return loaded


def real_step(loaded: LoadedModel, examples: int) -> tuple[Callable[[], None], BatchShape]:
    """A step, and what it reads."""
    family, processor = loaded.family, loaded.processor
    picture = Image.new("RGB", family.largest_image(processor))
    image = encode_image(loaded, picture)
    row = tokenize_example(family, processor, PROMPT, TEXT, image.layout, 128)
    inputs = training_batch(one_per_row([row] * examples), family, 0)
    tensors = concatenate([image.tensors] * examples)
    loss = CompletionLoss(loaded.peft_model, family)

    def step() -> None:
        loss.loss_sum(inputs, tensors).backward()  # type: ignore[no-untyped-call]

    batch = BatchShape(
        examples=examples,
        text_tokens=len(row.input_ids) - image.layout.tokens,
        target_tokens=inputs.num_target_tokens // examples,
    )
    return step, batch


def description(loaded: LoadedModel) -> ModelSpec:
    record = loaded.record
    return describe_model(loaded.base_dir, record.name, precision_of(record, CPU), record.adapter)


def held(loaded: LoadedModel) -> int:
    """Bytes of all weights, with the scales of those in 4 bits."""
    scales = [getattr(weight, "quant_state", None) for weight in loaded.peft_model.parameters()]
    weights: int = sum(weight.nbytes for weight in loaded.peft_model.parameters())
    return weights + sum(int(scale.absmax.nbytes) for scale in scales if scale is not None)


@each_row("case", CASES)
def test_training_takes_what_was_estimated(tmp_path: Path, case: Case) -> None:
    loaded = prepared(tmp_path, case)
    step, batch = real_step(loaded, case.examples)
    # Gradients are there from the first pass on, and only then what comes and goes is all that is allocated.
    step()
    measured = allocated(step)
    model = description(loaded)
    estimated = memory_use(model, settings(case).train, batch)
    # Of experts up to 5.5 % more is estimated, about three tensors of a layer, which has not been explained.
    above = 0.06 if case.name == MIXTURE else 0.02
    assert 0.98 * measured < estimated.activations + estimated.logits < (1 + above) * measured
    weights = estimated.vision_weights + estimated.projector_weights + estimated.text_weights
    assert weights == pytest.approx(held(loaded), rel=0.01)
    assert estimated.gradients == sum(
        parameter.grad.nbytes for parameter in loaded.peft_model.parameters() if parameter.grad is not None
    )


def settings(case: Case) -> StepConfig:
    adapter = AdapterRecord(mode=case.mode, rank=8, alpha=8, dropout=0.05, targets=case.targets)
    return StepConfig(
        adapter=adapter,
        max_length=128,
        train=replace(
            TRAIN,
            batch_size=case.examples,
            max_batch_tokens=4096,
            gradient_accumulation_steps=1,
            activation_checkpointing=case.checkpointing,
        ),
    )


def test_adam_remembers_what_was_estimated(tmp_path: Path) -> None:
    case = Case()
    loaded = prepared(tmp_path, case)
    step, batch = real_step(loaded, 1)
    trained = [parameter for parameter in loaded.peft_model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    step()
    optimizer.step()
    moments = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    assert memory_use(description(loaded), settings(case).train, batch).optimizer == sum(
        each.nbytes for each in moments
    )


def test_each_process_of_fsdp_has_its_share_and_what_it_gathers(tmp_path: Path) -> None:
    loaded = prepared(tmp_path, Case())
    _, batch = real_step(loaded, 2)
    train, model = settings(Case()).train, description(loaded)
    whole, share = (memory_use(model, train, batch, processes) for processes in (1, 4))
    for part in ("text_weights", "projector_weights", "gradients", "optimizer"):
        assert getattr(share, part) == pytest.approx(getattr(whole, part) / 4, abs=1)
    assert (share.activations, share.logits) == (whole.activations, whole.logits)
    assert whole.gathered == 0
    layers = [sum(each.nbytes for each in layer.parameters()) for layer in loaded.model.model.language_model.layers]
    assert share.gathered == held(loaded) - sum(layers) + sum(sorted(layers)[-2:])
    assert share.encoding < whole.encoding
    assert memory_lines(share)[0].startswith("memory, each of 4 ")
    assert any(line.startswith("gathered layers ") for line in memory_lines(share))
    assert not any("gathered" in line for line in memory_lines(whole))
