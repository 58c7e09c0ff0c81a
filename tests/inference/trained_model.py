"""A small data set and an adapter that has learned something, for tests of what comes after training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from figtune.core.io import sha256_of
from figtune.core.jsonl import write_records
from figtune.dataset.records import MINITRAIN_FILE, Example, Task, examples_file
from figtune.inference.settings import Decoding
from figtune.models.records import ADAPTER_FOLDER, AdapterMode, ImageFit
from figtune.models.setup import set_up_model
from tests.models.tuned import choice

_COMPLETIONS = ("A plot of the loss over time.", "The encoder feeds the decoder, which predicts a mask.", "Results.")


def greedy(max_new_tokens: int) -> Decoding:
    """The likeliest token every time."""
    return Decoding(max_new_tokens=max_new_tokens, temperature=0.0, top_p=1.0, seed=0)


def write_dataset(folder: Path, *, test_papers: int) -> None:
    """Papers of one figure and two examples each: one in train and minitrain, the others in test."""
    (folder / "images").mkdir(parents=True)
    papers = [[_example(folder, paper, task) for task in ("caption", "explain")] for paper in range(test_papers + 1)]
    write_records(folder / examples_file("train"), papers[0])
    write_records(folder / MINITRAIN_FILE, papers[0])
    write_records(folder / examples_file("test"), [example for paper in papers[1:] for example in paper])


def _example(folder: Path, paper: int, task: str) -> Example:
    image = f"images/paper {paper}.png"
    if not (folder / image).exists():
        _draw(folder / image, paper)
    chosen = next(known for known in get_args(Task) if known == task)
    return Example(
        example_id=f"paper-{paper}-figure-1-{task}",
        task=chosen,
        image=image,
        image_sha256=sha256_of(folder / image),
        prompt="Describe this figure." if task == "caption" else "Explain this figure. The paper says: we train it.",
        completion=_COMPLETIONS[paper % len(_COMPLETIONS)],
        group=f"paper-{paper}",
        source=f"paper-{paper}.pdf, page 1, Figure 1",
        kind="plot" if paper % 2 else "diagram",
    )


def _draw(path: Path, paper: int) -> None:
    picture = Image.new("RGB", (180 + 40 * paper, 120), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((10 + 30 * paper, 10, 80 + 30 * paper, 60 + 20 * paper), fill=(60 * paper, 90, 160))
    picture.save(path)


def write_trained_model(
    folder: Path,
    *,
    name: str = "tiny-gemma3",
    mode: AdapterMode = "lora",
    image_fit: ImageFit = "squash",
    tiles: int = 0,
) -> None:
    """A tiny model as training leaves it, its adapter moved off its starting point at random."""
    asked = choice(name, ("decoder",), image_fit=image_fit, tiles=tiles)
    set_up_model(folder, replace(asked, adapter=replace(asked.adapter, mode=mode)))
    _move(folder / ADAPTER_FOLDER / "adapter_model.safetensors")


def _move(weights: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    moved = {
        name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in load_file(weights).items()
    }
    save_file(moved, weights, metadata={"format": "pt"})
