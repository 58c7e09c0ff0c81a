"""The text and the mentions of the sample papers, exactly as their makers wrote them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from config import EXTRACT
from figtune.core.jsonl import read_json, read_records
from figtune.extraction.extract_folder import extract_folder
from figtune.extraction.extract_paper import extract_paper
from figtune.extraction.records import (
    FIGURES_FILE,
    PAPERS_FILE,
    FigureRecord,
    Mention,
    PaperRecord,
    PaperText,
    Paragraph,
    Section,
)
from figtune.extraction.worker import run_locally
from tests.rows import each_row

SAMPLES = Path(__file__).parent.parent.parent / "samples"
FILES = sorted(path.name for path in SAMPLES.glob("*.pdf"))


@dataclass(frozen=True)
class TrueFigure:
    """Fields of a figure that are compared."""

    figure_type: str
    name: str
    mentions: tuple[Mention, ...]


@dataclass(frozen=True)
class Truth:
    """Fields of a paper that are compared."""

    title: str
    abstract: str
    sections: tuple[Section, ...]
    references: tuple[str, ...]
    figures: tuple[TrueFigure, ...]


@dataclass(frozen=True)
class Content:
    """The samples, extracted."""

    folder: Path
    papers: dict[str, PaperRecord]
    figures: list[FigureRecord]

    def text(self, file: str) -> PaperText:
        """The text of a paper."""
        return read_json(self.folder / "texts" / f"{self.papers[file].paper_id}.json", PaperText, "")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    folder = tmp_path_factory.mktemp("content")
    extract_folder(
        SAMPLES,
        folder,
        replace(EXTRACT, dpi=50, longest_side=200, timeout_seconds=120, memory_mb=1000),
        redo=False,
        extract=extract_paper,
        engine=partial(run_locally, workers=2),
    )
    papers = read_records(folder / PAPERS_FILE, PaperRecord, "")
    return Content(
        folder, {paper.file: paper for paper in papers}, read_records(folder / FIGURES_FILE, FigureRecord, "")
    )


def truth_of(file: str) -> Truth:
    """Truth that the makers of a sample paper wrote down."""
    return msgspec.json.decode((SAMPLES / file).with_suffix(".truth.json").read_bytes(), type=Truth)


Texted = TypeVar("Texted", Paragraph, Mention)


def _on_one_line(passage: Texted) -> Texted:
    """With the heading that is run into it, as the makers count it."""
    return replace(passage, text=" ".join(passage.text.split()))


@pytest.mark.slow
@each_row("file", FILES)
def test_the_text_is_what_was_written(file: str, content: Content) -> None:
    text, truth = content.text(file), truth_of(file)
    assert text.title == truth.title
    assert text.abstract == truth.abstract
    assert [section.heading for section in text.sections] == [section.heading for section in truth.sections]
    for found, true in zip(text.sections, truth.sections, strict=True):
        assert [_on_one_line(paragraph) for paragraph in found.paragraphs] == list(true.paragraphs)
    assert text.references == truth.references


@each_row("file", FILES)
def test_the_mentions_are_the_paragraphs_that_cite(file: str, content: Content) -> None:
    paper_id = content.papers[file].paper_id
    found = {
        (figure.figure_type, figure.name): tuple(map(_on_one_line, figure.mentions))
        for figure in content.figures
        if figure.paper_id == paper_id
    }
    assert found == {(figure.figure_type, figure.name): figure.mentions for figure in truth_of(file).figures}
