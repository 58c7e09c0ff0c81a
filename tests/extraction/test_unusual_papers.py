"""Papers that are set or saved in uncommon ways: pages lying on their side, type that is drawn stroke by stroke."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from PIL import Image

from config import EXTRACT
from figtune.extraction.extract_paper import extract_paper, text_of
from figtune.extraction.paper_cache import ExtractionTask
from figtune.extraction.pdf_files import find_pdfs
from figtune.extraction.records import FigureRecord
from figtune.extraction.text_source import read_texts
from figtune.figures.detector import detect_figures
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from figtune.pdf.text_cleanup import dehyphenator_for
from tests.extraction.hostile_pdfs import write_paper
from tests.figures.paper_maker import LEFT, RIGHT, PaperMaker, figures_in, near
from tests.rows import each_row


def _extracted(pdf_dir: Path, content_dir: Path) -> dict[str, tuple[FigureRecord, ...]]:
    """The figures of every PDF in a folder, by file."""
    return {
        source.file: extract_paper(
            ExtractionTask(source=source, content_dir=content_dir, settings=replace(EXTRACT, dpi=100, longest_side=600))
        ).figures
        for source in find_pdfs(pdf_dir)
    }


def _write_turned(path: Path, source: Path, degrees: int) -> None:
    """The pages of `source` lying on their side in the file, which says by how much a reader has to turn them."""
    with pymupdf.open(source) as upright, pymupdf.open() as turned:
        for number, page in enumerate(upright):
            width, height = page.rect.width, page.rect.height
            lying = turned.new_page(width=height if degrees % 180 else width, height=width if degrees % 180 else height)
            lying.show_pdf_page(lying.rect, upright, number, rotate=degrees)
            lying.set_rotation(degrees)
        turned.save(path)


def test_turned_pages_give_the_same_records_and_upright_crops(tmp_path: Path) -> None:
    folder, content = tmp_path / "pdfs", tmp_path / "content"
    folder.mkdir()
    write_paper(folder / "0.pdf")
    for degrees in (90, 180, 270):
        _write_turned(folder / f"{degrees}.pdf", folder / "0.pdf", degrees)
    figures = _extracted(folder, content)
    upright = figures.pop("0.pdf")
    assert len(upright) == 4
    assert {figure.text_sizes for figure in upright if figure.figure_type == "Figure"} == {((9.0, 1),)}
    for turned in figures.values():
        for expected, found in zip(upright, turned, strict=True):
            assert (found.caption, found.figure_text, found.text_sizes, found.page) == (
                expected.caption,
                expected.figure_text,
                expected.text_sizes,
                expected.page,
            )
            assert found.region_box == pytest.approx(expected.region_box, abs=1)
            assert found.crop
            assert expected.crop
            assert _difference(content / found.crop, content / expected.crop) < 4


def test_pages_whose_text_lies_on_its_side_are_read_upright(tmp_path: Path) -> None:
    """A page of one table or figure is often set sideways, and its /Rotate says nothing of it."""
    folder, content = tmp_path / "pdfs", tmp_path / "content"
    folder.mkdir()
    write_paper(tmp_path / "upright.pdf", pages=3)
    with pymupdf.open(tmp_path / "upright.pdf") as upright, pymupdf.open() as mixed:
        mixed.insert_pdf(upright, to_page=1)
        lying = mixed.new_page(width=680, height=400)
        lying.show_pdf_page(lying.rect, upright, 2, rotate=90)
        mixed.save(folder / "mixed.pdf")
    (figures,) = _extracted(folder, content).values()
    straight, turned = ({figure.figure_type: figure for figure in figures if figure.page == page} for page in (2, 3))
    for kind, expected in straight.items():
        found = turned[kind]
        assert found.caption == expected.caption.replace("2", "3", 1)
        assert expected.region_box
        assert expected.crop
        assert found.crop
        x0, top, x1, bottom = expected.region_box
        assert found.region_box == pytest.approx((top, 400 - x1, bottom, 400 - x0), abs=1.5)
        assert _difference(content / found.crop, content / expected.crop) < 4


def test_pages_measured_in_other_points_give_the_same_figures(tmp_path: Path) -> None:
    folder, content = tmp_path / "pdfs", tmp_path / "content"
    folder.mkdir()
    write_paper(folder / "plain.pdf")
    with pymupdf.open(folder / "plain.pdf") as file:
        for index in range(file.page_count):
            file.xref_set_key(file.page_xref(index), "UserUnit", "3")
        file.save(folder / "large.pdf")
    found = _extracted(folder, content)
    for plain, large in zip(found["plain.pdf"], found["large.pdf"], strict=True):
        assert (large.caption, large.figure_text) == (plain.caption, plain.figure_text)
        assert [(size, count) for size, count in large.text_sizes] == [
            (3 * size, count) for size, count in plain.text_sizes
        ]
        assert plain.region_box
        assert large.region_box == pytest.approx([3 * value for value in plain.region_box], abs=3)
        assert large.confidence == pytest.approx(plain.confidence, abs=0.05)


def test_a_label_that_is_not_known_is_named(tmp_path: Path) -> None:
    write_paper(tmp_path / "paper.pdf", pages=3)
    with pymupdf.open(tmp_path / "paper.pdf") as file, pymupdf.open() as other:
        for number, page in enumerate(file, start=1):
            copy = other.new_page(width=page.rect.width, height=page.rect.height)
            copy.insert_text((100, 440), f"Prilog {number}: A box.", fontsize=9)
            copy.insert_textbox(pymupdf.Rect(50, 200, 350, 320), page.get_text()[200:700], fontname="tiro", fontsize=10)
        other.save(tmp_path / "other.pdf")
    (tmp_path / "paper.pdf").unlink()
    (source,) = find_pdfs(tmp_path)
    settings = replace(EXTRACT, dpi=100, longest_side=600)
    task = ExtractionTask(source=source, content_dir=tmp_path / "content", settings=settings)
    assert 'lines begin with "Prilog 1:": see --extract.figure_labels' in extract_paper(task).paper.reason
    labelled = replace(task, settings=replace(settings, figure_labels=("Prilog",)))
    assert [figure.name for figure in extract_paper(labelled).figures] == ["1", "2", "3"]


def _difference(one: Path, other: Path) -> float:
    """Mean difference of two pictures in shades of grey, of 256."""
    first, second = Image.open(one).convert("L"), Image.open(other).convert("L")
    assert max(abs(first.width - second.width), abs(first.height - second.height)) <= 3
    return float(np.mean(np.abs(np.asarray(first, dtype=int) - np.asarray(second.resize(first.size), dtype=int))))


@each_row("font_type", [3, 42])
def test_pages_in_type_that_is_drawn_are_read_like_others(tmp_path: Path, font_type: int) -> None:
    """Matplotlib sets all its words in Type 3 fonts (ISO 32000-1, 9.6.5), whose glyphs are small drawings."""
    path = tmp_path / "paper.pdf"
    with rc_context({"pdf.fonttype": font_type}):
        _write_plotted(path)
    with pymupdf.open(path) as file:
        assert {font[2] for font in file[0].get_fonts()} == {"Type3" if font_type == 3 else "Type0"}
    found = figures_in(path)
    assert list(found) == ["Figure 1"]
    figure = found["Figure 1"]
    assert figure.caption == "Figure 1. Readings of the probe in changing light."
    assert figure.kind == "plot"
    assert near(figure.region, Box(70, 247, 281, 380), 3)
    assert sorted(label.text for label in figure.labels) == ["0.0 0.5 1.0 1.5 2.0", "3 2 1", "light", "reading"]


def _write_plotted(path: Path) -> None:
    """A page of 400 x 680 points: body, a plot with its labels from 70 to 281 across and 247 to 380 down, a caption."""
    page = Figure(figsize=(400 / 72, 680 / 72))
    FigureCanvasPdf(page)
    plot = page.add_axes((100 / 400, 330 / 680, 180 / 400, 100 / 680))
    plot.plot([0, 1, 2], [2, 1, 3])
    plot.set_xlabel("light")
    plot.set_ylabel("reading")
    lines = [
        (baseline, "We measure how a probe behaves when the light changes and find") for baseline in range(40, 220, 12)
    ]
    lines += [(390, "Figure 1. Readings of the probe in changing light.")]
    lines += [(baseline, lines[0][1]) for baseline in range(418, 640, 12)]
    for baseline, words in lines:
        size = 8 if words.startswith("Figure") else 9
        page.text(50 / 400, 1 - baseline / 680, words, fontfamily="DejaVu Serif", fontsize=size)
    page.savefig(path)


@each_row(("font", "size"), [("tibo", 8.0), ("tiro", 7.2)])
def test_an_abstract_without_a_heading_is_told_by_its_type_and_its_sentences(
    tmp_path: Path, font: str, size: float
) -> None:
    """In bold type between authors and text, as in Nature; in smaller type, as in REVTeX."""
    sentences = [f"We show that the probe number {number} stands under a lamp and moves." for number in range(8)]
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.prose(180, 60, "A Paper of Probes and Lamps", size=16, font="tibo")
    sheet.prose(230, 82, "A. Author and B. Author", size=10)
    for row in range(4):
        sheet.prose(80, 102 + 10 * row, " ".join(sentences[2 * row : 2 * row + 2]), size=size, font=font)
    sheet.body(LEFT, 180)
    sheet.body(RIGHT, 180)
    with Document(maker.finish(tmp_path / "paper.pdf")) as document:
        texts = read_texts(document)
        dehyphenator = dehyphenator_for(texts)
        text = text_of("paper", texts, detect_figures(document, texts, dehyphenator), dehyphenator)
    assert text.abstract == " ".join(sentences)
    assert not any(sentences[0] in paragraph.text for section in text.sections for paragraph in section.paragraphs)
