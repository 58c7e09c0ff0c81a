"""Finalise a dataset: count examples while they are written, write minitrain and stats.json, fail if none is left."""

from __future__ import annotations

import hashlib
import heapq
import logging
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from figtune.core.errors import NothingProducedError
from figtune.core.image_decoding import REMARKS, Remark
from figtune.core.jsonl import write_json, write_records
from figtune.core.number_format import count
from figtune.dataset.figure_words import count_readable_words
from figtune.dataset.records import (
    MINITRAIN_FILE,
    REJECTED_FILE,
    SPLITS,
    STATS_FILE,
    Example,
    LengthSummary,
    Split,
    Stats,
)
from figtune.dataset.rule_meanings import SETTINGS, meaning, rejection_lines
from figtune.dataset.sentences import count_words
from figtune.dataset.shards import stream_examples
from figtune.dataset.split_assignment import hash_to_unit_interval
from figtune.extraction.records import FigureRecord

logger = logging.getLogger(__name__)


class StatsCollector:
    """Counts of one preparation. All but the groups are of a bounded number of things; of those 8 bytes are kept for
    each figure or row and each training example."""

    def __init__(self) -> None:
        self._figures = 0
        self._used = 0
        self._groups: defaultdict[Split, array[int]] = defaultdict(lambda: array("Q"))
        self._examples: defaultdict[Split, Counter[str]] = defaultdict(Counter)
        self._kinds: Counter[str] = Counter()
        self._figure_rejections: Counter[str] = Counter()
        self._example_rejections: Counter[str] = Counter()
        self._cleaned: Counter[str] = Counter()
        self._shortened: Counter[str] = Counter()
        self._remarks: Counter[str] = Counter()
        self._trained_on = array("Q")
        self._quality: defaultdict[str, list[int]] = defaultdict(lambda: [0] * 10)
        self._words: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._printed: Counter[str] = Counter()
        self._readable: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def reject_figure(self, rule: str) -> None:
        """Count a figure that no example is about."""
        self._figures += 1
        self._figure_rejections[rule] += 1

    def reject_example(self, rule: str) -> None:
        """Count an example of a figure, whatever becomes of the others."""
        self._example_rejections[rule] += 1

    def use_figure(self, split: Split, group: str) -> None:
        """Count a figure that at least one example is about."""
        self._figures += 1
        self._used += 1
        self._groups[split].append(_hash_of(group))

    def add_printed_words(self, figure: FigureRecord) -> None:
        """Count the words printed in a figure that is used, and those that each encoder can read."""
        words, readable = count_readable_words(figure)
        self._printed[figure.kind] += words
        for encoder, words in readable.items():
            self._readable[encoder][figure.kind] += words

    def add_example(self, split: Split, example: Example, *, shortened: bool) -> None:
        """Count an example as written."""
        self._examples[split][example.task] += 1
        self._kinds[example.kind] += 1
        self._shortened[example.task] += shortened
        self._words[example.task][count_words(example.completion)] += 1
        self._quality[example.task][min(int(10 * example.quality), 9)] += 1
        if split == "train":
            self._trained_on.append(_hash_of(example.image_sha256, example.prompt, example.completion))

    def add_remarks(self, remarks: Iterable[Remark]) -> None:
        """Count remarks on the image of an example."""
        self._remarks.update(remarks)

    def add_cleaned(self, removed: Counter[str]) -> None:
        """Count the sentences that cleaning rules changed in the texts of a figure."""
        self._cleaned += removed

    def stats(self, minitrain: int, wanted: Iterable[Split], data_set: str) -> Stats:
        """Return everything counted so far.

        Args:
            wanted: splits that should have examples.
        """
        groups = {split: len(np.unique(self._groups[split])) for split in SPLITS}
        return Stats(
            data_set=data_set,
            figures=self._figures,
            figures_used=self._used,
            figures_rejected=self._figure_rejections.total(),
            examples_rejected=self._example_rejections.total(),
            groups={split: groups[split] for split in SPLITS},
            examples={split: _sorted(self._examples[split]) for split in SPLITS},
            minitrain=minitrain,
            kinds=_sorted(self._kinds),
            figure_rejections=_sorted(self._figure_rejections),
            example_rejections=_sorted(self._example_rejections),
            cleaned=_sorted(self._cleaned),
            shortened=_sorted(self._shortened),
            duplicates=len(self._trained_on) - len(np.unique(self._trained_on)),
            image_remarks=_sorted(self._remarks),
            completion_words={task: summary_of(self._words[task]) for task in sorted(self._words)},
            quality={task: tuple(self._quality[task]) for task in sorted(self._quality)},
            empty_splits=tuple(split for split in wanted if not groups[split]),
            printed_words=_sorted(+self._printed),
            legibility={encoder: self._shares(readable) for encoder, readable in self._readable.items()},
        )

    def _shares(self, readable: Counter[str]) -> dict[str, float]:
        return {kind: round(readable[kind] / words, 3) for kind, words in _sorted(+self._printed).items()}


def _hash_of(*texts: str) -> int:
    """Return 8 bytes of a hash."""
    return int.from_bytes(hashlib.blake2b("\0".join(texts).encode(), digest_size=8).digest(), "big")


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}


def summary_of(lengths: Mapping[int, int]) -> LengthSummary:
    """Summarise a distribution of lengths.

    Args:
        lengths: number of texts by length.
    """
    ordered = sorted(lengths)
    up_to = list(accumulate(lengths[length] for length in ordered))
    lower, upper = (ordered[bisect_left(up_to, place)] for place in ((up_to[-1] + 1) // 2, up_to[-1] // 2 + 1))
    median = (lower + upper) / 2 if up_to[-1] % 2 == 0 else lower
    return LengthSummary(shortest=ordered[0], median=median, longest=ordered[-1])


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
    if number := stats.decisions.get("unused"):
        logger.warning(
            f"decisions that nothing is made for now: {number:,}; an example that the rules give another target now is "
            "undecided, also if it was rejected, and --review shows it with what was decided before"
        )
    if number := stats.figure_rejections.get("no_id"):
        logger.warning(
            f"rows left out since they have no id in --data.id_column, by which to choose their split: {number:,}"
        )


def _write_minitrain(dataset_dir: Path, at_most: int) -> int:
    """Repeat the training examples that a draw puts first; more papers replace few of them."""
    numbered = enumerate(stream_examples(dataset_dir, "train"))
    drawn = heapq.nsmallest(
        at_most, numbered, key=lambda item: hash_to_unit_interval(0, f"minitrain {item[1].example_id}")
    )
    return write_records(
        dataset_dir / MINITRAIN_FILE, (example for _, example in sorted(drawn, key=lambda item: item[0]))
    )


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
