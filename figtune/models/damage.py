"""Errors of the libraries that read a model's files, which can be of any kind when a file is not what it should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from figtune.core.errors import FigtuneError, ResourceError
from figtune.core.shortages import shortage_behind


@contextmanager
def damage_explained(problem: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises while it reads files into one line.

    Shortages of memory, disk or open files pass: they are no fault of the files.

    Raises:
        ResourceError: `problem`, followed by the first line of what the library says; then `remedy`.
    """
    try:
        yield
    except (FigtuneError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as failure:
        if shortage_behind(failure) is not None:
            raise
        raise ResourceError(f"{problem}: {first_line(failure)}", remedy) from None


def first_line(failure: Exception) -> str:
    """Return what an error says, without the lines after the first."""
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0]
