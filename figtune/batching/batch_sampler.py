"""Length-grouped batches in random order, with the examples of an image kept together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil

import torch

from figtune.batching.packing import first_fit_decreasing

LENGTH_JITTER = 0.25
"""Share by which lengths are stretched at random before they are sorted: so batches differ from epoch to epoch."""
OPEN_BATCHES = 8
"""Batches filled at a time: enough to use up remainders, too few to mix short with long."""

IndexGroup = tuple[int, ...]
"""Examples, by index, that share a prefix in one sequence."""
IndexBatch = tuple[IndexGroup, ...]


@dataclass(frozen=True, kw_only=True)
class ExampleLength:
    """Tokens of one example."""

    prefix: Hashable
    """Key of the shared prefix: examples with the same key have their first `shared` tokens in common."""
    shared: int
    """Tokens of the shared prefix."""
    own: int
    """Tokens after the shared prefix."""
    is_question: bool = False
    """True for short questions and words to read, which nothing but the image answers."""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """Upper bounds for one batch."""

    examples: int
    tokens: int
    """Token budget including padding; a single longer example forms its own batch."""


class LengthGroupedSampler:
    """Batches of every epoch, determined by seed and epoch alone; every epoch has the same number.

    The number is a multiple of `batches_per_step` where there are that many examples: two processes then take in one
    step what one process accumulates in two. It is always a multiple of `processes`, if need be by empty batches, which
    come last.

    With a share of questions, an epoch takes all other examples once, and of the questions as many as make up the
    share: each epoch the next ones of a random order, over and over.
    """

    def __init__(
        self,
        examples: Sequence[ExampleLength],
        limits: BatchLimits,
        *,
        seed: int,
        epochs: float,
        processes: int,
        batches_per_step: int,
        question_share: float = 0.0,
    ) -> None:
        self._examples = examples
        self._limits = limits
        self._seed = seed
        self._questions = [index for index, each in enumerate(examples) if each.is_question] if question_share else []
        others = len(examples) - len(self._questions)
        if not others:
            self._questions = []
        self._asked = round(others * question_share / (1 - question_share)) if self._questions else 0
        self.examples = others + self._asked if self._questions else len(examples)
        """Examples in an epoch."""
        self._groups = [] if self._questions else _groups(examples, range(len(examples)), limits)
        # Each is composed once: kept until it is asked for, and then until the next one is.
        self._composed = {epoch: self._compose(epoch) for epoch in range(max(1, ceil(epochs)))}
        self._latest: tuple[int, list[IndexBatch]] = (-1, [])
        most = max(len(batches) for batches, _ in self._composed.values())
        self.steps = ceil(most / batches_per_step)
        """Optimizer steps in an epoch."""
        self._full = min(self.examples, batches_per_step * self.steps)
        self._empty = -self._full % processes

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self._full + self._empty

    def batches(self, epoch: int) -> list[IndexBatch]:
        """Return the batches of an epoch: every example once, or questions by their share."""
        if self._latest[0] != epoch:
            self._latest = epoch, self._ordered(*(self._composed.pop(epoch, None) or self._compose(epoch)))
        return self._latest[1]

    def _ordered(self, batches: list[IndexBatch], generator: torch.Generator) -> list[IndexBatch]:
        """Return batches in random order, halved and padded to the number of every epoch."""
        while len(batches) < self._full:
            largest = max(range(len(batches)), key=lambda index: sum(map(len, batches[index])))
            batches[largest : largest + 1] = _halves(batches[largest])
        shuffled = [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]
        return [*shuffled, *[()] * self._empty]

    def _compose(self, epoch: int) -> tuple[list[IndexBatch], torch.Generator]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        groups = self._groups or _groups(self._examples, self._drawn(epoch), self._limits)
        jitter = 1 + LENGTH_JITTER * torch.rand(len(groups), generator=generator, dtype=torch.float64)
        lengths = torch.tensor([_length(self._examples, group) for group in groups], dtype=torch.float64)
        sequence = torch.argsort(lengths * jitter, descending=True, stable=True).tolist()
        return _fill(self._examples, (groups[index] for index in sequence), self._limits), generator

    def _drawn(self, epoch: int) -> list[int]:
        """Return the examples of an epoch, by index, in their order."""
        order = torch.randperm(len(self._questions), generator=torch.Generator().manual_seed(self._seed)).tolist()
        turns = range(epoch * self._asked, (epoch + 1) * self._asked)
        asked = [self._questions[order[turn % len(order)]] for turn in turns]
        return sorted([*(set(range(len(self._examples))) - set(self._questions)), *asked])


def eval_batches(examples: Sequence[ExampleLength], limits: BatchLimits) -> list[IndexBatch]:
    """Return batches with every example once, the longest first: for evaluation."""
    groups = sorted(_groups(examples, range(len(examples)), limits), key=lambda group: -_length(examples, group))
    return _fill(examples, groups, limits)


def _groups(examples: Sequence[ExampleLength], indices: Iterable[int], limits: BatchLimits) -> list[IndexGroup]:
    """Group examples by prefix; those of a prefix that has too many for a batch in several groups."""
    by_prefix: dict[Hashable, list[list[int]]] = {}
    for index in indices:
        groups = by_prefix.setdefault(examples[index].prefix, [[]])
        if groups[-1] and not _fits(examples, [(*groups[-1], index)], limits):
            groups.append([])
        groups[-1].append(index)
    return [tuple(group) for groups in by_prefix.values() for group in groups]


def _fill(examples: Sequence[ExampleLength], groups: Iterable[IndexGroup], limits: BatchLimits) -> list[IndexBatch]:
    """Put each group into the first of the latest batches that has room for it."""
    batches: list[list[IndexGroup]] = []
    for group in groups:
        unfinished = batches[-OPEN_BATCHES:]
        fitting = next((batch for batch in unfinished if _fits(examples, [*batch, group], limits)), None)
        if fitting is None:
            batches.append([group])
        else:
            fitting.append(group)
    return [tuple(batch) for batch in batches]


def _fits(examples: Sequence[ExampleLength], batch: Sequence[IndexGroup], limits: BatchLimits) -> bool:
    return sum(map(len, batch)) <= limits.examples and padded_tokens(examples, batch) <= limits.tokens


def _length(examples: Sequence[ExampleLength], group: IndexGroup) -> int:
    return examples[group[0]].shared + sum(examples[index].own for index in group)


def _halves(batch: IndexBatch) -> tuple[IndexBatch, IndexBatch]:
    """Halve the groups of a batch, or else the examples of its only one."""
    if len(batch) > 1:
        return batch[: len(batch) // 2], batch[len(batch) // 2 :]
    (group,) = batch
    return (group[: len(group) // 2],), (group[len(group) // 2 :],)


def passes_of(batches: Sequence[IndexBatch], batches_per_pass: int) -> list[IndexBatch]:
    """Put that many batches in a row into each forward pass."""
    return [
        tuple(group for batch in batches[first : first + batches_per_pass] for group in batch)
        for first in range(0, len(batches), batches_per_pass)
    ]


def padded_tokens(examples: Sequence[ExampleLength], batch: Sequence[IndexGroup]) -> int:
    """Return the tokens of a batch, padding included."""
    lengths = [_length(examples, group) for group in batch]
    return max(lengths) * len(first_fit_decreasing(lengths)) if lengths else 0
