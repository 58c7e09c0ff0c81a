"""Figures of a content folder, each with its paper, one by one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figtune.core import commands
from figtune.core.artifacts import read_manifest
from figtune.core.errors import InputError
from figtune.core.jsonl import stream_records
from figtune.extraction.pdf_files import pdf_names
from figtune.extraction.records import CROPS_FOLDER, FIGURES_FILE, PAPERS_FILE, FigureRecord, PaperRecord

logger = logging.getLogger(__name__)

CONTENT_READ = (FIGURES_FILE, PAPERS_FILE, CROPS_FOLDER)
"""Files and folders of a content folder that examples are made from."""


@dataclass(frozen=True, kw_only=True)
class PaperFigure:
    """A figure and the paper that it is of."""

    figure: FigureRecord
    paper: PaperRecord

    @property
    def source(self) -> str:
        """The value in `Example`."""
        name = self.figure.name or "without a caption"
        return f"{self.paper.file}, page {self.figure.page}, {self.figure.figure_type} {name}"


def log_other_papers(content_dir: Path, pdf_dir: Path) -> None:
    """Log how many PDFs of a folder the content lacks, and how many it has that are not there: extraction alone sees
    new ones. Nothing is said where there is no such folder: content can be used without its papers."""
    manifest = read_manifest(content_dir, commands.EXTRACT)
    if manifest is None or not pdf_dir.is_dir():
        return
    here, known = pdf_names(pdf_dir), manifest.made_from.files.keys()
    counts = (("it lacks", here - known, "of them"), ("it has", known - here, "others"))
    if found := [f"{verb} {len(papers):,} {what}" for verb, papers, what in counts if papers]:
        logger.warning(
            f"{content_dir} is not of the papers in {pdf_dir}: {', '.join(found)}; "
            f"make it anew with: {commands.EXTRACT} and the same flags"
        )


def figures_of(content_dir: Path) -> Iterator[FigureRecord]:
    """Return all figures of a content folder.

    Raises:
        ArtifactMissingError, InputError: see `stream_records`.
    """
    return stream_records(content_dir / FIGURES_FILE, FigureRecord, commands.EXTRACT)


def figures_with_papers(content_dir: Path) -> Iterator[PaperFigure]:
    """Yield the same with their papers, which stand in the same order as their figures.

    Raises:
        ArtifactMissingError, InputError: see `stream_records`; or a figure has no paper.
    """
    papers = stream_records(content_dir / PAPERS_FILE, PaperRecord, commands.EXTRACT)
    paper = next(papers, None)
    for figure in figures_of(content_dir):
        while paper is not None and paper.paper_id != figure.paper_id:
            paper = next(papers, None)
        if paper is None:
            raise InputError(
                f"{content_dir / PAPERS_FILE} lacks the paper {figure.paper_id} of {figure.figure_id}, or has it in "
                f"another order than {FIGURES_FILE}",
                f"make it again with: {commands.EXTRACT} --force",
            )
        yield PaperFigure(figure=figure, paper=paper)
