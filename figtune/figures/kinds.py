"""What kind of figure a region shows, by a rule that can be read.

A table is what its caption calls a table. Of figures, pictures cover a qualitative one; a plot has number labels and
few pictures; a diagram has words, boxes and arrows; what has a good part of two of these is mixed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from figtune.figures.records import FigureKind, FigureType
from figtune.papers.box import Box
from figtune.papers.page import Line, PageGraphics

_NUMBER = re.compile(r"^[−\-–+]?\d+(?:[.,]\d+)?(?:e[−\-+]?\d+)?\s*[%kKMBx×°]?$")
_CELL = 4.0  # points: the grain at which areas are counted


@dataclass(frozen=True, slots=True)
class KindEvidence:
    """What is counted inside a region; shares and densities in [0, 1]."""

    pictures: float
    """Share of the region's area under images."""
    ticks: float
    """Number labels, 1 for twelve or more."""
    words: float
    """Labels with letters, 1 for ten or more."""
    shapes: float
    """Boxes, arrows and curves, 1 for forty or more."""


def kind_of(figure_type: FigureType, evidence: KindEvidence) -> tuple[FigureKind, float]:
    """The kind, and in [0, 1] how far it is ahead of the next one (1 for a table: nothing else is asked)."""
    if figure_type == "Table":
        return "table", 1.0
    scores = _scores(evidence)
    ranked = sorted(scores, key=lambda kind: (-scores[kind], kind))
    return ranked[0], round(min(1.0, scores[ranked[0]] - scores[ranked[1]] + 0.5), 3)


def evidence_in(region: Box, lines: Sequence[Line], graphics: PageGraphics) -> KindEvidence:
    """What `region` holds."""
    inside = [line for line in lines if line.text and region.contains(line.box, 2)]
    tokens = [token for line in inside for token in line.text.split()]
    ticks = sum(bool(_NUMBER.match(token)) for token in tokens)
    words = sum(any(character.isalpha() for character in line.text) for line in inside)
    shapes = sum(region.contains(drawing.box, 2) and drawing.color != "#ffffff" for drawing in graphics.drawings)
    return KindEvidence(
        pictures=_covered(region, graphics.images),
        ticks=min(1.0, ticks / 12),
        words=min(1.0, words / 10),
        shapes=min(1.0, shapes / 40),
    )


def _scores(evidence: KindEvidence) -> dict[FigureKind, float]:
    bare = 1.0 - evidence.pictures
    plot = bare * (0.75 * evidence.ticks + 0.25 * evidence.shapes)
    diagram = (0.5 * bare + 0.5 * min(1.0, 2 * bare)) * (
        0.6 * evidence.words * (1 - 0.7 * evidence.ticks) + 0.4 * evidence.shapes * (1 - 0.7 * evidence.ticks)
    )
    qualitative = evidence.pictures * (1 - 0.4 * evidence.words * evidence.shapes)
    return {
        "plot": plot,
        "diagram": diagram,
        "qualitative": qualitative,
        "mixed": 1.6 * min(max(plot, diagram), qualitative) if min(max(plot, diagram), qualitative) > 0.25 else 0.0,
    }


def _covered(region: Box, boxes: Sequence[Box]) -> float:
    """Share of the region under `boxes`, counted on a grid."""
    columns, rows = max(1, int(region.width / _CELL)), max(1, int(region.height / _CELL))
    grid = bytearray(columns * rows)
    for box in boxes:
        shared = region.intersection(box)
        if shared.area <= 0:
            continue
        first, last = int((shared.x0 - region.x0) / _CELL), min(columns, round((shared.x1 - region.x0) / _CELL))
        for row in range(
            int((shared.top - region.top) / _CELL), min(rows, round((shared.bottom - region.top) / _CELL))
        ):
            grid[row * columns + first : row * columns + last] = b"\x01" * max(0, last - first)
    return sum(grid) / len(grid)
