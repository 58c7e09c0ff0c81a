"""Words printed in a figure, in reading order, as the PDF's text layer has them: the target of the task read."""

from __future__ import annotations

import re
import unicodedata

from figtune.dataset.sentences import count_words

_FEWEST_WORDS = 3
_LONGEST_LINE = 30  # words: more is running text that a region took in by mistake
_MOST_ODD = 0.15
"""Share of odd characters above which a text layer has a bad code table, or is a formula's."""
_MOST_BARE_LINES = 0.4
"""Share of lines without a word or number above which a figure holds formulas more than words."""
_GARBLED = re.compile(
    r"""[A-Za-z0-9(][!#$@^]+[A-Za-z0-9(]|[#$@^!]{2,}|[!#$"&'@^%]{3,}|[A-Za-z](?:[!#$@^]|\($)|\d[:;<=>?@]\d+[:;<=>?@]"""
)
"""Letters of a font with a bad code table come out as other signs: `f#!$`."""
_WORD_OR_NUMBER = re.compile(r"[^\W\d_]{3,}|\d")
_READABLE = re.compile(r"[\w\s.,:;!?()\[\]/%+\-=<>&*#@\"'“”‘’–—−×·±°$|_~≈≤≥→←↑↓✓✗…•]", re.UNICODE)


def printed_lines(figure_text: str, max_words: int) -> tuple[tuple[str, ...], str]:
    """Return the lines printed in a figure, and the rule against reading them, empty where there is none."""
    lines = tuple(plain for line in figure_text.splitlines() if re.search(r"\w", plain := " ".join(line.split())))
    words = sum(count_words(line) for line in lines)
    text = "".join(lines)
    if words < _FEWEST_WORDS:
        return (), "no_words_in_figure"
    if words > max_words or any(len(line.split()) > _LONGEST_LINE for line in lines):
        return (), "too_many_words_in_figure"
    if sum(_is_odd(sign) for sign in text) > _MOST_ODD * len(text) or "\ufffd" in text:
        return (), "unreadable_words_in_figure"
    bare = sum(_WORD_OR_NUMBER.search(line) is None for line in lines)
    if bare > _MOST_BARE_LINES * len(lines) or _GARBLED.search(figure_text):
        return (), "unreadable_words_in_figure"
    return lines, ""


def _is_odd(sign: str) -> bool:
    return not _READABLE.match(sign) or unicodedata.category(sign) in ("Co", "Cn", "Lo")
