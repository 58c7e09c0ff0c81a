"""The processes of one run: who writes, what all of them know, and how they end together.

A launcher (torchrun, accelerate launch, SLURM with either) starts the same program several times and tells each copy by
its environment which one it is: https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables. Without a
launcher everything here is about the only process.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import distributed

Value = TypeVar("Value")


def process_count() -> int:
    """Of the whole run, over all machines."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_index() -> int:
    """Of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return process_index() == 0


def wait() -> None:
    """Until all processes have come here."""
    if process_count() > 1:
        agreed(None)


def agreed(value: Value) -> Value:
    """What the first process holds, for all of them."""
    if process_count() == 1:
        return value
    held = [value]
    distributed.broadcast_object_list(held, src=0, device=torch.device("cpu"))
    return held[0]


def summed(values: list[float]) -> list[float]:
    """Each of `values` added up over all processes, in the order of their indices."""
    if process_count() == 1:
        return values
    gathered: list[list[float]] = [[] for _ in range(process_count())]
    distributed.all_gather_object(gathered, values)
    return [sum(column) for column in zip(*gathered, strict=True)]
