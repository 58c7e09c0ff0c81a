"""A paper to talk about: its figures as extraction finds them, and the prompts that training would make of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from figtune.core.errors import InputError, UsageError
from figtune.core.jsonl import read_records
from figtune.dataset.build_examples import figure_prompt
from figtune.dataset.figure_context import build_context
from figtune.dataset.records import Task
from figtune.extraction.extract_paper import extract_paper
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, FigureRecord, FigureType, PaperRecord
from figtune.extraction.run import extract_folder
from figtune.extraction.settings import ExtractSettings
from figtune.extraction.worker import run_locally

_WANTED = re.compile(r"(?i)(?:(?P<table>tab(?:le|\.)?)|fig(?:ure|\.)?)?\s*(?P<name>\S+)")
_TYPES: tuple[FigureType, ...] = ("Figure", "Table")


@dataclass(frozen=True)
class Reading:
    """How a paper is read."""

    extract: ExtractSettings
    max_context_words: int
    """Of a caption within a prompt."""


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper that was read."""

    record: PaperRecord
    figures: tuple[FigureRecord, ...]
    """Those with a name and a crop."""
    content_dir: Path
    reading: Reading

    def crop(self, figure: FigureRecord) -> Path:
        """The picture of a figure."""
        return self.content_dir / str(figure.crop)

    def prompt(self, figure: FigureRecord, task: Task, custom_prompt: str | None) -> str:
        """As a training example of the task asks; own words take the place of the request, after the same context."""
        material = build_context(figure, self.record, self.reading.max_context_words)
        return figure_prompt(material, figure.figure_id, task, custom_prompt)


def read_paper(pdf: Path, folder: Path, reading: Reading) -> Paper:
    """Extract one paper in a worker process, as stage 1 does, within its limits of time and memory.

    Args:
        folder: an empty one, for what extraction writes; it must outlive the paper.

    Raises:
        InputError: no such file, no PDF that can be read, or no figures in it.
    """
    if not pdf.is_file():
        raise InputError(f"there is no paper {pdf}", "check the path")
    shelf = folder / "papers"
    shelf.mkdir()
    # Under its own name, which ids and with them the phrasing of prompts come from.
    (shelf / f"{pdf.stem}.pdf").symlink_to(pdf.resolve())
    content = folder / "content"
    extract_folder(
        shelf,
        content,
        reading.extract,
        redo=False,
        extract=extract_paper,
        engine=partial(run_locally, workers=1),
    )
    (record,) = read_records(content / PAPERS_FILE, PaperRecord, "the same command")
    if record.status == "failed":
        named = record.reason.startswith(record.file)
        raise InputError(
            record.reason if named else f"{pdf.name}: {record.reason}", "give another paper, or an image of the figure"
        )
    found = read_records(content / FIGURES_FILE, FigureRecord, "the same command")
    figures = tuple(figure for figure in found if figure.name and figure.crop)
    if not figures:
        raise InputError(f"{pdf.name} has no figure or table with a caption", "give another paper, or an image")
    return Paper(record=record, figures=figures, content_dir=content, reading=reading)


def chosen_figure(paper: Paper, wanted: str | None) -> FigureRecord:
    """The figure that a user means by "3", "Figure 3" or "Table 2".

    Raises:
        UsageError: nothing is wanted.
        InputError: the paper has no such figure.
    """
    there = f"{paper.record.file} has {listed(paper.figures)}"
    if wanted is None:
        raise UsageError(there, 'say which one is meant with --figure, such as --figure 3 or --figure "Table 1"')
    match = _WANTED.fullmatch(wanted.strip())
    if match is None:
        raise UsageError(f'--figure "{wanted}" names no figure', f"{there}, to be named so")
    figure_type: FigureType = "Table" if match["table"] else "Figure"
    name = match["name"].rstrip(".:").casefold()
    fitting = [each for each in paper.figures if (each.figure_type, each.name.casefold()) == (figure_type, name)]
    if not fitting:
        raise InputError(f"{paper.record.file} has no {figure_type} {match['name']}", f"it has {listed(paper.figures)}")
    return max(fitting, key=lambda each: each.confidence)


def listed(figures: Sequence[FigureRecord]) -> str:
    """ "Figure 1, 2, 3; Table 1"."""
    parts = []
    for figure_type in _TYPES:
        names = dict.fromkeys(figure.name for figure in figures if figure.figure_type == figure_type)
        if names:
            parts.append(f"{figure_type} {', '.join(names)}")
    return "; ".join(parts)
