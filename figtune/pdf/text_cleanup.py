"""Cleanup of the text layer: ligatures, mathematical letters, accents; printed lines joined, their hyphens undone."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from pyphen import Pyphen

from figtune.pdf.page import PageText

# TeX's old text fonts print an accent and a letter as two glyphs, and so do their text layers ("Doll´ar").
_COMBINING = {
    "´": "\u0301",
    "`": "\u0300",
    "¨": "\u0308",
    "ˆ": "\u0302",
    "˜": "\u0303",
    "¯": "\u0304",
    "ˇ": "\u030c",
    "˘": "\u0306",
    "˚": "\u030a",
    "˝": "\u030b",
    "¸": "\u0327",
}
_ACCENT_THEN_LETTER = re.compile(r"([´`¨ˆ˜¯ˇ˘˚˝])(?:(?<=[A-Za-z].) )?([A-Za-zı])")
_LETTER_THEN_CEDILLA = re.compile(r"([A-Za-z])¸(?=[A-Za-z])|(?<=[A-Za-z])¸([A-Za-z])")
_APART = re.compile("[´`¨ˆ˜¯ˇ˘˚˝¸\u0338]")  # what the patterns around this one look for
_STRUCK_EQUAL = re.compile("\u0338( ?)=")
# Anything outside plain printable ASCII that needs none of the repairs below.
_SUSPECT = re.compile(r"[^ -_a-~]")
# Some fonts map mathematical letters (U+1D400 to U+1D7FF) without their first digit, into Hangul. A Hangul syllable is
# hardly ever alone in Korean text.
_CUT_MATH_LETTER = re.compile("(?<![\uac00-\ud7ff])[\ud400-\ud7ff](?![\uac00-\ud7ff])")
_BLANK = "\t\n\r\x0b\x0c"
# Type 3 fonts of TeX have no names for their glyphs, so that a ligature comes as its code in the font: from 11 in
# Knuth's encoding (The TeXbook, appendix F), from 27 in Cork's. They stand within words or at an end of one.
_LIGATURES = dict(zip("\x0b\x0c\x0d\x0e\x0f\x1b\x1c\x1d\x1e\x1f", 2 * ("ff", "fi", "fl", "ffi", "ffl"), strict=True))
_LIGATURE = re.compile(r"(?<=[^\W\d_])[\x0b\x0c\x0e\x0f\x1b-\x1f]|[\x0b-\x0f\x1b-\x1f](?=[^\W\d_])")

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


def normalize_glyphs(text: str) -> str:
    """Return `text` with ligatures and mathematical letters spelled out, accents joined to their letters, and
    everything that has no meaning to a reader (control, private-use, unassigned and zero-width characters, U+FFFD)
    gone.

    Length may change; blanks at the ends stay, since the caller joins pieces of a line.
    """
    if not _SUSPECT.search(text):
        return text
    lettered = _LIGATURE.sub(lambda match: _LIGATURES[match[0]], text)
    mapped = _CUT_MATH_LETTER.sub(lambda match: chr(ord(match[0]) + 0x10000), lettered)
    spelled = "".join(_spelled(character) for character in mapped)
    return compose_accents(spelled)


def count_meaningless(text: str) -> int:
    """Return the number of characters that `normalize_glyphs` drops because they mean nothing to a reader."""
    if not _SUSPECT.search(text):
        return 0
    return sum(_spelled(character) == "" for character in _CUT_MATH_LETTER.sub("x", text))


def compose_accents(text: str) -> str:
    """Return `text` with accents joined to their letters, and strokes to the signs that they strike out."""
    if not _APART.search(text):
        return unicodedata.normalize("NFC", text)
    joined = _STRUCK_EQUAL.sub(r"\1≠", _ACCENT_THEN_LETTER.sub(_join_accent, text))
    return unicodedata.normalize("NFC", _LETTER_THEN_CEDILLA.sub(_join_cedilla, joined))


def _spelled(character: str) -> str:
    if " " <= character <= "~":
        return character
    if character in _BLANK:
        return " "
    if character == "\u00ad":  # a soft hyphen that was printed is a hyphen
        return "-"
    category = unicodedata.category(character)
    if category in {"Cc", "Cf", "Co", "Cn", "Cs"} or character == "\ufffd":
        return ""
    if category in {"Zs", "Zl", "Zp"}:
        return " "
    if "\ufb00" <= character <= "\ufb06" or "\U0001d400" <= character <= "\U0001d7ff":
        return unicodedata.normalize("NFKC", character)
    return character


def _join_accent(match: re.Match[str]) -> str:
    letter = "i" if match[2] == "ı" else match[2]
    return unicodedata.normalize("NFC", letter + _COMBINING[match[1]])


def _join_cedilla(match: re.Match[str]) -> str:
    # TeX sets the mark before or after its letter, so take the one letter that carries it: c or s.
    before, after = match[1] or "", match[2] or ""
    return unicodedata.normalize("NFC", (before or after) + _COMBINING["¸"])


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
        """Return `lines` as one text, single blanks between words; accents printed in a font of their own are joined
        too."""
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
    """Load the limits of where TeX breaks words: at least two letters from their start and three from their end."""
    return Pyphen(lang="en_US", left=2, right=3)


def _may_break(word: str, at: int) -> bool:
    """Return True if English hyphenation allows a break of `word` at `at`; elsewhere the author wrote the hyphen."""
    return at in _dictionary().positions(word)


def dehyphenator_for(texts: Iterable[PageText]) -> Dehyphenator:
    """Return the vocabulary of all lines of a paper."""
    return Dehyphenator(line.text for text in texts for line in text.lines)
