"""What kind of figure a region shows, by a rule that can be read.

A table is what its caption calls a table. A figure gets points for each kind from what is seen in it (photographs,
number labels, words, drawn shapes) and from what its caption calls it; the kind with most points wins. Where
photographs and drawn things both hold a good part of it, it is mixed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from figtune.figures.ink import Ink
from figtune.figures.records import FigureKind, FigureType
from figtune.papers.box import Box
from figtune.papers.page import Line, PageGraphics

_NUMBER = re.compile(r"^[−\-–+]?\d+(?:[.,]\d+)?(?:e[−\-+]?\d+)?\s*[%kKMBx×°]?$")
_CELL = 4.0  # points: the grain at which areas are counted
_SPARSE, _DENSE = 0.3, 0.7  # share of ink in a picture: a plot saved as pixels, a photograph
_WHITE_WORTH = 0.45  # what a mostly white picture counts, since renderings of objects are such
_OPENING = 160  # characters of a caption that say what is shown
_TITLE = re.compile(r"\w+\.?\s+\w+[.:]\s*.+?[.:](?=\s)", re.DOTALL)  # "Figure 2. Overview of our method. "
_CERTAIN_PLOT = re.compile(r"t-?sne\b|\bumap\b|histogram|confusion matri|(?:roc|precision-recall) curve", re.IGNORECASE)
_TOLD: dict[FigureKind, re.Pattern[str]] = {
    "diagram": re.compile(
        r"overview|architecture|pipeline|framework|workflow|schematic|diagram|illustration|structure of|module|"
        r"network design|set-?up|procedure|components? of|our (?:method|approach)\b",
        re.IGNORECASE,
    ),
    "qualitative": re.compile(
        r"qualitative|visuali[sz]|visual (?:comparison|result)|examples?\b|samples?\b|gallery|rendered|renderings?\b|"
        r"reconstruct|generated|generation results",
        re.IGNORECASE,
    ),
    "plot": re.compile(
        r"\bcurves?\b|\bplots?\b|histogram|distribution|accuracy|\bpsnr\b|\bversus\b|\bvs\.|\bloss\b|trade-?off|"
        r"effects? of|impact of|sensitivity|quantitative|convergence|number of|performance",
        re.IGNORECASE,
    ),
}


@dataclass(frozen=True, slots=True)
class KindEvidence:
    """What is counted inside a region and read in its caption; all in [0, 1]."""

    photographs: float
    """Share of the region's area under images, less where these are mostly white."""
    ticks: float
    """Number labels, 1 for twelve or more."""
    words: float
    """Labels with letters, 1 for ten or more."""
    shapes: float
    """Boxes, arrows and curves, 1 for forty or more."""
    told: frozenset[FigureKind]
    """Kinds that the first sentence of the caption speaks of."""


def kind_of(figure_type: FigureType, evidence: KindEvidence) -> tuple[FigureKind, float]:
    """The kind, and in [0, 1] how far it is ahead of the next one (1 for a table: nothing else is asked)."""
    if figure_type == "Table":
        return "table", 1.0
    points = _points(evidence)
    ranked = sorted(points, key=lambda kind: (-points[kind], kind))
    return ranked[0], round(min(1.0, 0.5 + points[ranked[0]] - points[ranked[1]]), 3)


def evidence_in(region: Box, caption: str, lines: Sequence[Line], graphics: PageGraphics, ink: Ink) -> KindEvidence:
    """What `region` holds and `caption` says."""
    inside = [line for line in lines if line.text and region.contains(line.box, 2)]
    ticks = sum(bool(_NUMBER.match(token)) for line in inside for token in line.text.split())
    words = sum(any(map(str.isalpha, line.text)) for line in inside)
    shapes = sum(region.contains(drawing.box, 2) and drawing.color != "#ffffff" for drawing in graphics.drawings)
    inked = ink.amount(region) / max(1.0, region.area)
    dense = min(1.0, max(0.0, (inked - _SPARSE) / (_DENSE - _SPARSE)))
    return KindEvidence(
        photographs=_covered(region, graphics.images) * (_WHITE_WORTH + (1 - _WHITE_WORTH) * dense),
        ticks=min(1.0, ticks / 12),
        words=min(1.0, words / 10),
        shapes=min(1.0, shapes / 40),
        told=_told(caption[:_OPENING]),
    )


def _told(opening: str) -> frozenset[FigureKind]:
    """Kinds that the caption's first sentence speaks of: later ones tell how something was made or measured."""
    title = _TITLE.match(opening)
    words = title[0] if title else opening
    if _CERTAIN_PLOT.search(words):
        return frozenset(("plot",))
    return frozenset(kind for kind, pattern in _TOLD.items() if pattern.search(words))


def _points(evidence: KindEvidence) -> dict[FigureKind, float]:
    drawn = 1.0 - evidence.photographs
    labelled = 0.5 * evidence.words + 0.5 * evidence.shapes
    points: dict[FigureKind, float] = {
        "plot": drawn * (0.3 + 0.6 * evidence.ticks) + _bonus("plot", evidence),
        "diagram": drawn * (0.3 + 0.5 * labelled * (1 - 0.6 * evidence.ticks)) + _bonus("diagram", evidence),
        "qualitative": evidence.photographs + _bonus("qualitative", evidence),
    }
    photographed = points["qualitative"]
    points["mixed"] = 0.45 + 0.5 * labelled - abs(evidence.photographs - 0.5) if photographed > 0.3 else 0.0
    return points


def _bonus(kind: FigureKind, evidence: KindEvidence) -> float:
    """Points for being spoken of, fewer where the caption speaks of other kinds as well."""
    return 0.45 / len(evidence.told) if kind in evidence.told else 0.0


def _covered(region: Box, boxes: Sequence[Box]) -> float:
    """Share of the region under `boxes`, counted on a grid."""
    columns, rows = max(1, int(region.width / _CELL)), max(1, int(region.height / _CELL))
    grid = bytearray(columns * rows)
    for box in boxes:
        shared = region.intersection(box)
        if shared.area <= 0:
            continue
        first, last = int((shared.x0 - region.x0) / _CELL), min(columns, round((shared.x1 - region.x0) / _CELL))
        top, bottom = int((shared.top - region.top) / _CELL), min(rows, round((shared.bottom - region.top) / _CELL))
        for row in range(top, bottom):
            grid[row * columns + first : row * columns + last] = b"\x01" * max(0, last - first)
    return sum(grid) / len(grid)
