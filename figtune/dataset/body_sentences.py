"""Paragraphs of body text as sentences, without what stands on lines of its own: heads and displayed formulas."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from figtune.dataset.sentences import count_words, is_closed, split_sentences

FORMULA = ""
"""Stands for a formula."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_EQUATION_NUMBER = re.compile(r"\(\d+[a-z]?\)$")
_LONGEST_HEAD = 12  # words
_WORDED = 0.4  # of a line's characters: less in words of four letters or more makes a formula
_POINTER = re.compile(r"(?:,?\s+(?:as\s+follows|as\s+shown\s+below))?\s*:$")
_NEEDS_MORE = re.compile(
    r"\b(?:\w+ed|is|are|be|as|by|of|to|in|on|with|via|for|from|and|where|that|below|follows|given|written|"
    r"function|equation|formula|loss|objective|follow|have)$|\bfollowing\b",
    re.IGNORECASE,
)


def sentences_of(paragraph: str) -> Iterator[str]:
    """The sentences of a paragraph in order, with `FORMULA` for every displayed formula, and without a head.

    Only a clause that a colon ends may stand without the formula that it leads to: "The index grows with the
    pressure:", not "The loss is defined as:". What goes on behind a formula ("where x is ...") goes with it.
    """
    parts = list(_parts(paragraph))
    for number, (is_formula, text) in enumerate(parts):
        if is_formula:
            yield FORMULA
            continue
        sentences = split_sentences(text) if number + 1 == len(parts) else tuple(_before_formula(text))
        yield from sentences[1:] if number and text[0].islower() else sentences


def _parts(paragraph: str) -> Iterator[tuple[bool, str]]:
    """By turns text and formulas, and which of them each is."""
    first, *others = [line.strip() for line in paragraph.split("\n") if line.strip()] or [FORMULA]
    if others and count_words(first) <= _LONGEST_HEAD and not _is_formula(others[0]):
        first, *others = others
    lines = [(False, first), *((_is_formula(line), line) for line in others)]
    for is_formula, members in groupby(lines, key=lambda line: line[0]):
        yield is_formula, " ".join(text for _, text in members)


def _is_formula(line: str) -> bool:
    return bool(_EQUATION_NUMBER.search(line)) or sum(map(len, _WORD.findall(line))) < _WORDED * len(line)


def _before_formula(line: str) -> Iterator[str]:
    *whole, last = split_sentences(line)
    yield from whole
    clause = _POINTER.sub("", last)
    if is_closed(last):
        yield last
    elif clause != last and not _NEEDS_MORE.search(clause):
        yield f"{clause}."
