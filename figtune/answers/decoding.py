"""How answers are chosen among what a model finds likely: the likeliest token, or one drawn by lot.

Drawing is by the Gumbel-max trick: the likeliest token after noise that each answer has of its own is a sample of the
model's distribution (Maddison et al., A* Sampling, 2014, section 2). So an answer depends on the seed, its prompt and
its picture alone: never on the answers beside it in a batch, or on those before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from figtune.models.family import ImageInputs

_SMALLEST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Decoding:
    """How an answer is made."""

    max_new_tokens: int
    """Longest answer."""
    temperature: float
    """0 takes the likeliest token every time; 1 draws from the model's distribution, less sharpens it."""
    top_p: float
    """Tokens are drawn from the likeliest ones that have this probability together, in (0, 1]."""
    seed: int
    """Of the lot."""


def drawing(decoding: Decoding, prompts: Sequence[str], images: Sequence[ImageInputs]) -> LogitsProcessorList:
    """What to do to the logits of a batch before the largest is taken; nothing without a temperature.

    Args:
        prompts: B of them.
        images: each prompt's.
    """
    steps = LogitsProcessorList()
    if decoding.temperature > 0:
        steps.append(TemperatureLogitsWarper(decoding.temperature))
        if decoding.top_p < 1:
            steps.append(TopPLogitsWarper(decoding.top_p))
        pairs = zip(prompts, images, strict=True)
        steps.append(_Noise([_seed(decoding.seed, prompt, image) for prompt, image in pairs]))
    return steps


class _Noise(LogitsProcessor):
    """Adds Gumbel noise, each row's from a generator of its own, drawn on the CPU: the same on every device."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - the interface asks for both
        rows = [torch.empty(scores.shape[1]).exponential_(generator=generator) for generator in self._generators]
        noise = torch.stack(rows).clamp_min(_SMALLEST).log().neg()
        return scores.float() + noise.to(scores.device)


def _seed(seed: int, prompt: str, image: ImageInputs) -> int:
    digest = hashlib.sha256(f"{seed} {prompt}".encode())
    for tensor in image.tensors.values():
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return int.from_bytes(digest.digest()[:8], "big") >> 1
