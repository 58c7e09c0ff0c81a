"""One paper tried in a worker process, where whatever goes wrong becomes its reason; many of them on this machine."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import extract_tb

from figtune.core.errors import FigtuneError
from figtune.core.worker_pool import TaskLimits, TaskResult, run_tasks
from figtune.extraction.merge_results import failed_paper
from figtune.extraction.paper_cache import ExtractionTask, PaperResult
from figtune.extraction.pdf_files import unreadable


@dataclass(frozen=True, kw_only=True)
class WriteFailure:
    """A worker could not write: no fault of the paper's."""

    number: int
    text: str
    filename: str | None


Extractor = Callable[[ExtractionTask], PaperResult]
"""Reads one paper; leaves its text, crops and thumbnails in the content folder."""

WorkerResult = TaskResult[ExtractionTask, PaperResult | WriteFailure]

Engine = Callable[[Extractor, Sequence[ExtractionTask], TaskLimits], Generator[WorkerResult]]
"""Yields every job once, as it finishes, with what it has left in the content folder; close it early to stop."""


def run_locally(
    extract: Extractor, tasks: Sequence[ExtractionTask], limits: TaskLimits, *, workers: int
) -> Generator[WorkerResult]:
    """Read papers on this machine, in up to `workers` processes."""
    return run_tasks(partial(extract_in_worker, extract), tasks, workers=workers, limits=limits)


def extract_in_worker(extract: Extractor, task: ExtractionTask) -> PaperResult | WriteFailure:
    """Return, in the worker, what `extract` makes of the paper, or why it cannot."""
    try:
        return extract(task)
    except FigtuneError as error:
        reason = error.problem.replace(str(task.source.path), task.source.path.name)
    except MemoryError:
        reason = "needs more memory than there is"
    except OSError as error:
        if error.filename != str(task.source.path):
            return write_failure(error)
        reason = unreadable(error)
    except Exception as error:  # noqa: BLE001 - a fault met in one paper costs that paper only, and is on record
        last = extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        reason = f"a fault of this program at {place}: {type(error).__name__}: {error}"
    return PaperResult(paper=failed_paper(task.source, reason), figures=())


def write_failure(error: OSError) -> WriteFailure:
    """Return `error` as what can be sent to another process."""
    return WriteFailure(number=error.errno or errno.EIO, text=error.strerror or str(error), filename=error.filename)
