"""Material: what a paper says of one figure, cleaned and sorted, ready for any task."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from figtune.dataset.citing_text import CitingPassage, passages_about
from figtune.dataset.cleaning import clean
from figtune.dataset.panel_captions import PanelPart, panel_parts
from figtune.dataset.references import FigureRef, without_label
from figtune.dataset.sentences import whole_sentences
from figtune.extraction.records import FigureKind, FigureRecord, PaperRecord


@dataclass(frozen=True, kw_only=True)
class FigureContext:
    """One figure with all that may be said of it."""

    ref: FigureRef
    kind: FigureKind
    title: str
    """Title of the paper."""
    caption: tuple[str, ...]
    """Its sentences, without the label."""
    caption_in_prompt: str
    """The same, shortened at a sentence end to what a prompt may hold."""
    panels: tuple[PanelPart, ...]
    passages: tuple[CitingPassage, ...]
    """From citing paragraphs, direct ones first."""
    is_cited: bool
    """True if any paragraph cites the figure, even if cleaning removed all of it."""
    figure_text: str
    """The words inside the figure."""
    removed: Counter[str]
    """Fragments and sentences that cleaning took, by rule."""


def build_context(figure: FigureRecord, paper: PaperRecord, max_context_words: int) -> FigureContext:
    """Read the texts around one figure.

    Args:
        max_context_words: how much of the caption a prompt may hold.
    """
    ref = FigureRef(figure.figure_type, figure.name)
    unlabelled = without_label(figure.caption, ref)
    caption = clean(unlabelled, ref)
    passages = passages_about(figure.mentions, ref, f"{figure.caption} {figure.figure_text}")
    return FigureContext(
        ref=ref,
        kind=figure.kind,
        title=" ".join(paper.title.split()),
        caption=caption.sentences,
        caption_in_prompt=" ".join(whole_sentences(caption.sentences, max_context_words)),
        panels=panel_parts(figure.panels, unlabelled, ref),
        passages=passages.found,
        is_cited=bool(figure.mentions),
        figure_text=figure.figure_text,
        removed=caption.removed + passages.removed,
    )
