"""Kind of a figure (plot, diagram, photograph, mixed, table), by a rule that can be read.

A table is what its caption calls a table. A figure gets points for each kind from what is seen in it (photographs,
number labels and grid lines, words, drawn shapes) and from what its caption calls it; the kind with most points wins.
Where photographs and drawn things both hold a good part of it, it is mixed.

Images saved as pixels are told apart by their shades. In a photograph or a rendering nearly every pixel differs a
little from the next one. A plot or a diagram is flat colour, with sharp edges or none between neighbours. Where a
photograph is flat it is mostly dark (a night sky, a mask, a depth map), unlike the white and pastel grounds
of drawings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from figtune.extraction.records import FigureKind, FigureType
from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing, PageGraphics
from figtune.pdf.reading_order import SCALE

_CELL = 4.0  # points: the grain at which areas are counted
_OPENING = 160  # characters of a caption that say what is shown
_TITLE = re.compile(r"\w+\.?\s+\w+[.:]\s*.+?[.:](?=\s)", re.DOTALL)  # "Figure 2. Overview of our method. "
_GRID_LINE, _THIN = 0.2, 1.2  # the least share of a figure's side that a grid line runs along, and its points across
_SPOKEN_OF, _CERTAIN = 0.45, 1.0  # points of a kind for what the caption says
_OF_ITS_OWN = 0.2  # of the usual words and shapes: with less a figure is saved as pixels
_UNSURE = 0.8  # the most by which one saved as pixels is ahead where its caption does not say the same
_CERTAIN_PLOT = re.compile(
    r"t-?sne\b|\bumap\b|\b(?:bar|box|line|scatter|violin) (?:plot|chart|graph)|\b(?:pie|radar) chart", re.IGNORECASE
)
_CAPTION_POINTS: dict[FigureKind, re.Pattern[str]] = {
    "diagram": re.compile(
        r"examples?\s(?:\w+\s)?(?:schematic|architecture)|overview|architecture|pipeline|framework|workflow|schematic|"
        r"diagram|illustration|structure of|module|network design|set-?up|procedure|components? of|"
        r"our (?:method|approach)\b",
        re.IGNORECASE,
    ),
    "qualitative": re.compile(
        r"qualitative|visuali[sz]|visual (?:comparison|result)|examples?\b|samples?\b|gallery|rendered|renderings?\b|"
        r"reconstruct|generated|generation results",
        re.IGNORECASE,
    ),
    "plot": re.compile(
        r"\bcurves?\b|\bplot(?:s|ted|ting)?\b|histogram|confusion matri|distribution|accuracy|\bpsnr\b|\bm?iou\b|"
        r"\bversus\b|\bvs\.|\bloss\b|ablation stud|"
        r"trade-?off|effects? of|impact of|sensitivity|quantitative|convergence|number of|performance",
        re.IGNORECASE,
    ),
}
_SHARP = 48  # of 255 greys between neighbours: from here on it is an edge, like those of letters and lines
_DARK = 128
_WHITE = 253
# The shares of such pixels between which an image counts in part. In 30 papers, three quarters of the 999 images of
# qualitative figures have more than 0.5, and three quarters of the images of plots less than 0.15.
_DRAWN, _PHOTOGRAPHED = 0.15, 0.35


@dataclass(frozen=True, slots=True)
class KindFeatures:
    """Features of a region and its caption; all but `caption_votes` in [0, 1]."""

    photographs: float
    """Share of the region's area under images, each counted by how like a photograph it is."""
    scales: float
    """Numbers along axes, 1 for eight or more, or grid lines, 1 for twenty or more, whichever is more."""
    words: float
    """Labels with letters, 1 for ten or more."""
    shapes: float
    """Boxes, arrows and curves, 1 for forty or more."""
    caption_votes: Mapping[FigureKind, float]
    """Points for the kind that the caption speaks of."""


def kind_of(figure_type: FigureType, features: KindFeatures) -> tuple[FigureKind, float]:
    """Return the kind, and in [0, 1] how far it is ahead of the next one (1 for a table: nothing else is asked).

    A diagram with photographs in it, saved as pixels, looks like photographs; only the caption can make one sure.
    """
    if figure_type == "Table":
        return "table", 1.0
    points = _kind_scores(features)
    ranked = sorted(points, key=lambda kind: (-points[kind], kind))
    most = 1.0 if _is_drawn(features) or ranked[0] in features.caption_votes else _UNSURE
    return ranked[0], round(min(most, 0.5 + points[ranked[0]] - points[ranked[1]]), 3)


def _is_drawn(features: KindFeatures) -> bool:
    return max(features.words, features.shapes) > _OF_ITS_OWN


