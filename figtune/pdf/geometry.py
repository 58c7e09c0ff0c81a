"""Box: a rectangle on a page."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct


class Box(Struct, frozen=True, gc=False):
    """A rectangle in points, origin at the top-left of the upright page: x0 <= x1, top <= bottom."""

    x0: float
    top: float
    x1: float
    bottom: float

    @property
    def width(self) -> float:
        """Horizontal extent in points."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Vertical extent in points."""
        return self.bottom - self.top

    @property
    def area(self) -> float:
        """Square points; 0 for an empty or inverted box."""
        return max(0.0, self.width) * max(0.0, self.height)

    def intersection(self, other: Box) -> Box:
        """Return the intersection; inverted (area 0) if the boxes do not touch."""
        return Box(
            max(self.x0, other.x0), max(self.top, other.top), min(self.x1, other.x1), min(self.bottom, other.bottom)
        )

    def overlap(self, other: Box) -> float:
        """Return the square points that both cover."""
        width = (self.x1 if self.x1 < other.x1 else other.x1) - (self.x0 if self.x0 > other.x0 else other.x0)
        if width <= 0:
            return 0.0
        bottom = self.bottom if self.bottom < other.bottom else other.bottom
        return width * max(0.0, bottom - (self.top if self.top > other.top else other.top))

    def iou(self, other: Box) -> float:
        """Return intersection over union, in [0, 1]."""
        shared = self.overlap(other)
        total = self.area + other.area - shared
        return shared / total if total > 0 else 0.0

    def contains(self, other: Box, tolerance: float = 0.0) -> bool:
        """Return True if `other` lies inside, within `tolerance` points."""
        return (
            self.x0 - tolerance <= other.x0
            and self.top - tolerance <= other.top
            and other.x1 <= self.x1 + tolerance
            and other.bottom <= self.bottom + tolerance
        )

    def expanded(self, points: float) -> Box:
        """Return the box grown by `points` on every side."""
        return Box(self.x0 - points, self.top - points, self.x1 + points, self.bottom + points)

    @staticmethod
    def around(boxes: Iterable[Box]) -> Box:
        """Return the smallest box around all of `boxes`, which must not be empty."""
        every = list(boxes)
        return Box(
            min(box.x0 for box in every),
            min(box.top for box in every),
            max(box.x1 for box in every),
            max(box.bottom for box in every),
        )
