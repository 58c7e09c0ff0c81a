"""Material: what a paper says of one figure, cleaned and sorted, ready for any task."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from figtune.examples.cleaning import cleaned
from figtune.examples.panels import PanelPart, panel_parts
from figtune.examples.passages import Passage, passages_about
from figtune.examples.references import Subject, without_label
from figtune.examples.sentences import whole_sentences
from figtune.figures.records import FigureKind, FigureRecord, PaperRecord


@dataclass(frozen=True, kw_only=True)
class Material:
    """One figure with all that may be said of it."""

    subject: Subject
    kind: FigureKind
    title: str
    """Of the paper."""
    caption: tuple[str, ...]
    """Its sentences, without the label."""
    caption_in_prompt: str
    """The same, shortened at a sentence end to what a prompt may hold."""
    panels: tuple[PanelPart, ...]
    passages: tuple[Passage, ...]
    """From citing paragraphs, direct ones first."""
    is_cited: bool
    """Whether any paragraph cites the figure, even if nothing of it could be kept."""
    figure_text: str
    """The words inside the figure."""
    removed: Counter[str]
    """Fragments and sentences that cleaning took, by rule."""


def material_of(figure: FigureRecord, paper: PaperRecord, max_context_words: int) -> Material:
    """Read the texts around one figure.

    Args:
        max_context_words: how much of the caption a prompt may hold.
    """
    subject = Subject(figure.figure_type, figure.name)
    unlabelled = without_label(figure.caption, subject)
    caption = cleaned(unlabelled, subject)
    passages = passages_about(figure.mentions, subject, f"{figure.caption} {figure.figure_text}")
    return Material(
        subject=subject,
        kind=figure.kind,
        title=" ".join(paper.title.split()),
        caption=caption.sentences,
        caption_in_prompt=" ".join(whole_sentences(caption.sentences, max_context_words)),
        panels=panel_parts(figure.panels, unlabelled, subject),
        passages=passages.found,
        is_cited=bool(figure.mentions),
        figure_text=figure.figure_text,
        removed=caption.removed + passages.removed,
    )
