"""View of a page: upright, and with body type of a common size, so that all that is measured fits it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from figtune.pdf.page import Line

_USUAL = 10.0  # points of body type, to which scaled pages are brought
_LEAST, _MOST = 5.5, 14.0  # points of type that is read as it is: papers have 8 to 12, their references 7 and more
_BLANKS = 4  # of a line that tells of body type
_SIDEWAYS = 2  # times as many letters on their side as upright ones make a page that lies on its side
_FEWEST = 20  # letters on their side


def count_type_sizes(lines: Iterable[Line], sizes: Counter[float]) -> None:
    """Add the characters of lines of words to `sizes`, by size in points."""
    for line in lines:
        if line.horizontal and line.size >= 1 and line.text.count(" ") >= _BLANKS:
            sizes[round(line.size, 1)] += len(line.text)


def scale_for(sizes: Counter[float]) -> float:
    """Return the points that a point of the page should count: 1 where body type has a common size. Pages with a
    /UserUnit (ISO 32000-1, 14.11.2) and pages measured in pixels have type that is too large."""
    if not sizes:
        return 1.0
    size = max(sizes, key=lambda size: (sizes[size], size))
    return 1.0 if _LEAST <= size <= _MOST else round(_USUAL / size, 4)


def sideways(blocks: Any) -> int:
    """Return the degrees to turn a page clockwise so that its text reads upright, from PyMuPDF's blocks; 0 where it
    does."""
    letters = {0: 0, 90: 0, 270: 0}
    for block in blocks:
        for line in block["lines"]:
            across, down = line["dir"]
            turn = 90 if down < -abs(across) else 270 if down > abs(across) else 0
            letters[turn] += sum([len(span["text"]) for span in line["spans"]])
    turn = max((90, 270), key=lambda turn: letters[turn])
    return turn if letters[turn] >= max(_FEWEST, _SIDEWAYS * letters[0]) else 0


def scale_page(file: Any, index: int, scale: float) -> None:
    """Change the /UserUnit of a page of an open PyMuPDF document, in memory."""
    xref = file.page_xref(index)
    kind, value = file.xref_get_key(xref, "UserUnit")
    unit = float(value) if kind in ("int", "real", "float") else 1.0
    file.xref_set_key(xref, "UserUnit", f"{unit * scale:.6g}")
