"""Figures of a content folder, each with its paper, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figtune.core import commands
from figtune.core.errors import InputError
from figtune.core.jsonl import stream_records
from figtune.extraction.records import CROPS_FOLDER, FIGURES_FILE, PAPERS_FILE, FigureRecord, PaperRecord

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
