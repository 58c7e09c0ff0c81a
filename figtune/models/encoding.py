"""Images through the frozen vision encoder: decoded and resized ahead by threads, several in one forward pass.

While a card encodes a batch, the next one is put together, the images after it are decoded, and the features of the
one before are written by whoever iterates.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar

import torch
from torch import Tensor

from figtune.core.distributed import local_world_size
from figtune.core.errors import InputError
from figtune.core.number_format import count
from figtune.models.loading import LoadedModel

logger = logging.getLogger(__name__)

Given = TypeVar("Given")
Made = TypeVar("Made")

_THREADS = 16
"""Threads that decode, at most: an image of 1,000 x 700 pixels, read at 896 x 896, takes one about 90 ms of a core."""
_ROWS = 32
"""Images in one forward pass, at most: of 4,096 patches each, more do not make a card faster."""
_SHARE = 0.5
"""Share of a card's free memory that a batch may take."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """Images that go through the encoder together."""

    names: Sequence[str]
    rows: Sequence[int]
    """Rows of each image on the tensors' first axes: 1, or its tiles."""
    tensors: Mapping[str, Tensor]

    def halves(self) -> tuple[_Batch, _Batch]:
        """Return the first and the second half of the images."""
        middle = len(self.names) // 2
        row = sum(self.rows[:middle])
        first = {name: tensor[:row] for name, tensor in self.tensors.items()}
        second = {name: tensor[row:] for name, tensor in self.tensors.items()}
        return (
            _Batch(names=self.names[:middle], rows=self.rows[:middle], tensors=first),
            _Batch(names=self.names[middle:], rows=self.rows[middle:], tensors=second),
        )


