"""Examples of a figure: a task's draft put into bounds, its phrasing and quality, or the rule that rejects it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from figtune.dataset.citing_text import content_words
from figtune.dataset.cleaning import depends_on_previous
from figtune.dataset.figure_context import FigureContext
from figtune.dataset.filters import RejectReason
from figtune.dataset.panel_captions import PanelPart
from figtune.dataset.panel_images import PanelImages
from figtune.dataset.records import Example, Task
from figtune.dataset.sentence_faults import has_wrong_symbols, is_pointer
from figtune.dataset.sentences import count_words, is_closed, split_sentences, whole_sentences
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.split_assignment import hash_to_unit_interval
from figtune.dataset.tasks import BELONGS_TO_ANOTHER_TASK, ExampleDraft, TaskEntry, task_entry

_WORDS_ENOUGH = 25
_SUPPORT_ENOUGH = 3
_FAULT_COST = 0.25
_WEIGHTS = {"length": 0.3, "new": 0.3, "support": 0.2, "telling": 0.2}
_POINTS = re.compile(
    r"(?i)^(?:\S+\s+){0,3}?(?:the\s+figure|the\s+table)\s+(?:also\s+)?(?:shows?|presents?|illustrates?|depicts?)\b"
)


@dataclass(frozen=True, kw_only=True)
class FigureLocation:
    """Place of a figure, on disk and in its paper."""

    figure_id: str
    paper_id: str
    image: str
    """The value in `Example`."""
    image_sha256: str
    source: str
    panels: PanelImages | None
    """Stores crops of panels; None where examples about a panel show the whole figure."""


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """Result of a draft: an example, or the reason for its rejection."""

    example_id: str
    task: str
    result: Example | RejectReason
    shortened: bool
    """True if sentences were left out to keep the completion within its bound."""


def build_examples(
    figure_context: FigureContext, place: FigureLocation, settings: PrepareSettings
) -> Iterator[BuildResult]:
    """Every example that the chosen tasks make of a figure."""
    for name in settings.tasks:
        entry = task_entry(name)
        if entry.fits(figure_context):
            for draft in entry.drafts(figure_context):
                # Nothing is lost there: its sentences stand in an example of another task.
                if draft.lacking != BELONGS_TO_ANOTHER_TASK:
                    yield _build_example(entry, draft, figure_context, place, settings)


def figure_prompt(figure_context: FigureContext, figure_id: str, task: Task, custom_prompt: str | None) -> str:
    """Return the prompt of a task about a whole figure, also where its paper has no answer.

    Args:
        custom_prompt: what to ask in place of the task's request, after the same context.
    """
    entry = task_entry(task)
    draft = next(entry.drafts(figure_context))
    return _prompt(entry, draft, figure_context, _example_id(figure_id, entry, draft), custom_prompt)


def _build_example(
    entry: TaskEntry,
    draft: ExampleDraft,
    figure_context: FigureContext,
    place: FigureLocation,
    settings: PrepareSettings,
) -> BuildResult:
    example_id = _example_id(place.figure_id, entry, draft)
    sentences = whole_sentences(draft.sentences, settings.max_words) if entry.is_text else draft.sentences
    completion = draft.joint.join(sentences)
    image = _reject_reason(entry, draft, completion, settings) or _image_of(draft, place)
    result: Example | RejectReason
    if isinstance(image, RejectReason):
        result = image
    else:
        result = _example(example_id, entry, draft, completion, figure_context, place, image)
        if result.quality < settings.min_quality:
            result = RejectReason("low_quality", f"{result.quality:.2f} < {settings.min_quality:.2f}. {completion}")
    return BuildResult(
        example_id=example_id,
        task=entry.name,
        result=result,
        shortened=isinstance(result, Example) and len(sentences) < len(draft.sentences),
    )


def _image_of(draft: ExampleDraft, place: FigureLocation) -> tuple[str, str] | RejectReason:
    """Return path and sha256 of the picture: the panel's where there is one, else the figure's."""
    if draft.panel is None or draft.panel.box is None or place.panels is None:
        return place.image, place.image_sha256
    return place.panels.store(draft.panel.box)


def _reject_reason(
    entry: TaskEntry, draft: ExampleDraft, completion: str, settings: PrepareSettings
) -> RejectReason | None:
    if draft.lacking:
        return RejectReason(draft.lacking, "")
    if not completion:
        return RejectReason("no_sentence_fits", f"the first has {count_words(draft.sentences[0])} words")
    if entry.is_text and count_words(completion) < settings.min_words:
        return RejectReason("too_short", completion)
    return None


def _example(
    example_id: str,
    entry: TaskEntry,
    draft: ExampleDraft,
    completion: str,
    figure_context: FigureContext,
    place: FigureLocation,
    image: tuple[str, str],
) -> Example:
    prompt = _prompt(entry, draft, figure_context, example_id, None)
    told = figure_context.told if entry.is_text and draft.panel is None else ()
    return Example(
        task=entry.name,
        example_id=example_id,
        image=image[0],
        image_sha256=image[1],
        prompt=_context(told) + prompt,
        completion=completion,
        group=place.paper_id,
        source=place.source,
        kind=figure_context.kind,
        quality=quality_of(completion, prompt, _known(entry, figure_context)).score if entry.is_text else 1.0,
    )


def _known(entry: TaskEntry, figure_context: FigureContext) -> str:
    """Return what else is known of the figure than the text that the target is taken from."""
    told = figure_context.facts.spoken if entry.name == "caption" else " ".join(figure_context.caption)
    return f"{figure_context.title} {figure_context.figure_text} {told}"


def _example_id(figure_id: str, entry: TaskEntry, draft: ExampleDraft) -> str:
    return "-".join(part for part in (figure_id, entry.name, draft.panel and draft.panel.label, draft.variant) if part)


def _prompt(
    entry: TaskEntry, draft: ExampleDraft, figure_context: FigureContext, example_id: str, custom_prompt: str | None
) -> str:
    context = _context(draft.context)
    if custom_prompt is not None:
        return f"{context}{custom_prompt}"
    if draft.request:
        return f"{context}{draft.request}"
    phrasing = entry.phrasings[int(hash_to_unit_interval(0, f"phrasing of {example_id}") * len(entry.phrasings))]
    return f"{context}{phrasing.format(thing=_thing(figure_context.ref.noun, draft.panel))}"


def _context(parts: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in parts if value)


def _thing(noun: str, panel: PanelPart | None) -> str:
    return f"panel ({panel.label}) of this {noun}" if panel else f"this {noun}"


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Quality of an example in [0, 1], by rules that a reader can follow; no model judges it.

    The score is the weighted mean of four shares, less 0.25 for each kind of fault found:

        length    0.3  words of the target / 25, at most 1
        new       0.3  share of its topical words that the prompt does not hold, twofold, at most 1
        support   0.2  topical words that figure, caption or other paragraphs about the figure hold too / 3, at most 1
        telling   0.2  share of its sentences that do not merely point at the figure

    Faults: an opening that leans on a sentence that is not there, odd symbols, an end without a mark.
    """

    length: float
    new: float
    support: float
    telling: float
    faults: tuple[str, ...]

    @property
    def score(self) -> float:
        """Weighted mean of the shares less the cost of the faults, in [0, 1], rounded to 0.01."""
        mean = sum(weight * float(getattr(self, name)) for name, weight in _WEIGHTS.items())
        return round(max(0.0, mean - _FAULT_COST * len(self.faults)), 2)


def quality_of(completion: str, prompt: str, known: str) -> Quality:
    """Judge a target of sentences.

    Args:
        known: words of the figure, its caption and the paragraphs that cite it.
    """
    sentences = split_sentences(completion)
    words = content_words(completion)
    faults = {
        "dangling_opening": bool(sentences) and depends_on_previous(sentences[0]),
        "odd_symbols": has_wrong_symbols(completion),
        "open_end": not is_closed(completion),
    }
    pointing = sum(is_pointer(sentence) or _POINTS.match(sentence) is not None for sentence in sentences)
    return Quality(
        length=min(1.0, count_words(completion) / _WORDS_ENOUGH),
        new=min(1.0, 2 * len(words - content_words(prompt)) / len(words)) if words else 0.0,
        support=min(1.0, len(words & content_words(known)) / _SUPPORT_ENOUGH),
        telling=1 - pointing / len(sentences) if sentences else 0.0,
        faults=tuple(name for name, found in faults.items() if found),
    )
