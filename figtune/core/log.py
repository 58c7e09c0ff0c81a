"""Logging: one handler that writes above progress bars on stderr; progress bars, and results on stdout.

Modules log by `logging.getLogger(__name__)`, below the logger "figtune". Only rank 0 writes, but for records with
`extra={"on_all_ranks": True}`.
"""

from __future__ import annotations

import codecs
import io
import logging
import os
import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

from figtune.core.distributed import is_rank_zero

Item = TypeVar("Item")

_SECONDS_ON_A_SCREEN = 0.5
_SECONDS_IN_A_LOG = 10.0
"""Between two states of a bar: in a file each of them stays."""


_PROGRAM = logging.getLogger("figtune")
_LIBRARY_VERBOSITY = ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY")
"""Environment variables that libraries with handlers of their own read when they are imported."""
_LIBRARIES_WITHOUT_HANDLER = ("accelerate", "peft")
_ESCAPES = "figtune-json-escapes"


def escape_what_stdout_lacks() -> None:
    """Have characters that the encoding of stdout or stderr lacks, as ASCII does most, written as `\\u00e9`.

    JSON stays JSON so, and a text stays readable. Nothing is lost, and nothing ends in an error.
    """
    codecs.register_error(_ESCAPES, _json_escapes)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPES)


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high << 8 | low:04x}" for high, low in pairs), error.end


class _AboveProgressBars(logging.Handler):
    """Writes records to stderr, above any progress bar, on rank 0."""

    def emit(self, record: logging.LogRecord) -> None:
        if is_rank_zero() or getattr(record, "on_all_ranks", False):
            tqdm.write(self.format(record), file=sys.stderr)


_HANDLER = _AboveProgressBars()


def configure_logging(*, quiet: bool = False, verbose: bool = False) -> None:
    """Send the records of this program to stderr. Calling it again changes the level.

    Args:
        quiet: warnings and errors only, and no progress bars.
        verbose: debug records too, each with the name of its logger, and the messages of libraries.
    """
    _PROGRAM.addHandler(_HANDLER)
    # Ray and others put a handler on the root logger, which would write every line again.
    _PROGRAM.propagate = False
    _PROGRAM.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    _HANDLER.setFormatter(logging.Formatter("%(name)s: %(message)s" if verbose else "%(message)s"))
    if verbose:
        for variable in _LIBRARY_VERBOSITY:
            os.environ.setdefault(variable, "info")
        for name in _LIBRARIES_WITHOUT_HANDLER:
            logging.getLogger(name).addHandler(_HANDLER)
            logging.getLogger(name).setLevel(logging.INFO)


def print_result(text: str) -> None:
    """Print a result to stdout."""
    if not is_rank_zero():
        return
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def progress_bar(items: Iterable[Item], *, total: int | None, title: str, unit: str) -> tqdm[Item]:
    """Return `items` with a progress bar on stderr; `set_postfix_str` on it shows further numbers."""
    return tqdm(
        items,
        total=total,
        desc=title,
        unit=unit,
        file=sys.stderr,
        dynamic_ncols=True,
        disable=not is_rank_zero() or not _PROGRAM.isEnabledFor(logging.INFO),
        mininterval=_SECONDS_ON_A_SCREEN if sys.stderr.isatty() else _SECONDS_IN_A_LOG,
    )
