"""Generation: greedy decoding or sampling, in left-padded batches, each answer as it would be alone.

Sampling is batch-invariant by the Gumbel-max trick: the most likely token after noise is a sample of the model's
distribution (Maddison et al., A* Sampling, 2014, section 2), and each answer has a noise generator of its own. So an
answer depends on the seed, its prompt and its image: never on the answers beside it in a batch, or on those before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutputWithPooling

from figtune.batches.collation import generation_batch
from figtune.batches.rows import prompt_row
from figtune.inference.settings import Decoding
from figtune.models.loading import LoadedModel

_SMALLEST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Answer:
    """Text that a model generated."""

    text: str
    tokens: int
    """Number of tokens, the stop token included."""
    stopped: bool
    """True if it ended with a stop token, False at the maximum length."""


@torch.inference_mode()
def generate_answers(
    loaded: LoadedModel,
    prompts: Sequence[str],
    features: Tensor,
    decoding: Decoding,
    streamer: BaseStreamer | None = None,
) -> list[Answer]:
    """Answer each prompt about its image.

    With the tuned model, or with the base model inside `loaded.tuned.disable_adapter()`.

    Args:
        prompts: B texts.
        features: float[B, T, V] of the vision encoder, one of each prompt's image; or pixels, float32[B, 3, H, W].
        streamer: receives the prompts' tokens first, then int64[B] whenever each answer has one token more.
    """
    stop_ids = loaded.family.stop_ids(loaded.processor)
    pad_id = loaded.processor.tokenizer.pad_token_id
    rows = [prompt_row(loaded.family, loaded.processor, prompt) for prompt in prompts]
    batch = generation_batch(rows, pad_id).to(loaded.device)
    embeddings = loaded.family.image_embeddings(loaded.model, features.to(loaded.device))
    # The model's own settings turn sampling on, and would be merged into those of a single call.
    loaded.model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, max_new_tokens=decoding.max_new_tokens, eos_token_id=list(stop_ids), pad_token_id=pad_id
    )
    generated = loaded.model.generate(  # type: ignore[operator]
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        token_type_ids=batch.token_type_ids,
        mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=embeddings)},
        logits_processor=sampling_processors(decoding, prompts, features),
        streamer=streamer,
    )
    answers = generated[:, batch.input_ids.shape[1] :].tolist()
    return [_answer(loaded, ids, stop_ids) for ids in answers]


def sampling_processors(decoding: Decoding, prompts: Sequence[str], features: Tensor) -> LogitsProcessorList:
    """Return the logits processors of a batch that turn greedy decoding into sampling; none at temperature 0.

    Args:
        prompts: B texts.
        features: float[B, T, V] of the prompts' images.
    """
    processors = LogitsProcessorList()
    if decoding.temperature > 0:
        processors.append(TemperatureLogitsWarper(decoding.temperature))
        if decoding.top_p < 1:
            processors.append(TopPLogitsWarper(decoding.top_p))
        pairs = zip(prompts, features, strict=True)
        processors.append(_GumbelNoise([_seed(decoding.seed, prompt, image) for prompt, image in pairs]))
    return processors


class _GumbelNoise(LogitsProcessor):
    """Add Gumbel noise to the logits, each row's from its own generator on the CPU: the same on every device."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - the interface has both
        rows = [torch.empty(scores.shape[1]).exponential_(generator=generator) for generator in self._generators]
        noise = torch.stack(rows).clamp_min(_SMALLEST).log().neg()
        return scores.float() + noise.to(scores.device)


def _seed(seed: int, prompt: str, image: Tensor) -> int:
    digest = hashlib.sha256(f"{seed} {prompt}".encode())
    digest.update(image.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def _answer(loaded: LoadedModel, ids: Sequence[int], stop_ids: Sequence[int]) -> Answer:
    """Cut at the first stop token; padding follows it."""
    end = next((position for position, token in enumerate(ids) if token in stop_ids), None)
    kept = ids if end is None else ids[:end]
    text = loaded.processor.tokenizer.decode(kept, skip_special_tokens=True)
    return Answer(text=text.strip(), tokens=len(kept) + (end is not None), stopped=end is not None)
