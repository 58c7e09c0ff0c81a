"""The content folder put together from the commits: the records of all papers, and nothing that belongs to none."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from figtune.core.errors import ResourceError
from figtune.core.jsonl import write_records
from figtune.extraction.paper_cache import CACHE_FOLDER, PaperResult, read_entry
from figtune.extraction.pdf_files import PdfFile, printable
from figtune.extraction.records import (
    CROPS_FOLDER,
    FIGURES_FILE,
    PAPERS_FILE,
    TEXTS_FOLDER,
    THUMBNAILS_FOLDER,
    FigureRecord,
    PaperRecord,
    PaperStatus,
)


@dataclass(frozen=True, kw_only=True)
class ExtractionCounts:
    """Counts of an extraction. The four statuses add up to the number of PDFs given."""

    ok: int
    no_figures: int
    duplicate: int
    failed: int
    repaired: int
    """Damaged PDFs among those that are ok or without figures, of which something may be missing."""
    unclear: int
    """Papers among the same most of whose characters have no role in the layout."""
    pages: int
    """Pages of the readable papers, each counted once."""
    figures: int
    """Figures with caption and region, like `tables`."""
    tables: int
    incomplete: int
    """Captions without a region and regions without a caption."""
    mentions: int


def unique_by_content(sources: Sequence[PdfFile]) -> dict[str, PdfFile]:
    """Return the first source of every content, by sha256."""
    originals: dict[str, PdfFile] = {}
    for source in sources:
        if source.sha256:
            originals.setdefault(source.sha256, source)
    return originals


def failed_paper(source: PdfFile, reason: str) -> PaperRecord:
    return _unread(source, source.paper_id, "failed", reason)


def _unread(source: PdfFile, paper_id: str, status: PaperStatus, reason: str) -> PaperRecord:
    return PaperRecord(
        paper_id=paper_id,
        file=source.file,
        sha256=source.sha256,
        pages=0,
        status=status,
        reason=printable(reason),
        title="",
        figures=0,
        tables=0,
    )


def delete_stale_outputs(content_dir: Path, originals: Sequence[PdfFile]) -> None:
    """Remove what belongs to no paper given, or to an attempt that failed."""
    wanted = {Path(CACHE_FOLDER, f"{source.paper_id}.json") for source in originals}
    for source in originals:
        if found := read_entry(content_dir, source.paper_id):
            wanted.update(Path(*Path(file).parts[:2]) for file in found.files)
    for folder in (CROPS_FOLDER, THUMBNAILS_FOLDER, TEXTS_FOLDER, CACHE_FOLDER):
        for entry in sorted((content_dir / folder).glob("*")):
            if entry.relative_to(content_dir) not in wanted:
                _remove(entry)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def merge_results(content_dir: Path, sources: Sequence[PdfFile]) -> ExtractionCounts:
    """Write `papers.jsonl` and `figures.jsonl` from the commits; count what they hold."""
    counts: Counter[str] = Counter()
    for folder in (TEXTS_FOLDER, CROPS_FOLDER, THUMBNAILS_FOLDER):
        (content_dir / folder).mkdir(parents=True, exist_ok=True)
    write_records(content_dir / FIGURES_FILE, _counted_figures(content_dir, sources, counts))
    write_records(content_dir / PAPERS_FILE, _counted_papers(content_dir, sources, counts))
    return ExtractionCounts(
        ok=counts["ok"],
        no_figures=counts["no_figures"],
        duplicate=counts["duplicate"],
        failed=counts["failed"],
        repaired=counts["repaired"],
        unclear=counts["unclear"],
        pages=counts["pages"],
        figures=counts["Figure"],
        tables=counts["Table"],
        incomplete=counts["incomplete"],
        mentions=counts["mentions"],
    )


def _counted_figures(content_dir: Path, sources: Sequence[PdfFile], counts: Counter[str]) -> Iterator[FigureRecord]:
    for source in unique_by_content(sources).values():
        for figure in _cached_result(content_dir, source).figures:
            counts[figure.figure_type if figure.caption and figure.region_box else "incomplete"] += 1
            counts["mentions"] += len(figure.mentions)
            yield figure


def _counted_papers(content_dir: Path, sources: Sequence[PdfFile], counts: Counter[str]) -> Iterator[PaperRecord]:
    originals = unique_by_content(sources)
    copies: Counter[str] = Counter()
    for source in sources:
        original = originals.get(source.sha256)
        if original is None:
            paper = failed_paper(source, source.unreadable)
        elif source is original:
            paper = _cached_result(content_dir, source).paper
            counts["pages"] += paper.pages
        else:
            copies[source.sha256] += 1
            paper = _duplicate(source, copies[source.sha256], original)
        counts[paper.status] += 1
        counts["repaired"] += paper.repaired
        counts["unclear"] += paper.unclear
        yield paper


def _duplicate(source: PdfFile, number: int, original: PdfFile) -> PaperRecord:
    reason = f"same content as {original.file} ({original.paper_id})"
    return _unread(source, f"{source.paper_id}-duplicate-{number}", "duplicate", reason)


def _cached_result(content_dir: Path, source: PdfFile) -> PaperResult:
    found = read_entry(content_dir, source.paper_id)
    if found is None:
        raise ResourceError(
            f"{content_dir / CACHE_FOLDER} was changed while this ran",
            "run the same command again",
        )
    # The same file in another subfolder is the same paper.
    return replace(found.result, paper=replace(found.result.paper, file=source.file))
