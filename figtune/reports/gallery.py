"""Figure gallery: every paper with its pages, detected figures and captions, and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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
    BoxTuple,
    FigureRecord,
    PaperRecord,
)
from figtune.reports.render import render_page

_POINTS_PER_INCH = 72
_GOOD, _UNSURE = 0.8, 0.5  # confidence from which a figure is shown as good, and from which as unsure


@dataclass(frozen=True, slots=True)
class Outline:
    """Box drawn on a page, in points."""

    figure_id: str
    look: str
    """CSS class: "figure", "table", "caption"."""
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class PageView:
    """Page with detected figures."""

    number: int
    source: str
    width: float
    """Page width in points."""
    height: float
    """Page height in points."""
    outlines: tuple[Outline, ...]


@dataclass(frozen=True, slots=True)
class FigureView:
    """Figure with its confidence level."""

    record: FigureRecord
    trust: str
    """CSS class: "good", "unsure" or "bad"."""

    @property
    def complete(self) -> bool:
        """True if it has both a caption and a region."""
        return bool(self.record.caption and self.record.region_box)


@dataclass(frozen=True, slots=True)
class PaperView:
    """Paper that was read."""

    record: PaperRecord
    pages: tuple[PageView, ...]
    figures: tuple[FigureView, ...]


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
    views = [
        _paper_view(content_dir, paper, by_paper.get(paper.paper_id, [])) for paper in papers if paper.status == "ok"
    ]
    context = {
        "statuses": Counter(paper.status for paper in papers),
        "repaired": sum(paper.repaired for paper in papers),
        "lacking": [paper for paper in papers if paper.status != "ok" or paper.repaired],
        "papers": views,
        "shown": sum(len(view.figures) for view in views),
        "kinds": sorted({figure.kind for figure in figures}),
        "pages": sum(paper.pages for paper in papers),
        "complete": Counter(figure.figure_type for figure in figures if figure.caption and figure.region_box),
        "mentions": sum(len(figure.mentions) for figure in figures),
    }
    write_text(content_dir / GALLERY_FILE, render_page("Figures found", "gallery.html", context))


def _paper_view(content_dir: Path, paper: PaperRecord, figures: Sequence[FigureRecord]) -> PaperView:
    numbers = sorted({figure.page for figure in figures})
    return PaperView(
        record=paper,
        pages=tuple(
            _page_view(content_dir, paper, number, [figure for figure in figures if figure.page == number])
            for number in numbers
        ),
        figures=tuple(FigureView(record=figure, trust=_trust(figure.confidence)) for figure in figures),
    )


def _page_view(content_dir: Path, paper: PaperRecord, number: int, figures: Iterable[FigureRecord]) -> PageView:
    source = f"{THUMBNAILS_FOLDER}/{paper.paper_id}/{number}.jpg"
    with Image.open(content_dir / source, formats=("JPEG",)) as picture:
        width, height = (_POINTS_PER_INCH / THUMBNAIL_DPI * side for side in picture.size)
    outlines = [outline for figure in figures for outline in _outlines(figure)]
    return PageView(number=number, source=source, width=width, height=height, outlines=tuple(outlines))


def _outlines(figure: FigureRecord) -> Iterable[Outline]:
    label = f"{figure.figure_type} {figure.name}" if figure.name else "no caption"
    if figure.caption_box:
        yield _outline(figure, "caption", figure.caption_box, label)
    if figure.region_box:
        yield _outline(figure, figure.figure_type.lower(), figure.region_box, label)


def _outline(figure: FigureRecord, look: str, box: BoxTuple, label: str) -> Outline:
    x0, top, x1, bottom = box
    return Outline(figure.figure_id, look, x0, top, round(x1 - x0, 1), round(bottom - top, 1), label)


def _trust(confidence: float) -> str:
    if confidence >= _GOOD:
        return "good"
    return "unsure" if confidence >= _UNSURE else "bad"
