"""Peak-memory estimation of training from a model's configuration alone, before weights are downloaded or loaded.

Weights are counted. Activations are traced: a real training step on the meta device, with a text decoder of two and of
three layers of each kind; each further layer adds what the third one adds.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model
from PIL import Image
from torch import Tensor
from torch.nn import Parameter
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig

from figtune.batching.collator import TrainingBatch, training_batch
from figtune.batching.loss import CompletionLoss
from figtune.batching.packing import one_per_row
from figtune.models.families import family_of
from figtune.models.family import FEATURES, Family, ImageLayout, TokenizedExample
from figtune.models.feature_cache import concatenate
from figtune.models.full_finetune import FullFinetuneModel
from figtune.models.loading import attn_implementations
from figtune.models.lora import adapter_config, hold_in_float32
from figtune.models.lora_targets import targets_of
from figtune.models.precision import Precision
from figtune.models.quiet import damage_explained, suppress_peft_deprecations
from figtune.models.records import AdapterRecord, Part
from figtune.training.memory_budget import BatchShape, MemoryUse, StepConfig
from figtune.training.peak_tracer import ATTENTION, META, PeakMemory, trace_peak
from figtune.training.settings import TrainSettings

_FOUR_BIT = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a number in NF4: half of one, a byte of scale for each 64 of them, and a float32 for each 256 scales."""
_TRAINED_BYTES = 4
_GRADIENT_BYTES = 4
_ADAM_BYTES = 8
_ADAM_8_BIT_BYTES = 2 + 2 * 4 / 256
"""Two moments of a byte, and for each 256 of them a scale in float32."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSpec:
    """A model as its `config.json` describes it, how its weights are held, and what of it is trained."""

    config: PreTrainedConfig
    family: Family
    name: str
    precision: Precision
    adapter: AdapterRecord
    image: ImageLayout
    """Image tokens of the largest image."""
    pixels: dict[str, Tensor]
    """The largest image as the vision encoder takes it."""

    @property
    def trains_vision(self) -> bool:
        """True if images go through the vision encoder in every step."""
        return "vision" in targets_of(self.adapter).parts

    @property
    def keeps_vision(self) -> bool:
        """True if the vision encoder is in memory during training."""
        return self.trains_vision or self.adapter.mode == "full"


@dataclass(frozen=True, kw_only=True)
class StaticMemory:
    """Memory that does not depend on the batch, in bytes."""

    weights: dict[Part, int]
    trained: int
    """Numbers that are trained."""
    working_copies: int
    gathered: int
    """Weights that each process of FSDP holds whole while it computes with them."""
    encoding: int
    """Bytes beside the weights while the vision encoder encodes one image."""


def describe_model(
    folder: Path, name: str, precision: Precision, adapter: AdapterRecord, image_tokens: int = 0, tiles: int = 0
) -> ModelSpec:
    """Return the model of a folder that holds its `config.json` and its processor; weights are not needed.

    Args:
        image_tokens, tiles: as `Family.image_settings` takes them.

    Raises:
        ResourceError: they cannot be read.
    """
    with damage_explained(f"the config.json in {folder} cannot be read", "download the model again"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    family = family_of(config.model_type, name)
    processor = family.load_processor(folder)
    for setting, value in family.image_settings(image_tokens, tiles, processor).items():
        setattr(processor.image_processor, setting, value)
    size = family.largest_image(processor)
    return ModelSpec(
        config=family.without_unused_parts(config),
        family=family,
        name=name,
        precision=precision,
        adapter=adapter,
        image=family.image_layout(processor, size),
        pixels=family.image_inputs(processor, Image.new("RGB", size), "squash"),
    )


def worst_case_batch(model: ModelSpec, step: StepConfig) -> BatchShape:
    """Return the largest batch: examples of maximum length, nearly all of it target tokens."""
    fitting = (step.train.max_batch_tokens - model.image.tokens) // step.max_length
    return BatchShape(
        examples=max(1, min(step.train.batch_size, fitting)),
        text_tokens=step.max_length,
        target_tokens=step.max_length - 1,
    )


def memory_use(model: ModelSpec, train: TrainSettings, batch: BatchShape, processes: int = 1) -> MemoryUse:
    """Return the peak memory of training, of each process where FSDP spreads the weights over several."""
    static = _static_memory(model)
    step = step_memory(model, batch, activation_checkpointing=train.activation_checkpointing)
    adam_bytes = _ADAM_8_BIT_BYTES if train.optimizer == "adamw_8bit" else _ADAM_BYTES
    # Images are encoded before FSDP loads the weights.
    beside = static.weights["vision"] if processes > 1 else sum(static.weights.values())
    return MemoryUse(
        processes=processes,
        gathered=static.gathered if processes > 1 else 0,
        batch=batch,
        vision_weights=round(static.weights["vision"] / processes) if model.keeps_vision else 0,
        projector_weights=round(static.weights["projector"] / processes),
        text_weights=round(static.weights["text"] / processes),
        gradients=round(_GRADIENT_BYTES * static.trained / processes),
        optimizer=round(adam_bytes * static.trained / processes),
        activations=step.total - step.logits + static.working_copies,
        logits=step.logits,
        encoding=0 if model.trains_vision else beside + static.encoding,
    )


@lru_cache(maxsize=8)
def _static_memory(model: ModelSpec) -> StaticMemory:
    peft_model = _with_adapter(model, model.config)
    return StaticMemory(
        weights=_weights(peft_model, model),
        trained=sum(parameter.numel() for parameter in peft_model.parameters() if parameter.requires_grad),
        working_copies=_working_copies(peft_model, model),
        gathered=_gathered(peft_model, model),
        encoding=0 if model.trains_vision else _encoding(model),
    )


def step_memory(model: ModelSpec, batch: BatchShape, *, activation_checkpointing: bool) -> PeakMemory:
    """Return the peak of memory allocated and freed within a forward and a backward pass."""
    if model.trains_vision:
        return _trace_step(model, model.config, batch, activation_checkpointing)
    config = model.family.without_vision_layers(model.config)
    layers = _layers_by_kind(model)
    few = sorted(layer for same in layers for layer in same[:2])

    def trace(chosen: Sequence[int]) -> PeakMemory:
        return _trace_step(model, model.family.with_layers(config, chosen), batch, activation_checkpointing)

    base = trace(few)
    # Each further layer adds what the third one of its kind does.
    added = ((len(same) - 2) * (trace(sorted([*few, same[2]])).total - base.total) for same in layers if len(same) > 2)
    return PeakMemory(total=base.total + sum(added), logits=base.logits)


def _layers_by_kind(model: ModelSpec) -> list[list[int]]:
    """Return the indices of the decoder's layers, those that take the same memory together."""
    found: dict[Hashable, list[int]] = {}
    for layer, kind in enumerate(model.family.layer_kinds(model.config.get_text_config())):
        found.setdefault(kind, []).append(layer)
    return list(found.values())


