"""The tasks: how each asks and what its completion is made of. A new task is one entry in `TASKS`.

Completions are sentences of the paper, chosen and cleaned; no model writes them. Phrasings may use `{thing}`: "this
figure", "this table", "panel (b) of this figure".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from figtune.dataset.citing_text import CitingPassage, without_repeats
from figtune.dataset.cleaning import depends_on_previous
from figtune.dataset.components import components_of, mentioned
from figtune.dataset.figure_context import FigureContext
from figtune.dataset.records import Task
from figtune.extraction.records import FigureKind

_LEAST_COMPONENTS = 2
_NO_CONTEXT = "nothing"
_FIGURES: frozenset[FigureKind] = frozenset(("diagram", "plot", "qualitative", "mixed"))
_DIAGRAMS: frozenset[FigureKind] = frozenset(("diagram",))
_TABLES: frozenset[FigureKind] = frozenset(("table",))
_ANYTHING = re.compile("")
_NOTHING = re.compile(r"(?!)")
_ITEM = re.compile(r"\(?(?:\d{1,2}|[a-h])\)")
_ARCHITECTURE = re.compile(
    r"(?i)\b(?:architectures?|pipelines?|frameworks?|networks?|workflows?|flow\s?charts?|modules?|overview|schematics?|"
    r"block diagrams?|structures?|components?|encoders?|decoders?|branch(?:es)?|stages?|system)\b"
)
_ARCHITECTURE_HEADLINE = re.compile(
    r"(?i)^(?!.*\b(?:comparisons?|results?|performance|ablations?|visuali[sz]ations?|accuracy|curves?|examples?)\b)"
    r"(?:.*\b(?:architecture|pipeline|framework|workflow|flow\s?chart|network)\b|(?:an?\s+|the\s+)?overview\b)"
)


@dataclass(frozen=True, kw_only=True)
class ExampleDraft:
    """An example before its bounds are known."""

    panel: str
    """Label of the panel it is about; empty for the whole figure."""
    context: tuple[tuple[str, str], ...]
    """Context of the prompt, before the request: (name, value), in order; empty values are left out."""
    sentences: tuple[str, ...]
    """Sentences of the completion. Empty where the task fits the figure but the paper has nothing for it."""
    lacking: str
    """The rule that says what was missing where there are no sentences; empty otherwise."""


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """Definition of a task."""

    name: Task
    prompt_tells: str
    """Beside the request, in words, for the data card."""
    target: str
    """Content of the completion, in words, for the data card."""
    phrasings: tuple[str, ...]
    """One is chosen by hash; the first is what a user gets who asks nothing special."""
    kinds: frozenset[FigureKind]
    """Figures it is for."""
    topic: re.Pattern[str]
    """Something that caption or citing sentences must speak of."""
    headline: re.Pattern[str]
    """A first sentence of the caption that makes any figure fit, since kinds are guesses."""
    drafts: Callable[[FigureContext], Iterator[ExampleDraft]]

    @property
    def needs_context(self) -> bool:
        """True if the prompt has context beside the request."""
        return self.prompt_tells != _NO_CONTEXT

    def fits(self, figure_context: FigureContext) -> bool:
        """Return True if the task applies to this figure."""
        if figure_context.kind in self.kinds:
            direct = (passage.sentences[0] for passage in figure_context.passages if passage.direct)
            return self.topic.search(" ".join((*figure_context.caption, *direct))) is not None
        first = figure_context.caption[0] if figure_context.caption else ""
        return figure_context.kind not in _TABLES and self.headline.search(first) is not None


def task_entry(name: Task) -> TaskEntry:
    """The entry of that name."""
    return next(entry for entry in TASKS if entry.name == name)


def plain_request(name: Task) -> str:
    """Return the prompt for a figure without any context."""
    return task_entry(name).phrasings[0].format(thing="this figure")


def _caption(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """The caption itself."""
    lacking = "" if figure_context.caption else "nothing_left_of_caption"
    yield ExampleDraft(panel="", context=(), sentences=figure_context.caption, lacking=lacking)


def _explain(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """Yield the sentences of citing paragraphs beyond the caption, which the prompt gives."""
    sentences = without_repeats(_said(figure_context.passages), figure_context.caption)
    section = figure_context.passages[0].section if figure_context.passages else ""
    yield ExampleDraft(
        panel="",
        context=(("Title", figure_context.title), ("Section", section), ("Caption", figure_context.caption_in_prompt)),
        sentences=sentences,
        lacking=_lacking(figure_context, sentences),
    )


def _analyze(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """Sentences on components that stand in the figure, from the caption first."""
    said = without_repeats((*figure_context.caption, *_said(figure_context.passages)), ())
    components = components_of(figure_context.figure_text, " ".join(said))
    sentences = _coherent(said, [mentioned(sentence, components) != () for sentence in said])
    enough = len(mentioned(" ".join(sentences), components)) >= _LEAST_COMPONENTS
    yield ExampleDraft(
        panel="",
        context=(("Title", figure_context.title), ("Components", ", ".join(components))),
        sentences=sentences if enough else (),
        lacking="" if enough else "too_few_components",
    )


def _describe(figure_context: FigureContext) -> Iterator[ExampleDraft]:
    """Caption and citing sentences as one description; each panel by its own part of the caption."""
    direct = _said(tuple(passage for passage in figure_context.passages if passage.direct))
    beyond = without_repeats(direct, figure_context.caption)
    yield ExampleDraft(
        panel="",
        context=(("Title", figure_context.title),),
        # Without the citing sentences it would be the caption task again.
        sentences=(*figure_context.caption, *beyond) if beyond else (),
        lacking=_lacking(figure_context, beyond),
    )
    for panel in figure_context.panels:
        yield ExampleDraft(
            panel=panel.label,
            context=(("Title", figure_context.title),),
            sentences=panel.sentences,
            lacking="" if panel.sentences else "panel_without_own_caption",
        )


def _coherent(said: tuple[str, ...], wanted: list[bool]) -> tuple[str, ...]:
    """The wanted sentences, the whole of an enumeration, and the one before each that starts with "It" or the like."""
    items = [_ITEM.match(sentence) is not None for sentence in said]
    if any(item and keep for item, keep in zip(items, wanted, strict=True)):
        wanted = [item or keep for item, keep in zip(items, wanted, strict=True)]
    for index in range(len(said) - 1, 0, -1):
        if wanted[index] and depends_on_previous(said[index]):
            wanted[index - 1] = True
    return tuple(sentence for sentence, keep in zip(said, wanted, strict=True) if keep)


def _said(passages: tuple[CitingPassage, ...]) -> tuple[str, ...]:
    return tuple(sentence for passage in passages for sentence in passage.sentences)


def _lacking(figure_context: FigureContext, sentences: tuple[str, ...]) -> str:
    if sentences:
        return ""
    if not figure_context.is_cited:
        return "no_citing_text"
    return "only_repeats_caption" if figure_context.passages else "nothing_left_of_citing_text"


TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name="caption",
        prompt_tells=_NO_CONTEXT,
        target="the caption without its label",
        phrasings=(
            "Describe {thing}.",
            "What does {thing} show?",
            "Write a caption for {thing}.",
            "Describe what can be seen in {thing} of a research paper.",
            "Give a caption that a paper could print below {thing}.",
        ),
        kinds=_FIGURES | _TABLES,
        topic=_ANYTHING,
        headline=_NOTHING,
        drafts=_caption,
    ),
    TaskEntry(
        name="explain",
        prompt_tells="title, section, caption",
        target="what citing paragraphs say beyond the caption",
        phrasings=(
            "Explain {thing} in the context of the paper.",
            "What does {thing} mean for the paper it comes from?",
            "Explain to a reader of the paper what {thing} shows and why it is there.",
            "How does the paper use {thing}? Explain.",
            "Put {thing} into the context of the paper.",
        ),
        kinds=_FIGURES | _TABLES,
        topic=_ANYTHING,
        headline=_NOTHING,
        drafts=_explain,
    ),
    TaskEntry(
        name="analyze",
        prompt_tells="title, components named in the diagram",
        target="what caption and citing paragraphs say of these components",
        phrasings=(
            "Analyze the components of this diagram and how they work together.",
            "Go through the components of this architecture diagram.",
            "What are the components in this diagram, and what does each of them do?",
            "Analyze the structure that this diagram shows, component by component.",
            "Explain the parts of the pipeline in this diagram.",
        ),
        kinds=_DIAGRAMS,
        topic=_ARCHITECTURE,
        headline=_ARCHITECTURE_HEADLINE,
        drafts=_analyze,
    ),
    TaskEntry(
        name="describe",
        prompt_tells="title",
        target="caption and citing sentences; of a panel its part of the caption",
        phrasings=(
            "Write a technical description of what {thing} illustrates.",
            "Describe the visual concept in {thing} for a technical reader.",
            "Give a technical description of {thing}.",
            "In technical terms, what does {thing} depict?",
            "Describe {thing} precisely and technically.",
        ),
        kinds=_FIGURES,
        topic=_ANYTHING,
        headline=_NOTHING,
        drafts=_describe,
    ),
)
