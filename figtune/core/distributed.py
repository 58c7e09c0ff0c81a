"""Distributed runs: ranks, collectives over accelerate's PartialState, and the shared end of a launcher's processes.

A launcher (torchrun, accelerate launch, SLURM with either) starts one program several times. The environment of each
process says how many there are and which one it is:
https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables
Without a launcher, everything here is about a single process, and neither torch nor accelerate is imported.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from figtune.core.errors import FigtuneError, ResourceError, UsageError

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

_WORLD_SIZE, _RANK = "WORLD_SIZE", "RANK"
_OTHER_LAUNCHERS = {"SLURM_STEP_NUM_TASKS": "srun", "OMPI_COMM_WORLD_SIZE": "mpirun", "PMI_SIZE": "mpirun"}
"""Environment variables in which launchers other than torchrun give the number of processes."""
TORCHRUN = "torchrun --standalone --nproc_per_node {count} -- {script}"

_TIMEOUT = timedelta(hours=6)
"""Patience with a process whose share takes longer; one that has ended is noticed at once."""
_GRACE_SECONDS = 5.0
_KILL_SECONDS = 60.0
"""Time in which the launcher ends the other processes of a run that has failed."""
_FAILURES = "figtune/failures"
_PEER_ENDED = ResourceError(
    "another process of this run has ended", "see its last words above; the same command carries on"
)
_TRANSPORT = ("gloo", "NCCL", "ProcessGroup")
"""Names that stand in the errors of processes whose peer is gone."""


def world_size() -> int:
    """Return the number of processes of the run, over all machines; 1 without a launcher."""
    return int(os.environ.get(_WORLD_SIZE) or 1)


def rank() -> int:
    """Return the rank of this process, from 0."""
    return int(os.environ.get(_RANK) or 0) if world_size() > 1 else 0


def local_world_size() -> int:
    """Return the number of processes of the run on this machine; 1 without a launcher."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1)


def is_rank_zero() -> bool:
    """Return True in the process that writes."""
    return rank() == 0


def barrier() -> None:
    """Wait until all processes have come here."""
    # Objects go over gloo, which notices at once that a peer has ended; a barrier of NCCL waits for its timeout.
    all_reduce_sum([0.0])


def broadcast(decide: Callable[[], Value]) -> Value:
    """Return the result of `decide`, which is called on rank 0 only, on all ranks."""
    if world_size() == 1:
        return decide()
    from accelerate.utils import broadcast_object_list

    held: list[Value] = [decide() if is_rank_zero() else None]  # type: ignore[list-item]
    return broadcast_object_list(held)[0]  # type: ignore[no-any-return]


def shard(items: Sequence[Value]) -> Sequence[Value]:
    """Return the share of this process in `items`, which are the same in all processes."""
    return items[rank() :: world_size()]


def gather(values: Sequence[Value]) -> list[Value]:
    """Return the values of all processes, in the order of ranks, on rank 0; an empty list on the others."""
    gathered = _gather_everywhere(values)
    return gathered if is_rank_zero() else []


def all_reduce_sum(values: list[float]) -> list[float]:
    """Return each of `values` added up over all processes, in the order of ranks."""
    return [sum(column) for column in zip(*_gather_everywhere([values]), strict=True)]


def _gather_everywhere(values: Sequence[Value]) -> list[Value]:
    if world_size() == 1:
        return list(values)
    from accelerate.utils import gather_object

    return gather_object(list(values))  # type: ignore[no-any-return]


def run_distributed(action: Callable[[], None], *, on_cpu: bool) -> None:
    """Run `action` once all processes of the launcher have met; at once without a launcher.

    Raises:
        FigtuneError: what `action` raises; there are more processes than cards; another process has ended.
    """
    if on_cpu:
        hide_cards()
    if world_size() == 1:
        action()
        return
    with process_group(on_cpu=on_cpu):
        action()


