"""The tasks: how each asks and what its completion is made of. A new task is one entry in `TASKS`.

Completions are sentences of the paper, chosen and cleaned; no model writes them. Phrasings may use `{thing}`: "this
figure", "this table", "panel (b) of this figure".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from figtune.dataset.figure_context import FigureContext
from figtune.dataset.figure_words import UNSURE_TABLE
from figtune.dataset.panel_captions import PanelPart
from figtune.dataset.questions import ask, ask_about_table
from figtune.dataset.records import Task
from figtune.extraction.records import FigureKind

BELONGS_TO_ANOTHER_TASK = "belongs_to_another_task"
"""Name in place of a rule where other tasks have all sentences: nothing is rejected."""
_NO_CONTEXT = "nothing"
_FIGURES: frozenset[FigureKind] = frozenset(("diagram", "plot", "qualitative", "mixed"))
_DRAWN: frozenset[FigureKind] = frozenset(("diagram", "plot"))
"""Figures whose words are in the text layer; pictures may hold others."""
_FEWEST_PANEL_WORDS = 7
"""Words below which a panel's own part of the caption is a title rather than a description."""
_TABLES: frozenset[FigureKind] = frozenset(("table",))
_PANEL = re.compile(r"panels? \(\w+\)(?:(?:, | and |, and |[-–])\(\w\))*")
"""Panels as cleaned sentences name them: "panel (b)", "panels (a) and (c)"."""
_WHOLE = re.compile(r"(?i)\bthe (?:figure|table)\b")
_LABEL = re.compile(r"panel \((\w)\)")


@dataclass(frozen=True, kw_only=True)
class ExampleDraft:
    """An example before bounds of length and quality are applied."""

    panel: PanelPart | None = None
    """Panel that it is about; None for the whole figure."""
    variant: str = ""
    """Tells drafts of one task apart in their ids; empty where there is one of a panel or figure."""
    request: str = ""
    """Takes the place of the task's phrasings."""
    context: tuple[tuple[str, str], ...] = ()
    """Context of the prompt before its request: (name, value), in order; empty values are left out."""
    sentences: tuple[str, ...]
    """Sentences of the completion. Empty where the task fits the figure but the paper has nothing for it."""
    separator: str = " "
    """Stands between the sentences."""
    reject_rule: str = ""
    """The rule that says what was missing where there are no sentences; empty otherwise."""


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """Definition of a task."""

    name: Task
    prompt_context: str
    """Beside the request, in words, for the data card."""
    target: str
    """Content of the completion, in words, for the data card."""
    phrasings: tuple[str, ...]
    """One is chosen by hash; the first is what a user gets who asks nothing special."""
    kinds: frozenset[FigureKind]
    """Figures it is for."""
    drafts: Callable[[FigureContext], Iterator[ExampleDraft]]
    """Yields at least one draft."""
    is_text: bool = True
    """True if completions are sentences, with the bounds and the quality of such; else they may be a word long."""
    architectures_only: bool = False
    of_tables: tuple[str, ...] = ()
    """Phrasings for tables, where the others do not fit them."""

    @property
    def needs_context(self) -> bool:
        """True if the prompt has context beside the request."""
        return self.prompt_context != _NO_CONTEXT

    def phrasings_for(self, kind: FigureKind) -> tuple[str, ...]:
        """Return the phrasings for figures of a kind."""
        return self.of_tables if kind == "table" and self.of_tables else self.phrasings

    def fits(self, figure_context: FigureContext) -> bool:
        """Return True if the task applies to this figure."""
        return figure_context.kind in self.kinds and (figure_context.is_architecture or not self.architectures_only)


def task_entry(name: Task) -> TaskEntry:
    """Return the entry of that name."""
    return next(entry for entry in TASKS if entry.name == name)


def plain_request(name: Task) -> str:
    """Return the prompt for a figure without any context."""
    return task_entry(name).phrasings[0].format(thing="this figure")


