"""Parts of a caption, by sub-figure.

Captions speak of panels in three ways: "(a) Input. (b) Output." with the label leading its words, "the input (a) and
the output (b)" with the label trailing them, and "as seen in (b)", which only refers to a panel. Leading and trailing
labels run a, b, c, ... in this order; ranges and lists such as "(c-d)", "(a, b)" or "(a)-(c)" share their words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LABEL = re.compile(r"(?<![\w(（])[(（]\s?(?P<labels>[a-z](?:\s?[-‐–—,&]\s?[a-z])*|[A-Z])\s?[)）](?![a-z0-9])")
_HALF_BRACKET = re.compile(r"(?<![\w(])(?P<labels>[a-z])\)(?=\s)")
_POINT = re.compile(r"(?<![\w(])(?P<labels>[a-z])\.(?=\s[A-Z])")
_JOINT = re.compile(r"\s*(?P<joint>[-‐–—,&]|to|and)\s*")
_DASHES = "-‐–—"
_REFERRING = re.compile(
    r"\b(?:in|of|from|to|by|with|see|and|or|both|between|than|as|for|at|on|panels?|figs?\.?|figures?)$", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"(?<!vs)(?<!e\.g)(?<!i\.e)(?<!w\.r\.t)(?<!cf)(?<!\bFig)\.\s+(?=[A-Z“(])")
_LOOSE_END = re.compile(r"[\s,;:]*\b(?:and|or|while|whereas|but|versus|vs\.?|then|to)$", re.IGNORECASE)
_LOOSE_START = re.compile(r"^(?:and|or|while|whereas|but|versus|vs\.?|then)\s+", re.IGNORECASE)
_LOOSE_WORDS = 3  # of a sentence begun after a panel's last whole one: "In contrast (b) ..."


@dataclass(frozen=True, slots=True)
class _SubfigureLabel:
    """A label, or several that share their words, in a caption."""

    labels: tuple[str, ...]
    start: int
    end: int


def labels_in(caption: str) -> list[str]:
    """Return the labels a caption speaks of, in whatever way, if they run a, b, c, ... and there are at least two."""
    parts = list(subcaptions(caption))
    named = {label for mark in _marks(_LABEL, caption) for label in mark.labels}
    return max(parts, sorted(named) if len(named) >= 2 and is_run(sorted(named)) else [], key=len)


def is_run(labels: Sequence[str]) -> bool:
    """Return True if `labels` are a, b, c, ... or A, B, C, ... without a gap."""
    return bool(labels) and labels[0] in "aA" and list(labels) == _letters(labels[0], len(labels))


def subcaptions(caption: str) -> dict[str, str]:
    """Return for each label that a caption explains what it says of it; empty where there are fewer than two."""
    for pattern in (_LABEL, _HALF_BRACKET, _POINT):
        marks = list(_merged(list(_marks(pattern, caption)), caption))
        leading = _in_order(mark for mark in marks if _precedes_text(mark, caption))
        trailing = _in_order(mark for mark in marks if _follows_text(mark, caption))
        if pattern is not _LABEL and not (leading and _opens(caption[: leading[0].start])):
            continue
        parts = _parts_behind(leading, caption), _parts_before(trailing, caption)
        best = max(parts, key=len)
        if len(best) >= 2:
            return best
    return {}


def _marks(pattern: re.Pattern[str], caption: str) -> Iterator[_SubfigureLabel]:
    for match in pattern.finditer(caption):
        yield _SubfigureLabel(_spelled_out(match["labels"]), match.start(), match.end())


def _spelled_out(labels: str) -> tuple[str, ...]:
    """Spell out a list of labels: "a-c" is a, b, c; "a, c" is a, c."""
    letters = re.findall(r"[A-Za-z]", labels)
    if len(letters) == 2 and any(dash in labels for dash in _DASHES):
        return tuple(_letters(letters[0], ord(letters[1]) - ord(letters[0]) + 1))
    return tuple(letters)


def _letters(first: str, count: int) -> list[str]:
    return [chr(ord(first) + number) for number in range(count)]


def _merged(marks: Sequence[_SubfigureLabel], caption: str) -> Iterator[_SubfigureLabel]:
    """Yield marks with nothing but a dash, a comma or "and" between them as one."""
    held: _SubfigureLabel | None = None
    for mark in marks:
        joint = _JOINT.fullmatch(caption, held.end, mark.start) if held else None
        if held and joint and held.labels and mark.labels and held.labels[-1] < mark.labels[0]:
            labels = (*held.labels, *mark.labels)
            if joint["joint"] in (*_DASHES, "to"):
                labels = tuple(_letters(labels[0], ord(labels[-1]) - ord(labels[0]) + 1))
            held = _SubfigureLabel(labels, held.start, mark.end)
            continue
        if held:
            yield held
        held = mark
    if held:
        yield held


def _opens(before: str) -> bool:
    """Return True if a clause may begin after `before`."""
    stripped = before.rstrip()
    return not stripped or stripped[-1] in ".:;,)]!?"


def _closes(after: str) -> bool:
    stripped = after.lstrip()
    return not stripped or stripped[0] in ".,;)"


def _is_reference(before: str) -> bool:
    return _REFERRING.search(before.rstrip()) is not None


def _precedes_text(mark: _SubfigureLabel, caption: str) -> bool:
    before, after = caption[: mark.start], caption[mark.end :]
    return _opens(before) or not _closes(after)


def _follows_text(mark: _SubfigureLabel, caption: str) -> bool:
    before = caption[: mark.start]
    return not _opens(before) and not _is_reference(before)


def _in_order(marks: Iterator[_SubfigureLabel]) -> list[_SubfigureLabel]:
    """Return the `marks` that continue a, b, c, ..."""
    ordered: list[_SubfigureLabel] = []
    seen: list[str] = []
    for mark in marks:
        if is_run([*seen, *mark.labels]):
            ordered.append(mark)
            seen.extend(mark.labels)
    return ordered


def _parts_behind(marks: Sequence[_SubfigureLabel], caption: str) -> dict[str, str]:
    """Return the text from each mark to the next. Behind the last one, the caption may go on about the whole figure:
    where the other panels have one sentence each, so has the last."""
    parts: dict[str, str] = {}
    long_winded = False
    for number, mark in enumerate(marks):
        last = number + 1 == len(marks)
        text = caption[mark.end : len(caption) if last else marks[number + 1].start].lstrip(" .:,;")
        sentences = _SENTENCE_END.split(text)
        if last and not long_winded:
            sentences = sentences[:1]
        elif not last and len(sentences) > 1 and _is_loose(sentences[-1]):
            sentences.pop()
        long_winded = long_winded or len(sentences) > 1
        parts.update(dict.fromkeys(mark.labels, _trimmed(". ".join(sentences))))
    return {label: text for label, text in parts.items() if text}


def _is_loose(sentence: str) -> bool:
    return len(sentence.split()) <= _LOOSE_WORDS and not sentence.rstrip().endswith((".", ",", ";"))


def _parts_before(marks: Sequence[_SubfigureLabel], caption: str) -> dict[str, str]:
    """Return the text from the mark before, or the beginning of the sentence, to each mark."""
    parts: dict[str, str] = {}
    start = 0
    for mark in marks:
        text = _SENTENCE_END.split(caption[start : mark.start])[-1]
        parts.update(dict.fromkeys(mark.labels, _trimmed(text)))
        start = mark.end
    return {label: text for label, text in parts.items() if text}


def _trimmed(text: str) -> str:
    text = text.strip(" ,;:.")
    while (shorter := _LOOSE_END.sub("", _LOOSE_START.sub("", text)).strip(" ,;:.")) != text:
        text = shorter
    return text
