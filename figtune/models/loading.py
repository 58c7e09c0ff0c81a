"""Processors and models off the disk, ready to use."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from figtune.core.errors import ResourceError, UsageError
from figtune.core.jsonl import read_json
from figtune.models.families import family_of
from figtune.models.family import REMEDY, Family, Processor
from figtune.models.full_finetune import WEIGHTS_FILE, FullFinetuneModel
from figtune.models.liger import fuse_layers
from figtune.models.lora import adapter_config, load_adapter
from figtune.models.lora_targets import targets_of, trains_vision
from figtune.models.model_files import find_model
from figtune.models.model_parts import ModelParts
from figtune.models.precision import precision_of
from figtune.models.quiet import damage_explained, suppress_unused_weights_table
from figtune.models.records import ADAPTER_FOLDER, BASE_FOLDER, MODEL_FILE, PROCESSOR_FOLDER, ModelRecord
from figtune.models.sharding import model_without_weights
from figtune.models.vision_tower import unload_vision_tower

logger = logging.getLogger(__name__)

_WORTH_A_BAR = 500_000_000
"""Bytes of weights from which on loading shows its progress."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model with its adapter and its processor."""

    record: ModelRecord
    family: Family
    processor: Processor
    model: PreTrainedModel
    """The base model; the adapter's layers are inside."""
    peft_model: PeftModel
    """The same model behind peft's interface: it saves the adapter and can switch it off."""
    device: torch.device
    base_dir: Path
    """The folder of the base model's weights."""
    dtype: torch.dtype
    """dtype of the frozen weights."""

    @property
    def trains_vision(self) -> bool:
        """True where the vision encoder is trained, so that images go through it each time."""
        return trains_vision(self.record.adapter)


def resolve_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu" or "cuda". CUDA is not asked for anything where the CPU was asked for.

    Raises:
        ResourceError: there is no CUDA card.
    """
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if name == "cuda":
        raise ResourceError("no CUDA device found", "leave out --device, or give --device cpu")
    if torch.backends.mps.is_available():
        _log_once("Apple's GPU (MPS) is not supported: the model runs on the CPU")
    return torch.device("cpu")


def respect_thread_limit() -> None:
    """Let torch use no more threads than OMP_THREAD_LIMIT allows.

    Under a lower limit torch 2.13 still divides bfloat16 products among its own number of threads and leaves the parts
    of those that never start uncomputed: whatever was in memory, NaN at times, without an error.
    """
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    if limit.isdecimal() and 0 < int(limit) < torch.get_num_threads():
        torch.set_num_threads(int(limit))


def load_base_model(
    folder: Path,
    family: Family,
    dtype: torch.dtype,
    device: torch.device,
    attention: str,
    *,
    four_bit: bool = False,
    encoder: bool = True,
    unused_parts: bool = False,
    sharded: bool = False,
) -> PreTrainedModel:
    """Load a base model, frozen and in evaluation mode.

    Args:
        attention: "sdpa" or "eager"; "sdpa" gives way to "eager" in decoders that it cannot serve.
        four_bit: keep the text decoder's linear layers in NF4 and compute with them in `dtype`.
        encoder: False leaves the vision encoder on the disk.
        unused_parts: True loads what no example goes through too, such as an audio encoder.
        sharded: leave the weights on the meta device, for `figtune.models.sharding.load_shards`.

    Raises:
        UsageError: a kernel that ignores attention masks.
        ResourceError: weights are missing or unreadable, or memory is too small.
    """
    if "flash" in attention:
        raise UsageError(
            "FlashAttention kernels ignore the attention masks that image tokens and packed rows need",
            "choose the attention sdpa",
        )
    respect_thread_limit()
    _set_progress_bar(folder)
    with _shortage_explained(device), damage_explained(f"{folder} cannot be loaded", REMEDY):
        stored = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        config = stored if unused_parts else family.without_unused_parts(stored)
        with suppress_unused_weights_table(unused_weights=not encoder or config is not stored):
            loaded = config if encoder else family.without_vision_layers(config)
            attentions = attn_implementations(config, attention)
            if sharded:
                model = model_without_weights(loaded, dtype, attentions)
            else:
                model = AutoModelForImageTextToText.from_pretrained(
                    folder,
                    config=loaded,
                    dtype=dtype,
                    attn_implementation=attentions,
                    device_map={"": device},
                    quantization_config=_nf4(dtype, family.parts) if four_bit else None,
                    use_safetensors=True,
                    trust_remote_code=False,
                )
    if not encoder:
        unload_vision_tower(model, family.parts)
        setattr(model.config.vision_config, family.vision_depth, getattr(config.vision_config, family.vision_depth))
    _disable_bnb_cpu_repack(model)
    model.requires_grad_(False)
    model.train(False)
    return model


@contextmanager
def _shortage_explained(device: torch.device) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise ResourceError(
            f"the weights do not fit into the memory of {device}",
            "choose --adapter.mode qlora, or a smaller model with --model.name",
        ) from None


def _disable_bnb_cpu_repack(model: PreTrainedModel) -> None:
    """Keep 4-bit weights as they are on a CPU that has AVX512-BF16.

    The first look without gradients would lay them out anew there, for a kernel through which no gradient goes back:
    not in training either, which goes on with that layout (bitsandbytes 0.50).
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False  # type: ignore[assignment]  # no tensor


