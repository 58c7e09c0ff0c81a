"""One paper tried in a worker process, where whatever goes wrong becomes its reason; many of them on this machine."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import extract_tb

from figtune.figures.assembly import failed_paper
from figtune.figures.commits import PaperJob, PaperResult
from figtune.figures.sources import unreadable
from figtune.pipeline.errors import FigtuneError
from figtune.pipeline.workers import Done, Limits, run_tasks


@dataclass(frozen=True, kw_only=True)
class OutputError:
    """A worker could not write: no fault of the paper's."""

    number: int
    text: str
    filename: str | None


Extractor = Callable[[PaperJob], PaperResult]
"""Reads one paper; leaves its text, crops and thumbnails in the content folder."""

Attempt = Done[PaperJob, PaperResult | OutputError]

Engine = Callable[[Extractor, Sequence[PaperJob], Limits], Generator[Attempt]]
"""Yields every job once, as it finishes, with what it has left in the content folder; close it early to stop."""


def run_locally(extract: Extractor, jobs: Sequence[PaperJob], limits: Limits, *, workers: int) -> Generator[Attempt]:
    """The engine of one machine: up to `workers` processes."""
    return run_tasks(partial(attempt, extract), jobs, workers=workers, limits=limits)


def attempt(extract: Extractor, job: PaperJob) -> PaperResult | OutputError:
    """In the worker: what `extract` makes of the paper, or why it cannot."""
    try:
        return extract(job)
    except FigtuneError as error:
        reason = error.problem.replace(str(job.source.path), job.source.path.name)
    except MemoryError:
        reason = "needs more memory than there is"
    except OSError as error:
        if error.filename != str(job.source.path):
            return output_error(error)
        reason = unreadable(error)
    except Exception as error:  # noqa: BLE001 - a fault met in one paper costs that paper only, and is on record
        last = extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        reason = f"a fault of this program at {place}: {type(error).__name__}: {error}"
    return PaperResult(paper=failed_paper(job.source, reason), figures=())


def output_error(error: OSError) -> OutputError:
    """`error` as what can be sent to another process."""
    return OutputError(number=error.errno or errno.EIO, text=error.strerror or str(error), filename=error.filename)
