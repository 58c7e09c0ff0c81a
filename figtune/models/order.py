"""The order in which examples are read: at random, but examples of like length together, so that little is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

_LOOSENESS = 0.25
"""Lengths are taken to be up to this share longer than they are: so batches differ from epoch to epoch."""


class LengthOrder(Sampler[int]):
    """Indices of all examples, batch after batch; each epoch's order follows from seed and epoch alone."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = torch.tensor(lengths, dtype=torch.float64)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The data loader says which epoch begins, after a resumed start too."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        looseness = 1 + _LOOSENESS * torch.rand(len(self), generator=generator, dtype=torch.float64)
        sequence = torch.argsort(self._lengths * looseness).tolist()
        batches = [sequence[start : start + self._batch_size] for start in range(0, len(self), self._batch_size)]
        # A short batch stays last: anywhere else the loader would fill it up from the next one.
        last = batches.pop() if len(batches[-1]) < self._batch_size else []
        for index in torch.randperm(len(batches), generator=generator).tolist():
            yield from batches[index]
        yield from last