def attn_implementations(config: PreTrainedConfig, attention: str) -> dict[str, str]:
    """Return the attention of each half: sdpa cannot cap attention logits, as the decoder of PaliGemma 2 does."""
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    return {"text_config": "eager" if capped else attention, "vision_config": attention}


def not_in_four_bits(parts: ModelParts) -> list[str]:
    """Return the full names of modules that QLoRA does not quantize, as bitsandbytes matches them in transformers 4
    and 5; they take the place of its own exceptions.
    """
    return [parts.vision_encoder, parts.projector, "lm_head", *parts.outside_layers]


def _nf4(dtype: torch.dtype, parts: ModelParts) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=not_in_four_bits(parts),
    )


def base_folder(record: ModelRecord, beside: Path) -> Path:
    """Return the folder of a record's base model on this machine, downloaded where it is not there yet.

    Raises:
        ResourceError: it is unavailable.
    """
    base = str(beside / BASE_FOLDER) if record.tiny else record.base
    return find_model(base, record.commit, weights=True).folder


def load_tuned_model(
    folder: Path,
    device: torch.device,
    made_by: str,
    *,
    trainable: bool = False,
    encoder: bool = True,
    unquantized: bool = False,
    sharded: bool = False,
) -> LoadedModel:
    """Load the base model with the adapter of `folder` on it: WORK/model before training, OUTPUT after.

    Args:
        made_by: the command that makes the folder, for the remedy of the error.
        encoder: False leaves a frozen vision encoder on the disk; `figtune.models.feature_cache` loads it when needed.
        unquantized: load the base model whole, even after QLoRA.
        sharded: leave the base model's weights on the meta device, for `figtune.models.sharding.load_shards`.

    Raises:
        ArtifactMissingError: the folder is not there or unfinished.
        UsageError: weights in 4 bits are to be sharded.
        ResourceError: the base model is unavailable, or memory is too small.
    """
    record = read_json(folder / MODEL_FILE, ModelRecord, made_by)
    if record.tiny:
        torch.set_num_threads(1)  # Its matrices are so small that threads wait for each other longer than they work.
    base = base_folder(record, folder)
    family = family_of(record.family, record.name)
    precision = precision_of(record, device, unquantized=unquantized)
    if precision.note:
        _log_once(precision.note)
    if sharded and precision.four_bit:
        raise UsageError(
            "FSDP cannot shard weights in 4 bits: each card would hold all of them",
            "launch without FSDP, or choose --adapter.mode lora",
        )
    model = load_base_model(
        base,
        family,
        precision.dtype,
        device,
        "sdpa",
        four_bit=precision.four_bit,
        encoder=encoder or record.adapter.mode == "full" or trains_vision(record.adapter),
        sharded=sharded,
    )
    peft_model = with_adapter(model, family, record, folder / ADAPTER_FOLDER, precision.dtype if trainable else None)
    if trainable:
        # What is evaluated and merged takes the library's own operations, as whoever loads the adapter does.
        fuse_layers(peft_model.get_base_model().get_submodule(family.parts.text_decoder), device)
    return LoadedModel(
        record=record,
        family=family,
        processor=family.load_processor(folder / PROCESSOR_FOLDER),
        model=peft_model.get_base_model(),
        peft_model=peft_model.eval(),
        device=device,
        base_dir=base,
        dtype=precision.dtype,
    )


def with_adapter(
    model: PreTrainedModel, family: Family, record: ModelRecord, folder: Path, dtype: torch.dtype | None = None
) -> PeftModel:
    """Load the adapter of a folder onto its base model.

    Args:
        dtype: that fully trained parts compute in; None for an adapter that is not trained on.

    Raises:
        ResourceError: its files are damaged, or of another model.
    """
    if record.adapter.mode != "full":
        return load_adapter(model, folder, trainable=dtype is not None)
    config = adapter_config(record.adapter, family, record.base, record.commit)
    peft_model = FullFinetuneModel(model, config, family.parts, targets_of(record.adapter).fully_trained_parts)
    # Setup leaves the folder empty: training begins with the base model's own weights.
    if (folder / WEIGHTS_FILE).is_file():
        peft_model.load_weights(folder)
    if dtype is not None:
        peft_model.make_trainable(dtype)
    return peft_model


@cache
def _log_once(note: str) -> None:
    logger.info(note)


def _set_progress_bar(folder: Path) -> None:
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if weights >= _WORTH_A_BAR:
        transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    else:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
