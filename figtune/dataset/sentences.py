"""Sentences of scholarly English: where one ends, and how many fit.

Splitters trained on news and law (Punkt and its heirs) end a sentence after "Fig." or "et al." and join two where a
citation stands between them, so the marks of papers are told apart here: an abbreviation that always goes on, one that
may close a sentence, an initial, a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from figtune.dataset.vocabulary import ABBREVIATIONS, ABBREVIATIONS_THAT_MAY_END

_END = re.compile(r"[.!?]+[\"'”’)\]]*(?:\s*\[\d[\d,\s–-]*\])?(?=\s)")
_START = re.compile(
    r"[\"'“‘(\[]*(?:[A-Z]|\d|[^\W\d_a-z]|\([a-z]\)|[a-z]\))"
    r"|[a-z]\d?[A-Z]|\([a-z0-9]{1,3}\)|[a-h]\.\s[A-Z]|[-•*†‡]"
)
_CLOSED = re.compile(r"[.!?][\"'”’)\]]*$")
_GLUED = re.compile(r"(?<=[A-Za-z\d)\]][A-Za-z)\]])\.(?=[A-Z][a-z]+\s)")
_LAST_WORD = re.compile(r"([^\s(\[“\"']+)$")
_LABEL = re.compile(r"\([a-z0-9]{1,3}\)")
_INITIAL = re.compile(r"[^\W\d_]\.")
_WORD = re.compile(r"(?<!\S)[^\w\s]*\w")
"""Beginning of a token with a letter or a digit in it."""


def split_sentences(text: str) -> tuple[str, ...]:
    """Return the sentences of `text` in order, white space made plain; together they hold all of it."""
    plain = _GLUED.sub(". ", " ".join(text.split()))
    sentences, start = [], 0
    for end in _END.finditer(plain):
        if _is_boundary(plain[start : end.start()], plain[end.start()], plain[end.end() :].lstrip()):
            sentences.append(plain[start : end.end()].strip())
            start = end.end()
    sentences.append(plain[start:].strip())
    return tuple(sentence for sentence in sentences if sentence)


def is_closed(sentence: str) -> bool:
    """Return True if it ends with a mark; before a formula or at the end of a lost column it does not."""
    return _CLOSED.search(sentence) is not None


def ends_in_abbreviation(sentence: str) -> bool:
    """Return True if it breaks off after "i.e." or the like."""
    return sentence.split()[-1].rstrip(".)").lower() in ABBREVIATIONS - ABBREVIATIONS_THAT_MAY_END


def ends_in_function_word(sentence: str) -> bool:
    """Return True if it breaks off before a noun that was taken out: "are shown in."."""
    return (
        re.search(
            r"\b(?:in|of|by|to|from|with|the|(?<!\()(?<!panel\s)an?|and|as|at|for|than|see|our|via|into)\W*[.!?]$",
            sentence,
        )
        is not None
    )


def count_words(text: str) -> int:
    """Count the space-separated tokens with a letter or a digit in them."""
    return len(_WORD.findall(text))


def whole_sentences(sentences: Sequence[str], max_words: int) -> tuple[str, ...]:
    """Return the leading sentences that have `max_words` words together at most; none where the first is longer."""
    kept, words = [], 0
    for sentence in sentences:
        words += count_words(sentence)
        if words > max_words:
            break
        kept.append(sentence)
    return tuple(kept)


def _is_boundary(before: str, mark: str, after: str) -> bool:
    """Return True if a sentence ends at `mark` between the two texts."""
    if not _START.match(after):
        return False
    if mark != ".":
        return True
    if _LABEL.fullmatch(before.strip()):
        return False
    found = _LAST_WORD.search(before)
    word = found[1].lower() if found else ""
    capital_follows = after[:1].isupper() and not _INITIAL.match(after)
    if word in ABBREVIATIONS_THAT_MAY_END:
        return capital_follows
    if word in ABBREVIATIONS:
        return False
    # "A. B. Smith" goes on; "We first train A." and "Stage I." do not.
    return not (_is_initial(f"{word}.") and (_INITIAL.match(after) or _is_initial(_before_last(before))))


def _before_last(text: str) -> str:
    """Return the word before the last; an initial where there is none, as in a numbering "a. The"."""
    words = text.split()
    return words[-2] if len(words) > 1 else "A."


def _is_initial(word: str) -> bool:
    return _INITIAL.fullmatch(word) is not None
