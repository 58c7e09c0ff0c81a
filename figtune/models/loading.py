"""Processors and models off the disk, ready to use."""

from __future__ import annotations

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
    AutoProcessor,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.utils import logging as transformers_logging

from figtune.core.errors import ResourceError, UsageError
from figtune.core.jsonl import read_json
from figtune.core.log import log
from figtune.models.adapters import adapter_config, load_adapter
from figtune.models.damage import damage_explained
from figtune.models.encoder import remove_encoder, without_layers
from figtune.models.families import family_of
from figtune.models.family import PROJECTOR, Family
from figtune.models.hub import find_model
from figtune.models.noise import without_loading_noise
from figtune.models.precision import Precision, precision_of
from figtune.models.records import ADAPTER_FOLDER, BASE_FOLDER, MODEL_FILE, PROCESSOR_FOLDER, ModelRecord
from figtune.models.support import model_type_of
from figtune.models.targets import targets_of, trains_vision
from figtune.models.whole import WEIGHTS_FILE, WholeModel

NOT_IN_FOUR_BITS = ["model.vision_tower", f"model.{PROJECTOR}", "lm_head"]
"""Full names of modules, as transformers 4 and 5 match them. They take the place of the library's own exceptions."""
_REMEDY = "download the model again; if it is one that this program made, make it again with --force"
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
    base: Path
    """The folder of the base model's weights."""
    dtype: torch.dtype
    """Of the frozen weights."""

    @property
    def trains_vision(self) -> bool:
        """Whether the vision encoder is trained, so that pictures go through it each time."""
        return trains_vision(self.record.adapter)


def chosen_device(name: str) -> torch.device:
    """ "auto", "cpu" or "cuda" as a device.

    Raises:
        ResourceError: there is no CUDA card.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ResourceError("no CUDA card is to be found", "leave out --device, or give --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def load_processor(folder: Path) -> ProcessorMixin:
    """Tokenizer and image processor of a model's folder.

    Raises:
        ResourceError: the folder has none that can be read.
    """
    with damage_explained(f"{folder} has no processor that can be read", _REMEDY):
        # The image processor on torchvision is faster, but torchvision is one more package to match with torch.
        processor = AutoProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)  # type: ignore[no-untyped-call]
    if not isinstance(processor, ProcessorMixin):
        raise ResourceError(f"{folder} has no image processor beside its tokenizer", "give a model that sees images")
    return processor


def family_of_folder(folder: Path, name: str) -> Family:
    """The family of the model in a folder, from its own configuration.

    Raises:
        ResourceError: it is not supported, or its configuration cannot be read.
    """
    return family_of(model_type_of(folder, name), name)


def load_base_model(
    folder: Path,
    family: Family,
    dtype: torch.dtype,
    device: torch.device,
    attention: str,
    *,
    four_bit: bool = False,
    encoder: bool = True,
) -> PreTrainedModel:
    """A base model, frozen and in evaluation mode.

    Args:
        attention: "sdpa" or "eager"; "sdpa" gives way to "eager" in decoders that it cannot serve.
        four_bit: keep the text decoder's linear layers in NF4 and compute with them in `dtype`.
        encoder: False leaves the vision encoder on the disk.

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
    with _shortage_explained(device), damage_explained(f"{folder} cannot be loaded", _REMEDY):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with without_loading_noise(unused_weights=not encoder):
            model: PreTrainedModel = AutoModelForImageTextToText.from_pretrained(
                folder,
                config=config if encoder else without_layers(config),
                dtype=dtype,
                attn_implementation=kernels(config, attention),
                device_map={"": device},
                quantization_config=_nf4(dtype) if four_bit else None,
                use_safetensors=True,
                trust_remote_code=False,
            )
    if not encoder:
        remove_encoder(model)
        model.config.vision_config.num_hidden_layers = config.vision_config.num_hidden_layers
    _keep_layout(model)
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


def _keep_layout(model: PreTrainedModel) -> None:
    """Keep 4-bit weights as they are on a CPU that has AVX512-BF16.

    The first look without gradients would lay them out anew there, for a kernel through which no gradient goes back:
    not in training either, which goes on with that layout (bitsandbytes 0.50).
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False  # type: ignore[assignment]  # no tensor


def kernels(config: PreTrainedConfig, attention: str) -> dict[str, str]:
    """Per half of the model: sdpa cannot cap attention logits, as the decoder of PaliGemma 2 does."""
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    return {"text_config": "eager" if capped else attention, "vision_config": attention}


def _nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=NOT_IN_FOUR_BITS,
    )


def base_folder(record: ModelRecord, beside: Path) -> Path:
    """Where the base model of a record is on this machine, downloaded where it is not.

    Args:
        beside: the folder that the record was read from.

    Raises:
        ResourceError: it is not to be had.
    """
    base = str(beside / BASE_FOLDER) if record.tiny else record.base
    return find_model(base, record.commit, weights=True).folder


def load_tuned_model(
    folder: Path, device: torch.device, made_by: str, *, trainable: bool = False, encoder: bool = True
) -> LoadedModel:
    """The base model with the adapter of `folder` on it: WORK/model before training, OUTPUT after.

    Args:
        made_by: the command that makes the folder, for the remedy of the error.
        encoder: False leaves a frozen vision encoder on the disk; `figtune.models.features` fetches it when needed.

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
    precision = precision_of(record, device)
    if precision.remark:
        _say_once(precision.remark)
    model = load_base_model(
        base,
        family,
        precision.dtype,
        device,
        "sdpa",
        four_bit=precision.four_bit,
        encoder=encoder or record.adapter.mode == "full" or trains_vision(record.adapter),
    )
    tuned = _tuned(model, record, folder / ADAPTER_FOLDER, precision, trainable=trainable)
    return LoadedModel(
        record=record,
        family=family,
        processor=load_processor(folder / PROCESSOR_FOLDER),
        model=tuned.get_base_model(),
        tuned=tuned.eval(),
        device=device,
        base=base,
        dtype=precision.dtype,
    )


def _tuned(
    model: PreTrainedModel, record: ModelRecord, folder: Path, precision: Precision, *, trainable: bool
) -> PeftModel:
    if record.adapter.mode != "full":
        return load_adapter(model, folder, trainable=trainable)
    config = adapter_config(record.adapter, record.base, record.commit)
    whole = WholeModel(model, config, targets_of(record.adapter).whole)
    # Setup leaves the folder empty: training begins with the base model's own weights.
    if (folder / WEIGHTS_FILE).is_file():
        whole.replace(folder)
    if trainable:
        whole.begin(precision.dtype)
    return whole


@cache
def _say_once(remark: str) -> None:
    log(remark)


def _show_loading(folder: Path) -> None:
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if weights >= _WORTH_A_BAR:
        transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    else:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
