"""Context managers that silence known library warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


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
