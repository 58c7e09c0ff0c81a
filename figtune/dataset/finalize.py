"""Finalise a dataset: write minitrain and stats.json, fail if nothing is left to train on."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from figtune.core.errors import NothingProducedError
from figtune.core.image_decoding import REMARKS
from figtune.core.jsonl import write_json, write_records
from figtune.core.number_format import count
from figtune.dataset.records import (
    MINITRAIN_FILE,
    REJECTED_FILE,
    STATS_FILE,
    Example,
    Split,
    Stats,
)
from figtune.dataset.rule_meanings import SETTINGS, meaning, rejection_lines
from figtune.dataset.shards import stream_examples
from figtune.dataset.split_assignment import hash_to_unit_interval
from figtune.dataset.stats import StatsCollector

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FinalizeOptions:
    """Options of the last step of a preparation."""

    minitrain_examples: int
    """Largest number."""
    expected_splits: tuple[Split, ...]
    """Splits that should have examples."""
    data_set: str
    """The value in `Stats`."""
    decisions: Mapping[str, int]
    """The value in `Stats`."""


def finalize_dataset(dataset_dir: Path, collector: StatsCollector, ending: FinalizeOptions) -> Stats:
    """Write minitrain.jsonl and stats.json.

    Raises:
        NothingProducedError: no example, or none to train on; what was rejected is on disk.
    """
    minitrain = _write_minitrain(dataset_dir, ending.minitrain_examples)
    stats = replace(
        collector.stats(minitrain, ending.expected_splits, ending.data_set), decisions=dict(ending.decisions)
    )
    write_json(dataset_dir / STATS_FILE, stats)
    for line in rejection_lines(stats):
        logger.info(line)
    _require_examples(stats, dataset_dir)
    _say_what_is_odd(stats)
    for split in stats.empty_splits:
        logger.warning(f"{split} is empty: of {_groups(stats)} the draw left it none; {_remedy_for_draw(split)}")
    return stats


def _say_what_is_odd(stats: Stats) -> None:
    for remark, shown in REMARKS.items():
        if number := stats.image_remarks.get(remark):
            logger.warning(f"examples whose image has {shown}: {number:,} of {stats.figures_used:,}")
    if stats.duplicates:
        total = sum(stats.examples["train"].values())
        logger.warning(
            f"training examples that repeat picture, prompt and text of another one: {stats.duplicates:,} of {total:,}"
        )
    if number := stats.figure_rejections.get("no_id"):
        logger.warning(
            f"rows left out since they have no id in --data.id_column, by which to choose their split: {number:,}"
        )


def _write_minitrain(dataset_dir: Path, at_most: int) -> int:
    """Repeat the training examples that a draw puts first; more papers replace few of them."""
    drawn = heapq.nsmallest(
        at_most, _numbered(dataset_dir), key=lambda item: hash_to_unit_interval(0, f"minitrain {item[1].example_id}")
    )
    return write_records(
        dataset_dir / MINITRAIN_FILE, (example for _, example in sorted(drawn, key=lambda item: item[0]))
    )


def _numbered(dataset_dir: Path) -> Iterator[tuple[int, Example]]:
    return enumerate(stream_examples(dataset_dir, "train"))


def _require_examples(stats: Stats, dataset_dir: Path) -> None:
    if stats.figures_used == 0:
        raise _nothing_used(stats, dataset_dir)
    if "train" in stats.empty_splits:
        raise NothingProducedError(
            f"all {_groups(stats)} fell to val and test, none is left to train on",
            _remedy_for_draw("train"),
        )


def _nothing_used(stats: Stats, dataset_dir: Path) -> NothingProducedError:
    if stats.figures == 0:
        what = "data set has no rows" if stats.data_set else "papers have no figures"
        return NothingProducedError(f"the {what} to make examples of", f"give {_other_input(stats)}")
    # What kept examples from being made says more than that a figure has none.
    counts = {**stats.figure_rejections, **stats.example_rejections}
    counts.pop("no_example", None)
    rule = max(sorted(counts), key=counts.__getitem__)
    what = "rows" if stats.data_set else "figures"
    change = f"change {SETTINGS[rule]}" if rule in SETTINGS else f"give {_other_input(stats)}"
    return NothingProducedError(
        f"none of {count(stats.figures, what)} can be used, most often by the rule {rule} ({counts[rule]:,} times), "
        f"against those {meaning(rule)}",
        f"{change}; each case is in {dataset_dir / REJECTED_FILE}",
    )


def _remedy_for_draw(split: Split) -> str:
    if split == "train":
        return "lower --prepare.val_fraction and --prepare.test_fraction, or try another --prepare.split_seed"
    return f"raise --prepare.{split}_fraction, or try another --prepare.split_seed"


def _groups(stats: Stats) -> str:
    what = "groups of rows" if stats.data_set else "papers"
    return f"{sum(stats.groups.values())} {what}"


def _other_input(stats: Stats) -> str:
    return "another data set with --data.source" if stats.data_set else "other papers with --pdf_dir"
