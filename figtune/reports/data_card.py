"""Data set card: `README.md` with sources, counts, splits, tasks and rules, and its plot `lengths.svg`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from figtune.core import commands
from figtune.core.image_decoding import REMARKS
from figtune.core.io import atomic_write, write_text
from figtune.core.jsonl import read_json
from figtune.dataset.finalize import summary_of
from figtune.dataset.records import (
    CARD_FILE,
    LENGTHS_FILE,
    SPLITS,
    STATS_FILE,
    Stats,
)
from figtune.dataset.sentences import count_words
from figtune.dataset.shards import stream_examples
from figtune.dataset.task_prompts import TASKS
from figtune.reports.render import render_markdown

_BINS = 30
_AXES = {"words": "words of the completion", "tokens": "text tokens of prompt and completion"}


@dataclass(frozen=True)
class _LengthCounts:
    """Histograms of example lengths by task."""

    words: dict[str, Counter[int]]
    """Words of completions."""
    tokens: dict[str, Counter[int]]
    """Tokens of prompt and completion together; empty without a tokenizer."""


def write_data_card(dataset_dir: Path, tokenizer_file: Path) -> None:
    """Write `README.md` and `lengths.svg` beside the examples.

    Args:
        tokenizer_file: tokenizer of the model, if it has been set up.

    Raises:
        ArtifactMissingError: the data set is not there.
        InputError: a line in it is no record.
    """
    stats = read_json(dataset_dir / STATS_FILE, Stats, commands.PREPARE)
    lengths = _lengths(dataset_dir, token_counter(tokenizer_file))
    rows = {"words": lengths.words, "tokens": lengths.tokens} if lengths.tokens else {"words": lengths.words}
    write_lengths(dataset_dir / LENGTHS_FILE, rows)
    context: dict[str, object] = {
        "stats": stats,
        "splits": SPLITS,
        "tasks": [entry for entry in TASKS if entry.name in stats.completion_words],
        "total": sum(sum(counts.values()) for counts in stats.examples.values()),
        "tokens": {task: summary_of(counts) for task, counts in sorted(lengths.tokens.items())},
        "plot": LENGTHS_FILE,
        "remarks": REMARKS,
    }
    text = render_markdown("data_set_card.md" if stats.data_set else "data_card.md", context)
    write_text(dataset_dir / CARD_FILE, text)


def write_lengths(path: Path, rows: Mapping[str, Mapping[str, Mapping[int, int]]]) -> None:
    """Draw length histograms by task into a byte-reproducible SVG.

    Args:
        rows: counts by unit ("words" or "tokens"), task and length.
    """
    tasks = sorted({task for lengths in rows.values() for task in lengths})
    with matplotlib.rc_context({"svg.hashsalt": "figtune", "font.size": 9}), atomic_write(path) as temporary:
        figure = Figure(figsize=(8, 2.4 * len(rows)), layout="constrained")
        panels = figure.subplots(len(rows), max(1, len(tasks)), squeeze=False, sharex="row")
        for line, (unit, lengths) in zip(panels, rows.items(), strict=True):
            longest = max((length for of_task in lengths.values() for length in of_task), default=1)
            for panel, task in zip(line, tasks, strict=False):
                counts = lengths.get(task, {})
                panel.hist(list(counts), bins=_BINS, range=(0, longest), weights=list(counts.values()), color="#2563c9")
                panel.set_title(task)
                panel.spines[["top", "right"]].set_visible(False)
            line[0].set_ylabel("examples")
            # One label for the row: below each of six narrow panels they would run into each other.
            line[len(tasks) // 2].set_xlabel(_AXES[unit])
        figure.savefig(temporary, metadata={"Date": None, "Creator": None})


def _lengths(dataset_dir: Path, count_tokens: TokenCounter | None) -> _LengthCounts:
    words: defaultdict[str, Counter[int]] = defaultdict(Counter)
    tokens: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for split in SPLITS:
        for example in stream_examples(dataset_dir, split):
            words[example.task][count_words(example.completion)] += 1
            if count_tokens is not None:
                tokens[example.task][count_tokens(example.prompt) + count_tokens(example.completion)] += 1
    return _LengthCounts(words=words, tokens=tokens)


TokenCounter = Callable[[str], int]


def token_counter(tokenizer_file: Path) -> TokenCounter | None:
    """Return a function that counts the tokens of a text without special tokens; None if no model is set up yet.

    Args:
        tokenizer_file: a `tokenizer.json`.
    """
    if not tokenizer_file.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
