"""Figures of one paper, extracted as stage 1 does, and the prompts about them: of a task, a data set, or own words."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from figtune.core.errors import InputError, UsageError
from figtune.core.jsonl import read_records
from figtune.dataset.build_examples import figure_prompt
from figtune.dataset.figure_context import build_context, build_extra_context, first_sentence
from figtune.dataset.records import Task
from figtune.dataset.settings import DataSettings, PrepareSettings
from figtune.dataset.task_prompts import plain_request, task_entry
from figtune.extraction.extract_folder import extract_folder
from figtune.extraction.extract_paper import extract_paper
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, FigureRecord, FigureType, PaperRecord
from figtune.extraction.settings import ExtractSettings
from figtune.extraction.worker import run_locally

logger = logging.getLogger(__name__)

_FIGURE_NAME = re.compile(r"(?i)(?:(?P<table>tab(?:le|\.)?)|fig(?:ure|\.)?)?\s*(?P<name>\S+)")
_TYPES: tuple[FigureType, ...] = ("Figure", "Table")


@dataclass(frozen=True, kw_only=True)
class Paper:
    """An extracted paper."""

    record: PaperRecord
    figures: tuple[FigureRecord, ...]
    """Figures with a name and a crop."""
    content_dir: Path

    def crop(self, figure: FigureRecord) -> Path:
        """Return the path of a figure's crop."""
        return self.content_dir / str(figure.crop)


def read_paper(pdf: Path, folder: Path, settings: ExtractSettings) -> Paper:
    """Extract one paper in a worker process, as stage 1 does, with limits of time and memory.

    Args:
        folder: an empty folder for the extracted content; it must outlive the paper.

    Raises:
        InputError: no such file, an unreadable PDF, or no figures in it.
    """
    if not pdf.is_file():
        raise InputError(f"there is no paper {pdf}", "check the path")
    shelf = folder / "papers"
    shelf.mkdir()
    # Under its own name: ids come from it, and the phrasing of prompts from ids.
    (shelf / f"{pdf.stem}.pdf").symlink_to(pdf.resolve())
    content = folder / "content"
    extract_folder(
        shelf,
        content,
        settings,
        redo=False,
        extract=extract_paper,
        engine=partial(run_locally, workers=1),
    )
    return open_paper(folder)


def open_paper(folder: Path) -> Paper:
    """Return the paper that `read_paper` has read into `folder`.

    Raises:
        InputError: it could not be read, or has no figures.
    """
    content = folder / "content"
    (record,) = read_records(content / PAPERS_FILE, PaperRecord, "the same command")
    if record.status == "failed":
        named = record.reason.startswith(record.file)
        raise InputError(
            record.reason if named else f"{record.file}: {record.reason}",
            "give another paper, or an image of the figure",
        )
    found = read_records(content / FIGURES_FILE, FigureRecord, "the same command")
    figures = tuple(figure for figure in found if figure.name and figure.crop)
    if not figures:
        raise InputError(f"{record.file} has no figure or table with a caption", "give another paper, or an image")
    return Paper(record=record, figures=figures, content_dir=content)


def select_figure(paper: Paper, wanted: str | None) -> FigureRecord:
    """Return the figure called "3", "Figure 3" or "Table 2".

    Raises:
        UsageError: none is named.
        InputError: the paper has no such figure.
    """
    names = list_figures(paper.figures)
    available = f"{paper.record.file} has {names}"
    if wanted is None:
        raise UsageError(available, 'name one with --figure, such as --figure 3 or --figure "Table 1"')
    match = _FIGURE_NAME.fullmatch(wanted.strip())
    if match is None:
        raise UsageError(f'--figure "{wanted}" names no figure', available)
    figure_type: FigureType = "Table" if match["table"] else "Figure"
    name = match["name"].rstrip(".:").casefold()
    fitting = [each for each in paper.figures if (each.figure_type, each.name.casefold()) == (figure_type, name)]
    if not fitting:
        raise InputError(f"{paper.record.file} has no {figure_type} {match['name']}", f"it has {names}")
    return max(fitting, key=lambda each: each.confidence)


def list_figures(figures: Sequence[FigureRecord]) -> str:
    """Return the names of figures as "Figure 1, 2, 3; Table 1"."""
    parts = []
    for figure_type in _TYPES:
        names = dict.fromkeys(figure.name for figure in figures if figure.figure_type == figure_type)
        if names:
            parts.append(f"{figure_type} {', '.join(names)}")
    return "; ".join(parts)


_PROMPT_SETTINGS = ("max_context_words", "figure_words", "other_captions")
"""Settings of preparation that say what a prompt about a figure tells."""


@dataclass(frozen=True, kw_only=True)
class PromptSpec:
    """Choice of the prompt to build."""

    task: Task
    custom_prompt: str | None
    """Text in place of the task's request."""
    dataset_prompt: str | None
    """Prompt of every example of a model trained on a data set, without tasks; None for one trained on papers."""
    prepare: PrepareSettings
    """Settings that the training examples were made with: they say what a prompt about a figure tells."""

    def image_prompt(self) -> str:
        """Build the prompt about an image without context."""
        if self.custom_prompt is not None:
            return self.custom_prompt
        return plain_request(self.task) if self.dataset_prompt is None else self.dataset_prompt

    def figure_prompt(self, paper: Paper, figure: FigureRecord) -> str:
        """Build the prompt of a training example; a custom prompt replaces the request after its context."""
        if self.dataset_prompt is not None:
            return self.image_prompt()
        others = (first_sentence(each) for each in paper.figures if each.figure_id != figure.figure_id)
        extra_context = build_extra_context(figure, filter(None, others), self.prepare)
        context = build_context(figure, paper.record, self.prepare.max_context_words, extra_context=extra_context)
        return figure_prompt(context, figure.figure_id, self.task, self.custom_prompt)

    def log_missing_context(self) -> None:
        """Log it if the task was trained with more context in the prompt than an image alone has."""
        entry = task_entry(self.task)
        if self.custom_prompt is None and self.dataset_prompt is None and entry.needs_context:
            logger.warning(
                f"{entry.name} was trained with {entry.prompt_context} in the prompt, which an image alone lacks; "
                "ask about the paper with --test_image PAPER.pdf --figure 3, or write them into --prompt"
            )


@dataclass(frozen=True)
class ExampleSettings:
    """Settings that prompts of examples follow from."""

    data: DataSettings
    prepare: PrepareSettings


def spec_as_trained(
    task: Task,
    custom_prompt: str | None,
    given: ExampleSettings,
    trained: ExampleSettings,
    constants: PrepareSettings,
) -> PromptSpec:
    """Return what to ask: as the model was trained, but for what is given now.

    Args:
        constants: values of settings that nobody has given.
    """
    data = given.data if given.data.source else trained.data
    untouched = [name for name in _PROMPT_SETTINGS if getattr(given.prepare, name) == getattr(constants, name)]
    if custom_prompt is None and data.source and not given.data.source:
        logger.info(f'asked as the rows of {data.source}, which the model was trained on: "{data.prompt}"')
    return PromptSpec(
        task=task,
        custom_prompt=custom_prompt,
        dataset_prompt=data.prompt if data.source else None,
        prepare=replace(given.prepare, **{name: getattr(trained.prepare, name) for name in untouched}),
    )