def hide_cards() -> None:
    """Hide CUDA cards from this process and those that it starts, before anything looks for them.

    Libraries ask every card in sight for the state of its random numbers, and a card that is asked holds some 500 MB of
    its memory for this process.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


@contextmanager
def process_group(*, on_cpu: bool) -> Iterator[None]:
    """Meet the other processes that the launcher has started; one process reports the error that ends them all.

    Args:
        on_cpu: although there may be CUDA cards.

    Raises:
        UsageError: there are more processes than cards.
        ResourceError: another process has ended.
    """
    from torch import distributed

    count_failure = _initialize(on_cpu=on_cpu)
    try:
        yield
        barrier()
    except Exception as failure:
        if not _is_first_to_fail(count_failure):
            # The error that ends this process is a result of the one that another process reports.
            time.sleep(_KILL_SECONDS)
            os._exit(1)
        if _is_transport(failure):
            _report(_PEER_ENDED)
            raise _PEER_ENDED from None
        _report(failure)
        raise
    distributed.destroy_process_group()


def _initialize(*, on_cpu: bool) -> Callable[[], int]:
    """Initialize the process group and accelerate's PartialState; return a counter that all processes share."""
    import torch
    from accelerate import PartialState
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    local_rank = int(os.environ.setdefault("LOCAL_RANK", "0"))
    cards = 0 if on_cpu else torch.cuda.device_count()
    if cards:
        if local_rank >= cards:
            raise UsageError(
                f"{os.environ.get('LOCAL_WORLD_SIZE', 'more')} processes were launched, but {cards} cards are in sight",
                f"launch with --nproc_per_node {cards}, or give --device cpu",
            )
        torch.cuda.set_device(local_rank)
    store, index, count = next(rendezvous("env://"))
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if cards else "gloo", store=store, rank=index, world_size=count, timeout=_TIMEOUT
    )
    PartialState(cpu=not cards)
    return lambda: int(store.add(_FAILURES, 1))


def _report(failure: Exception) -> None:
    if not is_rank_zero() and isinstance(failure, FigtuneError):
        suffix = exit_code_suffix(failure.exit_code)
        logger.error(f"error in process {rank()}: {failure}{suffix}", extra={"on_all_ranks": True})


def _is_first_to_fail(count_failure: Callable[[], int]) -> bool:
    try:
        return count_failure() == 1
    except RuntimeError:
        # The process that kept the store is gone, hence has failed before.
        return False


def _is_transport(failure: BaseException) -> bool:
    from torch.distributed import DistError

    if isinstance(failure, DistError):
        return True
    return isinstance(failure, RuntimeError) and any(name in str(failure) for name in _TRANSPORT)


def exit_code_suffix(code: int) -> str:
    """Return an exit code in words, for a launcher that hides it: torchrun always ends with 1 after an error."""
    return f" (exit code {code})" if world_size() > 1 else ""


def grace_period_for_rank_zero() -> None:
    """Wait in every process but rank 0, so that rank 0 can print its error before the launcher kills the job."""
    if not is_rank_zero():
        time.sleep(_GRACE_SECONDS)


def check_launch(environment: Mapping[str, str], script: str) -> None:
    """See that the launcher of `script` started what it was asked for.

    Raises:
        UsageError: it was asked for several processes, but this one knows of no others.
    """
    if _WORLD_SIZE in environment:
        return
    # accelerate says where processes are to meet only when it was asked for several; on CPU it then starts one.
    if "ACCELERATE_MIXED_PRECISION" in environment and "MASTER_ADDR" in environment:
        raise UsageError(
            "accelerate launch was asked for several processes, but has started only this one",
            f"launch with: {TORCHRUN.format(count='NUMBER', script=script)}",
        )
    for name, launcher in _OTHER_LAUNCHERS.items():
        if int(environment.get(name) or 1) > 1:
            raise UsageError(
                f"{launcher} has started {environment[name]} processes that do not know of each other",
                "let it start one torchrun on each machine, as docs/cluster.md shows",
            )