def _with_adapter(model: ModelSpec, config: PreTrainedConfig) -> PeftModel:
    """Return the model as it is trained, on the meta device."""
    with META:
        outline = AutoModelForImageTextToText.from_config(config, dtype=model.precision.dtype)  # type: ignore[no-untyped-call]
    outline.requires_grad_(False)
    # peft would speak of the folder that the outline came from.
    outline.name_or_path = model.name
    outline.set_attn_implementation(attn_implementations(config, ATTENTION))
    peft_config = adapter_config(model.adapter, model.family, model.name, None)
    if model.adapter.mode == "full":
        full = FullFinetuneModel(
            outline, peft_config, model.family.parts, targets_of(model.adapter).fully_trained_parts
        )
        for parameter in full.trained.values():
            parameter.requires_grad_(True)
        return full
    with suppress_peft_deprecations():
        peft_model = get_peft_model(outline, peft_config)
    hold_in_float32(peft_model)
    return peft_model


def _weights(peft_model: PeftModel, model: ModelSpec) -> dict[Part, int]:
    """Return bytes by part. What is trained is float32."""
    sizes: dict[Part, float] = {"vision": 0, "projector": 0, "text": 0}
    for name, parameter in peft_model.named_parameters():
        if (part := model.family.parts.part_of(name)) is not None:
            sizes[part] += _bytes_each(name, parameter, model) * parameter.numel()
    return {part: round(size) for part, size in sizes.items()}


