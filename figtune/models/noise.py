"""What the libraries say that is of no use to whoever runs this program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


@contextmanager
def without_peft_deprecations() -> Iterator[None]:
    """peft 0.21 still asks transformers 5.23 by names that this has deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


@contextmanager
def without_loading_noise(*, unused_weights: bool) -> Iterator[None]:
    """Where weights are left unread on purpose, the table of them."""
    level = transformers_logging.get_verbosity()
    if unused_weights:
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


@contextmanager
def without_training_noise() -> Iterator[None]:
    """transformers' remarks on settings that we chose on purpose, the same deprecations, and peft's on the Hub.

    Where weights are spread over cards, peft asks the Hub at each checkpoint whether the vocabulary has grown.
    """
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with without_peft_deprecations():
            warnings.filterwarnings("ignore", message="Unable to fetch remote file|Could not find a config file")
            yield
    finally:
        transformers_logging.set_verbosity(level)
