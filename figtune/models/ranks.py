"""The processes of one run: who writes, what all of them know, and how they end together.

A launcher (torchrun, accelerate launch, SLURM with either) starts the same program several times. Without one,
everything here is about the only process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from figtune.core.distributed import exit_code_suffix, is_launched_rank_zero
from figtune.core.errors import FigtuneError, ResourceError, UsageError
from figtune.core.log import log_all_ranks

Value = TypeVar("Value")

_LONGEST_WAIT = timedelta(hours=6)
"""For a process whose share takes longer; one that has ended is noticed at once."""
_UNTIL_STOPPED = 60.0
"""Seconds in which the launcher ends the other processes of a run that has failed."""
_FAILURES = "figtune/failures"
_GONE = ResourceError("another process of this run has ended", "see its last words above; the same command carries on")
_TRANSPORT = ("gloo", "NCCL", "ProcessGroup")
"""Names that stand in the errors of processes whose peer is gone."""


class ProcessGroup:
    """The processes of a run as those of a stage."""

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the process that writes."""
        return is_rank_zero()

    def broadcast(self, decide: Callable[[], Value]) -> Value:
        """What `decide` returns in the first process, in all of them."""
        return broadcast(decide() if is_rank_zero() else None)  # type: ignore[return-value]


@contextmanager
def process_group(*, on_cpu: bool) -> Iterator[None]:
    """Meet the other processes that the launcher has started; of an error that ends them, one process tells.

    Args:
        on_cpu: although there may be CUDA cards.

    Raises:
        UsageError: there are more processes than cards.
        ResourceError: another process has ended.
    """
    cards = 0 if on_cpu else torch.cuda.device_count()
    if cards:
        torch.cuda.set_device(_card(cards))
    store, rank, world = next(rendezvous("env://"))
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if cards else "gloo", store=store, rank=rank, world_size=world, timeout=_LONGEST_WAIT
    )
    try:
        yield
        barrier()
    except Exception as failure:
        if not _is_first_to_fail(lambda: int(store.add(_FAILURES, 1))):
            # What ends this process is what has ended another one, which tells.
            time.sleep(_UNTIL_STOPPED)
            os._exit(1)
        if _is_transport(failure):
            _tell(rank, _GONE)
            raise _GONE from None
        _tell(rank, failure)
        raise
    distributed.destroy_process_group()


def _card(cards: int) -> int:
    index = int(os.environ.get("LOCAL_RANK", "0"))
    if index >= cards:
        raise UsageError(
            f"{os.environ.get('LOCAL_WORLD_SIZE', 'more')} processes were launched, but {cards} cards are in sight",
            f"launch with --nproc_per_node {cards}, or give --device cpu",
        )
    return index


def _tell(rank: int, failure: Exception) -> None:
    if not is_launched_rank_zero() and isinstance(failure, FigtuneError):
        log_all_ranks(f"error in process {rank}: {failure}{exit_code_suffix(failure.exit_code)}")


def _is_first_to_fail(count: Callable[[], int]) -> bool:
    try:
        return count() == 1
    except RuntimeError:
        # Whoever kept the store is gone, hence has failed before.
        return False


def _is_transport(failure: BaseException) -> bool:
    if isinstance(failure, distributed.DistError):
        return True
    return isinstance(failure, RuntimeError) and any(name in str(failure) for name in _TRANSPORT)


def current() -> ProcessGroup | None:
    """Those that have met by `together`."""
    return ProcessGroup() if distributed.is_initialized() else None


def world_size() -> int:
    """Of the whole run, over all machines."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_rank() -> int:
    """Of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_rank_zero() -> bool:
    """Whether this process is the one that writes."""
    return process_rank() == 0


def barrier() -> None:
    """Until all processes have come here."""
    all_reduce_sum([0.0])


def broadcast(value: Value) -> Value:
    """What the first process holds, for all of them."""
    if world_size() == 1:
        return value
    held = [value]
    distributed.broadcast_object_list(held, src=0, device=torch.device("cpu"))
    return held[0]


def shard(things: Sequence[Value]) -> Sequence[Value]:
    """Those of `things`, the same in all processes, that fall to this one."""
    return things[process_rank() :: world_size()]


def gather(values: Sequence[Value]) -> list[Value]:
    """Those of all processes, in the order of their indices, in the first one; nothing in the others."""
    if world_size() == 1:
        return list(values)
    parts: list[Sequence[Value]] | None = [()] * world_size() if is_rank_zero() else None
    distributed.gather_object(values, parts, dst=0)
    return [value for part in parts or () for value in part]


def all_reduce_sum(values: list[float]) -> list[float]:
    """Each of `values` added up over all processes, in the order of their indices."""
    if world_size() == 1:
        return values
    gathered: list[list[float]] = [[] for _ in range(world_size())]
    distributed.all_gather_object(gathered, values)
    return [sum(column) for column in zip(*gathered, strict=True)]
