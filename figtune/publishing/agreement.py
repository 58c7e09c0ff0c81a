"""Whether two models say the same: their predictions on a few examples of the data set, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel, ProcessorMixin

from figtune.batches.rows import training_row
from figtune.core import commands
from figtune.core.errors import InputError, NothingProducedError
from figtune.core.images import read_image
from figtune.core.jsonl import read_records
from figtune.dataset.records import MINITRAIN_FILE, Example
from figtune.dataset.shards import stream_examples
from figtune.models.family import Family, TokenisedRow
from figtune.models.features import fitted
from figtune.models.records import ModelRecord

EXAMPLES = 8
_MOST_DIVERGENCE = 0.02
"""Nats a token. bfloat16 keeps 8 bits of each weight: rounding them costs this much at most where models are sure."""
_LEAST_GREEDY = 0.95


@dataclass(frozen=True, kw_only=True)
class CheckedExample:
    """A row with its picture: pixels float32[1, 3, H, W]."""

    row: TokenisedRow
    pixels: Tensor


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
    dataset_dir: Path, family: Family, processor: ProcessorMixin, record: ModelRecord
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
        try:
            row = training_row(family, processor, example.prompt, example.completion, record.max_length)
        except InputError:
            continue
        image = fitted(read_image(dataset_dir / example.image), record.image_fit, _side(processor))
        checked.append(CheckedExample(row=row, pixels=family.pixel_values(processor, [image])))
    if not checked:
        raise NothingProducedError("no example leaves room for its completion", "raise --model.max_length")
    return checked


def _side(processor: ProcessorMixin) -> int:
    return int(processor.image_processor.size["height"])


@torch.inference_mode()
def logits_on(model: PreTrainedModel | PeftModel, examples: Sequence[CheckedExample]) -> list[Tensor]:
    """What a model predicts for the completion of each example: float32[N, vocabulary], on the CPU.

    Through the model's own forward pass from pixels to logits, as whoever loads it would call it.
    """
    device = next(model.parameters()).device
    return [_logits(model, example, device) for example in examples]


def _logits(model: PreTrainedModel | PeftModel, example: CheckedExample, device: torch.device) -> Tensor:
    ids = torch.tensor([example.row.input_ids], device=device)
    output = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        token_type_ids=torch.tensor([example.row.token_type_ids], device=device),
        pixel_values=example.pixels.to(device),
        logits_to_keep=example.row.learned_tokens + 1,
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
