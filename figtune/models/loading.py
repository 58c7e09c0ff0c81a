"""Processors and models off the disk, ready to use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin
from transformers.utils import logging as transformers_logging

from figtune.models.adapters import load_adapter
from figtune.models.families import family_of
from figtune.models.family import Family
from figtune.models.hub import find_model
from figtune.models.records import ADAPTER_FOLDER, BASE_FOLDER, MODEL_FILE, PROCESSOR_FOLDER, Dtype, ModelRecord
from figtune.pipeline.errors import ResourceError, UsageError
from figtune.pipeline.records import read_json

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_WORTH_A_BAR = 500_000_000
"""Bytes of weights from which on loading shows its progress."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model with its adapter, what prepares its input, and how it is to read examples."""

    record: ModelRecord
    family: Family
    processor: ProcessorMixin
    model: PreTrainedModel
    """The base model; the adapter's layers are inside."""
    tuned: PeftModel
    """The same model behind peft's interface: it saves the adapter and can switch it off."""
    device: torch.device


def chosen_device(name: str) -> torch.device:
    """ "auto", "cpu" or "cuda" as a device.

    Raises:
        ResourceError: there is no CUDA card.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ResourceError("no CUDA card is to be found", "leave out --device, or give --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def chosen_dtype(family: Family, dtype: Dtype, device: torch.device) -> torch.dtype:
    """The dtype of the frozen weights.

    Raises:
        UsageError: the family overflows in it.
    """
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    chosen = _DTYPES[dtype]
    if chosen in family.refused_dtypes:
        raise UsageError(
            f"{family.title} overflows in {dtype}: its losses become NaN and its answers empty",
            "choose --model.dtype bfloat16 or float32",
        )
    return chosen


def load_processor(folder: Path) -> ProcessorMixin:
    """Tokenizer and image processor of a model's folder.

    Raises:
        ResourceError: the folder has none that can be read.
    """
    try:
        # The image processor on torchvision is faster, but torchvision is one more package to match with torch.
        processor = AutoProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError) as failure:
        raise ResourceError(
            f"{folder} has no processor that can be read: {_first_line(failure)}", "download the model again"
        ) from None
    if not isinstance(processor, ProcessorMixin):
        raise ResourceError(f"{folder} has no image processor beside its tokenizer", "give a model that sees images")
    return processor


def family_of_folder(folder: Path, name: str) -> Family:
    """The family of the model in a folder, from its own configuration.

    Raises:
        ResourceError: it is not supported, or its configuration cannot be read.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
        model_type = str(config["model_type"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ResourceError(f"the config.json of {name} cannot be read", "download the model again") from None
    return family_of(model_type, name)


def load_base_model(
    folder: Path, family: Family, dtype: torch.dtype, device: torch.device, attention: str
) -> PreTrainedModel:
    """A base model, frozen and in evaluation mode.

    Args:
        attention: "sdpa" or "eager".

    Raises:
        UsageError: a kernel that ignores the family's attention masks.
        ResourceError: weights are missing or unreadable, or memory is too small.
    """
    if "flash" in attention:
        raise UsageError(
            f"FlashAttention kernels ignore the attention between image tokens that {family.title} was trained with",
            "choose the attention sdpa",
        )
    _show_loading(folder)
    try:
        model: PreTrainedModel = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=attention,
            device_map={"": device},
            use_safetensors=True,
            trust_remote_code=False,
        )
    except torch.OutOfMemoryError:
        raise ResourceError(
            f"the weights do not fit into the memory of {device}", "choose a smaller model with --model.name"
        ) from None
    except (OSError, ValueError, RuntimeError, SafetensorError) as failure:
        raise ResourceError(f"{folder} cannot be loaded: {_first_line(failure)}", "download the model again") from None
    model.requires_grad_(False)
    model.train(False)
    return model


def base_folder(record: ModelRecord, beside: Path) -> Path:
    """Where the base model of a record is on this machine, downloaded where it is not.

    Args:
        beside: the folder that the record was read from.

    Raises:
        ResourceError: it is not to be had.
    """
    base = str(beside / BASE_FOLDER) if record.tiny else record.base
    return find_model(base, record.commit, weights=True).folder


def load_tuned_model(folder: Path, device: torch.device, made_by: str, *, trainable: bool = False) -> LoadedModel:
    """The base model with the adapter of `folder` on it: WORK/model before training, OUTPUT after.

    Args:
        made_by: the command that makes the folder, for the remedy of the error.

    Raises:
        ArtifactMissingError: the folder is not there or unfinished.
        ResourceError: the base model is not to be had, or memory is too small.
    """
    record = read_json(folder / MODEL_FILE, ModelRecord, made_by)
    if record.tiny:
        # Its matrices are so small that threads wait for each other longer than they work.
        torch.set_num_threads(1)
    base = base_folder(record, folder)
    family = family_of(record.family, record.name)
    model = load_base_model(base, family, chosen_dtype(family, record.dtype, device), device, "sdpa")
    tuned = load_adapter(model, folder / ADAPTER_FOLDER, trainable=trainable)
    return LoadedModel(
        record=record,
        family=family,
        processor=load_processor(folder / PROCESSOR_FOLDER),
        model=tuned.get_base_model(),
        tuned=tuned.eval(),
        device=device,
    )


def _show_loading(folder: Path) -> None:
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if weights >= _WORTH_A_BAR:
        transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    else:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def _first_line(failure: Exception) -> str:
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0]
