"""Sub- and superscripts written with a mark: `F_cls`, `10^-3`, where the text layer has "Fcls", "10-3"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from figtune.pdf.page import Line, PageText, Span

SUBSCRIPT, SUPERSCRIPT = "_", "^"
UNREADABLE = "\ufffd"
"""Stands for a formula whose indices cannot be written in one line."""
_SMALL = 0.78  # of the size of the text; small capitals have 0.8
_NOTE = re.compile(r"(?:[^\W\d_]{3,}[\])]?|[\])])?[.,;:]?[\"”]?$")
_NOTE_MARK = re.compile(r"[\d,]{1,4}|[∗*†‡§¶]+")
_ORDINAL = re.compile(r"st|nd|rd|th")
_ENDS = ".,:;!?()[]{}\"'“”‘’"
_PLAIN = re.compile(r"[^\W_]+(?:[._-][^\W_]+)*")
_INDEX = re.compile(r"[+\-−–]?[\w,]{1,12}|[∗*′+]")


def marked_text(line: Line) -> str:
    """Return the text of a line with `_` before subscripts and `^` before superscripts."""
    if len(line.spans) < 2:
        return line.text
    full = max(span.size for span in line.spans)
    text, before = "", ""
    for span in line.spans:
        mark = _mark(span, full, text)
        text += (mark if mark != before else "") + span.text
        before = mark
    return text.strip()


def _mark(span: Span, full: float, text: str) -> str:
    """Return the mark of an index; empty for what is none, or stands behind nothing that it could be an index of."""
    if span.size > _SMALL * full or not any(map(str.isalnum, span.text)) or not text or text[-1].isspace():
        return ""
    return SUPERSCRIPT if span.superscript else SUBSCRIPT


def index_words(texts: Sequence[PageText]) -> dict[str, str]:
    """Return how words with indices are written, by how the text layer has them: "Fcls" -> "F_cls".

    Marks of footnotes are left out, "word.3" -> "word."; what cannot be written in one line is `UNREADABLE`. Words that
    stand without an index too are left out, such as "As".
    """
    found: dict[str, str] = {}
    plain: list[str] = []
    for text in texts:
        for line in text.lines:
            marked = marked_text(line)
            if marked == line.text:
                plain.append(marked)
                continue
            for was, now in zip(line.text.split(), marked.split(), strict=False):
                if was == now:
                    plain.append(was)
                elif (word := core(was)) and core(now)[:1].isalnum():
                    written = _written(core(now))
                    found[word] = written if found.get(word, written) == written else UNREADABLE
    ambiguous = {core(word) for line in plain for word in line.split()} & found.keys()
    return {word: written for word, written in found.items() if word != written and word not in ambiguous}


def core(word: str) -> str:
    """Return a word without the brackets and punctuation around it."""
    return word.strip(_ENDS)


def _written(marked: str) -> str:
    """Return the form to write: a letter or name with one index; without a footnote's mark."""
    parts = re.split(r"([_^])", marked)
    base, indices = parts[0], parts[1:]
    if len(indices) != 2:
        return UNREADABLE
    mark, index = indices
    if mark == SUPERSCRIPT and _NOTE.fullmatch(base) and _NOTE_MARK.fullmatch(index):
        return base
    if mark == SUPERSCRIPT and base[-1:].isdigit() and _ORDINAL.fullmatch(index):
        return base + index
    if _PLAIN.fullmatch(base) and _INDEX.fullmatch(index):
        return marked
    return UNREADABLE
