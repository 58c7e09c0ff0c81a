"""Answers of a model: prompts are checked before its weights are loaded; greedy decoding or sampling, in batches.

Sampling is batch-invariant by the Gumbel-max trick: the most likely token after noise is a sample of the model's
distribution (Maddison et al., A* Sampling, 2014, section 2), and each answer has a noise generator of its own. So an
answer depends on the seed, its prompt and its image: never on the answers beside it in a batch, or on those before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.streamers import BaseStreamer

from figtune.batching.collator import prompt_batch
from figtune.batching.tokenization import prompt_length, tokenize_prompt
from figtune.core import commands
from figtune.core.errors import InputError, ResourceError, UsageError
from figtune.core.number_format import count
from figtune.core.settings import Device
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.settings import Decoding
from figtune.models.families import family_of
from figtune.models.family import Family, ImageInputs, Processor
from figtune.models.feature_cache import concatenate, encode_image
from figtune.models.loading import LoadedModel, load_tuned_model, resolve_device
from figtune.models.records import PROCESSOR_FOLDER

_SMALLEST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Answer:
    """Text that a model generated."""

    text: str
    tokens: int
    """Number of tokens, the stop token included."""
    ended_with_eos: bool
    """True if it ended with a stop token, False at the maximum length."""


@torch.inference_mode()
def generate_answers(
    loaded: LoadedModel,
    prompts: Sequence[str],
    images: Sequence[ImageInputs],
    decoding: Decoding,
    streamer: BaseStreamer | None = None,
) -> list[Answer]:
    """Answer each prompt about its image.

    With the tuned model, or with the base model inside `loaded.peft_model.disable_adapter()`.

    Args:
        prompts: B texts.
        images: image of each prompt.
        streamer: receives the prompts' tokens first, then int64[B] whenever each answer has one token more.
    """
    family, processor = loaded.family, loaded.processor
    stop_ids = family.stop_ids(processor)
    pad_id = processor.tokenizer.pad_token_id
    pairs = zip(prompts, images, strict=True)
    tokenized = [tokenize_prompt(family, processor, prompt, image.layout) for prompt, image in pairs]
    batch = prompt_batch(tokenized, pad_id).to(loaded.device)
    tensors = concatenate([image.tensors for image in images])
    on_device = {name: tensor.to(loaded.device) for name, tensor in tensors.items()}
    embeddings = family.image_embeddings(loaded.model, on_device)
    # The model's own settings turn sampling on, and would be merged into those of a single call.
    loaded.model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, max_new_tokens=decoding.max_new_tokens, eos_token_id=list(stop_ids), pad_token_id=pad_id
    )
    generated = loaded.model.generate(  # type: ignore[operator]
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        **family.token_inputs(batch.bidirectional, batch.attention_mask),
        mm_encoder_outputs={"image": family.encoder_outputs(embeddings)},
        logits_processor=sampling_processors(decoding, prompts, images, loaded.device),
        streamer=streamer,
    )
    answers = generated[:, batch.input_ids.shape[1] :].tolist()
    return [_answer(loaded, ids, stop_ids) for ids in answers]


def sampling_processors(
    decoding: Decoding, prompts: Sequence[str], images: Sequence[ImageInputs], device: torch.device
) -> LogitsProcessorList:
    """Return the logits processors of a batch that turn greedy decoding into sampling; none at temperature 0."""
    processors = LogitsProcessorList()
    if decoding.temperature > 0:
        processors.append(TemperatureLogitsWarper(decoding.temperature))
        if decoding.top_p < 1:
            processors.append(TopPLogitsWarper(decoding.top_p))
        pairs = zip(prompts, images, strict=True)
        processors.append(_GumbelNoise([_seed(decoding.seed, prompt, image) for prompt, image in pairs], device))
    return processors


class _GumbelNoise(LogitsProcessor):
    """Add Gumbel noise to the logits, each row's from its own generator on the device of the logits."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - the interface has both
        noise = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - noise.clamp_min(_SMALLEST).log()


def _seed(seed: int, prompt: str, image: ImageInputs) -> int:
    digest = hashlib.sha256(f"{seed} {prompt}".encode())
    for tensor in image.tensors.values():
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def _answer(loaded: LoadedModel, ids: Sequence[int], stop_ids: Sequence[int]) -> Answer:
    """Cut at the first stop token; padding follows it."""
    end = next((position for position, token in enumerate(ids) if token in stop_ids), None)
    kept = ids if end is None else ids[:end]
    text = loaded.processor.tokenizer.decode(kept, skip_special_tokens=True)
    return Answer(text=text.strip(), tokens=len(kept) + (end is not None), ended_with_eos=end is not None)


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


def load_model(output_dir: Path, device: Device, *, unquantized: bool = False) -> LoadedModel:
    """Load the model trained in `output_dir`.

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
