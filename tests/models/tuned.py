"""Tiny models with adapters that have moved, so that nothing trained is zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from figtune.batching.collator import TrainingBatch, training_batch
from figtune.batching.loss import CompletionLoss, logits_of
from figtune.batching.packing import PackedRow, one_per_row
from figtune.batching.tokenization import tokenize_example
from figtune.models.family import IGNORE_INDEX, ImageInputs, TokenizedExample
from figtune.models.feature_cache import concatenate, encode_image
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.records import Dtype, ImageFit
from figtune.models.settings import AdapterSettings, ModelSettings, SetupSettings
from figtune.models.setup import set_up_model

CPU = torch.device("cpu")
TINY_NAMES = (
    "tiny-gemma3",
    "tiny-paligemma",
    "tiny-paligemma2",
    "tiny-smolvlm2",
    "tiny-gemma4",
    "tiny-gemma4-31b",
)
PROMPT = "Write the caption of this figure."


def of_families(*names: str, fixture: str = "loaded") -> pytest.MarkDecorator:
    """Try a test on some models only: what it is about is no matter of the family, or of these alone."""
    return pytest.mark.parametrize(fixture, names, indirect=True)


CAPTIONS = (
    "The encoder reads the image.",
    "Loss over time. The blue curve falls faster than the red one, and both level off.",
    "Results",
)


def choice(
    name: str,
    targets: Sequence[str] = ("decoder", "projector"),
    rank: int = 4,
    *,
    dtype: Dtype = "float32",
    revision: str | None = None,
    image_fit: ImageFit = "letterbox",
    image_tokens: int = 0,
    tiles: int = 0,
) -> SetupSettings:
    """Return what to set up, small."""
    model = ModelSettings(
        name=name,
        revision=revision,
        dtype=dtype,
        image_fit=image_fit,
        image_tokens=image_tokens,
        tiles=tiles,
        max_length=128,
    )
    adapter = AdapterSettings(mode="lora", rank=rank, alpha=2 * rank, dropout=0.0, targets=tuple(targets))
    return SetupSettings(model=model, adapter=adapter, seed=0)


def moved_model(folder: Path, name: str) -> LoadedModel:
    """Load a tiny model whose adapter has been moved at random."""
    set_up_model(folder, choice(name))
    loaded = load_tuned_model(folder, CPU, "setup", trainable=True)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in loaded.peft_model.parameters():
            if parameter.requires_grad:
                parameter += 0.03 * torch.randn(parameter.shape, generator=generator)
    return loaded


def pictures() -> list[Image.Image]:
    """Draw three that differ, in their sizes too."""
    drawn = []
    for index, color in enumerate(("red", "green", "blue")):
        picture = Image.new("RGB", (120, 60 + 30 * index), "white")
        ImageDraw.Draw(picture).rectangle((10, 10, 50 + 20 * index, 40), fill=color)
        drawn.append(picture)
    return drawn


def features_of(loaded: LoadedModel) -> list[ImageInputs]:
    """Return `pictures()` as cached features."""
    return [encode_image(loaded, picture) for picture in pictures()]


def pixels_of(loaded: LoadedModel, images: Sequence[Image.Image] = ()) -> list[ImageInputs]:
    """Return images, or else `pictures()`, as the vision encoder takes them."""
    family, processor, fit = loaded.family, loaded.processor, loaded.record.image_fit
    return [
        ImageInputs(
            layout=family.image_layout(processor, picture.size), tensors=family.image_inputs(processor, picture, fit)
        )
        for picture in images or pictures()
    ]


def joined(images: Sequence[ImageInputs]) -> dict[str, Tensor]:
    """Return the tensors of all images, as a batch has them."""
    return concatenate([image.tensors for image in images])


def rows_of(loaded: LoadedModel, captions: Sequence[str] = CAPTIONS) -> list[TokenizedExample]:
    """Return an example a caption, about the picture of the same number."""
    family, processor = loaded.family, loaded.processor
    return [
        tokenize_example(family, processor, PROMPT, caption, family.image_layout(processor, picture.size), 128)
        for caption, picture in zip(captions, pictures(), strict=False)
    ]


def batch_of(loaded: LoadedModel, rows: Sequence[TokenizedExample]) -> TrainingBatch:
    """Return a pack row an example, in the order given."""
    return batch_of_rows(loaded, one_per_row(rows))


def batch_of_rows(loaded: LoadedModel, rows: Sequence[PackedRow]) -> TrainingBatch:
    """Return pack rows as a batch."""
    return training_batch(rows, loaded.family, loaded.processor.tokenizer.pad_token_id)


def loss_sum(loaded: LoadedModel, batch: TrainingBatch, images: Sequence[ImageInputs]) -> Tensor:
    """Return the summed loss of a batch: float32[]."""
    return CompletionLoss(loaded.peft_model, loaded.family).loss_sum(batch, joined(images))


def target_logits(loaded: LoadedModel, batch: TrainingBatch, images: Sequence[ImageInputs]) -> tuple[Tensor, Tensor]:
    """Return the logits at the targets of a batch, and these."""
    return logits_at_targets(loaded, batch, joined(images))


def logits_at_targets(loaded: LoadedModel, batch: TrainingBatch, images: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return `logits: float32[N, vocabulary]` and `targets: int64[N]` of the whole batch, row by row."""
    loss = CompletionLoss(loaded.peft_model, loaded.family)
    with loss.autocast():
        return logits_of(loaded.model, loss.target_states(batch, images)), batch.targets


def plain_fields(loaded: LoadedModel, rows: Sequence[TokenizedExample]) -> dict[str, Tensor]:
    """Return examples as the library takes them, which then makes masks and positions of its own: int64[B, L] each."""
    pad = loaded.processor.tokenizer.pad_token_id
    fields = {
        "input_ids": [torch.tensor(row.input_ids) for row in rows],
        "attention_mask": [torch.ones(len(row.input_ids), dtype=torch.int64) for row in rows],
        "bidirectional": [torch.tensor(row.bidirectional) for row in rows],
        "labels": [torch.tensor(row.labels) for row in rows],
    }
    fillers = {"input_ids": pad, "attention_mask": 0, "bidirectional": False, "labels": IGNORE_INDEX}
    padded = {name: pad_sequence(tensors, True, fillers[name]) for name, tensors in fields.items()}
    bidirectional = padded.pop("bidirectional")
    return {**padded, **loaded.family.token_inputs(bidirectional, padded["attention_mask"])}


def plain_pixels(loaded: LoadedModel, images: Sequence[ImageInputs]) -> dict[str, Tensor]:
    """Return the encoder's inputs of images as the library takes them, for a batch of a row an image.

    Where images have different numbers of tiles, those with fewer are padded with zeros, as the library does.
    """
    each = [loaded.family.pixel_inputs(image.tensors) for image in images]
    return {name: pad_sequence([tensors[name].squeeze(0) for tensors in each], batch_first=True) for name in each[0]}
