"""Data set preview `preview.html`: a sample of the examples of every task, and of the rejections by rule."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from figtune.core import commands
from figtune.core.io import write_text
from figtune.core.jsonl import read_json, stream_records
from figtune.core.number_format import count
from figtune.dataset.figure_words import READABLE_PIXELS
from figtune.dataset.records import (
    PREVIEW_FILE,
    REJECTED_FILE,
    SPLITS,
    STATS_FILE,
    Example,
    Rejection,
    Split,
    Stats,
)
from figtune.dataset.sentences import count_words
from figtune.dataset.shards import stream_examples
from figtune.dataset.split_assignment import hash_to_unit_interval
from figtune.reports.data_card import TokenCounter, token_counter
from figtune.reports.render import render_page

_EXAMPLES_OF_EACH = 6
"""Examples shown per split and task."""
_REJECTIONS_OF_EACH = 5
"""Rejections shown per rule."""
_WORDS_FOR_FIGURES = {"groups": "papers", "units": "figures", "rejected": "figures and tables"}
_WORDS_FOR_ROWS = {"groups": "groups", "units": "rows", "rejected": "rows"}

Item = TypeVar("Item")


def write_preview(dataset_dir: Path, tokenizer_file: Path) -> None:
    """Write `preview.html` beside the examples: a sample by hash of every split and task, and of every rule.

    Args:
        tokenizer_file: tokenizer of the model, if it has been set up.

    Raises:
        ArtifactMissingError: the data set is not there.
        InputError: a line in it is no record.
    """
    stats = read_json(dataset_dir / STATS_FILE, Stats, commands.PREPARE)
    rejections = stream_records(dataset_dir / REJECTED_FILE, Rejection, commands.PREPARE)
    context: dict[str, object] = {
        "stats": stats,
        "words": _WORDS_FOR_ROWS if stats.data_set else _WORDS_FOR_FIGURES,
        "total": sum(sum(tasks.values()) for tasks in stats.examples.values()),
        "splits": SPLITS,
        "tasks": sorted({task for tasks in stats.examples.values() for task in tasks}),
        "shown": [(split, example) for split in SPLITS for example in _sample_of(dataset_dir, split)],
        "length": partial(_length, count_tokens=token_counter(tokenizer_file)),
        "rejected": list(_sample(((each.rule, each.item_id, each) for each in rejections), _REJECTIONS_OF_EACH)),
        "is_there": lambda image: (dataset_dir / image).is_file(),
        "readable_pixels": READABLE_PIXELS,
    }
    write_text(dataset_dir / PREVIEW_FILE, render_page("Training examples", "preview.html", context))


def _length(text: str, count_tokens: TokenCounter | None) -> str:
    """Return a length in words, and in tokens if there is a tokenizer."""
    words = count(count_words(text), "words")
    return words if count_tokens is None else f"{words}, {count(count_tokens(text), 'tokens')}"


def _sample_of(dataset_dir: Path, split: Split) -> Iterable[Example]:
    """Return a sample of every task, the lowest quality first within each."""
    examples = stream_examples(dataset_dir, split)
    sample = _sample(((each.task, each.example_id, each) for each in examples), _EXAMPLES_OF_EACH)
    return sorted(sample, key=lambda each: (each.task, each.quality))


def _sample(items: Iterable[tuple[str, str, Item]], size: int) -> Iterator[Item]:
    """Yield `size` items of each kind, sampled by a hash of their names: the same on every run.

    Args:
        items: (kind, name, item).
    """
    drawn: defaultdict[str, list[tuple[float, int, Item]]] = defaultdict(list)
    for number, (kind, name, item) in enumerate(items):
        entry = (-hash_to_unit_interval(0, f"preview {name}"), number, item)
        if len(drawn[kind]) < size:
            heapq.heappush(drawn[kind], entry)
        else:
            heapq.heappushpop(drawn[kind], entry)
    for kind in sorted(drawn):
        yield from (item for _, _, item in sorted(drawn[kind], key=lambda entry: entry[1]))