def _gathered(peft_model: PeftModel, model: ModelSpec) -> int:
    """Return the bytes of a layer, of the next one that is fetched ahead, and of all that is outside layers."""
    unsplit = peft_model.get_base_model()._no_split_modules or ()
    paths = {name for name, module in peft_model.named_modules() if type(module).__name__ in unsplit}
    sizes: dict[str, float] = dict.fromkeys(paths, 0)
    outside = 0.0
    for name, parameter in peft_model.named_parameters():
        part = model.family.parts.part_of(name)
        if part is None or (part == "vision" and not model.keeps_vision):
            continue
        size = _bytes_each(name, parameter, model) * parameter.numel()
        layer = next((path for path in paths if name.startswith(f"{path}.")), None)
        if layer is None:
            outside += size
        else:
            sizes[layer] += size
    return round(outside + sum(sorted(sizes.values())[-2:]))


def _bytes_each(name: str, parameter: Parameter, model: ModelSpec) -> float:
    if parameter.requires_grad:
        return _TRAINED_BYTES
    quantised = model.precision.four_bit and _is_decoder_matrix(model.family, name, parameter)
    return _FOUR_BIT if quantised else model.precision.dtype.itemsize


def _is_decoder_matrix(family: Family, name: str, parameter: Parameter) -> bool:
    return f".{family.parts.decoder_layers.path}." in name and parameter.ndim == 2 and "lora_" not in name


def _working_copies(peft_model: PeftModel, model: ModelSpec) -> int:
    """Return bytes of weights in the dtype of computing, made within a step of those held in another.

    Of 4-bit weights one matrix at a time; of float32 weights that are trained all, by autocast, which keeps them.
    """
    size = model.precision.dtype.itemsize
    if model.adapter.mode == "full":
        trained = sum(each.numel() for each in peft_model.parameters() if each.requires_grad and each.ndim > 1)
        return size * trained if size < _TRAINED_BYTES else 0
    if not model.precision.four_bit:
        return 0
    named = peft_model.named_parameters()
    largest: int = max(each.numel() for name, each in named if _is_decoder_matrix(model.family, name, each))
    return size * largest


def _trace_step(model: ModelSpec, config: PreTrainedConfig, batch: BatchShape, checkpointing: bool) -> PeakMemory:
    peft_model = _with_adapter(model, config)
    peft_model.train()
    for parameter in peft_model.parameters():
        if parameter.requires_grad:
            # As from the second pass of a step on.
            parameter.grad = torch.empty_like(parameter)
    loss = CompletionLoss(peft_model, model.family)
    if checkpointing:
        loss.activation_checkpointing_enable({"use_reentrant": False})
    inputs, images = _batch(model, batch), _images(model, peft_model, batch)

    def step() -> None:
        loss.loss_sum(inputs, images).backward()  # type: ignore[no-untyped-call]

    return trace_peak(step, logits_dim=config.text_config.vocab_size)


def _batch(model: ModelSpec, batch: BatchShape) -> TrainingBatch:
    """Return examples of the batch's size, of no meaning."""
    tokens = model.image.tokens
    example = TokenizedExample(
        input_ids=(model.config.image_token_id,) * tokens + (0,) * batch.text_tokens,
        bidirectional=(True,) * tokens + (False,) * batch.text_tokens,
        prompt_length=tokens + batch.text_tokens - batch.target_tokens,
        shared_prefix_length=tokens,
        image=model.image,
    )
    return training_batch(one_per_row([example] * batch.examples), model.family, 0)


def _images(model: ModelSpec, peft_model: PeftModel, batch: BatchShape) -> dict[str, Tensor]:
    """Return pixels where the vision encoder is trained, and cached features where it is not."""
    pixels = _without_data(model.pixels)
    if model.trains_vision:
        return concatenate([pixels] * batch.examples)
    found: list[Tensor] = []

    def encode() -> None:
        with torch.no_grad():
            found.append(model.family.features(peft_model.get_base_model(), pixels).to(model.precision.dtype))

    trace_peak(encode, logits_dim=0)
    return concatenate([{FEATURES: features} for features in found * batch.examples])


def _without_data(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put an image's tensors on the meta device, but for those that decide shapes: masks and positions."""
    return {name: tensor.to(META) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _encoding(model: ModelSpec) -> int:
    """Return the memory of encoding one image, beside weights."""
    few = sorted(same[0] for same in _layers_by_kind(model))
    peft_model = _with_adapter(model, model.family.with_layers(model.config, few))
    pixels = _without_data(model.pixels)

    def encode() -> None:
        with torch.no_grad():
            model.family.features(peft_model.get_base_model(), pixels)

    return trace_peak(encode, logits_dim=0).total
