"""The sample papers: they rebuild to the byte, and their truth is what stands on the pages."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pymupdf
import pytest
from numpy.typing import NDArray

from figtune.pdf.geometry import Box
from tests.rows import each_row

SAMPLES = Path(__file__).parents[2] / "samples"
STEMS = ("ray_probes", "view_schedules", "weave_faults")
DPI = 144
NEIGHBOURHOOD = 4.0
"""Points around a region in which nothing else is printed: captions keep a larger distance."""

BoxTuple = tuple[float, float, float, float]


@dataclass(frozen=True)
class Paragraph:
    """A body paragraph of the truth, or a mention."""

    page: int
    text: str


@dataclass(frozen=True)
class Section:
    """A section of the truth."""

    heading: str
    page: int
    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True)
class Panel:
    """A sub-figure of the truth."""

    label: str
    box: BoxTuple


@dataclass(frozen=True)
class Figure:
    """A figure or table of the truth."""

    figure_type: str
    name: str
    page: int
    kind: str
    caption: str
    caption_box: BoxTuple
    region_box: BoxTuple
    panels: tuple[Panel, ...]
    mentions: tuple[Paragraph, ...]

    def __str__(self) -> str:
        return f"{self.figure_type} {self.name}"


@dataclass(frozen=True)
class Truth:
    """A truth file."""

    file: str
    pages: int
    title: str
    abstract: str
    sections: tuple[Section, ...]
    figures: tuple[Figure, ...]
    references: tuple[str, ...]


@cache
def _truth(stem: str) -> Truth:
    return msgspec.json.decode((SAMPLES / f"{stem}.truth.json").read_bytes(), type=Truth)


@cache
def _ink(stem: str, page: int) -> NDArray[np.bool_]:
    """Where the page is not white; bool[H, W] at DPI."""
    with pymupdf.open(SAMPLES / f"{stem}.pdf") as document:
        pixels = document[page - 1].get_pixmap(dpi=DPI, colorspace=pymupdf.csGRAY)
    grey = np.frombuffer(pixels.samples, np.uint8).reshape(pixels.height, pixels.stride)[:, : pixels.width]
    return np.asarray(grey < 250)


def _ink_box(stem: str, page: int, around: Box) -> Box:
    """The tight box of the ink inside `around`."""
    scale = 72 / DPI
    left, top = round(around.x0 / scale), round(around.top / scale)
    inside = _ink(stem, page)[top : round(around.bottom / scale), left : round(around.x1 / scale)]
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return Box(
        (left + int(columns[0])) * scale,
        (top + int(rows[0])) * scale,
        (left + int(columns[-1]) + 1) * scale,
        (top + int(rows[-1]) + 1) * scale,
    )


@cache
def _words(stem: str) -> tuple[tuple[int, Box, str], ...]:
    """Page, box and text of every word in the order of the file."""
    with pymupdf.open(SAMPLES / f"{stem}.pdf") as document:
        return tuple(
            (number, Box(*word[:4]), word[4])
            for number, page in enumerate(document, start=1)
            for word in page.get_text("words", sort=False)
        )


def _squeezed(text: str) -> str:
    """`text` without what line breaking may change: spaces and hyphens."""
    return "".join(text.split()).replace("-", "")


def _is_in_a_float(truth: Truth, page: int, box: Box) -> bool:
    places = [
        place for figure in truth.figures if figure.page == page for place in (figure.region_box, figure.caption_box)
    ]
    return any(Box(*place).contains(box, tolerance=3) for place in places)


def _close(one: Box, other: Box, tolerance: float) -> bool:
    return one.contains(other, tolerance) and other.contains(one, tolerance)


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run([sys.executable, SAMPLES / "build.py", "--output", folder], check=True, capture_output=True)
    return folder


@pytest.mark.slow
@each_row("stem", STEMS)
def test_rebuilding_gives_the_committed_files(stem: str, rebuilt: Path) -> None:
    for name in (f"{stem}.pdf", f"{stem}.truth.json"):
        assert (rebuilt / name).read_bytes() == (SAMPLES / name).read_bytes(), name


@each_row("stem", STEMS)
def test_a_sample_is_a_small_paper_with_all_kinds_of_figures(stem: str) -> None:
    truth = _truth(stem)
    figures = [figure for figure in truth.figures if figure.figure_type == "Figure"]
    assert (SAMPLES / f"{stem}.pdf").stat().st_size < 400_000
    assert truth.pages == 4
    assert [figure.name for figure in figures] == ["1", "2", "3", "4", "5", "6", "7"]
    assert {figure.kind for figure in truth.figures} >= {"diagram", "plot", "qualitative", "table"}


@each_row("stem", STEMS)
def test_regions_are_tight_to_the_ink(stem: str) -> None:
    for figure in _truth(stem).figures:
        region = Box(*figure.region_box)
        ink = _ink_box(stem, figure.page, region.expanded(NEIGHBOURHOOD))
        assert _close(ink, region, 1.5), f"{figure}: {region} but ink in {ink}"


@each_row("stem", STEMS)
def test_panels_are_tight_to_the_ink_and_inside_the_figure(stem: str) -> None:
    panelled = [figure for figure in _truth(stem).figures if figure.panels]
    assert panelled
    for figure in panelled:
        assert [panel.label for panel in figure.panels] == list("abcdef")[: len(figure.panels)]
        for panel in figure.panels:
            box = Box(*panel.box)
            assert Box(*figure.region_box).contains(box, tolerance=0.1)
            assert _close(_ink_box(stem, figure.page, box.expanded(1)), box, 1.5), f"{figure}({panel.label})"
            assert f"({panel.label})" in figure.caption


@each_row("stem", STEMS)
def test_captions_are_printed_where_the_truth_says(stem: str) -> None:
    for figure in _truth(stem).figures:
        box = Box(*figure.caption_box)
        inside = [
            text for page, place, text in _words(stem) if page == figure.page and box.contains(place, tolerance=3)
        ]
        assert _squeezed("".join(inside)) == _squeezed(figure.caption)
        assert _close(_ink_box(stem, figure.page, box), box, 4)


@each_row("stem", STEMS)
def test_the_text_layer_holds_every_paragraph_unbroken(stem: str) -> None:
    truth = _truth(stem)
    page_numbers = {str(page) for page in range(1, truth.pages + 1)}
    body = _squeezed(
        "".join(
            text
            for page, box, text in _words(stem)
            if not _is_in_a_float(truth, page, box) and not (box.top > 720 and text in page_numbers)
        )
    )
    for text in (truth.title, truth.abstract, *truth.references):
        assert _squeezed(text) in body
    for section in truth.sections:
        assert _squeezed(section.heading + "".join(paragraph.text for paragraph in section.paragraphs)) in body


@each_row("stem", STEMS)
def test_every_figure_is_cited_and_explained(stem: str) -> None:
    truth = _truth(stem)
    paragraphs = {paragraph.text for section in truth.sections for paragraph in section.paragraphs}
    for figure in truth.figures:
        assert figure.mentions, f"{figure} is not cited"
        assert {mention.text for mention in figure.mentions} <= paragraphs
        assert any(40 <= len(mention.text.split()) <= 90 for mention in figure.mentions), figure
        assert 20 <= len(figure.caption.split()) - 2 <= 45, figure


@each_row("stem", STEMS)
def test_lines_are_hyphenated(stem: str) -> None:
    broken = [
        text for page, box, text in _words(stem) if text.endswith("-") and not _is_in_a_float(_truth(stem), page, box)
    ]
    assert len(broken) > 15
