"""Check of a merged model: its predictions against the adapter's on a few examples of the data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from peft import PeftModel
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from figtune.batching.tokenization import tokenize_example
from figtune.core import commands
from figtune.core.errors import InputError, NothingProducedError
from figtune.core.image_decoding import read_image
from figtune.core.jsonl import read_records
from figtune.core.number_format import count, fixed, percent
from figtune.dataset.records import MINITRAIN_FILE, Example
from figtune.dataset.shards import stream_examples
from figtune.models.family import Family, Processor, TokenizedExample
from figtune.models.records import ModelRecord

EXAMPLES = 8
_MAX_DIVERGENCE = 0.02
"""Nats per token. bfloat16 keeps 8 bits of each weight; the rounding costs at most this much for confident models."""
_MIN_TOP1_AGREEMENT = 0.95
_TIE = 0.1
"""Nats by which two tokens may differ and count as equally likely, at least: rounding within layers moves them so."""
_TIE_STEPS = 2
"""Steps of bfloat16 by which two logits may differ and count as equal: rounding moves each of them by one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MergeCheckExample:
    """Tokenized example with its image."""

    example: TokenizedExample
    prompt: str
    image: Image.Image
    """Image as a server gets it."""
    pixels: dict[str, Tensor]
    """The image as the model's own forward pass takes it, for a batch of one row."""
    family: Family

    @property
    def inputs(self) -> dict[str, Tensor]:
        """Inputs of the forward pass besides ids and mask."""
        bidirectional = torch.tensor([self.example.bidirectional])
        mask = torch.ones_like(bidirectional, dtype=torch.int64)
        return self.pixels | self.family.token_inputs(bidirectional, mask)

    def answered_by(self, answer: Sequence[int]) -> MergeCheckExample:
        """Return the same image and prompt with the tokens of another completion."""
        kept = self.example.prompt_length
        tokens = replace(
            self.example,
            input_ids=(*self.example.input_ids[:kept], *answer),
            bidirectional=(*self.example.bidirectional[:kept], *(False,) * len(answer)),
        )
        return replace(self, example=tokens)


@dataclass(frozen=True, kw_only=True)
class MergeCheck:
    """Agreement of two models' predictions over the completions of a few examples."""

    examples: int
    tokens: int
    divergence: float
    """Kullback-Leibler divergence KL(first || second), mean over tokens, in nats."""
    top1_agreement: float
    """Share of tokens at which both models have the same most likely token; see `count_most_likely`."""

    @property
    def passes(self) -> bool:
        """True if rounding to bfloat16 explains the difference."""
        return self.divergence <= _MAX_DIVERGENCE and self.top1_agreement >= _MIN_TOP1_AGREEMENT

    @property
    def sentence(self) -> str:
        """Result as part of a sentence."""
        return (
            f"over {count(self.tokens, 'tokens')} of {count(self.examples, 'examples')} the predictions diverge by "
            f"{self.divergence:.1e} nats per token (allowed: {_MAX_DIVERGENCE:g}), and the top token is the same "
            f"at {fixed(100 * self.top1_agreement, 1)} % (at least {percent(_MIN_TOP1_AGREEMENT)})"
        )


def sample_examples(
    dataset_dir: Path, family: Family, processor: Processor, record: ModelRecord
) -> list[MergeCheckExample]:
    """Return evenly spaced training examples.

    Raises:
        ArtifactMissingError: there is no data set.
        InputError: an image cannot be read.
        NothingProducedError: none leaves room for its completion.
    """
    examples = read_records(dataset_dir / MINITRAIN_FILE, Example, commands.PREPARE) or list(
        stream_examples(dataset_dir, "train")
    )
    checked = []
    for example in examples[:: max(1, len(examples) // EXAMPLES)][:EXAMPLES]:
        image = read_image(dataset_dir / example.image)
        layout = family.image_layout(processor, image.size)
        try:
            tokens = tokenize_example(family, processor, example.prompt, example.completion, layout, record.max_length)
        except InputError:
            continue
        checked.append(
            MergeCheckExample(
                example=tokens,
                prompt=example.prompt,
                image=family.fitted_image(processor, image, record.image_fit),
                pixels=family.pixel_inputs(family.image_inputs(processor, image, record.image_fit)),
                family=family,
            )
        )
    if not checked:
        raise NothingProducedError("no example leaves room for its completion", "raise --model.max_length")
    return checked


@torch.inference_mode()
def completion_logits(model: PreTrainedModel | PeftModel, examples: Sequence[MergeCheckExample]) -> list[Tensor]:
    """Return the logits at the completion tokens of each example, float32[N, V], on the CPU.

    Uses the model's own forward pass from pixels to logits, as users of the model call it.
    """
    device = next(model.parameters()).device
    return [_logits(model, example, device) for example in examples]


def _logits(model: PreTrainedModel | PeftModel, example: MergeCheckExample, device: torch.device) -> Tensor:
    ids = torch.tensor([example.example.input_ids], device=device)
    output = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        **{name: tensor.to(device) for name, tensor in example.inputs.items()},
        logits_to_keep=example.example.num_target_tokens + 1,
        use_cache=False,
    )
    predicted: Tensor = output.logits[0, :-1].float().cpu()
    return predicted


def compare_logits(first: Sequence[Tensor], second: Sequence[Tensor]) -> MergeCheck:
    """Compare logits for the same examples, float32[N, V] each."""
    divergence, agreeing, tokens = 0.0, 0, 0
    for wanted, found in zip(first, second, strict=True):
        logs = F.log_softmax(wanted, dim=-1)
        divergence += float(F.kl_div(F.log_softmax(found, dim=-1), logs, reduction="sum", log_target=True))
        agreeing += count_most_likely(wanted, found.argmax(dim=-1))
        tokens += len(wanted)
    return MergeCheck(
        examples=len(first), tokens=tokens, divergence=divergence / tokens, top1_agreement=agreeing / tokens
    )


def count_most_likely(logits: Tensor, chosen: Tensor) -> int:
    """Return at how many of N tokens the chosen one is the most likely, ties that bfloat16 decides included.

    Args:
        logits: float32[N, V].
        chosen: int64[N].
    """
    largest = logits.max(dim=-1).values
    gap = largest - logits.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    step = torch.finfo(torch.bfloat16).eps * largest.abs()
    return int((gap <= (_TIE_STEPS * step).clamp(min=_TIE)).sum())
