"""Ways to the loss of a training step, from what published recipes do to what this program does; models and pictures.

All give the mean loss over the learned tokens of the same examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText, Gemma3Config, PaliGemmaConfig, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from benchmarks.full_size_model import SIZES
from figtune.batching.collator import training_batch
from figtune.batching.loss import CompletionLoss
from figtune.batching.packing import SharedPrefixGroup, one_per_row, pack
from figtune.models.family import FEATURES, IGNORE_INDEX, Family, ImageLayout, TokenizedExample
from figtune.models.lora import hold_in_float32, lora_forward
from figtune.models.quiet import suppress_training_warnings

TASKS = 3
"""Examples a picture, where nothing else is asked for."""
PROMPT, SHORTEST, LONGEST = 24, 60, 180
"""Tokens of a prompt and of completions, where a picture has 256; fewer where it has fewer."""
_DECODER = r".*language_model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"

_IMAGE_TOKEN = 3583


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
    return _gemma3(
        decoder=_decoder(width=256, inner=1024, layers=4, heads=4, key_heads=2, words=3584),
        encoder=_encoder(width=192, layers=6, side=224),
        image_tokens=64,
    )


def _gemma3_slice() -> PreTrainedConfig:
    """5 of 34 layers, 4 of 27 of the encoder, a seventh of the vocabulary."""
    return _gemma3(
        decoder=_decoder(width=2560, inner=10240, layers=5, heads=8, key_heads=4, words=38_560, head=256),
        encoder={**_encoder(width=1152, layers=4, side=896), "intermediate_size": 4304, "num_attention_heads": 16},
        image_tokens=256,
    )


def _gemma3(decoder: dict[str, int], encoder: dict[str, int | bool], image_tokens: int) -> PreTrainedConfig:
    return Gemma3Config(
        text_config={**decoder, "sliding_window": 1024},
        vision_config=encoder,
        mm_tokens_per_image=image_tokens,
        boi_token_index=3581,
        eoi_token_index=3582,
        image_token_index=_IMAGE_TOKEN,
    )


def _small_paligemma() -> PreTrainedConfig:
    """256 patches through 1.4 M weights of the encoder, 400 tokens through 6.9 M of the decoder."""
    return _paligemma(
        decoder=_decoder(width=256, inner=2048, layers=4, heads=8, key_heads=1, words=7168),
        encoder=_encoder(width=128, layers=7, side=224),
    )


def _paligemma_slice() -> PreTrainedConfig:
    """2 of 18 layers, 3 of 27 of the encoder, a ninth of the vocabulary."""
    return _paligemma(
        decoder=_decoder(width=2048, inner=16384, layers=2, heads=8, key_heads=1, words=28_580, head=256),
        encoder={**_encoder(width=1152, layers=3, side=224), "intermediate_size": 4304, "num_attention_heads": 16},
    )


def _paligemma(decoder: dict[str, int], encoder: dict[str, int | bool]) -> PreTrainedConfig:
    return PaliGemmaConfig(
        text_config={**decoder, "model_type": "gemma"},
        vision_config=encoder,
        image_token_index=_IMAGE_TOKEN,
        projection_dim=decoder["hidden_size"],
        hidden_size=decoder["hidden_size"],
        vocab_size=decoder["vocab_size"],
    )


def _decoder(
    *, width: int, inner: int, layers: int, heads: int, key_heads: int, words: int, head: int = 0
) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "head_dim": head or width // heads,
        "vocab_size": words,
    }


def _encoder(*, width: int, layers: int, side: int) -> dict[str, int | bool]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "image_size": side,
        "patch_size": 14,
        "vision_use_head": False,
    }


CONFIGS: dict[str, dict[str, Callable[[], PreTrainedConfig]]] = {
    "small": {"gemma3": _small_gemma3, "paligemma": _small_paligemma},
    "slice": {"gemma3": _gemma3_slice, "paligemma": _paligemma_slice},
    "full": {name: SIZES[name].config for name in ("gemma3", "paligemma")},
}
"""Models by size and family."""


def from_pixels(peft_model: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    pixels = torch.stack([figure.pixels for figure in figures for _ in figure.rows])
    loss: Tensor = peft_model(**_plain(family, figures), pixel_values=pixels, use_cache=False).loss
    return loss


def from_fresh_features(peft_model: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    return _every_logit(peft_model, family, figures, _fresh_features(peft_model, family, figures))


def _fresh_features(peft_model: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    with torch.no_grad():
        pixels = torch.stack([figure.pixels for figure in figures for _ in figure.rows])
        return family.features(peft_model.get_base_model(), {"pixel_values": pixels})


def from_fresh_features_at_labels(peft_model: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    """Logits of the library's own rows and masks, made only where a label follows."""
    base, fields = peft_model.get_base_model(), _plain(family, figures)
    embeddings = family.embeddings(base, _fresh_features(peft_model, family, figures))
    seen = {"image": BaseModelOutputWithPooling(pooler_output=embeddings)}
    labels = fields["labels"] if base.config.model_type == "paligemma" else fields.pop("labels")
    states: Tensor = base.model(**fields, mm_encoder_outputs=seen, use_cache=False).last_hidden_state
    wanted = labels[:, 1:] != IGNORE_INDEX
    return F.cross_entropy(base.lm_head(states[:, :-1][wanted]).float(), labels[:, 1:][wanted])


