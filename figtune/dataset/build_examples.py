"""Examples composed: a task's draft put into bounds, its phrasing chosen, or the rule that rejects it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from figtune.dataset.figure_context import FigureContext
from figtune.dataset.filters import RejectReason
from figtune.dataset.panel_captions import PanelPart
from figtune.dataset.panel_images import PanelImages
from figtune.dataset.quality import quality_of
from figtune.dataset.records import Example, Task
from figtune.dataset.sentences import count_words, whole_sentences
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.splits import hash_to_unit_interval
from figtune.dataset.tasks import BELONGS_TO_ANOTHER_TASK, ExampleDraft, TaskEntry, task_entry


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
    return Example(
        task=entry.name,
        example_id=example_id,
        image=image[0],
        image_sha256=image[1],
        prompt=prompt,
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
    context = "".join(f"{name}: {value}\n" for name, value in draft.context if value)
    if custom_prompt is not None:
        return f"{context}{custom_prompt}"
    if draft.request:
        return f"{context}{draft.request}"
    phrasing = entry.phrasings[int(hash_to_unit_interval(0, f"phrasing of {example_id}") * len(entry.phrasings))]
    return f"{context}{phrasing.format(thing=_thing(figure_context.ref.noun, draft.panel))}"


def _thing(noun: str, panel: PanelPart | None) -> str:
    return f"panel ({panel.label}) of this {noun}" if panel else f"this {noun}"