def _caption(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """Yield the caption, without the parts about panels that describe takes."""
    reject_rule = "" if figure_context.caption else "nothing_left_of_caption"
    if figure_context.caption and not figure_context.has_headline:
        reject_rule = "headline_lost"
    if not reject_rule and not figure_context.shares.caption:
        reject_rule = BELONGS_TO_ANOTHER_TASK
    yield ExampleDraft(sentences=() if reject_rule else figure_context.shares.caption, reject_rule=reject_rule)


def _explain(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """Yield what citing paragraphs tell of meaning and findings, beside the caption, which the prompt gives."""
    told = figure_context.shares.explain[:1]
    # A figure is often first cited elsewhere than where it is explained.
    sections = (each.section for each in figure_context.passages if told and told[0] in each.sentences)
    section = next(sections, figure_context.passages[0].section if figure_context.passages else "")
    yield _of_citing_text(
        figure_context,
        figure_context.shares.explain,
        (("Title", figure_context.title), ("Section", section), ("Caption", figure_context.caption_in_prompt)),
    )


def _analyze(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """Yield what is told of the mechanism of an architecture, beside the names in it, which the prompt gives."""
    yield _of_citing_text(
        figure_context,
        figure_context.shares.analyze,
        (("Title", figure_context.title), ("Components", ", ".join(figure_context.components))),
    )


def _describe(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """Yield details that citing paragraphs tell; and of each panel its own part of the caption."""
    context = (("Title", figure_context.title),)
    yield _of_citing_text(figure_context, figure_context.shares.describe, context)
    for panel in figure_context.shares.panels:
        reject_rule = _panel_reject_rule(panel, figure_context.figure_text)
        yield ExampleDraft(panel=panel, context=context, sentences=panel.sentences, reject_rule=reject_rule)


def _panel_reject_rule(panel: PanelPart, figure_text: str) -> str:
    """Return the rule against a panel's own part of the caption; a mere title is often printed in the panel too."""
    words = " ".join(panel.sentences).casefold().split()
    if not words or " ".join(words).rstrip(".") in " ".join(figure_text.casefold().split()):
        return "panel_without_own_caption"
    return "too_short" if len(words) < _FEWEST_PANEL_WORDS else ""


def _read(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """Yield the words printed in the figure, or in each panel where they are many; the cells of a table."""
    for words in figure_context.printed:
        yield ExampleDraft(panel=words.panel, sentences=words.labels, separator="\n", reject_rule=words.reject_rule)


def _question(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """Yield questions with answers of a few words."""
    facts, grid = figure_context.facts, figure_context.grid
    if figure_context.kind == "table" and grid is None:
        yield ExampleDraft(sentences=(), reject_rule=UNSURE_TABLE)
        return
    questions = ask(facts) if grid is None else ask_about_table(grid, facts)
    for question in questions:
        yield ExampleDraft(variant=question.slug, request=question.request, sentences=(question.answer,))
    if not questions:
        yield ExampleDraft(sentences=(), reject_rule="no_sure_question")


def _of_citing_text(
    figure_context: FigureContext, sentences: tuple[str, ...], context: tuple[tuple[str, str], ...]
) -> ExampleDraft:
    panel = _only_panel(figure_context, sentences)
    return ExampleDraft(
        panel=panel,
        variant="cited" if panel else "",  # its own part of the caption may be an example too
        context=context,
        sentences=sentences,
        reject_rule="" if sentences else _missing_citing_text(figure_context),
    )


def _only_panel(figure_context: FigureContext, sentences: tuple[str, ...]) -> PanelPart | None:
    """Return the panel that sentences speak of, if it is one alone: they do not tell of the whole figure."""
    told = " ".join(sentences)
    named = set(_PANEL.findall(told))
    label = _LABEL.fullmatch(named.pop()) if len(named) == 1 and not _WHOLE.search(told) else None
    if label is None:
        return None
    for panel in figure_context.panels:
        if panel.label == label[1]:
            return panel
    # Nobody knows where it is; its label tells, where the figure or the caption has it.
    is_labelled = f"({label[1]})" in f"{figure_context.figure_text} {' '.join(figure_context.caption)}"
    return PanelPart(label=label[1], sentences=()) if is_labelled else None


def _missing_citing_text(figure_context: FigureContext) -> str:
    if not figure_context.is_cited:
        return "no_citing_text"
    if not figure_context.passages:
        return "nothing_left_of_citing_text"
    shares = figure_context.shares
    return BELONGS_TO_ANOTHER_TASK if shares.explain or shares.analyze or shares.describe else "only_repeats_caption"


TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name="caption",
        prompt_context=_NO_CONTEXT,
        target="the caption without its label",
        phrasings=(
            "Describe {thing}.",
            "What does {thing} show?",
            "Write a caption for {thing}.",
            "Describe what can be seen in {thing} of a research paper.",
            "Give a caption that a paper could print with {thing}.",
        ),
        kinds=_FIGURES | _TABLES,
        drafts=_caption,
    ),
    TaskEntry(
        name="explain",
        prompt_context="title, section, caption",
        target="what citing paragraphs say of meaning and findings",
        phrasings=(
            "Explain {thing} in the context of the paper.",
            "What does {thing} mean for the paper it comes from?",
            "Explain to a reader of the paper what {thing} shows and why it is there.",
            "How does the paper use {thing}? Explain.",
            "Put {thing} into the context of the paper.",
        ),
        kinds=_FIGURES | _TABLES,
        drafts=_explain,
    ),
    TaskEntry(
        name="analyze",
        prompt_context="title, names printed in the diagram",
        target="what citing paragraphs, or the caption behind its first sentence, say of the mechanism",
        phrasings=(
            "Analyze the components of {thing} and how they work together.",
            "Go through the components of the architecture in {thing}.",
            "What are the components in {thing}, and what does each of them do?",
            "Analyze the structure that {thing} shows, component by component.",
            "Explain the parts of the pipeline in {thing}.",
        ),
        kinds=_FIGURES,
        architectures_only=True,
        drafts=_analyze,
    ),
    TaskEntry(
        name="describe",
        prompt_context="title",
        target="what citing paragraphs say of details; of a panel its part of the caption",
        phrasings=(
            "Write a technical description of what {thing} illustrates.",
            "Describe the visual concept in {thing} for a technical reader.",
            "Give a technical description of {thing}.",
            "In technical terms, what does {thing} depict?",
            "Describe {thing} precisely and technically.",
        ),
        kinds=_FIGURES,
        drafts=_describe,
    ),
    TaskEntry(
        name="read",
        prompt_context=_NO_CONTEXT,
        target="words and numbers printed in the diagram or plot, or in one panel, a label a line, without formulas; "
        "the cells of a table, a row a line",
        phrasings=(
            "Read the words and numbers in {thing}.",
            "Which words are printed in {thing}? List them in reading order.",
            "Transcribe the text in {thing}.",
        ),
        of_tables=(
            "Read {thing} row by row, with | between cells.",
            "Transcribe {thing}: a row a line, the header first, with | between cells.",
            "Write down all cells of {thing}, row by row, with | between them.",
        ),
        kinds=_DRAWN | _TABLES,
        drafts=_read,
        is_text=False,
    ),
    TaskEntry(
        name="question",
        prompt_context=_NO_CONTEXT,
        target="an answer of a few words to a question about kind, text, shape, panels, words or caption; "
        "of a table, about size, cells, words or caption",
        phrasings=("What kind of figure is this? Answer with diagram, plot or pictures.",),
        of_tables=("How many columns does this table have? Answer with a number.",),
        kinds=_FIGURES | _TABLES,
        drafts=_question,
        is_text=False,
    ),
)
