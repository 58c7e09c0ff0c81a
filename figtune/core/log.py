"""Log lines and progress bars on stderr, results on stdout. Only rank 0 writes."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

from figtune.core.distributed import is_rank_zero

Item = TypeVar("Item")

_SECONDS_ON_A_SCREEN = 0.5
_SECONDS_IN_A_LOG = 10.0
"""Between two states of a bar: in a file each of them stays."""


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


def log(message: str) -> None:
    """Log one line to stderr on rank 0, above any progress bar."""
    if is_rank_zero():
        log_all_ranks(message)


def log_all_ranks(message: str) -> None:
    """Log one line to stderr on any rank."""
    tqdm.write(message, file=sys.stderr)


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
        disable=not is_rank_zero(),
        mininterval=_SECONDS_ON_A_SCREEN if sys.stderr.isatty() else _SECONDS_IN_A_LOG,
    )
