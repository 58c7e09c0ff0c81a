"""Real PDFs through real extraction in worker processes: good ones, bad ones, and good ones damaged at random."""

from __future__ import annotations

import os
import random
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pymupdf
import pytest
from PIL import Image

from config import EXTRACT
from figtune.core.jsonl import read_json, read_records
from figtune.extraction.extract_folder import ExtractionCounts, extract_folder
from figtune.extraction.extract_paper import extract_paper
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, FigureRecord, PaperRecord, PaperText
from figtune.extraction.worker import run_locally
from tests.extraction.hostile_pdfs import BODY, UNREADABLE, write_endless_page, write_image_bomb, write_paper

SAMPLES = Path(__file__).parents[2] / "samples"
FUZZED = int(os.environ.get("FIGTUNE_FUZZ", "100"))
"""Damaged papers to try: `FIGTUNE_FUZZ=5000 pytest tests/extraction/test_extract_paper.py -k damage` for a long run."""


def run(pdf_dir: Path, content_dir: Path, *, timeout_s: float = 120, memory_mb: int = 1000) -> ExtractionCounts:
    """Extraction at 100 dpi with two workers."""
    return extract_folder(
        pdf_dir,
        content_dir,
        replace(EXTRACT, dpi=100, longest_side=300, timeout_seconds=timeout_s, memory_mb=memory_mb, ocr="never"),
        redo=False,
        extract=extract_paper,
        engine=partial(run_locally, workers=2),
    )


def papers(content_dir: Path) -> dict[str, PaperRecord]:
    """The records by file."""
    return {paper.file: paper for paper in read_records(content_dir / PAPERS_FILE, PaperRecord, "")}


def figures(content_dir: Path) -> list[FigureRecord]:
    """All figure records."""
    return read_records(content_dir / FIGURES_FILE, FigureRecord, "")


@pytest.fixture
def pdf_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "pdfs"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_a_paper_gives_records_text_crops_and_thumbnails(pdf_dir: Path, tmp_path: Path) -> None:
    write_paper(pdf_dir / "probes.pdf")
    content = tmp_path / "content"

    counts = run(pdf_dir, content)

    paper = papers(content)["probes.pdf"]
    assert (paper.status, paper.pages, paper.title) == ("ok", 2, "A Small Paper on Probes")
    assert (counts.figures, counts.tables, counts.incomplete, counts.mentions) == (2, 2, 0, 4)
    found = figures(content)
    assert [figure.figure_id.removeprefix(f"{paper.paper_id}-") for figure in found] == [
        "figure-1",
        "table-1",
        "figure-2",
        "table-2",
    ]
    for figure in found:
        assert figure.crop is not None
        with Image.open(content / figure.crop) as crop:
            assert crop.size == figure.crop_size
            assert max(crop.size) <= 300
        assert (content / "thumbnails" / paper.paper_id / f"{figure.page}.jpg").exists()
        assert [mention.page for mention in figure.mentions] == [figure.page]
        assert f"{figure.figure_type} {figure.name}" in figure.mentions[0].text
    text = read_json(content / "texts" / f"{paper.paper_id}.json", PaperText, "")
    assert text.abstract == BODY.strip()
    assert [section.heading for section in text.sections] == ["1. Introduction"]


@pytest.mark.slow
def test_every_kind_of_bad_pdf_costs_itself_only(pdf_dir: Path, tmp_path: Path) -> None:
    for name, (write, _) in UNREADABLE.items():
        write(pdf_dir / f"{name}.pdf")
    write_paper(pdf_dir / "good.pdf")
    write_image_bomb(pdf_dir / "image bomb.pdf")
    content = tmp_path / "content"

    run(pdf_dir, content, memory_mb=400)

    records = papers(content)
    reasons = {name: records[f"{name}.pdf"].reason for name in UNREADABLE}
    for name, (_, word) in UNREADABLE.items():
        assert records[f"{name}.pdf"].status == "failed"
        assert word in reasons[name]
    assert not [reason for reason in reasons.values() if str(tmp_path) in reason or "\n" in reason]
    assert records["good.pdf"].status == "ok"
    assert records["image bomb.pdf"].status == "no_figures"


@pytest.mark.slow
def test_a_paper_cut_off_is_read_and_says_so(pdf_dir: Path, tmp_path: Path) -> None:
    for path in sorted(SAMPLES.glob("*.pdf")):
        data = path.read_bytes()
        for share in (0.3, 0.65, 0.99):
            (pdf_dir / f"cut to {share} {path.name}").write_bytes(data[: int(share * len(data))])
        (pdf_dir / path.name).write_bytes(data)
    content = tmp_path / "content"

    counts = run(pdf_dir, content)

    records = papers(content).values()
    assert {paper.file for paper in records if not paper.repaired and paper.status != "failed"} == {
        path.name for path in SAMPLES.glob("*.pdf")
    }
    damaged_ones = [paper for paper in records if paper.file.startswith("cut ")]
    assert counts.repaired + counts.failed == len(damaged_ones)
    assert all("damaged" in paper.reason for paper in damaged_ones)


