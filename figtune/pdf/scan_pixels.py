"""Pixels of a scanned page: straightened, its paper white, and the rules, pictures and lone marks found in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing, PageGraphics

_STEEPEST = 3.0  # degrees that a page may lie askew
_COARSE, _FINE = 0.25, 0.05  # degrees from one angle tried to the next
_STRAIGHT = 0.04  # degrees: half a pixel over a page 800 pixels wide, which nobody sees
_DARK = 0.6  # of the paper's grey: ink, where the angle is measured
_PAPER = 90  # percentile of a tile's greys that is its paper, unless a picture covers it
_WHITE_SHARE = 0.3  # of a page's pixels that are pure white where it needs no whitening
_TILE = 64  # pixels of the side of a tile in which the paper's grey is measured
_DARK_TILE = 0.8  # of the paper's grey: a pixel that is darker is ink, and a tile that is darker shows a picture
_NOISE = 3.5  # standard deviations of the paper's grey that count as paper
_MOST_NOISE = 0.12  # of the range of greys: what differs more is no noise

_INK = 140  # greys below are ink, on white paper
_MARK_HEIGHT, _MARK_WIDTH = 10.0, 8.0  # points of a speck or a digit in the type of page numbers, at most
_MARK_GAP = 6.0  # points of white between it and everything else on the page
_MARK_EDGE = 1.5  # points around it in which its grey edges are
_MOST_MARKS = 3  # at the head of a page, and at its foot
_RULE_INK = 160  # greys below are ink of a rule
_LONG = 24.0  # points from which a straight stroke is a rule; the longest strokes of letters have 14
_THIN = 2.4  # points of a rule's thickness at most
_SHADED = 250  # greys below belong to a picture
_TOGETHER = 3.0  # points of white within one picture
_SMALLEST = 20.0  # points: no picture is narrower or lower
_FILLED = 0.35  # share of a picture's box that is not white
_BLACK = "#000000"

_Mask = NDArray[np.bool_]


def skew_of(pixels: GreyImage) -> float:
    """Return the angle in degrees by which the lines of a page rise to the right; 0 where no angle stands out.

    The lines' ink falls into the fewest rows at the right angle: the squares of the rows' ink are largest there.
    """
    small = pixels[: pixels.shape[0] // 2 * 2 : 2, : pixels.shape[1] // 2 * 2 : 2]
    rows, columns = np.nonzero(small < _DARK * np.percentile(small, _PAPER))
    if rows.size < 100:
        return 0.0
    coarse = _steepest(rows, columns, np.arange(-_STEEPEST, _STEEPEST + _COARSE / 2, _COARSE))
    fine = _steepest(rows, columns, np.arange(coarse - _COARSE, coarse + _COARSE + _FINE / 2, _FINE))
    return fine if abs(fine) > _STRAIGHT else 0.0


def _steepest(rows: NDArray[np.intp], columns: NDArray[np.intp], angles: NDArray[np.float64]) -> float:
    best, chosen = -1.0, 0.0
    for angle in sorted(angles, key=abs):  # the flattest of equals
        shifted = np.rint(rows + columns * np.tan(np.radians(angle))).astype(np.intp)
        counts = np.bincount(shifted - shifted.min()).astype(np.float64)
        score = float((np.diff(counts) ** 2).sum())
        if score > best * (1 + 1e-9):
            best, chosen = score, float(angle)
    return chosen


def straightened(pixels: NDArray[np.uint8], skew: float) -> NDArray[np.uint8]:
    """Return `pixels` (uint8[H, W] or uint8[H, W, 3]) turned about its middle by `skew` degrees, edges repeated."""
    if not skew:
        return pixels
    picture = Image.fromarray(pixels)
    paper = int(np.percentile(pixels, _PAPER))
    fill = paper if pixels.ndim == 2 else (paper,) * 3
    return np.asarray(picture.rotate(-skew, Image.Resampling.BICUBIC, fillcolor=fill))


def whitened(pixels: GreyImage) -> GreyImage:
    """Return `pixels` with the paper at 255 whatever its shade, and noise of the paper gone; ink keeps its shades.

    A page whose paper is white already comes back as it is, with the light grounds of its figures.
    """
    if np.count_nonzero(pixels == 255) >= _WHITE_SHARE * pixels.size:
        return pixels
    light = pixels.astype(np.float32) / _paper(pixels)
    ceiling = 1 - min(_MOST_NOISE, _NOISE * _noise_of(light))
    white: GreyImage = np.rint(np.clip(light / ceiling, 0, 1) * 255).astype(np.uint8)
    return white


def _paper(pixels: GreyImage) -> NDArray[np.float32]:
    """Return the paper's grey at every pixel: the middle one of its tile, smoothed; under pictures that of the page."""
    height, width = pixels.shape
    down, across = max(1, height // _TILE), max(1, width // _TILE)
    tiles = pixels[: down * (height // down), : across * (width // across)]
    tiles = tiles.reshape(down, height // down, across, width // across).swapaxes(1, 2).reshape(down, across, -1)
    bright = np.percentile(tiles, _PAPER, axis=2)
    without_ink = np.where(tiles >= _DARK_TILE * bright[..., None], tiles, np.nan)
    light = np.nanmedian(without_ink, axis=2)
    page = float(np.median(light[light >= _DARK_TILE * light.max()]))
    light[light < _DARK_TILE * page] = page
    smooth = ndimage.median_filter(light, size=5, mode="nearest")
    if np.all(smooth == smooth[0, 0]):
        return np.full(pixels.shape, max(1.0, float(smooth[0, 0])), dtype=np.float32)
    large = Image.fromarray(smooth.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.maximum(np.asarray(large, dtype=np.float32), 1.0)


def _noise_of(light: NDArray[np.float32]) -> float:
    """Return the standard deviation of the paper, from the half of its greys that lies above the commonest one."""
    above = light[light > 1.0]
    return float(np.sqrt(np.mean((above - 1.0) ** 2))) if above.size else 0.0


def lone_marks(pixels: GreyImage, words: Sequence[Box], dpi: int) -> list[Box]:
    """Return the boxes in points of specks and page numbers of one digit, which the engine leaves unread: marks that
    are the first or the last on a page, alone at their height.

    Args:
        pixels: uint8[H, W], on white paper.
        words: boxes of the words read from them, in points.
        dpi: of `pixels`.
    """
    scale = dpi / 72.0
    ink = pixels < _INK
    inked = np.flatnonzero(ink.any(axis=1))
    found: list[Box] = []
    for rows in (inked, inked[::-1]):
        for band in list(_bands(rows, _MARK_GAP * scale))[:_MOST_MARKS]:
            top, bottom = int(band.min()), int(band.max()) + 1
            columns = np.flatnonzero(ink[top:bottom].any(axis=0))
            box = Box(columns[0] / scale, top / scale, (columns[-1] + 1) / scale, bottom / scale)
            small = box.height <= _MARK_HEIGHT and box.width <= _MARK_WIDTH
            if not small or any(word.overlap(box) > 0 for word in words):
                break
            found.append(box.expanded(_MARK_EDGE))
    return found


def _bands(rows: NDArray[np.intp], gap: float) -> Iterator[NDArray[np.intp]]:
    """Yield the rows with ink between whites of `gap` rows, in their order."""
    yield from np.split(rows, np.flatnonzero(np.abs(np.diff(rows)) > gap) + 1) if rows.size else ()


def graphics_in(pixels: GreyImage, dpi: int, words: Iterable[Box]) -> PageGraphics:
    """Return the rules of a page as drawings, and its filled areas as images.

    Args:
        pixels: uint8[H, W] of the whole page, straight, white where it is paper.
        dpi: of `pixels`.
        words: boxes of the words read from it, in points.
    """
    scale = 72.0 / dpi
    ink = pixels < _RULE_INK
    upright = (Box(box.top, box.x0, box.bottom, box.x1) for box in _rules_in(ink.T, scale))
    rules = [*_rules_in(ink, scale), *upright]
    pictures = tuple(_pictures_in(pixels, scale, words))
    drawn = (rule for rule in rules if not any(picture.contains(rule, 1) for picture in pictures))
    drawings = tuple(Drawing(rule, _BLACK, True, True) for rule in drawn)
    return PageGraphics(images=pictures, drawings=drawings)


def _rules_in(ink: _Mask, scale: float) -> Iterator[Box]:
    """Yield the horizontal strokes: what is left of the ink, one pixel thicker, where a long stroke fits in."""
    length = round(_LONG / scale)
    thick = ndimage.maximum_filter1d(ink.astype(np.uint8), 3, axis=0)
    opened = ndimage.maximum_filter1d(ndimage.minimum_filter1d(thick, length, axis=1), length, axis=1)
    labels, _ = ndimage.label(opened)
    for rows, columns in _areas_of(labels):
        if (rows.stop - rows.start - 2) * scale <= _THIN:
            yield Box(columns.start * scale, (rows.start + 1) * scale, columns.stop * scale, (rows.stop - 1) * scale)


def _pictures_in(pixels: GreyImage, scale: float, words: Iterable[Box]) -> Iterator[Box]:
    """Yield boxes of connected areas, at one pixel a point, that are mostly not white."""
    factor = max(1, round(1 / scale))
    height, width = pixels.shape[0] // factor * factor, pixels.shape[1] // factor * factor
    blocks = pixels[:height, :width].reshape(height // factor, factor, width // factor, factor)
    shaded: _Mask = blocks.mean(axis=(1, 3)) < _SHADED
    step = scale * factor  # points of a cell
    for word in words:
        rows, columns = (
            slice(int(word.top / step), int(word.bottom / step) + 1),
            slice(int(word.x0 / step), int(word.x1 / step) + 1),
        )
        shaded[rows, columns] = False
    joined = ndimage.binary_closing(shaded, np.ones((round(_TOGETHER / step) + 1,) * 2))
    labels, _ = ndimage.label(joined)
    for number, (rows, columns) in enumerate(_areas_of(labels), start=1):
        inside = labels[rows, columns] == number
        if min(inside.shape) * step >= _SMALLEST and inside.mean() >= _FILLED:
            yield Box(columns.start * step, rows.start * step, columns.stop * step, rows.stop * step)


def _areas_of(labels: NDArray[np.int32]) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of each labelled area, in the order of its number."""
    for place in ndimage.find_objects(labels):
        if place is not None:
            yield place[0], place[1]
