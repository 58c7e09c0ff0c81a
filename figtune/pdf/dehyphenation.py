"""Printed lines joined into running text, with the hyphens of line breaks undone and those of compounds kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from pyphen import Pyphen

from figtune.pdf.page import PageText
from figtune.pdf.text_cleanup import compose_accents

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BROKEN = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)[-‐]$")
_HYPHENS = ("-", "‐")
_DASHES = (*_HYPHENS, "–", "—")
_WEB = re.compile(r"(?:\bhttps?:|(?:\bhttps?://|\bwww\.)\S*)$")
_WEB_BREAKS = tuple("./_=?&#-:")  # after which a web address goes on in the next line
_WEB_REST = re.compile(r"^(?://|[\w-]*[\d./_=?&#-]\S)")
_COUNTED_AT_ONCE = 20_000
_LONGEST_WORD = 80  # characters: searching a whole paragraph for its last word takes quadratic time
_SHORTEST_PART = 4  # letters: below, parts of words are too often words themselves
_LONG_PART = 5
_OFTEN = 3  # times that a paper uses a word of its own
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


class Dehyphenator:
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
        self._second_parts = {word.split("-")[1] for word in self._counts if "-" in word}

    def join(self, lines: Sequence[str]) -> str:
        """`lines` as one text, single blanks between words; accents printed in a font of their own are joined too."""
        text = ""
        for line in lines:
            text = self._appended(text, " ".join(line.split()))
        return compose_accents(text)

    def _appended(self, text: str, line: str) -> str:
        if not text or not line:
            return text or line
        if _breaks_address(text, line):
            return text + line
        if not text.endswith(_DASHES):
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
        """Return True if the hyphen between two parts of a broken word belongs to the word."""
        whole, hyphened = (left + right).lower(), f"{left}-{right}".lower()
        seen_whole, seen_hyphened = self._count(whole), self._count(hyphened)
        if seen_whole or seen_hyphened:
            return seen_hyphened > seen_whole
        if right[0].isupper() or left.isupper() or "-" in left or not _may_break(whole, len(left)):
            return True
        return self._are_words(left.lower(), right.split("-", 1)[0].lower())

    def _count(self, word: str) -> int:
        """Return the number of occurrences of a word in the paper, singular or plural."""
        return self._counts[word] + self._counts[word[:-1] if word.endswith("s") else f"{word}s"]

    def _are_words(self, left: str, right: str) -> bool:
        """Return True if both parts of an unknown word are words that English, or this paper, joins with a hyphen."""
        known = self._counts[left] > 0
        if left in _COMPOUNDING or (right in _COMPOUNDED and (known or len(left) >= _LONG_PART)):
            return True
        # "in-domain" in a paper that speaks of domains, but "in-creasing" nowhere.
        if left in _AMBIGUOUS:
            return self._counts[right] > 1
        if known and right in self._second_parts:
            return min(len(left), len(right)) >= _SHORTEST_PART
        return min(len(left), len(right)) >= _LONG_PART and min(self._counts[left], self._counts[right]) >= _OFTEN


def _breaks_address(text: str, line: str) -> bool:
    """Return True if a web address at the end of `text` continues in `line`."""
    if not text.endswith(_WEB_BREAKS) or not _WEB.search(text, max(0, len(text) - _LONGEST_WORD)):
        return False
    return text.endswith("-") or (line[0].islower() if text[-1] == "." else _WEB_REST.match(line) is not None)


@cache
def _dictionary() -> Pyphen:
    """Limits of where TeX breaks words: at least two letters from their start and three from their end."""
    return Pyphen(lang="en_US", left=2, right=3)


def _may_break(word: str, at: int) -> bool:
    """Return True if English hyphenation allows a break of `word` at `at`; elsewhere the author wrote the hyphen."""
    return at in _dictionary().positions(word)


def dehyphenator_for(texts: Iterable[PageText]) -> Dehyphenator:
    """The vocabulary of all lines of a paper."""
    return Dehyphenator(line.text for text in texts for line in text.lines)
