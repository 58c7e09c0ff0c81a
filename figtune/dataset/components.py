"""Components of a diagram: what is written in the figure and spoken of in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from figtune.dataset.vocabulary import GENERIC_SINGLE_WORDS, NON_EDGE_WORDS, STOPWORDS

_LONGEST = 4
_AT_MOST = 12
_NAME_LETTERS = 3
_TOPIC_LETTERS = 6
_PARTS = ".,;:!?)"
_MARKS = ".,:;()[]{}'\"“”‘’…"
_DESCRIBES = re.compile(r"(?:ed|en|ly|ive|ous|ible|able)$")
"""Endings of words that say how or what kind."""
_WORD = re.compile(r"[^\W\d_][\w/+-]*")


def components_of(figure_text: str, spoken: str) -> tuple[str, ...]:
    """Names that stand in the figure and recur in `spoken`, in the figure's order; of overlapping ones the longest.

    Args:
        figure_text: the words inside the figure.
        spoken: caption and citing sentences.
    """
    tokens = _tokens(figure_text)
    phrases = _phrases(spoken)
    taken: set[int] = set()
    named: dict[int, tuple[str, ...]] = {}
    for start, end in _windows(len(tokens)):
        words = tokens[start:end]
        if taken.isdisjoint(range(start, end)) and _may_name(words) and _normalized(words) in phrases:
            taken.update(range(start, end))
            named[start] = words
    # Reversed, so that the first way of writing wins and keeps its place.
    first = {_normalized(words): start for start, words in sorted(named.items(), reverse=True)}
    names = [named[start] for start in sorted(first.values())]
    longer = {_normalized((word,)) for words in names if len(words) > 1 for word in words}
    return tuple(" ".join(words) for words in names if len(words) > 1 or _normalized(words) not in longer)[:_AT_MOST]


def mentioned(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the `names` that the text mentions, as whole words, in singular or plural."""
    phrases = _phrases(text)
    return tuple(name for name in names if _normalized(_tokens(name)) in phrases)


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(token.strip(_MARKS) for token in text.split())


def _phrases(text: str) -> frozenset[str]:
    """Every run of words that no punctuation parts."""
    tokens = text.split()
    ends = [token[-1] in _PARTS for token in tokens]
    return frozenset(
        _normalized([token.strip(_MARKS) for token in tokens[start:end]])
        for start, end in _windows(len(tokens))
        if not any(ends[start : end - 1])
    )


def _normalized(words: Sequence[str]) -> str:
    return " ".join(words).casefold().removesuffix("s")


def _windows(length: int) -> Iterator[tuple[int, int]]:
    for size in range(_LONGEST, 0, -1):
        for start in range(length - size + 1):
            yield start, start + size


def _may_name(words: Sequence[str]) -> bool:
    if not all(_WORD.fullmatch(word) for word in words):
        return False
    lower = [word.lower() for word in words]
    if not {lower[0], lower[-1]}.isdisjoint(NON_EDGE_WORDS) or 1 in {len(words[0]), len(words[-1])}:
        return False
    if len(words) > 1:
        return any(len(word) >= 3 for word in words)
    # One word alone names a component where it is written like a name or is long enough to carry a topic.
    long_enough = _TOPIC_LETTERS if words[0].islower() else _NAME_LETTERS
    if words[0].islower() and _DESCRIBES.search(lower[0]):
        return False
    return len(words[0]) >= long_enough and lower[0] not in GENERIC_SINGLE_WORDS | STOPWORDS
