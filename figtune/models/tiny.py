"""Tiny models in the Hub's folder layout, built on the spot without network: the same classes as the real ones.

They are for demos and tests: random weights, a small vocabulary, and nothing known before training.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    GemmaTokenizer,
)
from transformers.utils import logging as transformers_logging

from figtune.pipeline.files import replacing_folder

_CONTROL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_PRINTABLE = "".join(map(chr, range(33, 127)))
_VOCABULARY = 20_000
"""More pieces than the words have: then each ends up as one token."""
_SEED = 0

_WIDTH = 256
_LAYERS = 4
_HEADS = 4
_VISION_WIDTH = 128
_INIT = 0.05
_PROJECTION = 0.1
_IMAGE_SIDE = 112
_PATCH_SIDE = 14
_IMAGE_TOKENS = 16
_FINAL_NORM = 11.0
"""A random output layer needs large states to say anything with confidence: with less, LoRA alone stalls."""


def build_tiny_gemma3(folder: Path) -> None:
    """Write a Gemma 3 of a few million random weights, the same to the byte every time."""
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessorPil(size={"height": _IMAGE_SIDE, "width": _IMAGE_SIDE}),
        tokenizer=_tokenizer(
            {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
        ),
        image_seq_length=_IMAGE_TOKENS,
    )
    tokenizer = processor.tokenizer
    config = Gemma3Config(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": _WIDTH,
            "intermediate_size": 2 * _WIDTH,
            "num_hidden_layers": _LAYERS,
            "num_attention_heads": _HEADS,
            "num_key_value_heads": _HEADS // 2,
            "head_dim": _WIDTH // _HEADS,
            "query_pre_attn_scalar": _WIDTH // _HEADS,
            "sliding_window": 512,
            "layer_types": [("sliding_attention", "full_attention")[layer % 2] for layer in range(_LAYERS)],
            "max_position_embeddings": 2048,
        },
        vision_config={
            "hidden_size": _VISION_WIDTH,
            "intermediate_size": 2 * _VISION_WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": _IMAGE_SIDE,
            "patch_size": _PATCH_SIDE,
            "vision_use_head": False,
        },
        mm_tokens_per_image=_IMAGE_TOKENS,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
        initializer_range=_INIT,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = Gemma3ForConditionalGeneration(config)
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=_PROJECTION)
    torch.nn.init.constant_(model.model.language_model.norm.weight, _FINAL_NORM)
    with replacing_folder(folder) as temporary:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)


TINY_MODELS: dict[str, Callable[[Path], None]] = {"tiny-gemma3": build_tiny_gemma3}
"""Reserved model names and what builds them."""


def _tokenizer(markers: dict[str, str]) -> GemmaTokenizer:
    """A byte-fallback BPE in which each word of `tiny_words.txt` is one token."""
    vocabulary, merges = _word_pieces()
    return GemmaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True, extra_special_tokens=markers)  # type: ignore[arg-type]  # it takes pairs


def _word_pieces() -> tuple[dict[str, int], list[tuple[str, str]]]:
    words = resources.files(__package__).joinpath("tiny_words.txt").read_text(encoding="utf-8").split()
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, min_frequency=1, initial_alphabet=list(_PRINTABLE), show_progress=False
    )
    learner.train_from_iterator([f"▁{word}" for word in words], trainer)
    return _with_control_tokens(learner)


def _with_control_tokens(learner: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    learned = json.loads(learner.to_str())["model"]
    pieces = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    newlines = ("\n", "\n\n")
    tokens = [*_CONTROL, *_BYTES, *newlines, *(piece for piece in pieces if piece not in newlines)]
    merges = [("\n", "\n"), *((left, right) for left, right in learned["merges"])]
    return {token: index for index, token in enumerate(tokens)}, merges
