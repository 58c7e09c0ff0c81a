"""Examples composed: a task's draft put into bounds, its phrasing chosen, or the rule that rejects it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from figtune.dataset.candidates import Candidate, Quality, quality_of
from figtune.dataset.decisions import REJECTED_IN_REVIEW, AppliedDecisions, DecisionKey
from figtune.dataset.figure_context import FigureContext
from figtune.dataset.filters import RejectReason
from figtune.dataset.panel_captions import PanelPart
from figtune.dataset.panel_images import PanelImages
from figtune.dataset.records import Example, Split, Task
from figtune.dataset.sentences import count_words, whole_sentences
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.split_assignment import hash_to_unit_interval
from figtune.dataset.task_prompts import BELONGS_TO_ANOTHER_TASK, ExampleDraft, TaskEntry, task_entry

_WITHOUT_PICTURE = ("unreadable_crop", "panel_outside")


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
    split: Split
    key: DecisionKey
    """Key of the whole figure."""


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """Result of a draft: an example, or the reason for its rejection."""

    example_id: str
    task: str
    result: Example | RejectReason
    shortened: bool
    """True if sentences were left out to keep the completion within its bound."""
    candidate: Candidate
    """The same as the rules have it, whatever was decided."""


def build_examples(
    figure_context: FigureContext, place: FigureLocation, settings: PrepareSettings, decisions: AppliedDecisions
) -> Iterator[BuildResult]:
    """Build every example that the chosen tasks make of a figure, or that a person has written for it."""
    for name in settings.tasks:
        entry = task_entry(name)
        if entry.fits(figure_context):
            for draft in entry.drafts(figure_context):
                # Nothing is lost there: its sentences stand in an example of another task.
                if draft.reject_rule != BELONGS_TO_ANOTHER_TASK:
                    yield _Build(entry, draft, figure_context, place, settings).result(decisions)


def figure_prompt(figure_context: FigureContext, figure_id: str, task: Task, custom_prompt: str | None) -> str:
    """Return the prompt of a task about a whole figure, also where its paper has no answer.

    Args:
        custom_prompt: what to ask in place of the task's request, after the same context.
    """
    entry = task_entry(task)
    draft = next(entry.drafts(figure_context))
    prompt = _prompt(entry, draft, figure_context, _example_id(figure_id, entry, draft), custom_prompt)
    return f"{_context(figure_context.extra_context)}{prompt}" if entry.is_text else prompt


class _Build:
    """One draft on its way to an example: what the rules say of it, then what a person has decided."""

    def __init__(
        self,
        entry: TaskEntry,
        draft: ExampleDraft,
        figure_context: FigureContext,
        place: FigureLocation,
        settings: PrepareSettings,
    ) -> None:
        self._entry = entry
        self._draft = draft
        self._figure_context = figure_context
        self._place = place
        self._settings = settings
        self._example_id = _example_id(place.figure_id, entry, draft)
        self._prompt = _prompt(entry, draft, figure_context, self._example_id, None)
        extra_context = figure_context.extra_context if entry.is_text and draft.panel is None else ()
        self._whole_prompt = _context(extra_context) + self._prompt
        sentences = whole_sentences(draft.sentences, settings.max_words) if entry.is_text else draft.sentences
        self._completion = draft.separator.join(sentences)
        self._is_short = len(sentences) < len(draft.sentences)

    def result(self, decisions: AppliedDecisions) -> BuildResult:
        """Return the example or the reason against it. A decision wins over every rule on texts and pictures."""
        # Where no sentence fits, a person may accept all of them.
        target = self._completion or self._draft.separator.join(self._draft.sentences)
        quality = self._quality(target)
        ruled = self._ruled(target, quality)
        key = replace(
            self._place.key,
            task=self._entry.name,
            panel=self._draft.panel.label if self._draft.panel else "",
            question=self._draft.request,
            target=target,
        )
        decision = decisions.about(key)
        result, text = ruled, target
        if decision is not None and decision.verdict == "reject":
            result = RejectReason(REJECTED_IN_REVIEW, target)
        elif decision is not None:
            text = decision.text or target
            result = self._accepted(text, ruled)
        return BuildResult(
            example_id=self._example_id,
            task=self._entry.name,
            result=result,
            shortened=isinstance(result, Example) and self._is_short and text == target,
            candidate=self._candidate(key, ruled, quality),
        )

    def _ruled(self, target: str, quality: Quality | None) -> Example | RejectReason:
        settings = self._settings
        if reason := _reject_reason(self._entry, self._draft, self._completion, settings):
            return reason
        image = self._image(accepted=False)
        if isinstance(image, RejectReason):
            return image
        if quality is not None and quality.score < settings.min_quality:
            return RejectReason("low_quality", f"{quality.score:.2f} < {settings.min_quality:.2f}. {target}")
        return self._example(target, image, quality)

    def _accepted(self, text: str, ruled: Example | RejectReason) -> Example | RejectReason:
        """Return the example with the text that a person wants; nothing comes of it without a text or a picture."""
        image = self._image(accepted=True)
        if isinstance(image, RejectReason):
            return image
        return self._example(text, image, self._quality(text)) if text else ruled

    def _quality(self, text: str) -> Quality | None:
        if not (self._entry.is_text and text):
            return None
        return quality_of(text, self._prompt, _known(self._entry, self._figure_context))

    def _image(self, *, accepted: bool) -> tuple[str, str] | RejectReason:
        """Return path and sha256 of the picture: the panel's where there is one, else the figure's."""
        panel, place = self._draft.panel, self._place
        stored = None
        if panel is not None and panel.box is not None and place.panels is not None:
            stored = place.panels.store(panel.box, accepted=accepted)
        return stored or (place.image, place.image_sha256)

    def _example(self, text: str, image: tuple[str, str], quality: Quality | None) -> Example:
        return Example(
            task=self._entry.name,
            example_id=self._example_id,
            image=image[0],
            image_sha256=image[1],
            prompt=self._whole_prompt,
            completion=text,
            group=self._place.paper_id,
            source=self._place.source,
            kind=self._figure_context.kind,
            quality=1.0 if quality is None else quality.score,
        )

    def _candidate(self, key: DecisionKey, ruled: Example | RejectReason, quality: Quality | None) -> Candidate:
        reason = ruled if isinstance(ruled, RejectReason) else None
        has_picture = reason is None or reason.rule not in _WITHOUT_PICTURE
        return Candidate(
            key=key,
            item_id=self._example_id,
            figure_id=self._place.figure_id,
            split=self._place.split,
            rule=reason.rule if reason else "",
            detail=reason.detail if reason else "",
            acceptable=has_picture and bool(key.target or self._entry.is_text),
            prompt=self._whole_prompt,
            image=ruled.image if isinstance(ruled, Example) else self._place.image,
            source=self._place.source,
            kind=self._figure_context.kind,
            quality=quality,
        )


def _reject_reason(
    entry: TaskEntry, draft: ExampleDraft, completion: str, settings: PrepareSettings
) -> RejectReason | None:
    if draft.reject_rule:
        return RejectReason(draft.reject_rule, "")
    if not completion:
        return RejectReason("no_sentence_fits", f"the first has {count_words(draft.sentences[0])} words")
    if entry.is_text and count_words(completion) < settings.min_words:
        return RejectReason("too_short", completion)
    return None


def _known(entry: TaskEntry, figure_context: FigureContext) -> str:
    """Return what else is known of the figure than the text that the target is taken from."""
    other = figure_context.facts.spoken if entry.name == "caption" else " ".join(figure_context.caption)
    return f"{figure_context.title} {figure_context.figure_text} {other}"


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
    phrasings = entry.phrasings_for(figure_context.kind)
    phrasing = phrasings[int(hash_to_unit_interval(0, f"phrasing of {example_id}") * len(phrasings))]
    return f"{context}{phrasing.format(thing=_thing(figure_context.ref.noun, draft.panel))}"


def _context(parts: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in parts if value)


def _thing(noun: str, panel: PanelPart | None) -> str:
    return f"panel ({panel.label}) of this {noun}" if panel else f"this {noun}"
