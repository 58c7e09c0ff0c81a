"""Rows for training and for generation: the same prefix, tokenised in the same way, with and without a completion."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice

from transformers import ProcessorMixin

from figtune.core.errors import InputError
from figtune.core.log import log
from figtune.models.family import Family, Prefix, TokenisedRow, text_ids

_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s)")
_WORD_END = re.compile(r"\S(?=\s)")
_WORTHWHILE = 0.5
"""A cut at a sentence end must leave this share of what there is room for; otherwise it falls between words."""


def prompt_row(family: Family, processor: ProcessorMixin, prompt: str) -> TokenisedRow:
    """What the model reads before it answers."""
    prefix = family.prefix(processor, prompt)
    return TokenisedRow(
        input_ids=prefix.input_ids,
        token_type_ids=prefix.token_type_ids,
        prompt_length=len(prefix.input_ids),
        shared_length=prefix.shared_length,
    )


def training_row(
    family: Family, processor: ProcessorMixin, prompt: str, completion: str, max_length: int
) -> TokenisedRow:
    """An example to learn from.

    Args:
        max_length: text tokens of prompt, completion and stop token together. A longer completion is cut, at the
            end of a sentence where possible; the stop token stays, or the model would never learn to stop.

    Raises:
        InputError: the prompt leaves no room for a completion.
    """
    prefix = family.prefix(processor, prompt)
    stop_id = family.stop_ids(processor)[0]
    ids, truncated = _fitting(processor, completion.strip(), _room(prefix, max_length))
    learned = (*ids, stop_id)
    return TokenisedRow(
        input_ids=prefix.input_ids + learned,
        token_type_ids=prefix.token_type_ids + (family.completion_type,) * len(learned),
        prompt_length=len(prefix.input_ids),
        shared_length=prefix.shared_length,
        truncated=truncated,
    )


def tell_of_misfits(misfits: Mapping[str, InputError]) -> None:
    """One line for all examples, by their id, that `training_row` has refused, however many there are."""
    for example_id, misfit in islice(misfits.items(), 1):
        others = f" and {len(misfits) - 1:,} more" if len(misfits) > 1 else ""
        log(f"{example_id}{others} left out: {misfit}")


def _room(prefix: Prefix, max_length: int) -> int:
    prompt_tokens = len(prefix.input_ids) - prefix.image_tokens
    room = max_length - prompt_tokens - 1
    if room < 1:
        raise InputError(
            f"the prompt takes {prompt_tokens} text tokens, which leaves no room for a completion in {max_length}",
            "raise --model.max_length",
        )
    return room


def _fitting(processor: ProcessorMixin, text: str, room: int) -> tuple[tuple[int, ...], bool]:
    """Tokens of as much of `text` as fits, and whether any had to go."""
    ids = text_ids(processor, text)
    if len(ids) <= room:
        return ids, False
    starts = _starts(processor, text)
    for cut, least in ((_SENTENCE_END, _WORTHWHILE * room), (_WORD_END, 1)):
        counts = [_tokens_before(starts, match.end()) for match in cut.finditer(text)]
        if fitting := [count for count in counts if least <= count <= room]:
            return ids[: fitting[-1]], True
    return ids[:room], True


def _starts(processor: ProcessorMixin, text: str) -> list[int]:
    """Where each token of `text` starts, in characters."""
    tokenizer = processor.tokenizer
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    return [start for start, _ in encoded["offset_mapping"]]


def _tokens_before(starts: list[int], position: int) -> int:
    return sum(start < position for start in starts)
