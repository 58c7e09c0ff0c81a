"""Answers of the tuned model; prompts are checked before its weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from figtune.batching.tokenization import prompt_length
from figtune.core import commands
from figtune.core.errors import InputError, ResourceError, UsageError
from figtune.core.number_format import count
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.generate import Answer, generate_answers
from figtune.inference.settings import Decoding
from figtune.models.families import family_of
from figtune.models.family import Family, Processor
from figtune.models.feature_cache import encode_image
from figtune.models.loading import LoadedModel, load_tuned_model, resolve_device
from figtune.models.records import PROCESSOR_FOLDER


@dataclass(frozen=True, kw_only=True)
class Question:
    """A prompt about an image."""

    image: Image.Image
    """Mode RGB."""
    prompt: str


def check_prompt(output_dir: Path, prompt: str) -> None:
    """Check a prompt against the limits of the model trained in `output_dir`.

    Raises:
        ArtifactMissingError: no trained adapter.
        UsageError: the prompt is empty.
        InputError: it is too long, or the adapter is of another base model.
    """
    record = read_adapter_record(output_dir)
    family = family_of(record.family, record.name)
    check_prompt_length(family, family.load_processor(output_dir / PROCESSOR_FOLDER), prompt, record.max_length)


def check_prompt_length(family: Family, processor: Processor, prompt: str, max_length: int) -> None:
    """Check that a prompt is shorter than the sequences that the model was trained on.

    Raises:
        UsageError: it is empty.
        InputError: it is too long.
    """
    if not prompt.strip():
        raise UsageError("the prompt is empty", "ask something about the image with --prompt")
    tokens = prompt_length(family, processor, prompt)
    if tokens >= max_length:
        raise InputError(
            f"the prompt takes {tokens} text tokens, and the model was trained on at most {max_length}",
            "shorten the prompt, or train again with a larger --model.max_length",
        )


def load_model(output_dir: Path, device: str, *, unquantized: bool = False) -> LoadedModel:
    """Load the model trained in `output_dir`.

    Args:
        device: "auto", "cpu" or "cuda".
        unquantized: load the base model whole, even after QLoRA.

    Raises:
        ArtifactMissingError, InputError, ResourceError: see `read_adapter_record` and `load_tuned_model`.
    """
    read_adapter_record(output_dir)
    return load_tuned_model(output_dir, resolve_device(device), commands.TRAIN, unquantized=unquantized)


def predict(loaded: LoadedModel, questions: Sequence[Question], decoding: Decoding) -> list[Answer]:
    """Answer all questions with the tuned model, in one batch.

    Raises:
        ResourceError: the GPU has too little memory for them.
    """
    try:
        images = [encode_image(loaded, question.image) for question in questions]
        return generate_answers(loaded, [question.prompt for question in questions], images, decoding)
    except torch.OutOfMemoryError:
        raise ResourceError(
            f"a batch of {count(len(questions), 'images')} does not fit into GPU memory",
            "make --test.batch_size smaller, or give --device cpu",
        ) from None
