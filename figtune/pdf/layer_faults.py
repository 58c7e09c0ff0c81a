"""Text layers that are missing or scrambled, told page by page and font by font.

A layer is *missing* where next to no letters stand on a page that is one picture, as a scanner makes it, or whose
letters are drawn as outlines. It is *scrambled* where most characters of a page have no meaning (unmapped, private use,
U+FFFD) or are set in fonts whose Unicode cannot be right: signs where letters belong ("Æ«±°»²¹"), or letters in
frequencies of no language written in the Latin alphabet ("Wklv lv", "7KLV LV").
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from figtune.pdf.page import PageGraphics, PageText

_FEW_LETTERS = 60
"""Letters of a page up to which its layer may be missing; a page with a figure alone has its caption."""
_STAMP_LETTERS = 400
"""The same for a page that is one picture: publishers stamp scans. A page of text has ten times as many."""
_PICTURE = 0.85  # of a page's area: a picture as large is the page
_MANY_OUTLINES = 500  # paths of a page that has text drawn as outlines
_SCRAMBLED_PAGE = 0.3  # share of a page's characters that have no meaning or a scrambled font
_FEW_CHARACTERS = 60  # of a page: too few to call it scrambled
_SIGNS = 0.25  # share of signs from which a font of words is scrambled
_FEW_IN_FONT = 200  # letters in words of a font: too few to count how often each occurs
_COMMON = frozenset("etaoinsr")
_COMMON_SHARE = 0.42
"""Share of the commonest letters in words: 0.58 to 0.69 in 46 fonts of 26 English papers, about as much in other
languages of the Latin alphabet; letters that are shifted in it come to 0.4 at most."""
_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(slots=True)
class _FontCount:
    """Characters of one font over a paper."""

    total: int = 0
    signs: int = 0
    letters: Counter[str] = field(default_factory=Counter)
    """Letters in words of four and more, without accents and case."""


def layer_faults(texts: Sequence[PageText], graphics: Callable[[int], PageGraphics]) -> dict[int, str]:
    """Return "missing" or "scrambled" by index of the page, for the pages whose text layer is of no use.

    Args:
        texts: text layers of all pages.
        graphics: the graphics of a page by its index; asked only about pages with few letters.
    """
    scrambled = scrambled_fonts(texts)
    faults: dict[int, str] = {}
    for text in texts:
        letters, characters, useless = _count_page(text, scrambled)
        if useless > _SCRAMBLED_PAGE * max(characters, _FEW_CHARACTERS):
            faults[text.index] = "scrambled"
        elif letters < _STAMP_LETTERS and _is_missing(letters, text, graphics(text.index)):
            faults[text.index] = "missing"
    return faults


def scrambled_fonts(texts: Iterable[PageText]) -> frozenset[str]:
    """Return the names of the fonts whose characters are not those printed, judged over a whole paper."""
    counts: dict[str, _FontCount] = {}
    for text in texts:
        for line in text.lines:
            for span in line.spans:
                _count(span.text, counts.setdefault(span.font, _FontCount()))
    return frozenset(font for font, count in counts.items() if _is_scrambled(count))


def is_picture_of_page(text: PageText, graphics: PageGraphics) -> bool:
    """Return True if pictures cover the page, as on a scan; scanners cut pages into strips."""
    covered = sum(image.intersection(text.box).area for image in graphics.images)
    return covered >= _PICTURE * text.box.area


def faults_in_words(faults: Mapping[int, str], pages: int) -> str:
    """Return the faults as a reason: "text layer missing on pages 1-3, scrambled on page 5"."""
    parts = []
    for fault in ("missing", "scrambled"):
        numbers = sorted(index + 1 for index, found in faults.items() if found == fault)
        if numbers:
            parts.append(f"{fault} on {'all pages' if len(numbers) == pages > 1 else _page_list(numbers)}")
    return f"text layer {', '.join(parts)}" if parts else ""


def _page_list(numbers: Sequence[int]) -> str:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    names = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    return f"page {names}" if len(numbers) == 1 else f"pages {names}"


def _count_page(text: PageText, scrambled: frozenset[str]) -> tuple[int, int, int]:
    """Return the letters of a page, all its characters but blanks, and those of no use."""
    letters, characters, useless = 0, text.meaningless, text.meaningless
    for line in text.lines:
        for span in line.spans:
            visible = len(span.text) - span.text.count(" ")
            characters += visible
            letters += sum(map(str.isalpha, span.text))
            if span.font in scrambled:
                useless += visible
    return letters, characters, useless


def _is_missing(letters: int, text: PageText, graphics: PageGraphics) -> bool:
    if is_picture_of_page(text, graphics):
        return True
    return letters < _FEW_LETTERS and len(graphics.drawings) >= _MANY_OUTLINES


def _count(text: str, count: _FontCount) -> None:
    count.total += len(text) - text.count(" ")
    if not text.isascii():
        count.signs += sum(map(_is_sign, text))
    for word in _WORD.findall(text):
        if word.isascii():
            count.letters.update(word.lower())
        else:
            count.letters.update(filter(None, map(_latin_letter, word)))


def _is_scrambled(count: _FontCount) -> bool:
    letters = sum(count.letters.values())
    if count.total >= _FEW_IN_FONT and letters and count.signs > _SIGNS * count.total:
        return True
    common = sum(count.letters[letter] for letter in _COMMON)
    return letters >= _FEW_IN_FONT and common < _COMMON_SHARE * letters


@lru_cache(maxsize=4096)
def _is_sign(character: str) -> bool:
    """Return True for the signs of Latin-1 and the letters of it that hardly any text has many of, such as "Æ", "Ç" and
    "þ": wrong tables of single bytes end there."""
    return "\xa1" <= character <= "\xbf" or character in "ÆÐ×ØÞðþ÷øÿ" or "\xc0" <= character <= "\xde"


@lru_cache(maxsize=4096)
def _latin_letter(character: str) -> str:
    """Return the letter without accent in small, or "" for one of another alphabet."""
    base = unicodedata.normalize("NFD", character)[0].lower()
    return base if "a" <= base <= "z" else ""
