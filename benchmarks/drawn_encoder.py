"""A vision encoder that knows drawings: trained to tell, patch by patch, which word, shape, arrow and colour is there.

Stands for the pretrained encoder of a real model. A random one learns within minutes which kind of figure it has before
it, and nothing finer, from captions or questions.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Gemma3ForConditionalGeneration
from transformers.optimization import get_cosine_schedule_with_warmup

from benchmarks.canvas import COLOURS, HEADINGS, WORDS, Mark
from benchmarks.drawings import LETTERS, SHAPES
from figtune.core.log import progress_bar

MARKS = (*WORDS, *LETTERS, *SHAPES, *HEADINGS)
SEED = 0
BATCH = 16
LEARNING_RATE = 1.5e-3
_NEAR = 24
"""Largest difference of a channel from a colour that a pixel of it has."""
_LEAST = 0.1
"""Share of a patch's pixels from which it has a colour."""


@dataclass(frozen=True, kw_only=True)
class LabelledPicture:
    """A picture as the encoder takes it, and what its patches show."""

    pixels: Tensor
    """uint8[3, S, S]"""
    labels: Tensor
    """int64[2, T]: marks, then colours, by index; their number stands for none."""


def labelled(picture: Image.Image, marks: Sequence[Mark], side: int, patch: int) -> LabelledPicture:
    """Label the patches of a picture that is squashed to a square."""
    squashed = np.array(picture.resize((side, side), Image.Resampling.BILINEAR))
    labels = np.stack((_mark_labels(marks, side // patch), _colour_labels(squashed, patch)))
    return LabelledPicture(
        pixels=torch.from_numpy(np.moveaxis(squashed, -1, 0).copy()),
        labels=torch.from_numpy(labels.reshape(2, -1)),
    )


def _mark_labels(marks: Sequence[Mark], count: int) -> NDArray[np.int64]:
    """Return the mark that covers the middle of each patch, or lies around its own middle: int64[count, count]."""
    labels = np.full((count, count), len(MARKS), dtype=np.int64)
    middles = (np.arange(count) + 0.5) / count
    # Print is lower than a patch now and then, and must not slip through between two middles.
    margin = 0.25 / count
    for mark in sorted(marks, key=lambda each: each.bottom - each.top, reverse=True):
        rows = (middles > mark.top - margin) & (middles < mark.bottom + margin)
        columns = (middles > mark.left) & (middles < mark.right)
        labels[np.ix_(rows, columns)] = MARKS.index(mark.name)
    for mark in marks:
        row, column = int((mark.top + mark.bottom) / 2 * count), int((mark.left + mark.right) / 2 * count)
        labels[row, column] = MARKS.index(mark.name)
    return labels


def _colour_labels(pixels: NDArray[np.uint8], patch: int) -> NDArray[np.int64]:
    """Return the most frequent colour of each patch: int64[count, count]."""
    count = len(pixels) // patch
    distances = np.abs(pixels[..., None, :].astype(np.int64) - np.array(list(COLOURS.values()))).max(axis=-1)
    near = (distances <= _NEAR).reshape(count, patch, count, patch, len(COLOURS)).mean(axis=(1, 3))
    return np.where(near.max(axis=-1) >= _LEAST, near.argmax(axis=-1), len(COLOURS)).astype(np.int64)


def train_encoder(
    model: Gemma3ForConditionalGeneration,
    pictures: Sequence[LabelledPicture],
    held_out: Sequence[LabelledPicture],
    epochs: int,
) -> None:
    """Train the vision encoder of a model, and print how many patches of other pictures it tells right."""
    torch.manual_seed(SEED)
    tower = model.model.vision_tower
    width: int = tower.config.hidden_size
    heads = nn.ModuleList([nn.Linear(width, len(MARKS) + 1), nn.Linear(width, len(COLOURS) + 1)])
    trained = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.01)
    steps = epochs * len(pictures) // BATCH
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    order = torch.cat([torch.randperm(len(pictures)) for _ in range(epochs)]).tolist()
    for step in progress_bar(range(steps), total=steps, title="training the encoder", unit="step"):
        batch = [pictures[index] for index in order[step * BATCH : (step + 1) * BATCH]]
        states = tower(_scaled(batch)).last_hidden_state
        labels = torch.stack([each.labels for each in batch])
        loss = sum((_loss(head(states), labels[:, at]) for at, head in enumerate(heads)), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
    _print_accuracy(tower, heads, held_out)


def _scaled(batch: Sequence[LabelledPicture]) -> Tensor:
    """Return pixels from -1 to 1, as the image processor makes them: float32[B, 3, S, S]."""
    return torch.stack([each.pixels for each in batch]).float() / 127.5 - 1


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy, in which patches that show nothing, which are most, count a fifth."""
    weights = torch.ones(logits.shape[-1])
    weights[-1] = 0.2
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), weights)


@torch.inference_mode()
def _print_accuracy(tower: nn.Module, heads: nn.ModuleList, held_out: Sequence[LabelledPicture]) -> None:
    """Print the share of patches that are told right among those that show something."""
    states = torch.cat([tower(_scaled([each])).last_hidden_state for each in held_out])
    labels = torch.stack([each.labels for each in held_out])
    kinds = {"words": len(WORDS), "letters": len(LETTERS), "shapes": len(SHAPES), "arrows": len(HEADINGS)}
    found = heads[0](states).argmax(dim=-1)
    first = 0
    for kind, count in kinds.items():
        of_kind = (labels[:, 0] >= first) & (labels[:, 0] < first + count)
        share = (found == labels[:, 0])[of_kind].float().mean()
        sys.stdout.write(f"encoder: {kind} right in {share:.3f} of {of_kind.sum():,} patches of held-out layouts\n")
        first += count
    shown = labels[:, 1] < len(COLOURS)
    share = (heads[1](states).argmax(dim=-1) == labels[:, 1])[shown].float().mean()
    sys.stdout.write(f"encoder: colours right in {share:.3f} of {shown.sum():,} patches\n")
