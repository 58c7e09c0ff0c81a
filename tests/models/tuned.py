"""Tiny models with adapters that have moved, so that nothing trained is zero."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from figtune.batches.bundles import Bundle, apart
from figtune.batches.collation import TrainingBatch, training_batch
from figtune.batches.rows import training_row
from figtune.models.choice import ModelChoice
from figtune.models.family import IGNORED, TokenisedRow
from figtune.models.features import fitted, image_side
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.records import AdapterRecord
from figtune.models.setup import set_up_model

CPU = torch.device("cpu")
PROMPT = "Write the caption of this figure."
CAPTIONS = (
    "The encoder reads the image.",
    "Loss over time. The blue curve falls faster than the red one, and both level off.",
    "Results",
)


def choice(name: str, targets: Sequence[str] = ("decoder", "projector"), rank: int = 4) -> ModelChoice:
    """What to set up, small."""
    adapter = AdapterRecord(mode="lora", rank=rank, alpha=2 * rank, dropout=0.0, targets=tuple(targets))
    return ModelChoice(
        name=name, revision=None, dtype="float32", image_fit="letterbox", max_length=128, adapter=adapter, seed=0
    )


def moved_model(folder: Path, name: str) -> LoadedModel:
    """A tiny model whose adapter has been moved at random."""
    set_up_model(folder, choice(name))
    loaded = load_tuned_model(folder, CPU, "setup", trainable=True)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in loaded.tuned.parameters():
            if parameter.requires_grad:
                parameter += 0.03 * torch.randn(parameter.shape, generator=generator)
    return loaded


def pictures() -> list[Image.Image]:
    """Three that differ."""
    drawn = []
    for index, color in enumerate(("red", "green", "blue")):
        picture = Image.new("RGB", (120, 60 + 30 * index), "white")
        ImageDraw.Draw(picture).rectangle((10, 10, 50 + 20 * index, 40), fill=color)
        drawn.append(picture)
    return drawn


def pixels_of(loaded: LoadedModel) -> Tensor:
    """`pictures()` as the vision encoder takes them: float32[3, 3, H, W]."""
    fit = loaded.record.image_fit
    return loaded.family.pixel_values(
        loaded.processor, [fitted(picture, fit, image_side(loaded)) for picture in pictures()]
    )


def rows_of(loaded: LoadedModel, captions: Sequence[str] = CAPTIONS) -> list[TokenisedRow]:
    """A row a caption."""
    return [training_row(loaded.family, loaded.processor, PROMPT, caption, 128) for caption in captions]


def batch_of(loaded: LoadedModel, rows: Sequence[TokenisedRow]) -> TrainingBatch:
    """A line a row, in the order given."""
    return lines_of(loaded, apart(rows))


def lines_of(loaded: LoadedModel, lines: Sequence[Sequence[Bundle]]) -> TrainingBatch:
    """Lines of bundles."""
    return training_batch(lines, loaded.family, loaded.processor.tokenizer.pad_token_id)


def plain_fields(loaded: LoadedModel, rows: Sequence[TokenisedRow]) -> dict[str, Tensor]:
    """The same as the library takes them, which then makes masks and positions of its own: int64[B, L] each."""
    pad = loaded.processor.tokenizer.pad_token_id
    fields = {
        "input_ids": [torch.tensor(row.input_ids) for row in rows],
        "attention_mask": [torch.ones(len(row.input_ids), dtype=torch.int64) for row in rows],
        "token_type_ids": [torch.tensor(row.token_type_ids) for row in rows],
        "labels": [torch.tensor(row.labels) for row in rows],
    }
    fillers = {"input_ids": pad, "attention_mask": 0, "token_type_ids": 0, "labels": IGNORED}
    return {name: pad_sequence(tensors, True, fillers[name]) for name, tensors in fields.items()}
