"""Extraction over a folder: every PDF in a worker process, committed one by one, put together at the end.

The result depends on the PDFs, the settings and `EXTRACTION_VERSION` alone: never on where and in how many workers they
are read, on what was interrupted, or on what had been in the folder before.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from figtune.core.errors import ResourceError, shortages_explained
from figtune.core.jsonl import read_records
from figtune.core.log import progress_bar
from figtune.core.number_format import count
from figtune.core.worker_pool import TaskFailure, TaskLimits
from figtune.extraction.merge_results import (
    ExtractionCounts,
    delete_stale_outputs,
    failed_paper,
    merge_results,
    unique_by_content,
)
from figtune.extraction.paper_cache import (
    ExtractionParams,
    ExtractionTask,
    PaperResult,
    current_entry,
    invalidate_entry,
    write_entry,
)
from figtune.extraction.pdf_files import PdfFile, find_pdfs, linked_folders, pdf_hashes
from figtune.extraction.records import (
    CROPS_FOLDER,
    FIGURES_FILE,
    GALLERY_FILE,
    PAPERS_FILE,
    TEXTS_FOLDER,
    THUMBNAILS_FOLDER,
    PaperRecord,
)
from figtune.extraction.settings import ExtractSettings
from figtune.extraction.worker import Engine, Extractor, WriteFailure, run_locally

logger = logging.getLogger(__name__)

__all__ = [
    "CONTENT_FILES",
    "CONTENT_FOLDERS",
    "EXTRACTION_VERSION",
    "ExtractionCounts",
    "choose_engine",
    "extract_folder",
    "log_failures",
    "pdf_hashes",
]

_LIMIT_FLAGS = {"takes longer than": "--extract.timeout_seconds", "needs more than": "--extract.memory_mb"}
"""Settings to raise, by the beginning of the reason for a failure."""
_SHOWN = 5
"""Papers of each kind that are named."""

EXTRACTION_VERSION = 13
"""Bumped by hand when a rule of extraction changes: everything is extracted anew then."""

CONTENT_FOLDERS = (TEXTS_FOLDER, CROPS_FOLDER, THUMBNAILS_FOLDER)
"""Files of each paper."""
CONTENT_FILES = (PAPERS_FILE, FIGURES_FILE, *CONTENT_FOLDERS, GALLERY_FILE)
"""Files and folders of the artifact. `.papers`, beside them, serves only to continue."""


def extract_folder(
    pdf_dir: Path,
    content_dir: Path,
    settings: ExtractSettings,
    *,
    redo: bool,
    extract: Extractor,
    engine: Engine,
) -> ExtractionCounts:
    """Make the content of `content_dir` that of the PDFs below `pdf_dir`, redoing no more than is stale.

    Args:
        redo: extract also what is current.
        extract: reads one paper in a worker process, so it must be picklable by name; it leaves the paper's text,
            crops and thumbnails in the content folder.
        engine: where the workers are.

    Raises:
        InputError: no such folder, or no PDF in it.
        ResourceError: the disk is full, the engine cannot go on, or workers were killed from outside again and again;
            what is finished stays.
    """
    sources = find_pdfs(pdf_dir)
    if linked := linked_folders(pdf_dir):
        more = f" and {len(linked) - 1} more" if len(linked) > 1 else ""
        logger.warning(f"left out: {linked[0]!r}{more}: folders behind symbolic links, which may lead in circles")
    recipe = ExtractionParams(
        version=EXTRACTION_VERSION,
        dpi=settings.dpi,
        longest_side=settings.longest_side,
        ocr=settings.ocr,
        ocr_figures=settings.ocr_figures,
        labels=settings.labels,
    )
    limits = settings.limits
    originals = list(unique_by_content(sources).values())
    with shortages_explained(content_dir):
        stale = [source for source in originals if redo or current_entry(content_dir, source, recipe, limits) is None]
        tasks = [ExtractionTask(source=source, content_dir=content_dir, settings=settings) for source in stale]
        _extract_all(tasks, recipe, limits, extract, engine)
        delete_stale_outputs(content_dir, originals)
        return merge_results(content_dir, sources)


def choose_engine(settings: ExtractSettings, workers: int) -> Engine:
    """Return the engine of the settings.

    Args:
        workers: processes that read papers; 0 for one per CPU core.
    """
    if settings.engine == "ray":
        from figtune.extraction.ray_backend import run_on_ray

        return partial(run_on_ray, address=settings.ray_address, workers=workers)
    return partial(run_locally, workers=workers or os.cpu_count() or 1)


def _extract_all(
    pending: Sequence[ExtractionTask],
    recipe: ExtractionParams,
    limits: TaskLimits,
    extract: Extractor,
    engine: Engine,
) -> None:
    """Run `extract` over `pending`, committing each paper as it finishes."""
    if not pending:
        return
    for task in pending:
        invalidate_entry(task.content_dir, task.source.paper_id)
    tasks = engine(extract, pending, limits)
    started, pages, failed = time.monotonic(), 0, 0
    killed: list[str] = []
    with closing(tasks), progress_bar(tasks, total=len(pending), title="extracting", unit="paper") as bar:
        for done in bar:
            if isinstance(done.outcome, WriteFailure):
                raise OSError(done.outcome.number, done.outcome.text, done.outcome.filename)
            if isinstance(done.outcome, TaskFailure) and done.outcome.kind == "killed":
                killed.append(f"{done.task.source.file!r}: {done.outcome.reason}")
                continue
            source, result = done.task.source, _result(done.task.source, done.outcome)
            limits_hit = limits if isinstance(done.outcome, TaskFailure) else None
            write_entry(done.task.content_dir, source, recipe, limits_hit, result)
            pages += result.paper.pages
            failed += result.paper.status == "failed"
            bar.set_postfix_str(f"{pages / (time.monotonic() - started):.1f} pages/s, {failed} failed", refresh=False)
    if killed:
        raise ResourceError(
            f"processes were killed from outside, twice while reading the same paper; papers not read for that: "
            f"{len(killed)}, the first {killed[0]}",
            "free memory, give fewer --workers or a lower --extract.memory_mb, and run the same command again: "
            "the papers that are finished are kept",
        )


def _result(source: PdfFile, outcome: PaperResult | TaskFailure) -> PaperResult:
    if isinstance(outcome, TaskFailure):
        return PaperResult(paper=failed_paper(source, outcome.reason), figures=())
    return outcome


def log_failures(content_dir: Path, made_by: str) -> None:
    """Log the first few of each kind with their reasons, where to find the others, and which limits to raise."""
    papers = read_records(content_dir / PAPERS_FILE, PaperRecord, made_by)
    for name, chosen in (
        ("failed", [paper for paper in papers if paper.status == "failed"]),
        ("repaired", [paper for paper in papers if paper.repaired]),
        ("unclear", [paper for paper in papers if paper.unclear and not paper.repaired]),
    ):
        for paper in chosen[:_SHOWN]:
            logger.warning(f"{name}: {paper.file!r}: {paper.reason}")
        if len(chosen) > _SHOWN:
            logger.warning(f"{name}: {len(chosen) - _SHOWN} more, each with its reason in {content_dir / PAPERS_FILE}")
    for words, flag in _LIMIT_FLAGS.items():
        if number := sum(paper.status == "failed" and paper.reason.startswith(words) for paper in papers):
            logger.warning(f"{count(number, 'papers')} reached a limit: raise {flag}, and run the same command again")
