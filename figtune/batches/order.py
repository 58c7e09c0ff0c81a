"""The order in which examples are read: pictures at random, with the examples about each, in batches of like length."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil

import torch

from figtune.batches.bundles import lines_of

_LOOSENESS = 0.25
"""Lengths are taken to be up to this share longer than they are: so batches differ from epoch to epoch."""
_OPEN = 8
"""Batches that are still being filled at a time: enough to make use of remainders, too few to mix short with long."""

IndexBundle = tuple[int, ...]
"""Examples, by index, that go into one sequence."""
IndexBatch = tuple[IndexBundle, ...]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What an example takes."""

    picture: Hashable
    """Examples of the same have their first `shared` tokens in common."""
    shared: int
    own: int
    """Tokens that it has to itself."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of a batch."""

    examples: int
    tokens: int
    """Padding included. An example that alone has more is a batch all the same."""


class Order:
    """Batches of every epoch, which follow from seed and epoch alone; all epochs have as many.

    Their number is a multiple of `batches_per_step` where there are that many examples: so two processes take in one
    step what one process accumulates in two. It is a multiple of `processes` always, if need be by batches of nothing,
    which come last.
    """

    def __init__(
        self,
        extents: Sequence[Extent],
        limits: Limits,
        *,
        seed: int,
        epochs: float,
        processes: int,
        batches_per_step: int,
    ) -> None:
        self._extents = extents
        self._limits = limits
        self._seed = seed
        self._bundles = _bundles(extents, limits)
        most = max(len(self._composed(epoch)[0]) for epoch in range(max(1, ceil(epochs))))
        self.steps = ceil(most / batches_per_step)
        """Optimizer steps in an epoch."""
        self._full = min(len(extents), batches_per_step * self.steps)
        self._idle = -self._full % processes

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._full + self._idle

    def batches(self, epoch: int) -> list[IndexBatch]:
        """Every example once."""
        batches, generator = self._composed(epoch)
        while len(batches) < self._full:
            largest = max(range(len(batches)), key=lambda index: sum(map(len, batches[index])))
            batches[largest : largest + 1] = _halves(batches[largest])
        shuffled = [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]
        return [*shuffled, *[()] * self._idle]

    def _composed(self, epoch: int) -> tuple[list[IndexBatch], torch.Generator]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        looseness = 1 + _LOOSENESS * torch.rand(len(self._bundles), generator=generator, dtype=torch.float64)
        lengths = torch.tensor([_length(self._extents, bundle) for bundle in self._bundles], dtype=torch.float64)
        sequence = torch.argsort(lengths * looseness, descending=True, stable=True).tolist()
        return _filled(self._extents, (self._bundles[index] for index in sequence), self._limits), generator


def steady_batches(extents: Sequence[Extent], limits: Limits) -> list[IndexBatch]:
    """Every example once, the longest first: for evaluation."""
    bundles = sorted(_bundles(extents, limits), key=lambda bundle: -_length(extents, bundle))
    return _filled(extents, bundles, limits)


def _bundles(extents: Sequence[Extent], limits: Limits) -> list[IndexBundle]:
    """Examples by picture; those of a picture that has too many for a batch in several bundles."""
    by_picture: dict[Hashable, list[list[int]]] = {}
    for index, extent in enumerate(extents):
        bundles = by_picture.setdefault(extent.picture, [[]])
        if bundles[-1] and not _fits(extents, [(*bundles[-1], index)], limits):
            bundles.append([])
        bundles[-1].append(index)
    return [tuple(bundle) for bundles in by_picture.values() for bundle in bundles]


def _filled(extents: Sequence[Extent], bundles: Iterable[IndexBundle], limits: Limits) -> list[IndexBatch]:
    """Batches, each bundle in the first of the latest ones that has room for it."""
    batches: list[list[IndexBundle]] = []
    for bundle in bundles:
        unfinished = batches[-_OPEN:]
        fitting = next((batch for batch in unfinished if _fits(extents, [*batch, bundle], limits)), None)
        if fitting is None:
            batches.append([bundle])
        else:
            fitting.append(bundle)
    return [tuple(batch) for batch in batches]


def _fits(extents: Sequence[Extent], batch: Sequence[IndexBundle], limits: Limits) -> bool:
    if sum(map(len, batch)) > limits.examples:
        return False
    lengths = [_length(extents, bundle) for bundle in batch]
    return max(lengths) * len(lines_of(lengths)) <= limits.tokens


def _length(extents: Sequence[Extent], bundle: IndexBundle) -> int:
    return extents[bundle[0]].shared + sum(extents[index].own for index in bundle)


def _halves(batch: IndexBatch) -> tuple[IndexBatch, IndexBatch]:
    """Pictures shared out, or else the examples of the only one."""
    if len(batch) > 1:
        return batch[: len(batch) // 2], batch[len(batch) // 2 :]
    (bundle,) = batch
    return (bundle[: len(bundle) // 2],), (bundle[len(bundle) // 2 :],)
