"""Papers whose text layer is missing or scrambled, read by OCR; and what is said where OCR is not installed."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from PIL import Image, ImageDraw, ImageFont

import extract_content
from config import EXTRACT
from figtune.core.jsonl import read_records
from figtune.core.worker_pool import TaskLimits
from figtune.extraction.extract_paper import NoTextError, extract_paper
from figtune.extraction.paper_cache import (
    ExtractionParams,
    ExtractionTask,
    PaperResult,
    current_entry,
    write_entry,
)
from figtune.extraction.pdf_files import PdfFile, find_pdfs
from figtune.extraction.records import FigureRecord, PaperRecord
from figtune.pdf import ocr
from figtune.pdf.geometry import Box
from figtune.pdf.ocr_document import OcrDocument
from tests.figures.paper_maker import LEFT, RIGHT, PaperMaker, near

ROOT = Path(__file__).parents[2]

FIGURE, TABLE = Box(60, 90, 276, 220), Box(315, 130, 540, 210)
FIGURE_CAPTION = (
    "Figure 1. The networks predict depth from images because they learn the shadow and texture of objects."
)
TABLE_CAPTION = "Table 1. Results on common benchmarks."


def write_paper(path: Path) -> Path:
    """A page with a figure and a table at known places, and a page of body text."""
    paper = PaperMaker()
    sheet = paper.sheet()
    sheet.picture(FIGURE)
    sheet.body(LEFT, top=sheet.caption(LEFT, FIGURE.bottom + 8, FIGURE_CAPTION) + 18)
    sheet.table(TABLE, 4)
    sheet.body(RIGHT, bottom=TABLE.top - 18)
    sheet.body(RIGHT, top=sheet.caption(RIGHT, TABLE.bottom + 8, TABLE_CAPTION) + 18)
    return paper.finish(path)


def write_scan(path: Path, source: Path, *, degrees: float) -> Path:
    """Pictures of the pages of `source` as a scanner makes them: askew, grey, noisy, as JPEG."""
    rng = np.random.default_rng(0)
    with pymupdf.open(source) as document, pymupdf.open() as scan:
        for page in document:
            pixels = page.get_pixmap(dpi=200, colorspace=pymupdf.csGRAY)
            sheet = Image.frombytes("L", (pixels.width, pixels.height), pixels.samples)
            turned = np.asarray(sheet.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255), dtype=np.float32)
            grey = np.clip(25 + 0.83 * turned + rng.normal(0, 4, turned.shape), 0, 255).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(grey).save(file, "JPEG", quality=60)
            made = scan.new_page(width=page.rect.width, height=page.rect.height)
            made.insert_image(made.rect, stream=file.getvalue())
        scan.save(path)
    return path


def write_scrambled(path: Path, source: Path) -> Path:
    """The pages of `source`, printed the same, whose fonts say of every character that it is the third one after."""
    table = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Shifted def /CMapType 2 def\n"
        "1 begincodespacerange <00> <FF> endcodespacerange\n"
        "1 beginbfrange <21> <7E> <0024> endbfrange\n"
        "endcmap CMapName currentdict /CMap defineresource pop end end"
    )
    with pymupdf.open(source) as document:
        stream = document.get_new_xref()
        document.update_object(stream, "<<>>")
        document.update_stream(stream, table.encode())
        for xref in range(1, document.xref_length()):
            if document.xref_get_key(xref, "Type")[1] == "/Font":
                document.xref_set_key(xref, "ToUnicode", f"{stream} 0 R")
        document.save(path)
    return path


def task(path: Path, content: Path) -> ExtractionTask:
    """A task for the one PDF in its folder."""
    (source,) = (found for found in find_pdfs(path.parent) if found.path == path)
    return ExtractionTask(source=source, content_dir=content, settings=replace(EXTRACT, dpi=100, longest_side=600))


def with_settings(given: ExtractionTask, **changed: Any) -> ExtractionTask:
    """The same task with other settings."""
    return replace(given, settings=replace(given.settings, **changed))


def by_type(result: PaperResult) -> dict[str, FigureRecord]:
    """Figures by type; the papers here hold one of each."""
    found: dict[str, FigureRecord] = {figure.figure_type: figure for figure in result.figures}
    assert len(found) == len(result.figures)
    return found


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    sound = write_paper(folder / "sound.pdf")
    write_scan(folder / "scan.pdf", sound, degrees=0.5)
    write_scrambled(folder / "scrambled.pdf", sound)
    return folder


@pytest.fixture(scope="module")
def scanned(papers: Path, tmp_path_factory: pytest.TempPathFactory) -> PaperResult:
    return extract_paper(task(papers / "scan.pdf", tmp_path_factory.mktemp("content")))


@pytest.fixture
def no_ocr(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    ocr.engine_version.cache_clear()
    yield
    ocr.engine_version.cache_clear()


@pytest.mark.slow
def test_a_scan_gives_figures_tables_and_captions(scanned: PaperResult) -> None:
    found = by_type(scanned)
    assert found["Figure"].caption == FIGURE_CAPTION
    assert found["Table"].caption == TABLE_CAPTION
    figure, table = found["Figure"].region_box, found["Table"].region_box
    assert figure is not None
    assert table is not None
    assert near(Box(*figure), FIGURE, 2.5)
    assert near(Box(*table), TABLE, 2.5)
    assert scanned.paper.status == "ok"
    assert scanned.paper.ocr_reason == "text layer missing on all pages"
    assert scanned.paper.ocr_engine == ocr.engine_version() != ""


@pytest.mark.slow
def test_ocr_leaves_the_environment_as_it_was() -> None:
    """A limit of threads left behind made torch in child processes leave products uncomputed."""
    code = (
        "import os, sys\nfrom figtune.pdf.ocr import _engine\nbefore = dict(os.environ)\n_engine()\n"
        "sys.exit(before != dict(os.environ))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_a_scan_gives_the_same_twice_and_is_trusted_as_far_as_its_words(
    papers: Path, scanned: PaperResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OcrDocument, "confidence_in", lambda self, index, box: 0.5)
    doubted = extract_paper(task(papers / "scan.pdf", tmp_path))
    assert doubted.paper == scanned.paper
    for figure, other in zip(scanned.figures, doubted.figures, strict=True):
        assert other == replace(figure, confidence=other.confidence)
        assert 0 < other.confidence < 0.75 * figure.confidence


@pytest.mark.slow
def test_a_font_that_maps_to_garbage_is_read_from_pixels(papers: Path, tmp_path: Path) -> None:
    result = extract_paper(task(papers / "scrambled.pdf", tmp_path))
    found = by_type(result)
    assert result.paper.ocr_reason == "text layer scrambled on all pages"
    assert (found["Figure"].caption, found["Table"].caption) == (FIGURE_CAPTION, TABLE_CAPTION)
    assert near(Box(*(found["Figure"].region_box or ())), FIGURE, 1.5)


@pytest.mark.slow
def test_a_sound_layer_is_never_read_from_pixels(papers: Path, tmp_path: Path) -> None:
    given = task(papers / "sound.pdf", tmp_path)
    result = extract_paper(given)
    assert (result.paper.ocr_reason, result.paper.ocr_engine) == ("", "")
    assert result == extract_paper(with_settings(given, ocr="never"))
    asked = extract_paper(with_settings(given, ocr="always"))
    assert asked.paper.ocr_reason == "asked for on all pages"
    assert {figure.caption for figure in asked.figures} == {figure.caption for figure in result.figures}


def test_words_in_pictures_are_added_to_the_text_of_figures_on_demand(tmp_path: Path) -> None:
    paper = PaperMaker()
    sheet = paper.sheet()
    drawing = Image.new("RGB", (900, 540), "white")
    draw = ImageDraw.Draw(drawing)
    draw.rectangle((10, 10, 889, 529), outline="black", width=4)
    for top, word in ((120, "Encoder"), (340, "Decoder")):
        draw.text((300, top), word, fill="black", font=ImageFont.load_default(64))
    sheet.image(FIGURE, drawing)
    sheet.body(LEFT, top=sheet.caption(LEFT, FIGURE.bottom + 8, FIGURE_CAPTION) + 18)
    sheet.body(RIGHT)
    given = task(paper.finish(tmp_path / "pixels.pdf"), tmp_path / "content")
    assert extract_paper(given).figures[0].figure_text == ""
    assert extract_paper(with_settings(given, ocr_figures=True)).figures[0].figure_text.split() == [
        "Encoder",
        "Decoder",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("no_ocr")
def test_without_ocr_a_scan_fails_with_what_to_install(papers: Path, tmp_path: Path) -> None:
    with pytest.raises(NoTextError) as caught:
        extract_paper(task(papers / "scan.pdf", tmp_path))
    assert "it seems to be a scan; to have it read: pip install -r requirements-ocr.txt" in caught.value.problem
    paper = extract_paper(task(papers / "scrambled.pdf", tmp_path)).paper
    assert (paper.status, paper.ocr_engine) == ("no_figures", "")
    assert paper.reason.endswith(
        "text layer scrambled on all pages; to have it read: pip install -r requirements-ocr.txt"
    )


def test_told_never_to_use_it_the_reason_names_the_setting(papers: Path, tmp_path: Path) -> None:
    with pytest.raises(NoTextError) as caught:
        extract_paper(with_settings(task(papers / "scan.pdf", tmp_path), ocr="never"))
    assert "--extract.ocr auto" in caught.value.problem


@pytest.mark.usefixtures("no_ocr")
@pytest.mark.parametrize("flags", [("--extract.ocr", "always"), ("--extract.ocr_figures",)])
def test_asked_for_and_not_installed_it_ends_in_one_line(
    flags: tuple[str, ...], papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--pdf_dir", str(papers), "--work_dir", str(tmp_path / "work"), *flags]
    assert extract_content.main(given) == 6
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install -r requirements-ocr.txt" in line


@pytest.mark.slow
def test_only_papers_that_need_ocr_are_read_anew_when_it_changes(
    papers: Path, scanned: PaperResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / f"{scanned.paper.paper_id}.json").write_text("{}")
    recipe = ExtractionParams(version=1, dpi=100, longest_side=600, ocr="auto", ocr_figures=False)
    limits = TaskLimits(seconds=60, megabytes=1000)
    source: PdfFile = task(papers / "scan.pdf", tmp_path).source
    sound = replace(scanned, paper=replace(scanned.paper, ocr_reason="", ocr_engine=""))
    failed = replace(scanned, paper=replace(sound.paper, status="failed"))
    for result, current in ((scanned, False), (failed, False), (sound, True)):
        write_entry(tmp_path, source, recipe, None, result)
        assert current_entry(tmp_path, source, recipe, limits) is not None
        with monkeypatch.context() as patch:
            patch.setattr("figtune.extraction.paper_cache.engine_version", lambda: "tesserocr 99")
            assert (current_entry(tmp_path, source, recipe, limits) is not None) is current


def test_papers_jsonl_of_before_can_still_be_read(tmp_path: Path) -> None:
    line = (
        b'{"schema":1,"paper_id":"a","file":"a.pdf","sha256":"","pages":1,"status":"ok","reason":"","title":"",'
        b'"figures":1,"tables":0}\n'
    )
    (tmp_path / "papers.jsonl").write_bytes(line)
    (paper,) = read_records(tmp_path / "papers.jsonl", PaperRecord, "")
    assert (paper.ocr_reason, paper.ocr_engine) == ("", "")
