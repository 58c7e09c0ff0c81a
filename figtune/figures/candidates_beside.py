"""Regions to the left or right of a caption, for papers that set captions beside their figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from figtune.figures.captions import Caption
from figtune.figures.page_context import PageContext
from figtune.figures.scoring import SMALLEST, Region, Side, score_region
from figtune.pdf.geometry import Box

_SPECK = 1.5  # points beside a wall in which ink is still the wall's
_CUT = 6.0  # points of white at which a region may end
_TOUCH = 4.0  # points by which a wall must overlap a room to stand in its way


def regions_beside(caption: Caption, context: PageContext) -> Iterator[Region]:
    """Regions for `caption` on either side of it: all that lies between walls, and parts of it that end at white."""
    middle = _middle(caption.box)
    for side in ("left", "right"):
        room = _search_box(side, caption.box, context)
        box = context.foreground.bounding_box(room) if room else None
        if box is None:
            continue
        gaps = context.foreground.gaps(box, vertical=True, width=_CUT)
        for top in (None, *[gap for gap in gaps if gap.end <= middle][-1:]):
            for bottom in (None, *[gap for gap in gaps if gap.start >= middle][:1]):
                part = Box(box.x0, top.end if top else box.top, box.x1, bottom.start if bottom else box.bottom)
                tight = context.foreground.bounding_box(part)
                cut = min((gap for gap in (top, bottom) if gap), key=lambda gap: gap.width, default=None)
                if tight is not None:
                    yield from score_region(tight, side, cut, caption, context)


def _search_box(side: Side, caption: Box, context: PageContext) -> Box | None:
    """Return the room from the caption to the next wall beside it, and from there to the walls above and below."""
    level = [
        wall for wall in context.obstacles if min(wall.bottom, caption.bottom) - max(wall.top, caption.top) > _TOUCH
    ]
    if side == "left":
        x1 = caption.x0
        x0 = max((wall.x1 + _SPECK for wall in level if wall.x1 <= caption.x0 + 2), default=0.0)
    else:
        x0 = caption.x1
        x1 = min((wall.x0 - _SPECK for wall in level if wall.x0 >= caption.x1 - 2), default=context.text.width)
    if x1 - x0 <= SMALLEST:
        return None
    top, bottom = _height(x0, x1, caption, context.obstacles, context.text.height)
    return Box(x0, top, x1, bottom) if bottom - top > SMALLEST else None


def _height(x0: float, x1: float, caption: Box, obstacles: Sequence[Box], page: float) -> tuple[float, float]:
    blocking = [wall for wall in obstacles if min(wall.x1, x1) - max(wall.x0, x0) > _TOUCH]
    middle = _middle(caption)
    top = max((wall.bottom + _SPECK for wall in blocking if wall.bottom <= middle), default=0.0)
    bottom = min((wall.top - _SPECK for wall in blocking if wall.top >= middle), default=page)
    return top, bottom


def _middle(box: Box) -> float:
    return (box.top + box.bottom) / 2
