"""Tiny models in the Hub's folder layout, built on the spot without network: the same classes as the real ones.

They are for demos and tests: random weights, a small vocabulary, and nothing known before training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PreTrainedModel,
    ProcessorMixin,
    SiglipImageProcessorPil,
)
from transformers.utils import logging as transformers_logging

from figtune.core.io import atomic_write_dir
from figtune.models.family import PROJECTOR
from figtune.models.tiny_tokenizer import tiny_tokenizer

_SEED = 0
_WIDTH = 128
_LAYERS = 2
_HEADS = 4
_WINDOW = 512
_VISION_WIDTH = 128
_IMAGE_SIDE = 112
_PATCH_SIDE = 14
_IMAGE_TOKENS = 16
_INIT = 0.05
_PROJECTION = 0.4
_FINAL_NORM = 8.0
"""A random output layer needs large states to say anything with confidence: with less, LoRA alone stalls."""
_CAPPED_FINAL_NORM = 2.0
"""Where logits are capped, larger ones would all be the cap."""
_GEMMA_EMBEDDING = 0.008
_GEMMA_FINAL_NORM = 20.0
"""For the decoder of the first Gemma, whose layers do not normalise what they add to the residual stream as those of
Gemma 2 and 3 do. With larger embeddings each token's own one, which is also its row of the tied output layer, outweighs
everything else: the model repeats its input, at 52 nats per token where uniform guesses have 8.2. The norm makes up for
small rows of the output layer."""

Settings = dict[str, int | float | str | bool | list[str]]

_VISION: Settings = {
    "hidden_size": _VISION_WIDTH,
    "intermediate_size": 2 * _VISION_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": _IMAGE_SIDE,
    "patch_size": _PATCH_SIDE,
    "vision_use_head": False,
}
_DECODER: Settings = {
    "hidden_size": _WIDTH,
    "intermediate_size": 2 * _WIDTH,
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": _HEADS,
    "num_key_value_heads": _HEADS // 2,
    "head_dim": _WIDTH // _HEADS,
    "max_position_embeddings": 2048,
}


def build_tiny_gemma3(folder: Path) -> None:
    """Write a Gemma 3 of about a million random weights, the same to the byte every time."""
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessorPil(size={"height": _IMAGE_SIDE, "width": _IMAGE_SIDE}),
        tokenizer=tiny_tokenizer(
            {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
        ),
        image_seq_length=_IMAGE_TOKENS,
    )
    tokenizer = processor.tokenizer
    kinds = ("sliding_attention", "full_attention")
    text_config: Settings = {
        **_DECODER,
        "vocab_size": len(tokenizer),
        "query_pre_attn_scalar": _WIDTH // _HEADS,
        "sliding_window": _WINDOW,
        "layer_types": [kinds[layer % 2] for layer in range(_LAYERS)],
    }
    config = Gemma3Config(
        text_config=text_config,
        vision_config=_VISION,
        mm_tokens_per_image=_IMAGE_TOKENS,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
        initializer_range=_INIT,
    )
    _save(folder, lambda: Gemma3ForConditionalGeneration(config), processor, _FINAL_NORM)


def build_tiny_paligemma(folder: Path) -> None:
    """Write a PaliGemma of about a million random weights, the same to the byte every time."""
    _build_paligemma(folder, {"model_type": "gemma"}, _GEMMA_FINAL_NORM)


def build_tiny_paligemma2(folder: Path) -> None:
    """The same with the decoder of PaliGemma 2, Gemma 2: sliding windows in every other layer, and capped logits."""
    decoder: Settings = {"model_type": "gemma2", "query_pre_attn_scalar": _WIDTH // _HEADS, "sliding_window": _WINDOW}
    _build_paligemma(folder, decoder, _CAPPED_FINAL_NORM)


def _build_paligemma(folder: Path, decoder: Settings, final_norm: float) -> None:
    image_tokens = (_IMAGE_SIDE // _PATCH_SIDE) ** 2
    image_processor = SiglipImageProcessorPil(size={"height": _IMAGE_SIDE, "width": _IMAGE_SIDE})
    image_processor.image_seq_length = image_tokens  # type: ignore[attr-defined]  # the processor asks for it
    processor = PaliGemmaProcessor(  # type: ignore[no-untyped-call]
        image_processor=image_processor, tokenizer=tiny_tokenizer({"image_token": "<image>"})
    )
    # The processor has added its location and segmentation tokens by now.
    vocabulary = len(processor.tokenizer)
    config = PaliGemmaConfig(
        text_config={**_DECODER, **decoder, "vocab_size": vocabulary, "initializer_range": _INIT},
        vision_config=_VISION,
        image_token_index=processor.tokenizer.image_token_id,
        vocab_size=vocabulary,
        projection_dim=_WIDTH,
        hidden_size=_WIDTH,
    )
    _save(folder, lambda: PaliGemmaForConditionalGeneration(config), processor, final_norm)


TINY_MODELS: dict[str, Callable[[Path], None]] = {
    "tiny-gemma3": build_tiny_gemma3,
    "tiny-paligemma": build_tiny_paligemma,
    "tiny-paligemma2": build_tiny_paligemma2,
}
"""Reserved model names and what builds them."""


def _save(folder: Path, build: Callable[[], PreTrainedModel], processor: ProcessorMixin, final_norm: float) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = build()
        # Gemma 3's projector starts at zero: pictures would have no effect.
        projector = getattr(model.model, PROJECTOR)
        for parameter in projector.parameters():
            if parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=_PROJECTION)
    decoder = model.model.language_model
    torch.nn.init.constant_(decoder.norm.weight, final_norm)
    if decoder.config.model_type == "gemma":
        decoder.embed_tokens.weight.data.mul_(_GEMMA_EMBEDDING / _INIT)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with atomic_write_dir(folder) as temporary:
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)
