"""Processes of one launcher: world size, rank and the context in which they run a stage.

A launcher tells each process by its environment how many there are and which one it is:
https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from figtune.core.errors import UsageError

Value = TypeVar("Value")

_WORLD_SIZE, _RANK = "WORLD_SIZE", "RANK"
_OTHER_LAUNCHERS = {"SLURM_STEP_NUM_TASKS": "srun", "OMPI_COMM_WORLD_SIZE": "mpirun", "PMI_SIZE": "mpirun"}
"""Environment variables in which launchers other than torchrun give the number of processes."""
_GRACE_SECONDS = 5.0
"""Seconds."""
TORCHRUN = "torchrun --standalone --nproc_per_node {count} -- {script}"


class DistributedContext(Protocol):
    """Context of the processes that run one stage."""

    @property
    def is_rank_zero(self) -> bool:
        """True on rank 0."""

    def broadcast(self, decide: Callable[[], Value]) -> Value:
        """Return the result of `decide` on rank 0, on all ranks."""


class SingleProcess:
    """Context of a single process."""

    is_rank_zero = True

    def broadcast(self, decide: Callable[[], Value]) -> Value:
        """Nobody else is to be told."""
        return decide()


def launched_world_size() -> int:
    """Return the number of processes that a launcher has started; 1 without one."""
    return int(os.environ.get(_WORLD_SIZE) or 1)


def is_launched_rank_zero() -> bool:
    """Return True in the process that a launcher has started as rank 0."""
    return launched_world_size() == 1 or os.environ.get(_RANK, "0") == "0"


def exit_code_suffix(code: int) -> str:
    """Return an exit code in words, for a launcher that hides it: torchrun always ends with 1 after an error."""
    return f" (exit code {code})" if launched_world_size() > 1 else ""


def grace_period_for_rank_zero() -> None:
    """Wait in every process but rank 0, so that rank 0 can print its error before the launcher kills the job."""
    if not is_launched_rank_zero():
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
                "let it start one torchrun on each machine, as the README shows",
            )
