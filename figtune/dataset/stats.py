"""Counting while examples are written, so that the sums can be checked afterwards."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate

import numpy as np

from figtune.core.image_decoding import Remark
from figtune.dataset.legibility import count_readable_words
from figtune.dataset.records import SPLITS, Example, LengthSummary, Split, Stats
from figtune.dataset.sentences import count_words
from figtune.extraction.records import FigureRecord


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
        for encoder, count in readable.items():
            self._readable[encoder][figure.kind] += count

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
