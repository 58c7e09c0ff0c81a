"""Gemma 3 4B and PaliGemma 3B with random weights, in the Hub's folder layout: real sizes, and nothing known.

Weights are drawn and written file by file, so that building takes 1.5 GB of memory and the folder 8.6 GB of disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    Gemma3Config,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    GemmaTokenizer,
    PaliGemmaConfig,
    PaliGemmaProcessor,
    PreTrainedConfig,
    ProcessorMixin,
    SiglipImageProcessorPil,
)

from benchmarks.gemma_tokenizer import gemma_tokenizer
from figtune.core.io import atomic_write_dir
from figtune.core.log import progress_bar
from figtune.models.tiny import tiny_tokenizer

_SEED = 0
_FILE_BYTES = 1_000_000_000
_STD = 0.02
_SIGLIP = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "patch_size": 14,
    "vision_use_head": False,
}


@dataclass(frozen=True, kw_only=True)
class FullSize:
    """A model as it is on the Hub, but for its weights."""

    config: Callable[[], PreTrainedConfig]
    processor: Callable[[Path], ProcessorMixin]
    """Files that it needs from elsewhere go into the folder given."""


def _gemma3() -> PreTrainedConfig:
    """google/gemma-3-4b-pt"""
    text = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262_208,
        "sliding_window": 1024,
        "query_pre_attn_scalar": 256,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    }
    return Gemma3Config(
        text_config=text,
        vision_config={**_SIGLIP, "image_size": 896},
        mm_tokens_per_image=256,
        boi_token_index=255_999,
        eoi_token_index=256_000,
        image_token_index=262_144,
    )


def _gemma3_processor(cache: Path) -> ProcessorMixin:
    """With the model's own tokenizer."""
    images = Gemma3ImageProcessorPil(size={"height": 896, "width": 896}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return Gemma3Processor(image_processor=images, tokenizer=gemma_tokenizer(cache), image_seq_length=256)


def _paligemma() -> PreTrainedConfig:
    """google/paligemma-3b-pt-224, but for the image's token."""
    text = {
        "model_type": "gemma",
        "hidden_size": 2048,
        "intermediate_size": 16384,
        "num_hidden_layers": 18,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "vocab_size": 257_216,
    }
    return PaliGemmaConfig(
        text_config=text,
        vision_config={**_SIGLIP, "image_size": 224},
        image_token_index=_paligemma_tokenizer().image_token_id,
        projection_dim=2048,
        hidden_size=2048,
        vocab_size=257_216,
    )


def _paligemma_processor(_: Path) -> ProcessorMixin:
    """With a small tokenizer of ours: no registry has the model's own."""
    images = SiglipImageProcessorPil(size={"height": 224, "width": 224}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    images.image_seq_length = 256  # type: ignore[attr-defined]  # the processor asks for it
    return PaliGemmaProcessor(image_processor=images, tokenizer=_paligemma_tokenizer())  # type: ignore[no-untyped-call]


def _paligemma_tokenizer() -> GemmaTokenizer:
    return tiny_tokenizer({"image_token": "<image>"})


SIZES = {
    "gemma3": FullSize(config=_gemma3, processor=_gemma3_processor),
    "paligemma": FullSize(config=_paligemma, processor=_paligemma_processor),
}
"""Models that can be built."""


def build(name: str, cache: Path) -> Path:
    """The folder of a model in `cache`, written where it is not there yet."""
    folder = cache / name
    if not folder.exists():
        config, processor = SIZES[name].config(), SIZES[name].processor(cache)
        config.dtype = "bfloat16"
        config.architectures = [type(_outline(config)).__name__]
        with atomic_write_dir(folder) as temporary:
            config.save_pretrained(temporary)
            processor.save_pretrained(temporary)
            _write_weights(temporary, config)
    return folder


def _outline(config: PreTrainedConfig) -> torch.nn.Module:
    with torch.device("meta"):
        outline: torch.nn.Module = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    return outline


def _write_weights(folder: Path, config: PreTrainedConfig) -> None:
    generator = torch.Generator().manual_seed(_SEED)
    shapes: dict[str, Tensor] = {_name(name): tensor for name, tensor in _outline(config).named_parameters()}
    files = list(_files(shapes))
    places = {}
    for number, names in enumerate(progress_bar(files, total=len(files), title="drawing weights", unit="file"), 1):
        file = f"model-{number:05}-of-{len(files):05}.safetensors"
        save_file({name: _drawn(name, shapes[name], generator) for name in names}, folder / file, {"format": "pt"})
        places.update(dict.fromkeys(names, file))
    total = sum(tensor.nbytes for tensor in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _name(name: str) -> str:
    """As the Hub's files have it, which are older than the library's names."""
    return name.removeprefix("model.").replace("language_model.", "language_model.model.", 1)


def _files(shapes: dict[str, Tensor]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, tensor in shapes.items():
        if names and size + tensor.nbytes > _FILE_BYTES:
            yield names
            names, size = [], 0
        names.append(name)
        size += tensor.nbytes
    yield names


def _drawn(name: str, shape: Tensor, generator: torch.Generator) -> Tensor:
    """Matrices at random; norms that do nothing yet: SigLIP's multiply by their weight, Gemma's by one more."""
    if shape.ndim > 1:
        return torch.empty(shape.shape, dtype=torch.bfloat16).normal_(std=_STD, generator=generator)
    is_factor = "vision_tower" in name and "norm" in name and name.endswith("weight")
    return torch.full(shape.shape, float(is_factor), dtype=torch.bfloat16)
