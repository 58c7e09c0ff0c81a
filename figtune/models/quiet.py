"""Context managers around libraries: known warnings silenced, errors about damaged files explained."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.utils import logging as transformers_logging

from figtune.core.errors import FigtuneError, ResourceError, shortage_behind


@contextmanager
def suppress_peft_deprecations() -> Iterator[None]:
    """Silence peft 0.21, which still calls transformers 5.23 by deprecated names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


@contextmanager
def suppress_unused_weights_table(*, unused_weights: bool) -> Iterator[None]:
    """Silence the table of weights that are left unread on purpose."""
    level = transformers_logging.get_verbosity()
    if unused_weights:
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


@contextmanager
def suppress_training_warnings() -> Iterator[None]:
    """Silence transformers on settings chosen on purpose, the same deprecations, and peft on the Hub.

    Where weights are spread over cards, peft asks the Hub at each checkpoint whether the vocabulary has grown.
    """
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with suppress_peft_deprecations():
            warnings.filterwarnings("ignore", message="Unable to fetch remote file|Could not find a config file")
            yield
    finally:
        transformers_logging.set_verbosity(level)


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
