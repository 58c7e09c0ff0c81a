"""The page that explains the models states their real shapes, and its pictures are what the code draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import Gemma3Config, PaliGemmaConfig, PreTrainedConfig

from config import TRAIN
from docs.draw import GEMMA, PALIGEMMA, Shapes, learning_rates, model_picture, schedule_picture
from figtune.models.families import family_of
from figtune.models.family import ImageLayout
from figtune.models.precision import Precision
from figtune.models.records import AdapterMode, AdapterRecord
from figtune.training.memory_budget import StepConfig
from figtune.training.memory_estimate import ModelSpec, memory_use, worst_case_batch
from tests.rows import each_row

DOCS = Path(__file__).parent.parent / "docs"
PAGE = " ".join((DOCS / "explained.md").read_text(encoding="utf-8").split())
_SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}


def _config(model: Shapes) -> PreTrainedConfig:
    """As the Hub has it, for what decides shapes and memory."""
    vision = {**_SIGLIP, "patch_size": 14, "image_size": model.side, "vision_use_head": False}
    text = {"hidden_size": model.width, "num_hidden_layers": model.layers, "vocab_size": model.vocabulary}
    heads = {"num_attention_heads": 8, "head_dim": 256}
    if model is GEMMA:
        gemma = {**text, **heads, "num_key_value_heads": 4, "intermediate_size": 10_240, "sliding_window": 1024}
        return Gemma3Config(text_config=gemma, vision_config=vision, mm_tokens_per_image=model.image_tokens)
    older = {**text, **heads, "num_key_value_heads": 1, "intermediate_size": 16_384, "model_type": "gemma"}
    return PaliGemmaConfig(
        text_config=older, vision_config=vision, projection_dim=model.width, image_token_index=257_152
    )


def _lora_numbers(config: PreTrainedConfig, rank: int) -> int:
    """Two thin matrices beside each matrix of the decoder: rank * (in + out)."""
    text = config.text_config
    width, inner = text.hidden_size, text.intermediate_size
    queries, keys = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    ends = 2 * (width + queries) + 2 * (width + keys) + 3 * (width + inner)
    return int(rank * ends * text.num_hidden_layers)


def test_the_shapes_are_those_of_the_configurations() -> None:
    assert (GEMMA.patches, PALIGEMMA.patches) == (4096, 256)
    config = _config(GEMMA)
    assert config.mm_tokens_per_image * 16 == GEMMA.patches
    for stated in ("4,096 patches", "256 × 1,152 numbers", "rows of 2,560 numbers", "2,048 in PaliGemma 3B", "4 × 4"):
        assert stated in PAGE
    assert f"{256 * 1152 * 2 / 1e6:.1f} MB" in PAGE
    assert f"{(256 + 512) * GEMMA.vocabulary * 4 / 1e9:.1f} GB for one example" in PAGE


def test_the_numbers_trained_are_those_of_the_modes() -> None:
    assert f"{_lora_numbers(_config(GEMMA), 16):,} (0.69 %)" in PAGE
    assert f"`lora` of rank 32 {_lora_numbers(_config(PALIGEMMA), 32):,} numbers" in PAGE
    # Gemma's projector has a norm before its matrix, PaliGemma's a bias after it.
    assert f"{1152 * GEMMA.width + 1152:,} (0.07 %)" in PAGE
    assert f"`projector` {1152 * PALIGEMMA.width + PALIGEMMA.width:,} numbers" in PAGE


@pytest.mark.slow
@each_row(
    ("model", "mode", "examples", "stated"),
    [
        (GEMMA, "lora", 4, "| 10.2 GB |"),
        (PALIGEMMA, "projector", 1, "in 6.5 GB"),
    ],
)
def test_the_memory_is_what_setup_prints(model: Shapes, mode: AdapterMode, examples: int, stated: str) -> None:
    adapter = AdapterRecord(mode=mode, rank=16, alpha=32, dropout=0.05, targets=("decoder",))
    precision = Precision(dtype=torch.bfloat16, four_bit=mode == "qlora", note=None)
    config = _config(model)
    side = config.vision_config.image_size
    patches = (side // config.vision_config.patch_size) ** 2
    spec = ModelSpec(
        config=config,
        family=family_of(config.model_type, model.title),
        name=model.title,
        precision=precision,
        adapter=adapter,
        image=ImageLayout(tokens=getattr(config, "mm_tokens_per_image", patches)),
        pixels={"pixel_values": torch.empty(1, 3, side, side)},
    )
    step = StepConfig(
        adapter=adapter,
        max_length=512,
        train=replace(
            TRAIN,
            batch_size=examples,
            max_batch_tokens=4096,
            gradient_accumulation_steps=1,
            activation_checkpointing=True,
        ),
    )
    peak = memory_use(spec, step.train, worst_case_batch(spec, step)).peak
    assert stated in PAGE
    assert f"{peak / 1e9:.1f} GB" in stated


def test_the_pictures_are_those_that_are_drawn() -> None:
    assert (DOCS / "model.svg").read_text(encoding="utf-8") == model_picture()
    assert (DOCS / "schedule.svg").read_text(encoding="utf-8") == schedule_picture()


def test_the_schedule_rises_and_falls_as_told() -> None:
    rates = {name: learning_rates(name, 9, 300) for name in ("cosine", "linear", "constant_with_warmup")}
    for rate in rates.values():
        assert rate[:10] == pytest.approx([step / 9 for step in range(10)])
    assert rates["cosine"][100] > rates["linear"][100]
    assert rates["cosine"][200] < rates["linear"][200]
    assert set(rates["constant_with_warmup"][9:]) == {1.0}
