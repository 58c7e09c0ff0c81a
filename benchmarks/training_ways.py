"""Ways to the loss of a training step, from what published recipes do to what this program does; models and pictures.

All give the mean loss over the learned tokens of the same examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText, Gemma3Config, PaliGemmaConfig, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from figtune.batching.collator import training_batch
from figtune.batching.loss import CompletionLoss
from figtune.batching.packing import SharedPrefixGroup, one_per_row, pack
from figtune.models.family import FEATURES, IGNORE_INDEX, Family, ImageLayout, TokenizedExample
from figtune.models.lora import hold_in_float32
from figtune.models.quiet import suppress_training_warnings

TASKS = 3
PROMPT, SHORTEST, LONGEST = 24, 60, 180
"""Tokens of a prompt and of completions, where a picture has 256; fewer where it has fewer."""
_DECODER = r".*language_model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"

_SMALL_IMAGE_TOKEN = 3583
_SMALL_DECODER = {
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 3584,
}
_SMALL_ENCODER = {
    "hidden_size": 192,
    "intermediate_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "image_size": 224,
    "patch_size": 14,
    "vision_use_head": False,
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture and the examples about it."""

    pixels: Tensor
    """float[3, H, W]"""
    features: Tensor
    """float[T, V]"""
    rows: tuple[TokenizedExample, ...]


def _small_gemma3() -> PreTrainedConfig:
    """256 patches through 2.7 M weights of the encoder, 100 tokens through 3.9 M of the decoder."""
    return Gemma3Config(
        text_config={**_SMALL_DECODER, "sliding_window": 512},
        vision_config=_SMALL_ENCODER,
        mm_tokens_per_image=64,
        boi_token_index=3581,
        eoi_token_index=3582,
        image_token_index=_SMALL_IMAGE_TOKEN,
    )


def _small_paligemma() -> PreTrainedConfig:
    """The same encoder and decoder; all 256 patches are tokens, as in PaliGemma 3B."""
    return PaliGemmaConfig(
        text_config={**_SMALL_DECODER, "model_type": "gemma"},
        vision_config=_SMALL_ENCODER,
        image_token_index=_SMALL_IMAGE_TOKEN,
        projection_dim=_SMALL_DECODER["hidden_size"],
        hidden_size=_SMALL_DECODER["hidden_size"],
        vocab_size=_SMALL_DECODER["vocab_size"],
    )


SMALL: dict[str, Callable[[], PreTrainedConfig]] = {"gemma3": _small_gemma3, "paligemma": _small_paligemma}
"""Models for CPUs, by family."""


