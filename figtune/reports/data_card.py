"""The data set's `README.md`: sources, counts, splits, tasks, lengths; and `lengths.svg`, the plot in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from figtune.examples.records import (
    CARD_FILE,
    LENGTHS_FILE,
    SPLITS,
    STATS_FILE,
    Example,
    Stats,
    examples_file,
)
from figtune.examples.sentences import count_words
from figtune.examples.tasks import TASKS
from figtune.pipeline.files import replacing, write_text
from figtune.pipeline.records import read_json, stream_records

_MADE_BY = "python prepare_data.py"
_BINS = 30

# Markdown, so nothing is escaped as HTML; the card holds counts and names of this project only, no text of a paper.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def write_data_card(dataset_dir: Path) -> None:
    """Write `README.md` and `lengths.svg` beside the examples.

    Raises:
        ArtifactMissingError: the data set is not there.
        InputError: a line in it is no record.
    """
    stats = read_json(dataset_dir / STATS_FILE, Stats, _MADE_BY)
    write_lengths(dataset_dir / LENGTHS_FILE, _lengths(dataset_dir))
    tasks = [entry for entry in TASKS if entry.name in stats.completion_words]
    total = sum(sum(counts.values()) for counts in stats.examples.values())
    card = _TEMPLATES.get_template("data_set_card.md" if stats.data_set else "data_card.md")
    text = card.render(stats=stats, splits=SPLITS, tasks=tasks, total=total, plot=LENGTHS_FILE)
    write_text(dataset_dir / CARD_FILE, text)


def write_lengths(path: Path, lengths: Mapping[str, Iterable[int]]) -> None:
    """Draw completion lengths in words, one histogram a task, as SVG of reproducible bytes."""
    with matplotlib.rc_context({"svg.hashsalt": "figtune", "font.size": 9}), replacing(path) as temporary:
        figure = Figure(figsize=(8, 2.4), layout="constrained")
        panels = figure.subplots(1, max(1, len(lengths)), squeeze=False, sharex=True)[0]
        for panel, (task, words) in zip(panels, sorted(lengths.items()), strict=True):
            panel.hist(list(words), bins=_BINS, color="#2563c9")
            panel.set(title=task, xlabel="words")
            panel.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("examples")
        figure.savefig(temporary, metadata={"Date": None, "Creator": None})


def _lengths(dataset_dir: Path) -> dict[str, list[int]]:
    lengths: defaultdict[str, list[int]] = defaultdict(list)
    for split in SPLITS:
        for example in stream_records(dataset_dir / examples_file(split), Example, _MADE_BY):
            lengths[example.task].append(count_words(example.completion))
    return lengths
