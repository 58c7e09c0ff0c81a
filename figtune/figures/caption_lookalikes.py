"""What looks most like captions in a paper in which none was found: the same word before rising numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from figtune.pdf.page import PageText

_START = re.compile(r"^(?P<word>[^\W\d_]{2,20}\.?)\s?(?P<number>\d{1,2}(?:\.\d{1,2})?)\s?(?P<mark>[.:|—–]?)(?=\s|$)")
_FEWEST = 2  # different numbers behind one word
_MOST = 3  # words that are named


def caption_lookalikes(texts: Iterable[PageText]) -> tuple[str, ...]:
    """Return beginnings of lines, "Obrazac 1:" for example, of the words that stand before most different numbers."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        for line in text.lines:
            if line.horizontal and (match := _START.match(line.text)):
                found.setdefault(match["word"].casefold(), {}).setdefault(match["number"], match[0].strip())
    counted = [starts for starts in found.values() if len(starts) >= _FEWEST]
    counted.sort(key=lambda starts: -len(starts))
    return tuple(next(iter(starts.values())) for starts in counted[:_MOST])
