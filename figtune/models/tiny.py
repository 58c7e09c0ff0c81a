"""Tiny models in the Hub's folder layout, built on the spot without network: the same classes as the real ones.

They are for demos and tests: random weights, a small vocabulary, and nothing known before training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4ImageProcessorPil,
    GemmaTokenizer,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PreTrainedModel,
    SiglipImageProcessorPil,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessorPil,
)
from transformers.utils import logging as transformers_logging

from figtune.core.io import atomic_write_dir, write_text
from figtune.models.families import family_of
from figtune.models.hub_layout import write_hub_layout

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
_LLAMA_FINAL_NORM = 2.0
"""Scale for a decoder whose output layer is not the table of its embeddings."""
_TILE_SIDE = 56
_TILES = 2
"""Tiles in a row or a column, at most."""
_SCALE_FACTOR = 2
_GEMMA4_PATCH, _GEMMA4_POOLING, _GEMMA4_TOKENS = 4, 3, 70
"""Pixels of a patch's side, patches of a square's side, and the fewest squares that can be chosen."""
_GEMMA4_FINAL_NORM = 1.0
"""Scale where logits are capped, and norms multiply by their weight, not by one more."""
_CLIP = 2.0
"""Bound of what goes into and comes out of the linear layers of the vision encoder."""
_CAPPED_FINAL_NORM = 2.0
"""Limit where logits are capped: larger ones would all be the cap."""
_GEMMA_EMBEDDING = 0.008
_GEMMA_FINAL_NORM = 20.0
"""Scale for the decoder of the first Gemma, whose layers do not normalise what they add to the residual stream as those
of Gemma 2 and 3 do. With larger embeddings each token's own one, which is also its row of the tied output layer,
outweighs everything else: the model repeats its input, at 52 nats per token where uniform guesses have 8.2. The norm
makes up for small rows of the output layer."""

_WORDS_FILE = "tiny_words.txt"
_CONTROL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_PRINTABLE = [chr(code) for code in range(33, 127)]
_NEWLINES = ("\n", "\n\n")
_PIECES = 20_000
"""More than the demo has: then each word ends up as one token."""

Settings = dict[str, int | float | str | bool | list[str] | list[int]]

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
    _save(folder, lambda: Gemma3ForConditionalGeneration(config), processor.save_pretrained, _FINAL_NORM)


def build_tiny_paligemma(folder: Path) -> None:
    """Write a PaliGemma of about a million random weights, the same to the byte every time."""
    _build_paligemma(folder, {"model_type": "gemma"}, _GEMMA_FINAL_NORM)


def build_tiny_paligemma2(folder: Path) -> None:
    """Return the same with the decoder of PaliGemma 2, Gemma 2: sliding windows in every other layer, and capped
    logits."""
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
    _save(folder, lambda: PaliGemmaForConditionalGeneration(config), processor.save_pretrained, final_norm)


def build_tiny_smolvlm2(folder: Path) -> None:
    """Write a SmolVLM2 of about a million random weights, the same to the byte every time: at most 2 x 2 tiles."""
    tokenizer = tiny_tokenizer({"image_token": "<image>"})
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, _TILES + 1) for column in range(1, _TILES + 1)]
    markers = ["<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<global-img>", *tiles]
    tokenizer.add_special_tokens({"additional_special_tokens": markers})
    tokenizer.bos_token, tokenizer.eos_token = markers[:2]
    images = SmolVLMImageProcessorPil(
        size={"longest_edge": _TILES * _TILE_SIDE}, max_image_size={"longest_edge": _TILE_SIDE}
    )
    config = SmolVLMConfig(
        text_config={**_DECODER, "model_type": "llama", "vocab_size": len(tokenizer), "initializer_range": _INIT},
        vision_config={**_VISION, "image_size": _TILE_SIDE},
        image_token_id=tokenizer.image_token_id,
        scale_factor=_SCALE_FACTOR,
    )
    processor: dict[str, object] = {
        "image_seq_len": (_TILE_SIDE // _PATCH_SIDE // _SCALE_FACTOR) ** 2,
        "processor_class": "SmolVLMProcessor",
    }

    def save_processor(target: Path) -> None:
        tokenizer.save_pretrained(target)
        images.save_pretrained(target)
        write_text(target / "processor_config.json", json.dumps(processor, indent=2) + "\n")

    _save(folder, lambda: SmolVLMForConditionalGeneration(config), save_processor, _LLAMA_FINAL_NORM)


def build_tiny_gemma4(folder: Path) -> None:
    """Write a Gemma 4 of about a million random weights, the same to the byte every time: built as E2B is.

    Its last layers reuse keys and values, every layer has embeddings of its own, attention is causal, and beside the
    vision encoder it has one for audio, which nothing here uses.
    """
    decoder: Settings = {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True,
        "hidden_size_per_layer_input": 16,
    }
    audio: Settings = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "output_proj_dims": 16,
        "subsampling_conv_channels": [4, 2],
    }
    _build_gemma4(folder, decoder, {"use_clipped_linears": True}, audio)


def build_tiny_gemma4_31b(folder: Path) -> None:
    """Write the same built as 31B is: image tokens attend to each other, and keys serve as values in full attention."""
    decoder: Settings = {
        "num_hidden_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"],
        "hidden_size_per_layer_input": 0,
        "use_bidirectional_attention": "vision",
        "attention_k_eq_v": True,
        "num_global_key_value_heads": 1,
    }
    _build_gemma4(folder, decoder, {"standardize": True})


def _build_gemma4(folder: Path, decoder: Settings, vision: Settings, audio: Settings | None = None) -> None:
    tokenizer = tiny_tokenizer({"boi_token": "<|image>", "eoi_token": "<image|>", "image_token": "<|image|>"})
    images = Gemma4ImageProcessorPil(
        patch_size=_GEMMA4_PATCH, pooling_kernel_size=_GEMMA4_POOLING, max_soft_tokens=_GEMMA4_TOKENS
    )
    config = Gemma4Config(
        text_config={
            **_DECODER,
            "vocab_size": len(tokenizer),
            "vocab_size_per_layer_input": len(tokenizer),
            "global_head_dim": 2 * _WIDTH // _HEADS,
            "sliding_window": _WINDOW,
            "final_logit_softcapping": 30.0,
            "initializer_range": _INIT,
            **decoder,
        },
        vision_config={
            "hidden_size": _VISION_WIDTH,
            "intermediate_size": 2 * _VISION_WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": _VISION_WIDTH // 4,
            "patch_size": _GEMMA4_PATCH,
            "pooling_kernel_size": _GEMMA4_POOLING,
            "position_embedding_size": 256,
            **vision,
        },
        audio_config=audio,
        boi_token_id=tokenizer.boi_token_id,
        eoi_token_id=tokenizer.eoi_token_id,
        image_token_id=tokenizer.image_token_id,
        video_token_id=None,
        audio_token_id=None,
        initializer_range=_INIT,
    )

    def save_processor(target: Path) -> None:
        tokenizer.save_pretrained(target)
        images.save_pretrained(target)

    def build() -> PreTrainedModel:
        model = Gemma4ForConditionalGeneration(config)
        for name, bound in model.named_buffers():
            # Those of the real models do clip.
            if name.endswith(("_min", "_max")):
                bound.fill_(_CLIP if name.endswith("_max") else -_CLIP)
        return model

    _save(folder, build, save_processor, _GEMMA4_FINAL_NORM)


TINY_MODELS: dict[str, Callable[[Path], None]] = {
    "tiny-gemma3": build_tiny_gemma3,
    "tiny-paligemma": build_tiny_paligemma,
    "tiny-paligemma2": build_tiny_paligemma2,
    "tiny-smolvlm2": build_tiny_smolvlm2,
    "tiny-gemma4": build_tiny_gemma4,
    "tiny-gemma4-31b": build_tiny_gemma4_31b,
}
"""Reserved model names and what builds them."""


_SINCE_TRANSFORMERS_5 = frozenset({"gemma4"})
"""Kinds of models that transformers 4 never wrote."""


def _save(
    folder: Path, build: Callable[[], PreTrainedModel], save_processor: Callable[[Path], object], final_norm: float
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = build()
        # Gemma 3's projector starts at zero: pictures would have no effect.
        parts = family_of(model.config.model_type, folder.name).parts
        for parameter in model.get_submodule(parts.projector).parameters():
            if parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=_PROJECTION)
    decoder = model.get_submodule(parts.text_decoder)
    torch.nn.init.constant_(decoder.norm.weight, final_norm)  # type: ignore[arg-type, union-attr]
    if getattr(decoder.config, "model_type", None) == "gemma":
        decoder.embed_tokens.weight.data.mul_(_GEMMA_EMBEDDING / _INIT)  # type: ignore[operator, union-attr]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with atomic_write_dir(folder) as temporary:
        model.save_pretrained(temporary)
        save_processor(temporary)
        if model.config.model_type not in _SINCE_TRANSFORMERS_5:
            write_hub_layout(temporary)


def tiny_tokenizer(markers: dict[str, str], pieces: Sequence[str] = ()) -> GemmaTokenizer:
    """Build Gemma's tokenizer class with a vocabulary of a few thousand.

    Args:
        markers: names and texts of image tokens, `{"boi_token": "<start_of_image>", ...}`.
        pieces: texts that become one token each, with "▁" for a space; left out, the words of the demo.
    """
    words = resources.files(__package__).joinpath(_WORDS_FILE).read_text(encoding="utf-8").split()
    vocabulary, merges = _vocabulary_and_merges(pieces or [f"▁{word}" for word in words])
    return GemmaTokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]  # it takes pairs
        add_bos_token=True,
        extra_special_tokens=markers,
    )


def _vocabulary_and_merges(pieces: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return control tokens, bytes and newlines first, as in Gemma's own vocabulary, then what is learned from the
    pieces."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=_PIECES, min_frequency=1, initial_alphabet=_PRINTABLE, show_progress=False)
    learner.train_from_iterator(pieces, trainer)
    learned = json.loads(learner.to_str())["model"]
    tokens = [*_CONTROL, *_BYTES, *_NEWLINES, *sorted(learned["vocab"], key=learned["vocab"].__getitem__)]
    merges = [("\n", "\n"), *((left, right) for left, right in learned["merges"])]
    return {token: index for index, token in enumerate(tokens)}, merges
