"""Counting while examples are written, so that the sums can be checked afterwards."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from figtune.examples.records import SPLITS, Example, LengthSummary, Split, Stats
from figtune.examples.sentences import count_words


class Tally:
    """Counts of one preparation."""

    def __init__(self) -> None:
        self._figures = 0
        self._used = 0
        self._groups: defaultdict[Split, set[str]] = defaultdict(set)
        self._examples: defaultdict[Split, Counter[str]] = defaultdict(Counter)
        self._kinds: Counter[str] = Counter()
        self._figure_rejections: Counter[str] = Counter()
        self._example_rejections: Counter[str] = Counter()
        self._cleaned: Counter[str] = Counter()
        self._shortened: Counter[str] = Counter()
        self._words: defaultdict[str, list[int]] = defaultdict(list)

    def reject_figure(self, rule: str) -> None:
        """A figure that no example is about."""
        self._figures += 1
        self._figure_rejections[rule] += 1

    def reject_example(self, rule: str) -> None:
        """An example of a figure, whatever becomes of the others."""
        self._example_rejections[rule] += 1

    def use_figure(self, split: Split, group: str) -> None:
        """A figure that at least one example is about."""
        self._figures += 1
        self._used += 1
        self._groups[split].add(group)

    def add_example(self, split: Split, example: Example, *, shortened: bool) -> None:
        """An example as written."""
        self._examples[split][example.task] += 1
        self._kinds[example.kind] += 1
        self._shortened[example.task] += shortened
        self._words[example.task].append(count_words(example.completion))

    def add_cleaned(self, removed: Counter[str]) -> None:
        """What cleaning rules took from the texts of a figure."""
        self._cleaned += removed

    def stats(self, minitrain: int, wanted: Iterable[Split], data_set: str) -> Stats:
        """Everything counted so far.

        Args:
            wanted: splits that should have examples.
        """
        groups = {split: len(self._groups[split]) for split in SPLITS}
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
            completion_words={task: summary_of(self._words[task]) for task in sorted(self._words)},
            empty_splits=tuple(split for split in wanted if not groups[split]),
        )


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}


def summary_of(lengths: Sequence[int]) -> LengthSummary:
    """What of some lengths is shown in words."""
    return LengthSummary(shortest=min(lengths), median=statistics.median(lengths), longest=max(lengths))