def from_pixels(tuned: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    pixels = torch.stack([figure.pixels for figure in figures for _ in figure.rows])
    loss: Tensor = tuned(**_plain(family, figures), pixel_values=pixels, use_cache=False).loss
    return loss


def from_fresh_features(tuned: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    with torch.no_grad():
        pixels = torch.stack([figure.pixels for figure in figures for _ in figure.rows])
        features = family.features(tuned.get_base_model(), {"pixel_values": pixels})
    return _every_logit(tuned, family, figures, features)


def from_features(tuned: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    features = torch.cat([figure.features for figure in figures for _ in figure.rows])
    return _every_logit(tuned, family, figures, features)


def _every_logit(tuned: PeftModel, family: Family, figures: Sequence[Figure], features: Tensor) -> Tensor:
    embeddings = family.embeddings(tuned.get_base_model(), features)
    seen = {"image": BaseModelOutputWithPooling(pooler_output=embeddings)}
    loss: Tensor = tuned(**_plain(family, figures), mm_encoder_outputs=seen, use_cache=False).loss
    return loss


def at_labels(tuned: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    rows = [row for figure in figures for row in figure.rows]
    features = torch.cat([figure.features for figure in figures for _ in figure.rows])
    return _mean_loss(tuned, family, one_per_row(rows), features)


def shared(tuned: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    by_name = {str(index): figure for index, figure in enumerate(figures)}
    bundles = [bundle for name, figure in by_name.items() for bundle in _bundles(name, figure)]
    lines = pack(bundles)
    features = torch.cat([by_name[bundle.image_sha256].features for line in lines for bundle in line])
    return _mean_loss(tuned, family, lines, features)


def _bundles(name: str, figure: Figure) -> list[SharedPrefixGroup]:
    """One where the family's image tokens can be shared."""
    if figure.rows[0].shared_prefix_length:
        return [SharedPrefixGroup(image_sha256=name, examples=figure.rows)]
    return [SharedPrefixGroup(image_sha256=name, examples=(row,)) for row in figure.rows]


def _mean_loss(
    tuned: PeftModel, family: Family, lines: Sequence[Sequence[SharedPrefixGroup]], features: Tensor
) -> Tensor:
    batch = training_batch(lines, family, 0).to(features.device)
    return CompletionLoss(tuned, family).loss_sum(batch, {FEATURES: features}) / batch.num_target_tokens


def _plain(family: Family, figures: Sequence[Figure]) -> dict[str, Tensor]:
    """A padded row for each example, as the library takes them: int64[B, L] each."""
    rows = [row for figure in figures for row in figure.rows]
    padded: dict[str, tuple[Sequence[Sequence[int]], int]] = {
        "input_ids": ([row.input_ids for row in rows], 0),
        "attention_mask": ([[1] * len(row.input_ids) for row in rows], 0),
        "bidirectional": ([row.bidirectional for row in rows], False),
        "labels": ([row.labels for row in rows], IGNORE_INDEX),
    }
    device = figures[0].features.device
    fields = {
        name: pad_sequence([torch.tensor(values) for values in lists], True, filler).to(device)
        for name, (lists, filler) in padded.items()
    }
    return {**fields, **family.token_inputs(fields.pop("bidirectional"), fields["attention_mask"])}


def random_model(config: PreTrainedConfig, device: torch.device) -> PreTrainedModel:
    """Random weights drawn on the device, in bfloat16 on a card: no other copy of them is made."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with device:
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    for name, weight in model.model.multi_modal_projector.named_parameters():
        if "norm" not in name:
            # Gemma 3's starts at zero.
            weight.data.normal_(std=0.02)
    return model


def tuned_model(config: PreTrainedConfig, device: torch.device) -> PeftModel:
    """Random weights, and LoRA of rank 16 in the decoder, in float32."""
    model = random_model(config, device)
    with suppress_training_warnings():
        tuned = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=_DECODER, task_type="CAUSAL_LM"))
    hold_in_float32(tuned)
    return tuned.train()


def trained_weights(tuned: PeftModel) -> list[torch.nn.Parameter]:
    return [weight for weight in tuned.parameters() if weight.requires_grad]


def figures_of(
    tuned: PeftModel, family: Family, config: PreTrainedConfig, count: int, device: torch.device
) -> list[Figure]:
    generator = torch.Generator().manual_seed(0)
    side = config.vision_config.image_size
    figures = []
    for _ in range(count):
        pixels = torch.randn(3, side, side, generator=generator).to(device)
        with torch.no_grad():
            features = family.features(tuned.get_base_model(), {"pixel_values": pixels[None]})
        rows = tuple(_row(config, len(features), generator) for _ in range(TASKS))
        figures.append(Figure(pixels=pixels, features=features, rows=rows))
    return figures


def _row(config: PreTrainedConfig, image_tokens: int, generator: torch.Generator) -> TokenizedExample:
    """Random text about a picture, laid out as the family has it."""
    scale = image_tokens / 256
    length = int(scale * torch.randint(SHORTEST, LONGEST, (), generator=generator))
    prompt = round(scale * PROMPT)
    text = torch.randint(10, 2000, (prompt + length,), generator=generator).tolist()
    image = [config.image_token_id] * image_tokens
    gemma3 = config.model_type == "gemma3"
    block = [2, config.boi_token_index, *image, config.eoi_token_index] if gemma3 else [*image, 2]
    prefix = [not gemma3 or token == config.image_token_id for token in block] + [not gemma3] * prompt
    return TokenizedExample(
        input_ids=(*block, *text),
        bidirectional=(*prefix, *[False] * length),
        prompt_length=len(block) + prompt,
        shared_prefix_length=len(block) if gemma3 else 0,
        image=ImageLayout(tokens=image_tokens),
    )
