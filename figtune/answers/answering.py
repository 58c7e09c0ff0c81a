"""The tuned model asked: everything that can be checked at once is, before its weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from transformers import ProcessorMixin

from figtune.answers.decoding import Decoding
from figtune.answers.forecast import Forecast
from figtune.answers.generation import Answer, generate_answers
from figtune.answers.trained import read_trained
from figtune.core import commands
from figtune.core.errors import InputError, ResourceError, UsageError
from figtune.models.families import family_of
from figtune.models.family import Family
from figtune.models.features import picture_features
from figtune.models.loading import LoadedModel, chosen_device, load_processor, load_tuned_model
from figtune.models.records import PROCESSOR_FOLDER


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about a picture."""

    picture: Image.Image
    """RGB."""
    prompt: str


def check_prompt(output_dir: Path, prompt: str) -> None:
    """See that the model trained in `output_dir` can be asked this.

    Raises:
        ArtifactMissingError: nothing has been trained there yet.
        UsageError: the prompt is empty.
        InputError: it is too long; or the adapter there is of another base model.
    """
    record = read_trained(output_dir)
    processor = load_processor(output_dir / PROCESSOR_FOLDER)
    check_length(family_of(record.family, record.name), processor, prompt, record.max_length)


def check_length(family: Family, processor: ProcessorMixin, prompt: str, max_length: int) -> None:
    """See that a prompt leaves room for an answer in what the model was trained on.

    Raises:
        UsageError: it is empty.
        InputError: it is too long.
    """
    if not prompt.strip():
        raise UsageError("the prompt is empty", "say what you want to know of the image, with --prompt")
    prefix = family.prefix(processor, prompt)
    tokens = len(prefix.input_ids) - prefix.image_tokens
    if tokens >= max_length:
        raise InputError(
            f"the prompt takes {tokens} text tokens, and the model was trained on at most {max_length}",
            "shorten the prompt, or train again with a larger --model.max_length",
        )


def load_for_answers(output_dir: Path, device: str) -> LoadedModel:
    """The model trained in `output_dir`.

    Args:
        device: "auto", "cpu" or "cuda".

    Raises:
        ArtifactMissingError, InputError, ResourceError: see `read_trained` and `load_tuned_model`.
    """
    read_trained(output_dir)
    return load_tuned_model(output_dir, chosen_device(device), commands.TRAIN)


def answers_to(loaded: LoadedModel, questions: Sequence[Question], decoding: Decoding) -> list[Answer]:
    """What the tuned model says, to all questions in one batch; on a CPU, how long it may take is said before.

    Raises:
        ResourceError: they are too many for the card's memory.
    """
    forecast = Forecast(decoding.max_new_tokens) if loaded.device.type == "cpu" else None
    try:
        features = torch.stack([picture_features(loaded, question.picture) for question in questions])
        return generate_answers(loaded, [question.prompt for question in questions], features, decoding, forecast)
    except torch.OutOfMemoryError:
        raise ResourceError(
            f"{len(questions)} images at a time are too many for the card's memory",
            "make --test.batch_size smaller, or give --device cpu",
        ) from None
