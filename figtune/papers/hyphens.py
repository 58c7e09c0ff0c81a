"""Printed lines joined into running text, with the hyphens of line breaks undone and those of compounds kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from figtune.papers.page import PageText

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BROKEN = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)[-‐]$")
_HYPHENS = ("-", "‐")
_COUNTED_AT_ONCE = 20_000
_LONGEST_WORD = 80  # characters: searching a whole paragraph for its last word takes quadratic time
_REST = re.compile(r"^[^\W\d_]+(?:-[^\W\d_]+)*")
# First parts that English joins with a hyphen far more often than without.
_COMPOUNDING = frozenset(
    (
        *("all", "cross", "data", "end", "fine", "full", "ground", "half", "high", "human", "large", "left"),
        *("long", "low", "model", "multi", "non", "off", "one", "open", "pixel", "point", "right"),
        *("self", "semi", "short", "single", "small", "state", "task", "text", "three", "time", "top", "two", "user"),
        *("vision", "well", "zero", "few"),
    )
)
# First parts of which that is true only before a word that stands alone elsewhere.
_AMBIGUOUS = frozenset(("in", "on", "real"))
# Second parts that English joins with a hyphen to almost any word.
_COMPOUNDED = frozenset(
    (
        *("agnostic", "aware", "based", "constrained", "dependent", "designed", "driven", "efficient", "free"),
        *("guided", "independent", "invariant", "level", "like", "oriented", "preserving", "pretrained", "related"),
        *("rich", "specific", "supervised", "trained", "wise"),
    )
)


class Vocabulary:
    """The words of a paper as it writes them inside its lines, where no line break has touched them."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._counts: Counter[str] = Counter()
        words: list[str] = []
        broken = False
        for line in lines:
            body = _REST.sub("", line) if broken else line
            broken = line.endswith(_HYPHENS) and _BROKEN.search(line) is not None
            words += _WORD.findall((_BROKEN.sub("", body) if broken else body).lower())
            if len(words) > _COUNTED_AT_ONCE:
                self._counts.update(words)
                words.clear()
        self._counts.update(words)

    def join(self, lines: Sequence[str]) -> str:
        """`lines` as one text, single blanks between words."""
        text = ""
        for line in lines:
            text = self._appended(text, " ".join(line.split()))
        return text

    def _appended(self, text: str, line: str) -> str:
        if not text or not line:
            return text or line
        if not text.endswith(_HYPHENS):
            return f"{text} {line}"
        broken, rest = _BROKEN.search(text, max(0, len(text) - _LONGEST_WORD)), _REST.match(line)
        if broken is None or rest is None:
            # "state-of-the-" before a formula or "3-" before "D": the hyphen stands, and no blank belongs after it.
            glued = len(text) > 1 and text[-2] != " "
            return text + ("" if glued else " ") + line
        if self._is_compound(broken[1], rest[0]):
            return text + line
        return text[:-1] + line

    def _is_compound(self, left: str, right: str) -> bool:
        """Whether the hyphen between two parts of a broken word belongs to the word."""
        whole, hyphened = (left + right).lower(), f"{left}-{right}".lower()
        seen_whole, seen_hyphened = self._counts[whole], self._counts[hyphened]
        if seen_whole or seen_hyphened:
            return seen_hyphened > seen_whole
        if right[0].isupper() or left.isupper():
            return True
        last, first = left.rsplit("-", 1)[-1].lower(), right.split("-", 1)[0].lower()
        if "-" in left:
            return True
        if last in _COMPOUNDING or (first in _COMPOUNDED and self._counts[last] > 0):
            return True
        # "in-domain" in a paper that speaks of domains, but "in-creasing" nowhere.
        return last in _AMBIGUOUS and self._counts[first] > 0


def vocabulary_of(texts: Iterable[PageText]) -> Vocabulary:
    """The vocabulary of all lines of a paper."""
    return Vocabulary(line.text for text in texts for line in text.lines)
