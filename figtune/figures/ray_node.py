"""One paper on a node of a Ray cluster: bytes in, bytes out, read by a guarded process there as on one machine.

Imports nothing but the standard library, since a node that lacks a library must be able to say so.
"""

from __future__ import annotations

import errno
import pickle
import platform
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from figtune.figures.attempts import Extractor, OutputError
    from figtune.figures.commits import PaperJob, PaperResult
    from figtune.pipeline.workers import Failure, Guard, Limits

_LIBRARIES = ("pymupdf", "numpy", "pillow", "isal", "msgspec", "tqdm")
"""What reading a paper takes; on most of them the bytes of the result depend."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to do with a PDF."""

    extract: Extractor
    job: PaperJob
    """With the driver's paths."""
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of a paper on a node."""

    host: str
    outcome: PaperResult | OutputError | Failure
    files: dict[str, bytes]
    """By path relative to the content folder."""


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """A node that would make other results than the driver."""

    host: str
    software: dict[str, str]


def software() -> dict[str, str]:
    """Versions by name of Python and of what reading a paper takes, as they are here; "missing" where there is none."""
    return {"python": ".".join(platform.python_version_tuple()[:2]), **{name: _version(name) for name in _LIBRARIES}}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing"


def read_on_node(wanted: Mapping[str, str], order: bytes, pdf: bytes) -> Delivery | Mismatch:
    """Extract one paper in a temporary folder here, and return all that it has left there.

    Args:
        wanted: the driver's `software`.
        order: a pickled `Order`, which only libraries of these versions are sure to read.
        pdf: the content of the file.
    """
    found = software()
    if found != wanted:
        return Mismatch(host=socket.gethostname(), software=found)
    given: Order = pickle.loads(order)
    return _delivery(given, pdf)


def _delivery(order: Order, pdf: bytes) -> Delivery:
    from figtune.figures.attempts import OutputError, output_error
    from figtune.figures.commits import paths_of
    from figtune.pipeline.errors import ResourceError

    host, paper_id = socket.gethostname(), order.job.source.paper_id
    try:
        with TemporaryDirectory(prefix="figtune-") as folder, _hidden_main():
            content = Path(folder, "content")
            path = Path(folder, order.job.source.path.name)
            path.write_bytes(pdf)
            content.mkdir()
            job = replace(order.job, source=replace(order.job.source, path=path), content_dir=content)
            outcome = _guard(order.extract).outcome(job, order.limits)
            paths = [path for path in paths_of(content, paper_id) if path.exists()]
            files = {path.relative_to(content).as_posix(): path.read_bytes() for path in paths}
            return Delivery(host=host, outcome=outcome, files=files)
    except OSError as error:
        return Delivery(host=host, outcome=output_error(error), files={})
    except ResourceError as error:
        return Delivery(
            host=host, outcome=OutputError(number=errno.EAGAIN, text=error.problem, filename=None), files={}
        )


@cache
def _guard(extract: Extractor) -> Guard[PaperJob, PaperResult | OutputError]:
    """One for all papers that this process is given: starting it takes as long as reading a short paper."""
    from figtune.figures.attempts import attempt
    from figtune.pipeline.workers import Guard

    return Guard(partial(attempt, extract))


@contextmanager
def _hidden_main() -> Iterator[None]:
    """A spawned process imports its parent's main module, and here that is Ray: a second, and 100 MB of the limit."""
    main = vars(sys.modules["__main__"])
    file = main.pop("__file__", None)
    try:
        yield
    finally:
        main["__file__"] = file
