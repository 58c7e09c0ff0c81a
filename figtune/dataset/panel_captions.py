"""Panels and the parts of the caption that are about one of them alone.

A caption may list its panels, "(a) The input. (b) The output.", or only point at them in a sentence, "measured by
(a) mirrors and (b) our technique when ...". Only a list has parts that stand alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from figtune.dataset.cleaning import clean
from figtune.dataset.references import FigureRef
from figtune.dataset.sentences import is_closed, split_sentences
from figtune.extraction.records import BoxTuple, Panel

_OPENS_A_PART = ".:;,)"
_WITHOUT_SUBJECT = re.compile(
    r"(?i)(?:(?:show|illustrat|depict|highlight|visuali[sz]|indicat|demonstrat)ing|"
    r"shows?|illustrates?|depicts?|presents?|displays?|is|are|was|were|has|have|can|will|and|or|of|to|in|by|on|for|from|as|"
    r"at|than|but|which|that|where|while|it|they|its|their|this|these|respectively|denotes?|represents?|indicates?|with|without|"
    r"our)\b(?!\s+(?:method|model|approach|result|network|framework)s?\b)"
)


_OTHER_PANEL = re.compile(
    r"\b(?:in|of|from|as|to|than|with|and|for|panels?)\s(?:\(([a-h])\)|([b-h]|a(?=\s?[(,.;:)]|$))(?=[\s,.;:)(]|$)(?!\s?[=≤≥<>+×·]))"
)
"""`as in (a)`, `shown in b`."""


@dataclass(frozen=True)
class PanelPart:
    """A panel and its own part of the caption."""

    label: str
    """Label as the figure has it, without brackets: "a"."""
    sentences: tuple[str, ...]
    """Empty where the caption has no part for this panel alone."""
    printed: str = ""
    """The part as printed, also where it is too short for a target."""
    box: BoxTuple | None = None
    """Place of the panel on its page, where one was found."""
    below_panel: bool = False
    """True if it stands below the panel itself, not in the figure's caption."""


def panel_parts(panels: Iterable[Panel], caption: str, ref: FigureRef) -> tuple[PanelPart, ...]:
    """Return the panels that something is said about, each once, with what is fit for a target.

    Args:
        caption: without the figure's label.
    """
    parts: dict[str, PanelPart] = {}
    caption = " ".join(caption.split())
    previous = ""
    for panel in panels:
        label = panel.label.strip("()[]. ")
        text = " ".join(_without_label(panel.caption, label).split())
        if text and label not in parts:
            own = _own_part(text, label, caption, previous)
            previous = text if own else previous
            below = text not in caption
            parts[label] = PanelPart(
                label=label,
                sentences=_alone(_with_subject(clean(own, ref).sentences), label),
                printed=text,
                below_panel=below,
                box=panel.box,
            )
    return tuple(parts.values())


def _alone(sentences: tuple[str, ...], label: str) -> tuple[str, ...]:
    """Return the sentences before one that speaks of another panel: "of the data shown in b"."""
    for number, sentence in enumerate(sentences):
        if any(label != (found[1] or found[2]) for found in _OTHER_PANEL.finditer(sentence)):
            return sentences[:number]
    return sentences


def _with_subject(sentences: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sentences, or none where the first lacks its subject: "Shows the mask.", "Of the mask."."""
    return () if sentences and _WITHOUT_SUBJECT.match(sentences[0]) else sentences


def _own_part(text: str, label: str, caption: str, previous: str) -> str:
    """Return the part of `text` that stands alone; empty where it is a fragment of a sentence.

    Args:
        previous: the part of the panel before, empty where no list has begun.
    """
    if text not in caption:
        return text  # written below the panel itself
    start, end = _place(text, label, caption)
    if not end:
        return ""
    before = caption[:start].rstrip()
    goes_on = bool(previous) and before.removesuffix(" and").rstrip(",").endswith(previous)
    if before and before[-1] not in _OPENS_A_PART and not goes_on:
        return ""
    return text if _ends_there(caption[end:].lstrip(), label) else _closed_sentences(text)


def _place(text: str, label: str, caption: str) -> tuple[int, int]:
    """Return where a label with its text begins and ends in the caption; zeros where it does not stand there.

    The text is no part of the pattern: each would have to be compiled, which takes longer than all searching.
    """
    for found in re.finditer(rf"(\(?\b{re.escape(label)}[).:])[).:]*\s*", caption):
        for end in range(found.end(), found.end(1) - 1, -1):
            if caption.startswith(text, end):
                return found.start(), end + len(text)
    return 0, 0


def _ends_there(after: str, label: str) -> bool:
    """Return True if a part ends where `after` begins: at a mark, or at the label of the next panel."""
    following = re.escape(chr(ord(label[-1]) + 1))
    return not after or after[0] in ".;," or re.match(rf"(?:and\s+)?\(?{following}[).:]", after) is not None


def _closed_sentences(text: str) -> str:
    return " ".join(sentence for sentence in split_sentences(text) if is_closed(sentence))


def _without_label(caption: str, label: str) -> str:
    """Cut the label off: `(b) The decoder.` -> `The decoder.`"""
    return re.sub(rf"^\s*\(?{re.escape(label)}(?:\)|[.:])[.:]?\s*", "", caption)
