"""Tokenize examples: the same prompt tokens for training and for generation, with and without a completion."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from itertools import islice

from figtune.core.errors import InputError
from figtune.models.family import Family, ImageLayout, Processor, PromptTokens, TokenizedExample, text_ids

logger = logging.getLogger(__name__)

_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s)")
_WORD_END = re.compile(r"\S(?=\s)")
_WORTHWHILE = 0.5
"""A cut at a sentence end must leave this share of what there is room for; otherwise it falls between words."""


def tokenize_prompt(family: Family, processor: Processor, prompt: str, image: ImageLayout) -> TokenizedExample:
    """Return what the model reads before it answers."""
    tokens = family.tokenize(processor, prompt, image)
    return TokenizedExample(
        input_ids=tokens.input_ids,
        bidirectional=tokens.bidirectional,
        prompt_length=len(tokens.input_ids),
        shared_prefix_length=tokens.shared_prefix_length,
        image=image,
    )


def tokenize_example(
    family: Family, processor: Processor, prompt: str, completion: str, image: ImageLayout, max_length: int
) -> TokenizedExample:
    """Return an example to learn from.

    Args:
        max_length: text tokens of prompt, completion and stop token together. A longer completion is cut, at the
            end of a sentence where possible; the stop token stays, or the model would never learn to stop.

    Raises:
        InputError: the prompt leaves no room for a completion.
    """
    tokens = family.tokenize(processor, prompt, image)
    stop_id = family.stop_ids(processor)[0]
    text = f"{family.completion_lead}{completion.strip()}"
    ids, truncated = _fitting(processor, text, _room(tokens, max_length))
    targets = (*ids, stop_id)
    return TokenizedExample(
        input_ids=tokens.input_ids + targets,
        bidirectional=tokens.bidirectional + (False,) * len(targets),
        prompt_length=len(tokens.input_ids),
        shared_prefix_length=tokens.shared_prefix_length,
        image=image,
        truncated=truncated,
    )


def prompt_length(family: Family, processor: Processor, prompt: str) -> int:
    """Return the number of text tokens of a prompt, whatever its image."""
    tokens = family.tokenize(processor, prompt, family.image_layout(processor, (1, 1)))
    return len(tokens.input_ids) - tokens.image_tokens


def check_room(family: Family, processor: Processor, prompt: str, max_length: int) -> None:
    """Check that a prompt leaves room for a completion, whatever its image.

    Raises:
        InputError: it does not.
    """
    _room(family.tokenize(processor, prompt, family.image_layout(processor, (1, 1))), max_length)


def log_too_long(refused: Mapping[str, InputError]) -> None:
    """Log one line for all examples, by their id, that `tokenize_example` has refused, however many there are."""
    for example_id, refusal in islice(refused.items(), 1):
        others = f" and {len(refused) - 1:,} more" if len(refused) > 1 else ""
        logger.warning(f"{example_id}{others} left out: {refusal}")


def _room(prompt: PromptTokens, max_length: int) -> int:
    prompt_tokens = len(prompt.input_ids) - prompt.image_tokens
    room = max_length - prompt_tokens - 1
    if room < 1:
        raise InputError(
            f"the prompt takes {prompt_tokens} text tokens, which leaves no room for a completion in {max_length}",
            "raise --model.max_length",
        )
    return room


def _fitting(processor: Processor, text: str, room: int) -> tuple[tuple[int, ...], bool]:
    """Return the tokens of as much of `text` as fits, and True where any had to go."""
    ids = text_ids(processor, text)
    if len(ids) <= room:
        return ids, False
    starts = _starts(processor, text)
    for cut, least in ((_SENTENCE_END, _WORTHWHILE * room), (_WORD_END, 1)):
        counts = [sum(start < match.end() for start in starts) for match in cut.finditer(text)]
        if fitting := [count for count in counts if least <= count <= room]:
            return ids[: fitting[-1]], True
    return ids[:room], True


def _starts(processor: Processor, text: str) -> list[int]:
    """Return the start of each token of `text`, in characters."""
    tokenizer = processor.tokenizer
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    return [start for start, _ in encoded["offset_mapping"]]
