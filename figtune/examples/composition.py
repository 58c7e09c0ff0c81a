"""Examples composed: a task's draft put into bounds, its phrasing chosen, or the rule that rejects it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from figtune.examples.choices import Choices
from figtune.examples.material import Material
from figtune.examples.records import Example, Task
from figtune.examples.screening import Fault
from figtune.examples.sentences import count_words, whole_sentences
from figtune.examples.splits import draw
from figtune.examples.tasks import Draft, TaskEntry, task_entry


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a figure stands, on disk and in its paper."""

    figure_id: str
    paper_id: str
    image: str
    """As in `Example`."""
    image_sha256: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Composed:
    """What became of a draft: an example, or the fault that kept it from being one."""

    example_id: str
    task: str
    outcome: Example | Fault
    shortened: bool
    """Whether sentences were left out to keep the completion within its bound."""


def compose(material: Material, place: Place, choices: Choices) -> Iterator[Composed]:
    """Every example that the chosen tasks make of a figure."""
    for name in choices.tasks:
        entry = task_entry(name)
        if entry.fits(material):
            for draft in entry.drafts(material):
                yield _composed(entry, draft, material, place, choices)


def figure_prompt(material: Material, figure_id: str, task: Task, own_words: str | None) -> str:
    """What an example of a task about a whole figure asks, whether or not its paper has an answer.

    Args:
        own_words: what to ask in place of the task's request, after the same context.
    """
    entry = task_entry(task)
    draft = next(entry.drafts(material))
    return _prompt(entry, draft, material, _example_id(figure_id, entry, draft), own_words)


def _composed(entry: TaskEntry, draft: Draft, material: Material, place: Place, choices: Choices) -> Composed:
    example_id = _example_id(place.figure_id, entry, draft)
    sentences = whole_sentences(draft.sentences, choices.max_words)
    completion = " ".join(sentences)
    fault = _fault(draft, completion, choices)
    return Composed(
        example_id=example_id,
        task=entry.name,
        outcome=fault or _example(example_id, entry, draft, completion, material, place),
        shortened=fault is None and len(sentences) < len(draft.sentences),
    )


def _fault(draft: Draft, completion: str, choices: Choices) -> Fault | None:
    if draft.lacking:
        return Fault(draft.lacking, "")
    if not completion:
        return Fault("no_sentence_fits", f"the first has {count_words(draft.sentences[0])} words")
    if count_words(completion) < choices.min_words:
        return Fault("too_short", completion)
    return None


def _example(
    example_id: str, entry: TaskEntry, draft: Draft, completion: str, material: Material, place: Place
) -> Example:
    return Example(
        task=entry.name,
        example_id=example_id,
        image=place.image,
        image_sha256=place.image_sha256,
        prompt=_prompt(entry, draft, material, example_id, None),
        completion=completion,
        group=place.paper_id,
        source=place.source,
        kind=material.kind,
    )


def _example_id(figure_id: str, entry: TaskEntry, draft: Draft) -> str:
    return f"{figure_id}-{entry.name}" + (f"-{draft.panel}" if draft.panel else "")


def _prompt(entry: TaskEntry, draft: Draft, material: Material, example_id: str, own_words: str | None) -> str:
    context = "".join(f"{name}: {value}\n" for name, value in draft.context if value)
    if own_words is not None:
        return f"{context}{own_words}"
    phrasing = entry.phrasings[int(draw(0, f"phrasing of {example_id}") * len(entry.phrasings))]
    return f"{context}{phrasing.format(thing=_thing(material.subject.noun, draft.panel))}"


def _thing(noun: str, panel: str) -> str:
    return f"panel ({panel}) of this {noun}" if panel else f"this {noun}"