@torch.inference_mode()
def encode_tensors(loaded: LoadedModel, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the features of images, float[T, V] on the model's device, of the tensors of `Family.image_inputs`."""
    on_device = {name: tensor.to(loaded.device, non_blocking=True) for name, tensor in tensors.items()}
    return loaded.family.features(loaded.model, on_device)


def encode_ahead(
    loaded: LoadedModel,
    names: Sequence[str],
    read: Callable[[str], dict[str, Tensor]],
    tokens: Callable[[str], int],
    rows: int | None = None,
) -> Generator[list[tuple[str, Tensor]]]:
    """Yield images' names and features, float[T, V] on the CPU, batch by batch in the order given.

    The vision encoder must be loaded. On a CPU each image goes through it alone: several are no faster where images are
    large (docs/measurements.md), and in a batch its numbers depend, in the last digits, on its neighbours.

    Args:
        read: reads the tensors of `Family.image_inputs` of an image, in threads.
        tokens: returns the number of its image tokens T.
        rows: rows of tensors in one forward pass; None for what suits the device.

    Raises:
        InputError: an image cannot be read.
    """
    encoder = _Encoder(loaded, tokens, rows)
    decoders = ThreadPoolExecutor(_num_threads(), thread_name_prefix="decode")
    joiner = ThreadPoolExecutor(1, thread_name_prefix="join")
    with warnings.catch_warnings():
        # Decoding an image sets filters back that are the whole process's: the same ones, so that order is no matter.
        warnings.simplefilter("ignore")
        try:
            decoded = _in_order(decoders, lambda name: (name, read(name)), names, 2 * _num_threads())
            batches = _batches(decoded, encoder, pin=loaded.device.type == "cuda")
            yield from _encoded(encoder, _in_order(joiner, lambda _: next(batches, None), repeat(None), 2))
        finally:
            for pool in (decoders, joiner):
                pool.shutdown(cancel_futures=True)


def _encoded(encoder: _Encoder, batches: Iterable[_Batch | None]) -> Iterator[list[tuple[str, Tensor]]]:
    """Encode batches up to a None; images before one that cannot be read are yielded first."""
    before: list[tuple[str, Tensor]] = []
    try:
        for batch in batches:
            if batch is None:
                break
            features = encoder.start(batch)
            if before:
                yield before  # while a card is at work
            before = encoder.finish(batch, features)
    except InputError:
        if before:
            yield before
        raise
    yield before


class _Encoder:
    """Encoder that finds how many rows fit into memory, and takes fewer when they do not."""

    def __init__(self, loaded: LoadedModel, tokens: Callable[[str], int], rows: int | None) -> None:
        self._loaded = loaded
        self._tokens = tokens
        self._is_measured = rows is not None or loaded.device.type != "cuda"
        self.rows = rows or 1

    def start(self, batch: _Batch) -> Sequence[Tensor]:
        """Return features on the device: float[T, V], of all images together or of parts of the batch."""
        try:
            return [self._measured(batch)]
        except torch.OutOfMemoryError:
            if len(batch.names) == 1:
                raise
        # Outside the handler: the exception holds the failed pass's tensors.
        torch.cuda.empty_cache()
        self.rows = max(1, self.rows // 2)
        logger.info(f"encoding: out of memory; going on with {count(self.rows, 'images')} at a time")
        return [features for half in batch.halves() for features in self.start(half)]

    def finish(self, batch: _Batch, features: Sequence[Tensor]) -> list[tuple[str, Tensor]]:
        """Return the features of each image on the CPU."""
        on_cpu = torch.cat([each.cpu() for each in features])
        each_image = torch.split(on_cpu, [self._tokens(name) for name in batch.names])
        return list(zip(batch.names, each_image, strict=True))

    def _measured(self, batch: _Batch) -> Tensor:
        """Encode a batch; the first one says how many rows the card has memory for."""
        if self._is_measured:
            return encode_tensors(self._loaded, batch.tensors)
        torch.cuda.reset_peak_memory_stats(self._loaded.device)
        before = torch.cuda.memory_allocated(self._loaded.device)
        features = encode_tensors(self._loaded, batch.tensors)
        each = (torch.cuda.max_memory_allocated(self._loaded.device) - before) / sum(batch.rows)
        unused = torch.cuda.memory_reserved(self._loaded.device) - before
        free = torch.cuda.mem_get_info(self._loaded.device)[0] + unused
        self.rows = min(_ROWS, max(1, int(_SHARE * free / each)))
        self._is_measured = True
        logger.info(f"encoding: {count(self.rows, 'images')} at a time, by the free memory of the card")
        return features


def _batches(decoded: Iterable[tuple[str, dict[str, Tensor]]], encoder: _Encoder, *, pin: bool) -> Iterator[_Batch]:
    """Yield batches of as many rows as fit; an image of more rows alone."""
    images: list[tuple[str, dict[str, Tensor]]] = []
    failure = None
    try:
        for name, tensors in decoded:
            if images and sum(map(_rows, images)) + _rows((name, tensors)) > encoder.rows:
                yield _joined(images, pin=pin)
                images = []
            images.append((name, tensors))
    except InputError as unreadable:
        failure = unreadable
    if images:
        yield _joined(images, pin=pin)
    if failure is not None:
        raise failure


def _rows(image: tuple[str, dict[str, Tensor]]) -> int:
    return len(next(iter(image[1].values())))


def _joined(images: Sequence[tuple[str, dict[str, Tensor]]], *, pin: bool) -> _Batch:
    tensors = {name: torch.cat([each[name] for _, each in images]) for name in images[0][1]}
    if pin:
        tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
    return _Batch(names=[name for name, _ in images], rows=[_rows(image) for image in images], tensors=tensors)


def _in_order(
    pool: ThreadPoolExecutor, make: Callable[[Given], Made], given: Iterable[Given], depth: int
) -> Iterator[Made]:
    """Yield what a pool makes of each of `given`, in their order, up to `depth` of them ahead."""
    ahead: deque[Future[Made]] = deque()
    for each in given:
        ahead.append(pool.submit(make, each))
        if len(ahead) >= depth:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _num_threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_THREADS, max(1, cores // local_world_size()))
