"""Gemma 3 4B, Gemma 4 E2B and PaliGemma 3B with random weights, in the Hub's folder layout, with nothing learned.

Weights are drawn and written file by file, so that building takes 1.5 GB of memory (5 GB for Gemma 4, whose embeddings
of all layers are one matrix) and the folder 6 to 11 GB of disk.
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
    Gemma4Config,
    Gemma4ImageProcessorPil,
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
from figtune.models.model_files import ImageTextProcessor
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
    processor: Callable[[Path], ProcessorMixin | ImageTextProcessor]
    """Files that it needs from elsewhere go into the folder given."""
    older_names: bool = True
    """True if the Hub's files name weights otherwise than transformers 5 does."""
    norm: float = 0.0
    """Weight of a decoder's norm that does nothing: Gemma 3 multiplies by one more, Gemma 4 by the weight itself."""


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
    return _gemma3_processor_with(gemma_tokenizer(cache))


def _gemma3_processor_with(tokenizer: GemmaTokenizer) -> ProcessorMixin:
    images = Gemma3ImageProcessorPil(size={"height": 896, "width": 896}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return Gemma3Processor(image_processor=images, tokenizer=tokenizer, image_seq_length=256)


def _gemma3_offline() -> PreTrainedConfig:
    """google/gemma-3-4b-pt, but for the image's tokens."""
    config, tokenizer = _gemma3(), _gemma3_offline_tokenizer()
    config.boi_token_index, config.eoi_token_index = tokenizer.boi_token_id, tokenizer.eoi_token_id
    config.image_token_id = tokenizer.image_token_id
    return config


def _gemma3_offline_tokenizer() -> GemmaTokenizer:
    return tiny_tokenizer(
        {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    )


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


def _gemma4_e2b() -> PreTrainedConfig:
    """google/gemma-4-E2B, but for the image's tokens: no registry has the model's own tokenizer."""
    tokenizer = _gemma4_tokenizer()
    text = {
        "hidden_size": 1536,
        "intermediate_size": 6144,
        "num_hidden_layers": 35,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "global_head_dim": 512,
        "layer_types": [*["sliding_attention"] * 4, "full_attention"] * 7,
        "num_kv_shared_layers": 20,
        "use_double_wide_mlp": True,
        "final_logit_softcapping": 30.0,
    }
    return Gemma4Config(
        text_config=text,
        vision_config={"use_clipped_linears": True},
        audio_config={},
        boi_token_id=tokenizer.boi_token_id,
        eoi_token_id=tokenizer.eoi_token_id,
        image_token_id=tokenizer.image_token_id,
        video_token_id=None,
        audio_token_id=None,
    )


def _gemma4_processor(cache: Path) -> ImageTextProcessor:
    """With a small tokenizer of ours."""
    images, folder = Gemma4ImageProcessorPil(), cache / "gemma4-images"
    images.save_pretrained(folder)
    return ImageTextProcessor(tokenizer=_gemma4_tokenizer(), image_processor=images, chat_template=None, folder=folder)


def _gemma4_tokenizer() -> GemmaTokenizer:
    return tiny_tokenizer({"boi_token": "<|image>", "eoi_token": "<image|>", "image_token": "<|image|>"})


SIZES = {
    "gemma3": FullSize(config=_gemma3, processor=_gemma3_processor),
    "gemma4-e2b": FullSize(config=_gemma4_e2b, processor=_gemma4_processor, older_names=False, norm=1.0),
    "paligemma": FullSize(config=_paligemma, processor=_paligemma_processor),
}
"""Models that can be built."""
OFFLINE = {
    "gemma3": FullSize(config=_gemma3_offline, processor=lambda _: _gemma3_processor_with(_gemma3_offline_tokenizer())),
    "paligemma": SIZES["paligemma"],
}
"""Models that can be built without network: the tokenizers are small ones of ours."""


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
            _write_weights(temporary, config, SIZES[name])
    return folder


def _outline(config: PreTrainedConfig) -> torch.nn.Module:
    with torch.device("meta"):
        outline: torch.nn.Module = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    return outline


def _write_weights(folder: Path, config: PreTrainedConfig, size: FullSize) -> None:
    generator = torch.Generator().manual_seed(_SEED)
    shapes = {_name(name) if size.older_names else name: tensor for name, tensor in _stored(_outline(config))}
    files = list(_files(shapes))
    places = {}
    for number, names in enumerate(progress_bar(files, total=len(files), title="drawing weights", unit="file"), 1):
        file = f"model-{number:05}-of-{len(files):05}.safetensors"
        drawn = {name: _drawn(name, shapes[name], generator, size.norm) for name in names}
        save_file(drawn, folder / file, {"format": "pt"})
        places.update(dict.fromkeys(names, file))
    total = sum(tensor.nbytes for tensor in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _stored(outline: torch.nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what a checkpoint holds: weights, a tied one once, and buffers such as bounds to clip at."""
    yield from outline.named_parameters()
    kept = outline.state_dict()
    yield from ((name, buffer) for name, buffer in outline.named_buffers() if name in kept)


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


def _drawn(name: str, shape: Tensor, generator: torch.Generator, norm: float) -> Tensor:
    """Matrices at random, norms that do nothing yet, and bounds that nothing reaches."""
    if shape.ndim > 1:
        return torch.empty(shape.shape, dtype=torch.bfloat16).normal_(std=_STD, generator=generator)
    if name.endswith(("put_min", "put_max")):
        return torch.tensor(-torch.inf if name.endswith("min") else torch.inf, dtype=torch.bfloat16)
    is_factor = "vision_tower" in name and "norm" in name and name.endswith("weight")
    return torch.full(shape.shape, 1.0 if is_factor else norm, dtype=torch.bfloat16)
