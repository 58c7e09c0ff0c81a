"""One image, one question, one answer."""

from __future__ import annotations

from pathlib import Path

from figtune.models.decoding import Decoding
from figtune.models.features import picture_features
from figtune.models.generation import generate_answers
from figtune.models.images import read_image
from figtune.models.loading import LoadedModel, chosen_device, load_tuned_model
from figtune.models.trained import TRAIN_COMMAND, read_trained
from figtune.pipeline.errors import InputError, UsageError


def answer(output_dir: Path, image: Path, prompt: str, *, device: str, decoding: Decoding) -> str:
    """What the model trained in `output_dir` says about an image.

    Args:
        device: "auto", "cpu" or "cuda".

    Raises:
        ArtifactMissingError: nothing has been trained there yet.
        UsageError: the prompt is empty.
        InputError: no such image, no image, a broken or a huge one; or a prompt that is too long.
        ResourceError: the base model is not to be had.
    """
    if not prompt.strip():
        raise UsageError("the prompt is empty", "say with --prompt what you want to know of the image")
    read_trained(output_dir)
    picture = read_image(image)
    loaded = load_tuned_model(output_dir, chosen_device(device), TRAIN_COMMAND)
    _check_length(loaded, prompt)
    features = picture_features(loaded, picture)[None]
    return generate_answers(loaded, [prompt], features, decoding)[0].text


def _check_length(loaded: LoadedModel, prompt: str) -> None:
    prefix = loaded.family.prefix(loaded.processor, prompt)
    tokens = len(prefix.input_ids) - prefix.image_tokens
    longest = loaded.record.max_length
    if tokens >= longest:
        raise InputError(
            f"the prompt takes {tokens} text tokens, and the model was trained on at most {longest}",
            "shorten the prompt, or train again with a larger --model.max_length",
        )
