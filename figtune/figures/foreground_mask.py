"""Foreground mask of a page: its ink at one pixel a point, without body text and captions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from zlib import compress, decompress

import numpy as np
from numpy.typing import NDArray

from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box

DPI = 72.0
"""One pixel a point, so that boxes and array indices are the same numbers."""
CELL = 6
_PAPER_WHITE = 253
"""Greys from here to 255 are paper; light panel backgrounds and soft shadows lie below."""
_PAPER_RANGE = 255 - _PAPER_WHITE
"""Greys by which tinted paper may vary."""
_RIM = 0.9
"""Share of the page's rim that is paper; the least of white papers is 0.97, with a stamp at the edge."""
_WHITE = 2.0
"""Points of white at which a cut need look no further."""
_CROSSING = 4
"""Points of white that a place for a cut may have less in one line than the best place."""

Mask = NDArray[np.bool_]
"""bool[H, W], one pixel a point."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without ink between two stretches with ink, in points along one axis."""

    start: int
    end: int

    @property
    def width(self) -> int:
        """Points."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class CompressedMask:
    """A `ForegroundMask` while it waits: a hundredth of its size."""

    bits: bytes
    """Eight points a byte, compressed."""
    shape: tuple[int, int]


class ForegroundMask:
    """Ink of a page outside its text and the parts that are already assigned.

    Args:
        page: uint8[H, W] at 72 dpi.
        frame: what to keep; everything outside counts as paper.
        explained: boxes to wipe off.
        tint: `tint_of(page)`.
    """

    def __init__(self, page: GreyImage, frame: Box, explained: Iterable[Box], tint: int | None = None) -> None:
        self.mask: Mask = np.zeros(page.shape, dtype=np.bool_)
        rows, columns = self._window(frame)
        if tint is None:
            self.mask[rows, columns] = page[rows, columns] < _PAPER_WHITE
        else:
            self.mask[rows, columns] = np.abs(page[rows, columns].astype(np.int16) - tint) > _PAPER_RANGE
        self.erase(explained)

    def copy(self) -> ForegroundMask:
        """Return a `ForegroundMask` of its own with the same ink."""
        other = type(self).__new__(type(self))
        other.mask = self.mask.copy()
        return other

    def compress(self) -> CompressedMask:
        """Return the same in little memory."""
        bits = compress(np.packbits(self.mask).tobytes(), level=1)
        return CompressedMask(bits, (self.mask.shape[0], self.mask.shape[1]))

    @classmethod
    def decompress(cls, packed: CompressedMask) -> ForegroundMask:
        """Return the mask that `packed` was compressed from."""
        foreground = cls.__new__(cls)
        height, width = packed.shape
        bits = np.frombuffer(decompress(packed.bits), dtype=np.uint8)
        foreground.mask = np.unpackbits(bits, count=height * width).reshape(height, width).astype(np.bool_)
        return foreground

    def erase(self, boxes: Iterable[Box]) -> None:
        """Wipe off everything inside `boxes`."""
        for box in boxes:
            rows, columns = self._window(box)
            self.mask[rows, columns] = False

    def intersect(self, boxes: Iterable[Box]) -> None:
        """Wipe off everything outside `boxes`."""
        kept = np.zeros_like(self.mask)
        for box in boxes:
            rows, columns = self._window(box)
            kept[rows, columns] = self.mask[rows, columns]
        self.mask = kept

    def bounding_box(self, box: Box) -> Box | None:
        """Return the smallest box around the ink inside `box`, or None where there is none."""
        rows, columns = self._window(box)
        window = self.mask[rows, columns]
        filled_rows = np.flatnonzero(window.any(axis=1))
        if not filled_rows.size:
            return None
        filled_columns = np.flatnonzero(window.any(axis=0))
        return Box(
            float(columns.start + filled_columns[0]),
            float(rows.start + filled_rows[0]),
            float(columns.start + filled_columns[-1] + 1),
            float(rows.start + filled_rows[-1] + 1),
        )

    def extend(self, box: Box, reach: float) -> Box:
        """Return `box` widened to the left and right over unbroken columns of ink, by `reach` points at most."""
        rows, columns = self._window(Box(box.x0 - reach, box.top, box.x1 + reach, box.bottom))
        filled: Mask = np.any(self.mask[rows, columns], axis=0)
        first, last = max(0, round(box.x0) - columns.start), min(len(filled), round(box.x1) - columns.start)
        while first > 0 and filled[first - 1]:
            first -= 1
        while last < len(filled) and filled[last]:
            last += 1
        return Box(float(columns.start + first), box.top, float(columns.start + last), box.bottom)

    def area(self, box: Box) -> int:
        """Return the square points of ink inside `box`."""
        rows, columns = self._window(box)
        return int(np.count_nonzero(self.mask[rows, columns]))

    def occupied_cells(self, box: Box) -> int:
        """Return the number of cells of `CELL` x `CELL` points with ink inside `box`: a measure of content in which
        a table weighs as much as a photograph."""
        rows, columns = self._window(box)
        top, x0 = rows.start - rows.start % CELL, columns.start - columns.start % CELL
        window = self.mask[top : rows.stop, x0 : columns.stop]
        height, width = (-(-size // CELL) * CELL for size in window.shape)
        cells = np.zeros((height, width), dtype=np.bool_)
        cells[: window.shape[0], : window.shape[1]] = window
        return int(np.count_nonzero(cells.reshape(height // CELL, CELL, width // CELL, CELL).any(axis=(1, 3))))

    def gaps(self, box: Box, *, vertical: bool, width: float) -> list[Gap]:
        """Return stretches of at least `width` points without ink between ink inside `box`: from top to bottom if
        `vertical`, else from left to right."""
        rows, columns = self._window(box)
        filled = np.flatnonzero(self.mask[rows, columns].any(axis=1 if vertical else 0))
        start = rows.start if vertical else columns.start
        steps = np.flatnonzero(np.diff(filled) > width)
        return [Gap(int(start + filled[step] + 1), int(start + filled[step + 1])) for step in steps]

    def min_gap(self, box: Box, *, vertical: bool) -> float:
        """Return where to cut `box` in two, from top to bottom if `vertical`, else from left to right: in the middle of
        the widest white, or, where something crosses everywhere, of the widest stretch with the longest white lines."""
        rows, columns = self._window(box)
        window = self.mask[rows, columns] if vertical else self.mask[rows, columns].T
        if not window.size:
            return (box.top + box.bottom) / 2 if vertical else (box.x0 + box.x1) / 2
        white = _longest_white(window)
        across = window.shape[1]
        thin = white >= (across if self.gaps(box, vertical=vertical, width=_WHITE) else white.max() - _CROSSING)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], thin, [False]))))
        starts, ends = edges[::2], edges[1::2]
        widest = int(np.argmax(ends - starts))
        return float((rows.start if vertical else columns.start) + (starts[widest] + ends[widest]) / 2)

    def _window(self, box: Box) -> tuple[slice, slice]:
        height, width = self.mask.shape
        top, x0 = min(height, max(0, round(box.top))), min(width, max(0, round(box.x0)))
        bottom, x1 = min(height, max(top, round(box.bottom))), min(width, max(x0, round(box.x1)))
        return slice(top, bottom), slice(x0, x1)


def tint_of(page: GreyImage) -> int | None:
    """Return the grey of the paper where it is not white, that of nearly all of the page's rim; None where it is."""
    rim = np.concatenate((page[0], page[-1], page[:, 0], page[:, -1]))
    counts = np.bincount(rim, minlength=256)
    grey = int(counts.argmax())
    return grey if grey < _PAPER_WHITE and counts[grey] >= _RIM * rim.size else None


def _longest_white(mask: Mask) -> NDArray[np.intp]:
    """Return the length of each row's longest run without ink."""
    places = np.arange(mask.shape[1] + 1)
    walled = np.pad(mask, ((0, 0), (0, 1)), constant_values=True)
    last = np.maximum.accumulate(np.where(walled, places, -1), axis=1)
    before = np.pad(last[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    longest: NDArray[np.intp] = np.where(walled, places - before - 1, 0).max(axis=1)
    return longest
