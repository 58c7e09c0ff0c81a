"""Words printed in a figure, in reading order, as the PDF's text layer has them: the target of the task read."""

from __future__ import annotations

import re
import unicodedata

from figtune.dataset.sentences import count_words

_FEWEST_WORDS = 3
_LONGEST_LINE = 30  # words: more is running text that a region took in by mistake
_MOST_ODD = 0.15
"""Share of odd characters above which a text layer has a bad code table, or is a formula's."""
_READABLE = re.compile(r"[\w\s.,:;!?()\[\]/%+\-=<>&*#@\"'“”‘’–—−×·±°$|_~≈≤≥→←↑↓✓✗…•]", re.UNICODE)


def printed_lines(figure_text: str, max_words: int) -> tuple[tuple[str, ...], str]:
    """Return the lines printed in a figure, and the rule against reading them, empty where there is none."""
    lines = tuple(plain for line in figure_text.splitlines() if (plain := " ".join(line.split())))
    words = sum(count_words(line) for line in lines)
    text = "".join(lines)
    if words < _FEWEST_WORDS:
        return (), "no_words_in_figure"
    if words > max_words or any(len(line.split()) > _LONGEST_LINE for line in lines):
        return (), "too_many_words_in_figure"
    if sum(_is_odd(sign) for sign in text) > _MOST_ODD * len(text) or "\ufffd" in text:
        return (), "unreadable_words_in_figure"
    return lines, ""


def _is_odd(sign: str) -> bool:
    return not _READABLE.match(sign) or unicodedata.category(sign) in ("Co", "Cn", "Lo")
