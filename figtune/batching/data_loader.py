"""Data loader: the batches of an epoch in order, collated, and read ahead by a thread while the device works.

A thread, not processes: reading half a megabyte of features for a picture and copying it wait for the disk and for
memory, which a thread does beside the model's work; forking a process that runs threads of its own is unsafe, and a
fresh one would import the libraries for seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, SequentialSampler

from figtune.batching.batch_sampler import IndexBatch, LengthGroupedSampler, passes_of
from figtune.batching.collator import Collator
from figtune.batching.dataset import TokenizedSplit
from figtune.batching.packing import SharedPrefixGroup
from figtune.core.distributed import world_size

Element = TypeVar("Element")


class BatchDataset(Dataset[list[SharedPrefixGroup]]):
    """The forward passes of an epoch by number, for a data loader that takes them one after another.

    A pass is a batch, or several of one optimizer step. Their loss is summed over all before it is divided, so the step
    is the same.
    """

    def __init__(self, split: TokenizedSplit, sampler: LengthGroupedSampler, batches_per_pass: int = 1) -> None:
        """Hold a split, its batches, and the number of them in one pass: a divisor of those of a step."""
        self._split = split
        self._sampler = sampler
        self._batches_per_pass = batches_per_pass
        self._passes = self._passes_of_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Compose the passes of an epoch; accelerate's data loader calls this, after a resumed start too."""
        self._passes = self._passes_of_epoch(epoch)

    def __len__(self) -> int:
        return len(self._passes)

    def __getitem__(self, index: int) -> list[SharedPrefixGroup]:
        return self._split.groups(self._passes[index])

    def _passes_of_epoch(self, epoch: int) -> list[IndexBatch]:
        passes = passes_of(self._sampler.batches(epoch), self._batches_per_pass)
        # Every process takes part in as many, if need be in an empty one.
        return [*passes, *[()] * (-len(passes) % world_size())]


def data_loader(batches: BatchDataset, collator: Collator, *, pin_memory: bool) -> DataLoader[list[SharedPrefixGroup]]:
    """Return a loader of the composed batches in order."""
    return DataLoader(
        batches,
        batch_size=1,
        sampler=SequentialSampler(batches),
        collate_fn=lambda batches: collator(batches[0]),
        pin_memory=pin_memory,
    )


class Prefetcher(Generic[Element]):
    """Iterate over `source` in order, with up to `depth` elements ready before they are asked for.

    `source` is used by a thread of its own from then on; what it raises is raised where its element is asked for.
    """

    def __init__(self, source: Iterator[Element], depth: int) -> None:
        self.source = source
        in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        # A thread starts on the first card, whichever the others are on.
        same_card = partial(torch.cuda.set_device, torch.cuda.current_device()) if in_use else None
        self._thread = ThreadPoolExecutor(1, "prefetch", same_card)
        # One more is in hand.
        self._ahead = deque(self._thread.submit(next, source) for _ in range(depth + 1))

    def __iter__(self) -> Iterator[Element]:
        return self

    def __next__(self) -> Element:
        element = self._ahead[0]
        if element.exception() is None:
            self._ahead.popleft()
            self._ahead.append(self._thread.submit(next, self.source))
        else:  # the end of the source, or its failure, which stays in its place
            self.close()
        return element.result()

    def close(self) -> None:
        """Stop reading."""
        self._thread.shutdown(wait=False, cancel_futures=True)