def kind_features(
    region: Box, caption: str, labels: Sequence[str], graphics: PageGraphics, photo_scores: Sequence[float]
) -> KindFeatures:
    """Return the features of `region` and `caption`.

    Args:
        region: in points.
        caption: whole, or empty.
        labels: in the region, the numbers along an axis as one.
        graphics: of the page.
        photo_scores: `photo_likelihood` its images.
    """
    numbers = sum(len(label.split()) for label in labels if SCALE.fullmatch(label) and " × " not in label)
    words = sum(any(map(str.isalpha, label)) for label in labels)
    drawn = [drawing for drawing in graphics.drawings if region.contains(drawing.box, 2) and drawing.color != "#ffffff"]
    grid = sum(_is_grid_line(drawing, region) for drawing in drawn)
    return KindFeatures(
        photographs=_photographed(region, graphics.images, photo_scores),
        scales=min(1.0, max(numbers / 8, grid / 20)),
        words=min(1.0, words / 10),
        shapes=min(1.0, len(drawn) / 40),
        caption_votes=_caption_votes(caption[:_OPENING]),
    )


def _is_grid_line(drawing: Drawing, region: Box) -> bool:
    box = drawing.box
    across = box.height <= _THIN and box.width >= _GRID_LINE * region.width
    return across or (box.width <= _THIN and box.height >= _GRID_LINE * region.height)


def _caption_votes(opening: str) -> dict[FigureKind, float]:
    """Return the vote of the caption. What is always a plot counts anywhere; other words count only in the first
    sentence, since later ones describe how something was made or measured. The first of them says what the figure is,
    later ones what it is of: "Schematic of the effect of ...", "Distribution of the examples"."""
    if _CERTAIN_PLOT.search(opening):
        return {"plot": _CERTAIN}
    title = _TITLE.match(opening)
    found = {kind: pattern.search(title[0] if title else opening) for kind, pattern in _CAPTION_POINTS.items()}
    places = {kind: match.start() for kind, match in found.items() if match}
    return {min(places, key=lambda kind: places[kind]): _SPOKEN_OF} if places else {}


def _kind_scores(features: KindFeatures) -> dict[FigureKind, float]:
    """Score the kinds. A drawing saved as pixels is a diagram unless its caption says more: of 18 whose caption says
    neither, 13 are diagrams."""
    drawn = 1.0 - features.photographs
    labelled = 0.5 * features.words + 0.5 * features.shapes
    points: dict[FigureKind, float] = {
        "plot": drawn * ((0.3 if _is_drawn(features) else 0.2) + 0.6 * features.scales),
        "diagram": drawn * (0.2 + 0.6 * labelled * (1 - 0.6 * features.scales)),
        "qualitative": features.photographs,
    }
    for kind, bonus in features.caption_votes.items():
        points[kind] += bonus
    both = 0.4 + 0.5 * max(labelled, features.scales) - abs(features.photographs - 0.5)
    points["mixed"] = both if points["qualitative"] > 0.3 else 0.0
    return points


def _photographed(region: Box, images: Sequence[Box], photo_scores: Sequence[float]) -> float:
    """Return the share of the region under photographs, counted on a grid."""
    grid = np.zeros((max(1, int(region.height / _CELL)), max(1, int(region.width / _CELL))))
    for box, tone in zip(images, photo_scores, strict=True):
        shared = region.intersection(box)
        if tone > 0 and shared.area > 0:
            first, last = round((shared.x0 - region.x0) / _CELL), round((shared.x1 - region.x0) / _CELL)
            top, bottom = round((shared.top - region.top) / _CELL), round((shared.bottom - region.top) / _CELL)
            cells = grid[top:bottom, first:last]
            np.maximum(cells, tone, out=cells)
    return float(grid.mean())


def photo_likelihood(page: GreyImage, images: Sequence[Box]) -> tuple[float, ...]:
    """Return the likelihood that each image is a photograph, in [0, 1].

    Args:
        page: uint8[H, W] at 72 dpi.
        images: their boxes, in points.
    """
    if not images:
        return ()
    top, bottom = _pixel(min(box.top for box in images)), _pixel(max(box.bottom for box in images))
    toned = _shaded_pixels(page[top : bottom + 1])
    return tuple(_photo_score(toned[_rows(box, top), _columns(box)]) for box in images)


def _shaded_pixels(page: GreyImage) -> NDArray[np.bool_]:
    """Return bool[H - 1, W - 1]: pixels that are shaded or dark."""
    here = page[:-1, :-1]
    shaded = _differ_a_little(here, page[:-1, 1:]) & _differ_a_little(here, page[1:, :-1]) & (here < _WHITE)
    return shaded | (here < _DARK)


def _differ_a_little(one: GreyImage, other: GreyImage) -> NDArray[np.bool_]:
    step = np.maximum(one, other) - np.minimum(one, other)
    return (step > 0) & (step < _SHARP)


def _photo_score(toned: NDArray[np.bool_]) -> float:
    share = float(np.count_nonzero(toned)) / max(1, toned.size)
    return min(1.0, max(0.0, (share - _DRAWN) / (_PHOTOGRAPHED - _DRAWN)))


def _rows(box: Box, top: int) -> slice:
    return slice(_pixel(box.top) - top, _pixel(box.bottom) - top)


def _columns(box: Box) -> slice:
    return slice(_pixel(box.x0), _pixel(box.x1))


def _pixel(point: float) -> int:
    return max(0, round(point))