def from_features(peft_model: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    features = torch.cat([figure.features for figure in figures for _ in figure.rows])
    return _every_logit(peft_model, family, figures, features)


def _every_logit(peft_model: PeftModel, family: Family, figures: Sequence[Figure], features: Tensor) -> Tensor:
    embeddings = family.embeddings(peft_model.get_base_model(), features)
    seen = {"image": BaseModelOutputWithPooling(pooler_output=embeddings)}
    loss: Tensor = peft_model(**_plain(family, figures), mm_encoder_outputs=seen, use_cache=False).loss
    return loss


def at_labels(peft_model: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    rows = [row for figure in figures for row in figure.rows]
    features = torch.cat([figure.features for figure in figures for _ in figure.rows])
    return _mean_loss(peft_model, family, one_per_row(rows), features)


def shared(peft_model: PeftModel, family: Family, figures: Sequence[Figure]) -> Tensor:
    by_name = {str(index): figure for index, figure in enumerate(figures)}
    bundles = [bundle for name, figure in by_name.items() for bundle in _bundles(name, figure)]
    lines = pack(bundles)
    features = torch.cat([by_name[bundle.image_sha256].features for line in lines for bundle in line])
    return _mean_loss(peft_model, family, lines, features)


def _bundles(name: str, figure: Figure) -> list[SharedPrefixGroup]:
    """One where the family's image tokens can be shared."""
    if figure.rows[0].shared_prefix_length:
        return [SharedPrefixGroup(image_sha256=name, examples=figure.rows)]
    return [SharedPrefixGroup(image_sha256=name, examples=(row,)) for row in figure.rows]


def _mean_loss(
    peft_model: PeftModel, family: Family, lines: Sequence[Sequence[SharedPrefixGroup]], features: Tensor
) -> Tensor:
    batch = training_batch(lines, family, 0).to(features.device)
    return CompletionLoss(peft_model, family).loss_sum(batch, {FEATURES: features}) / batch.num_target_tokens


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


def random_model(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """Return a model with random weights drawn on the device, in bfloat16 on a card: no other copy of them is made."""
    torch.manual_seed(0)
    dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
    with device:
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    for name, weight in model.model.multi_modal_projector.named_parameters():
        if "norm" not in name:
            # Gemma 3's starts at zero.
            weight.data.normal_(std=0.02)
    return model


def tuned_model(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype | None = None) -> PeftModel:
    """Return it with LoRA of rank 16 in the decoder, held in float32."""
    model = random_model(config, device, dtype)
    with suppress_training_warnings():
        peft_model = get_peft_model(
            model, LoraConfig(r=16, lora_alpha=32, target_modules=_DECODER, task_type="CAUSAL_LM")
        )
    hold_in_float32(peft_model)
    return peft_model.train()


def compute_lora(peft_model: PeftModel, *, as_peft_does: bool) -> None:
    """Choose how LoRA computes: by peft's own layers, or by this program's. The weights stay the same."""
    for layer in peft_model.modules():
        if isinstance(layer, LoraLayer):
            layer.forward = partial(type(layer).forward if as_peft_does else lora_forward, layer)


def trained_weights(peft_model: PeftModel) -> list[torch.nn.Parameter]:
    return [weight for weight in peft_model.parameters() if weight.requires_grad]


def figures_of(
    peft_model: PeftModel,
    family: Family,
    config: PreTrainedConfig,
    count: int,
    device: torch.device,
    examples: int = TASKS,
) -> list[Figure]:
    """Return pictures with a number of examples about each."""
    generator = torch.Generator().manual_seed(0)
    side = config.vision_config.image_size
    figures = []
    for _ in range(count):
        pixels = torch.randn(3, side, side, generator=generator).to(device)
        features = encode(peft_model, family, pixels)
        rows = tuple(_row(config, len(features), generator) for _ in range(examples))
        figures.append(Figure(pixels=pixels, features=features, rows=rows))
    return figures


@torch.no_grad()
def encode(peft_model: PeftModel, family: Family, pixels: Tensor) -> Tensor:
    """Return the features of one picture, float[T, V], of `pixels: float[3, H, W]`."""
    return family.features(peft_model.get_base_model(), {"pixel_values": pixels[None]})


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
