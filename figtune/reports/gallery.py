"""Figure gallery: every paper with its pages, detected figures and captions, and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from figtune.core import commands
from figtune.core.io import write_text
from figtune.core.jsonl import read_records
from figtune.extraction.records import (
    FIGURES_FILE,
    GALLERY_FILE,
    PAPERS_FILE,
    THUMBNAIL_DPI,
    THUMBNAILS_FOLDER,
    FigureRecord,
    PaperRecord,
)
from figtune.reports.render import render_page

_POINTS_PER_INCH = 72
_GOOD, _UNSURE = 0.8, 0.5  # confidence from which a figure is shown as good, and from which as unsure


@dataclass(frozen=True, slots=True)
class PageView:
    """Page with detected figures."""

    number: int
    source: str
    width: float
    """Page width in points."""
    height: float
    """Page height in points."""
    figures: tuple[FigureRecord, ...]


def write_gallery(content_dir: Path) -> None:
    """Write `gallery.html` into the content folder, from its records and thumbnails.

    Raises:
        ArtifactMissingError: the records are not there.
        InputError: a record is invalid.
    """
    papers = read_records(content_dir / PAPERS_FILE, PaperRecord, commands.EXTRACT)
    figures = read_records(content_dir / FIGURES_FILE, FigureRecord, commands.EXTRACT)
    by_paper: dict[str, list[FigureRecord]] = {}
    for figure in figures:
        by_paper.setdefault(figure.paper_id, []).append(figure)
    views = []
    for paper in papers:
        if paper.status == "ok":
            found = by_paper.get(paper.paper_id, [])
            numbers = sorted({figure.page for figure in found})
            views.append((paper, [_page_view(content_dir, paper, number, found) for number in numbers], found))
    context = {
        "statuses": Counter(paper.status for paper in papers),
        "repaired": sum(paper.repaired for paper in papers),
        "lacking": [paper for paper in papers if paper.status != "ok" or paper.repaired],
        "papers": views,
        "shown": sum(len(found) for _, _, found in views),
        "trust": _trust,
        "kinds": sorted({figure.kind for figure in figures}),
        "pages": sum(paper.pages for paper in papers),
        "complete": Counter(figure.figure_type for figure in figures if figure.caption and figure.region_box),
        "mentions": sum(len(figure.mentions) for figure in figures),
    }
    write_text(content_dir / GALLERY_FILE, render_page("Figures found", "gallery.html", context))


def _page_view(content_dir: Path, paper: PaperRecord, number: int, figures: Iterable[FigureRecord]) -> PageView:
    source = f"{THUMBNAILS_FOLDER}/{paper.paper_id}/{number}.jpg"
    with Image.open(content_dir / source, formats=("JPEG",)) as picture:
        width, height = (_POINTS_PER_INCH / THUMBNAIL_DPI * side for side in picture.size)
    here = tuple(figure for figure in figures if figure.page == number)
    return PageView(number=number, source=source, width=width, height=height, figures=here)


def _trust(confidence: float) -> str:
    """Return the CSS class of a confidence."""
    if confidence >= _GOOD:
        return "good"
    return "unsure" if confidence >= _UNSURE else "bad"
