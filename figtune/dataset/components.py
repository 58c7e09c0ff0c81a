"""Names of components as a figure has them: its labels, in reading order, whatever a target says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from figtune.dataset.figure_words import is_garbled
from figtune.dataset.vocabulary import COMPONENT_WORDS, GENERIC_SINGLE_WORDS, NON_EDGE_WORDS

_MOST_WORDS = 5
_MOST_NAMES = 16
_SHORTEST_STEM = 4  # letters
_MARKS = ".,:;()[]{}'\"“”‘’…"
_ASIDE = re.compile(r"\s*[(\[](?:Sec|Fig|Eq|Tab|§|\d)[^)\]]*[)\]]\.?|^\(?[a-h]\)\s*", re.IGNORECASE)
_NAME = re.compile(r"[^\W\d_][\w/+&.-]*(?:\s(?:[^\W_][\w/+&.-]*|&|\+))*")
_LETTERS = re.compile(r"[^\W\d_]{3}")
_UNFINISHED = re.compile(r"[-‐]$")
_WORD_OF_NAME = re.compile(r"[^\W\d_]{3,}[\w/+&.-]*|of|for|to|and|&|[A-Z]{2}|[^\W\d_][\w]*-[\w-]+|[1-4]?[A-Z]{2,}s?")
_QUALITY = re.compile(r"[a-z]{2,}(?:[^e]ed|able|ible|ive|ous|[^ns]al|i[sz]e)|(?:\S+\s)+only", re.IGNORECASE)
"""Words that say what a component is like or does, and name none: "Unlabeled", "Trainable", "Training only"."""
_ALONE = re.compile(r"[A-Z][a-z]{3,}[\w-]*|[A-Z]{3,}[A-Za-z0-9-]*|[A-Z][a-z]+[A-Z][\w-]*[a-zA-Z]{2}")


def component_names(figure_text: str, spoken: str) -> tuple[str, ...]:
    """Return the names printed in a figure, each once, in reading order.

    Lines are joined to one name where `spoken` has the joined words, since neighbours in reading order may belong to
    boxes side by side.

    Args:
        figure_text: words inside the figure, one label's line a line.
        spoken: caption and citing paragraphs, which tell what belongs together but not what is named.
    """
    text = " ".join(spoken.casefold().split())
    names: dict[str, str] = {}
    known = " ".join(("", *re.findall(r"[^\W_]+", text), *COMPONENT_WORDS))
    for label in _labels([_plain(line) for line in figure_text.splitlines()], text):
        if _is_name(label) and not is_garbled(label) and _is_spoken_of(label, known):
            names.setdefault(label.casefold().removesuffix("s"), label)
    whole = tuple(names.values())
    # A piece of a name that stands whole elsewhere is a line of a label that was read apart.
    pieces = {word.casefold() for name in whole if " " in name for word in name.split()}
    return tuple(name for name in whole if " " in name or name.casefold() not in pieces)[:_MOST_NAMES]


def complete_names(figure_text: str, names: Sequence[str], spoken: str) -> tuple[str, ...]:
    """Return the names if they are all that the figure prints; none where a label is missing or cut.

    A list that lacks boxes, or has pieces of their labels, teaches that the drawing does.

    Args:
        names: what `component_names` finds of the same text.
    """
    text = " ".join(spoken.casefold().split())
    known = {name.casefold().removesuffix("s") for name in names}
    labels = _labels([_plain(line) for line in figure_text.splitlines()], text)
    could_be = (label for label in labels if _LETTERS.search(label) and label != label.lower())
    return tuple(names) if all(label.casefold().removesuffix("s") in known for label in could_be) else ()


def mentioned(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of `names` that the text mentions, as whole words, in singular or plural."""
    plain = " ".join(token.strip(_MARKS).casefold() for token in text.split())
    return tuple(name for name in names if _stands_in(name.casefold().removesuffix("s"), plain))


def _stands_in(name: str, plain: str) -> bool:
    # A pattern takes long to compile, and most names stand nowhere.
    return name in plain and re.search(rf"(?<!\w){re.escape(name)}s?(?!\w)", plain) is not None


def _plain(line: str) -> str:
    return " ".join(_ASIDE.sub("", line).split()).strip(_MARKS)


def _labels(lines: Sequence[str], spoken: str) -> Iterator[str]:
    """Join the lines of each label."""
    position = 0
    while position < len(lines):
        label = lines[position]
        while position + 1 < len(lines) and (joined := _joined(label, lines[position + 1], spoken)):
            label, position = joined, position + 1
        yield label
        position += 1


def _joined(label: str, following: str, spoken: str) -> str:
    """Return the label with its next line, or nothing where that begins another label."""
    if not label or not following or label.casefold() == following.casefold():
        return ""
    if _UNFINISHED.search(label) and following[0].isalpha():
        return label + following
    joined = f"{label} {following}"
    if len(joined.split()) > _MOST_WORDS:
        return ""
    return joined if joined.casefold() in spoken else ""


def _is_spoken_of(label: str, known: str) -> bool:
    """Return True for several words, a name in capitals, and a word that the paper uses about the figure or any other.

    What an input shows, "Bricks", is printed in a drawing as large as the names of its components.
    """
    if " " in label or not label.istitle():
        return True
    stems = [part[: max(_SHORTEST_STEM, len(part) - 2)] for part in re.split(r"[-/]", label.casefold())]
    return any(f" {stem}" in known for stem in stems if stem)


def _is_name(label: str) -> bool:
    words = label.split()
    if not words or len(words) > _MOST_WORDS or not _NAME.fullmatch(label) or label[0].islower():
        return False
    if _QUALITY.fullmatch(label) or "the" in words:
        return False
    if not {words[0].casefold(), words[-1].casefold()}.isdisjoint(NON_EDGE_WORDS):
        return False
    if len(words) > 1:
        return all(_WORD_OF_NAME.fullmatch(word) for word in words)
    return _ALONE.fullmatch(label) is not None and label.casefold() not in GENERIC_SINGLE_WORDS
