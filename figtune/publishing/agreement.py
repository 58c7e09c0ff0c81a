"""Whether two models say the same: their predictions on a few examples of the data set, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from figtune.batching.tokenization import tokenize_example
from figtune.core import commands
from figtune.core.errors import InputError, NothingProducedError
from figtune.core.images import read_image
from figtune.core.jsonl import read_records
from figtune.dataset.records import MINITRAIN_FILE, Example
from figtune.dataset.shards import stream_examples
from figtune.models.family import Family, Processor, TokenizedExample
from figtune.models.records import ModelRecord

EXAMPLES = 8
_MOST_DIVERGENCE = 0.02
"""Nats a token. bfloat16 keeps 8 bits of each weight: rounding them costs this much at most where models are sure."""
_LEAST_GREEDY = 0.95


@dataclass(frozen=True, kw_only=True)
class CheckedExample:
    """An example with its image."""

    example: TokenizedExample
    inputs: dict[str, Tensor]
    """Extra inputs of the model's own forward pass, for a batch of one row."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How close two models are over the completions of a few examples."""

    examples: int
    tokens: int
    divergence: float
    """Kullback-Leibler divergence of the second model's predictions from the first's, mean over tokens, in nats."""
    greedy: float
    """Share of tokens at which both find the same one likeliest."""

    @property
    def close(self) -> bool:
        """Whether rounding to bfloat16 explains the difference."""
        return self.divergence <= _MOST_DIVERGENCE and self.greedy >= _LEAST_GREEDY

    @property
    def sentence(self) -> str:
        """For people."""
        return (
            f"over {self.tokens:,} tokens of {self.examples} examples the predictions diverge by {self.divergence:.1e} "
            f"nats a token (allowed: {_MOST_DIVERGENCE:g}), and the likeliest token is the same at {self.greedy:.1%} "
            f"(at least {_LEAST_GREEDY:.0%})"
        )


def checked_examples(
    dataset_dir: Path, family: Family, processor: Processor, record: ModelRecord
) -> list[CheckedExample]:
    """Some of the training examples, evenly spread.

    Raises:
        ArtifactMissingError: there is no data set.
        InputError: a picture cannot be read.
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
        bidirectional = torch.tensor([tokens.bidirectional])
        inputs = {
            **family.pixel_inputs(family.image_inputs(processor, image, record.image_fit)),
            **family.token_inputs(bidirectional, torch.ones_like(bidirectional, dtype=torch.int64)),
        }
        checked.append(CheckedExample(example=tokens, inputs=inputs))
    if not checked:
        raise NothingProducedError("no example leaves room for its completion", "raise --model.max_length")
    return checked


@torch.inference_mode()
def logits_on(model: PreTrainedModel | PeftModel, examples: Sequence[CheckedExample]) -> list[Tensor]:
    """What a model predicts for the completion of each example: float32[N, vocabulary], on the CPU.

    Through the model's own forward pass from pixels to logits, as whoever loads it would call it.
    """
    device = next(model.parameters()).device
    return [_logits(model, example, device) for example in examples]


def _logits(model: PreTrainedModel | PeftModel, example: CheckedExample, device: torch.device) -> Tensor:
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


def agreement(first: Sequence[Tensor], second: Sequence[Tensor]) -> Agreement:
    """Compare predictions for the same examples: float32[N, vocabulary] each."""
    divergence, greedy, tokens = 0.0, 0, 0
    for wanted, found in zip(first, second, strict=True):
        logs = F.log_softmax(wanted, dim=-1)
        divergence += float(F.kl_div(F.log_softmax(found, dim=-1), logs, reduction="sum", log_target=True))
        greedy += int((wanted.argmax(dim=-1) == found.argmax(dim=-1)).sum())
        tokens += len(wanted)
    return Agreement(examples=len(first), tokens=tokens, divergence=divergence / tokens, greedy=greedy / tokens)