@pytest.mark.slow
def test_words_of_a_reader_get_nowhere(pdf_dir: Path, tmp_path: Path) -> None:
    write_paper(pdf_dir / "clean.pdf")
    with pymupdf.open(pdf_dir / "clean.pdf") as file:
        for page in file:
            page.add_freetext_annot(pymupdf.Rect(110, 345, 190, 375), "overruled")
            page.add_stamp_annot(pymupdf.Rect(200, 345, 290, 415), stamp=1)
            page.add_freetext_annot(pymupdf.Rect(60, 220, 340, 240), "overruled")
            page.add_ink_annot([[(100, 340), (300, 420)]])
        file.save(pdf_dir / "marked.pdf")
    content = tmp_path / "content"

    run(pdf_dir, content)

    clean, marked = (papers(content)[name].paper_id for name in ("clean.pdf", "marked.pdf"))
    for folder in ("texts", "crops", "thumbnails"):
        names = sorted(path.relative_to(content / folder) for path in (content / folder).rglob(f"*{marked}*"))
        assert names
        for name in names:
            same = Path(str(name).replace(marked, clean))
            for path in (content / folder / name).rglob("*") if (content / folder / name).is_dir() else ():
                twin = content / folder / same / path.name.replace(marked, clean)
                assert path.read_bytes() == twin.read_bytes()
    assert b"overruled" not in b"".join(path.read_bytes() for path in content.rglob("*.json*"))


@pytest.mark.slow
def test_type_of_no_size_costs_no_paper(pdf_dir: Path, tmp_path: Path) -> None:
    with pymupdf.open() as file:
        for _ in range(2):
            page = file.new_page()
            for row in range(40):
                page.insert_text((50, 60 + 14 * row), "many words that nobody can see " * 4, fontsize=0.04)
            page.insert_text((50, 700), "Figure 1. A caption that is large enough to read here.", fontsize=9)
        file.save(pdf_dir / "tiny.pdf")
    run(pdf_dir, tmp_path / "content")
    assert papers(tmp_path / "content")["tiny.pdf"].status == "no_figures"


@pytest.mark.slow
def test_an_endless_page_is_given_up(pdf_dir: Path, tmp_path: Path) -> None:
    write_endless_page(pdf_dir / "endless.pdf")
    run(pdf_dir, tmp_path / "content", timeout_s=1)
    assert papers(tmp_path / "content")["endless.pdf"].reason == "takes longer than 1 seconds"


@pytest.mark.slow
def test_a_long_document_is_read_to_its_end(pdf_dir: Path, tmp_path: Path) -> None:
    write_paper(pdf_dir / "thesis.pdf", pages=110)
    counts = run(pdf_dir, tmp_path / "content")
    assert (counts.pages, counts.figures, counts.tables, counts.mentions) == (110, 110, 110, 220)


@pytest.mark.slow
def test_damage_of_any_kind_leaves_one_record_each(pdf_dir: Path, tmp_path: Path) -> None:
    write_paper(pdf_dir / "good.pdf")
    whole = [(pdf_dir / "good.pdf").read_bytes(), *map(two_pages, sorted(SAMPLES.glob("*.pdf")))]
    for seed in range(FUZZED):
        data = whole[seed % len(whole)]
        (pdf_dir / f"damaged {seed}.pdf").write_bytes(damaged(data, random.Random(seed)))
    content = tmp_path / "content"

    counts = run(pdf_dir, content, timeout_s=20)

    records = papers(content)
    assert len(records) == FUZZED + 1
    assert counts.ok + counts.no_figures + counts.duplicate + counts.failed == FUZZED + 1
    assert records["good.pdf"].status in ("ok", "duplicate")
    assert not [paper.reason for paper in records.values() if "fault of this program" in paper.reason]
    crops = [figure.crop for figure in figures(content) if figure.crop is not None]
    assert len(crops) > FUZZED // 4
    assert [crop for crop in crops if not (content / crop).exists()] == []


def two_pages(path: Path) -> bytes:
    """Return the two pages in the middle of a paper, where figures are, as a file of its own."""
    with pymupdf.open(path) as file:
        first = len(file) // 2 - 1
        file.select([first, first + 1])
        made: bytes = file.tobytes(garbage=1)
        return made


def damaged(data: bytes, chance: random.Random) -> bytes:
    """`data` with bytes flipped, stretches cut, doubled or swapped, objects lost, or numbers changed."""
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at, length = chance.randrange(len(data)), chance.choice((1, 3, 10, 100))
        match chance.choice(("flip", "cut", "double", "swap", "object", "number")):
            case "flip":
                data = data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
            case "cut":
                data = data[:at] + data[at + length :]
            case "double":
                data = data[: at + length] + data[at:]
            case "swap":
                other = chance.randrange(len(data))
                data = data[:at] + data[other : other + length] + data[at + length :]
            case "object":
                objects = list(re.finditer(rb"\d+ 0 obj.*?endobj", data, re.DOTALL))
                if objects:
                    lost = chance.choice(objects)
                    data = data[: lost.start()] + data[lost.end() :]
            case "number":
                numbers = list(re.finditer(rb"\d+", data))
                if numbers:
                    old = chance.choice(numbers)
                    new = chance.choice((b"0", b"-1", b"99999999999", b"4294967296", b"1e9"))
                    data = data[: old.start()] + new + data[old.end() :]
    return data
