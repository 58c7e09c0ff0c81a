"""Features of a caption and its region once they are chosen, and the confidence that a logistic model has in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp

from figtune.figures.captions import Caption
from figtune.figures.foreground_mask import ForegroundMask
from figtune.figures.matching import SidePrior
from figtune.figures.scoring import Region, RegionFeatures
from figtune.layout.line_roles import Role
from figtune.layout.style import PaperStyle, is_prose
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line

_RIVAL = 1.5  # score by which a rival region of another shape must stay behind to count for nothing
_SAME_SHAPE = 0.9  # overlap from which two regions are the same
_MANY = 3  # lines from which more of them tell no more
_CUT = 0.15, 0.85  # share of a line inside a region between which the region's edge cuts it
_BODY_SIZE = 0.5  # points that prose of body type may differ from it
_SLACK = 1.5  # em that a region may stick out of the body
_OUT = 3.0  # em out of the body from which more tells no more
_HEADER_LETTERS = 6  # that a header has at least; chosen, not fitted
_HEADER_SIZE = 0.8  # of the body's type; chosen, not fitted
_BEYOND = 1.5  # em beyond a region in which ink shows that it goes on
_PITCH = 1.45  # em from line to line of a caption
_SAME_SIZE = 0.6  # points
_ALIGNED = 4.0  # points
_NEAR = 2.5  # em from a caption in which ink should be its own


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """Each in [0, 1]."""

    lead: float
    """Lead of the region over the best one of another shape on the same side."""
    usual_side: float
    """1 where regions of this type lie on that side in this paper."""
    prose: float
    """Lines of prose in body type inside the region."""
    cut: float
    """Lines that the region's edge cuts."""
    outside: float
    """Length by which the region sticks out of the body."""
    beyond: float
    """Share of the edge away from the caption that has ink right beyond it that no region claims."""
    unfinished: float
    """1 where a line set like the caption stands right below it."""
    neglected: float
    """Share of the caption's width with ink above or below it, or of its height beside it, that no region claims."""


def pair_features(
    caption: Caption,
    region: Region,
    proposals: Sequence[Region],
    side_prior: SidePrior,
    lines: Sequence[Line],
    roles: Sequence[Role],
    style: PaperStyle,
    unclaimed: ForegroundMask,
) -> PairFeatures:
    """Return the features of a pair.

    Args:
        caption: of the pair.
        region: of the pair.
        proposals: all regions that were proposed for the caption.
        side_prior: where regions of its type lie in this paper.
        lines: of the page.
        roles: of each line.
        style: with the columns of the page.
        unclaimed: ink of the page that is neither body text nor caption nor in a region.
    """
    box = region.box
    return PairFeatures(
        lead=_margin_over_runner_up(region, proposals),
        usual_side=1.0 if region.side == side_prior.side else 0.0,
        prose=_counted(
            _is_body_prose(line, style) and box.contains(line.box, 2) for line, role in zip(lines, roles, strict=True)
        ),
        cut=_counted(_is_cut(line, box) for line in lines),
        outside=_outside(box, style, lines),
        beyond=_beyond(box, region, style, unclaimed),
        unfinished=_unfinished(caption, region, lines, roles),
        neglected=max(_neglected(caption.box, style, unclaimed), _flanked(caption.box, box, unclaimed)),
    )


def _counted(found: Iterable[bool]) -> float:
    return min(1.0, sum(found) / _MANY)


def _is_body_prose(line: Line, style: PaperStyle) -> bool:
    return (
        line.horizontal
        and abs(line.size - style.size) <= _BODY_SIZE
        and style.is_body_font(line)
        and line.box.width > 0.4 * style.columns[0].width
        and is_prose(line.text)
    )


def _is_cut(line: Line, box: Box) -> bool:
    if not line.text or line.box.area <= 0:
        return False
    return _CUT[0] < line.box.overlap(box) / line.box.area < _CUT[1]


def _outside(box: Box, style: PaperStyle, lines: Sequence[Line]) -> float:
    """Return how far a region sticks out of the body: sideways, or upwards and downwards to text such as a header has.

    In a short paper a float may stand above the highest line of prose; one that holds a header or a title is wrong.
    """
    slack = _SLACK * style.size
    texts = [line.box for line in lines if _may_be_header(line, style) and box.contains(line.box, 2)]
    most = max(
        style.columns[0].x0 - box.x0,
        box.x1 - style.columns[-1].x1,
        *(style.top - box.top for text in texts if text.bottom < style.top - slack),
        *(box.bottom - style.bottom for text in texts if text.top > style.bottom + slack),
    )
    return min(1.0, max(0.0, (most - slack) / (_OUT * style.size)))


def _may_be_header(line: Line, style: PaperStyle) -> bool:
    """Return True for prose, and for several words in about the body's size: labels in figures are smaller."""
    several = " " in line.text and sum(map(str.isalpha, line.text)) >= _HEADER_LETTERS
    return is_prose(line.text) or (several and line.size >= _HEADER_SIZE * style.size)


def _beyond(box: Box, region: Region, style: PaperStyle, unclaimed: ForegroundMask) -> float:
    reach = _BEYOND * style.size
    strips = {
        "above": Box(box.x0, box.top - reach, box.x1, box.top),
        "below": Box(box.x0, box.bottom, box.x1, box.bottom + reach),
        "left": Box(box.x0 - reach, box.top, box.x0, box.bottom),
        "right": Box(box.x1, box.top, box.x1 + reach, box.bottom),
    }
    strip = strips[region.side]
    tight = unclaimed.bounding_box(strip)
    if tight is None:
        return 0.0
    if region.side in ("above", "below"):
        return min(1.0, tight.width / box.width)
    return min(1.0, tight.height / box.height)


def _unfinished(caption: Caption, region: Region, lines: Sequence[Line], roles: Sequence[Role]) -> float:
    own = set(caption.lines)
    last = lines[caption.lines[-1]]
    for number, line in enumerate(lines):
        if (
            number not in own
            and line.text
            and line.horizontal
            and roles[number] is not Role.HEADING
            and 0 < line.baseline - last.baseline <= _PITCH * last.size
            and abs(line.size - last.size) <= _SAME_SIZE
            and _is_below(line.box, caption.box, region.box)
        ):
            return 1.0
    return 0.0


def _is_below(line: Box, caption: Box, region: Box) -> bool:
    """Tell if a line begins where the caption does, or within its width; the first row of a table does not."""
    if abs(line.x0 - caption.x0) <= _ALIGNED:
        return True
    return caption.x0 <= line.x0 < caption.x1 and not region.contains(line, _ALIGNED)


def _neglected(caption: Box, style: PaperStyle, unclaimed: ForegroundMask) -> float:
    reach = _NEAR * style.size
    above = unclaimed.bounding_box(Box(caption.x0, caption.top - reach, caption.x1, caption.top))
    below = unclaimed.bounding_box(Box(caption.x0, caption.bottom, caption.x1, caption.bottom + reach))
    return min(1.0, max((box.width for box in (above, below) if box is not None), default=0.0) / caption.width)


def _flanked(caption: Box, region: Box, unclaimed: ForegroundMask) -> float:
    """Return how much of the caption's height has ink beside it, within the region's width, that no region claims: a
    figure may have the shape of an L around its caption."""
    left = unclaimed.bounding_box(Box(region.x0, caption.top, caption.x0, caption.bottom))
    right = unclaimed.bounding_box(Box(caption.x1, caption.top, region.x1, caption.bottom))
    return min(1.0, max((box.height for box in (left, right) if box is not None), default=0.0) / caption.height)


def _margin_over_runner_up(region: Region, proposals: Sequence[Region]) -> float:
    rivals = [
        other.score for other in proposals if other.side == region.side and other.box.iou(region.box) < _SAME_SHAPE
    ]
    if not rivals:
        return 1.0
    return min(1.0, max(0.0, (region.score - max(rivals)) / _RIVAL))


# Fitted on 560 right pairs of 56 papers of 14 styles, and on 489 wrong ones that faults made of them: right regions
# withheld, blocks of text or headers taken for figures, captions cut or run on. The weight of `certainty` is set by
# hand, since none of the faults invents captions. `outside` was narrowed after the fit, to regions that hold text
# there, and the bias then moved from -9.95: of such pairs made again, 97 % of the right ones are at 0.5 or above, and
# 89 % of the wrong ones below.
_BIAS = -10.25
_CERTAINTY_WEIGHT = 1.5
_NEARNESS_WEIGHT, _ALIGNMENT_WEIGHT, _LIKENESS_WEIGHT, _WHOLENESS_WEIGHT, _SIZE_WEIGHT = 0.65, 4.75, 0.1, 1.6, 0.4
_LEAD_WEIGHT, _USUAL_SIDE_WEIGHT = 2.4, 1.4
_PROSE_WEIGHT, _CUT_WEIGHT, _OUTSIDE_WEIGHT, _BEYOND_WEIGHT = 1.7, 0.5, 3.4, 2.6
_UNFINISHED_WEIGHT, _NEGLECTED_WEIGHT = 5.2, 3.1


def confidence_of(certainty: float, region: RegionFeatures, pair: PairFeatures) -> float:
    """Return the confidence in a pair, in [0, 1].

    Args:
        certainty: that the caption is one.
        region: features of the region.
        pair: features of the pair.
    """
    logit = (
        _BIAS
        + _CERTAINTY_WEIGHT * certainty
        + _NEARNESS_WEIGHT * region.caption_distance
        + _ALIGNMENT_WEIGHT * region.alignment
        + _LIKENESS_WEIGHT * region.type_match
        + _WHOLENESS_WEIGHT * region.boundary_gap
        + _SIZE_WEIGHT * region.size
        + _LEAD_WEIGHT * pair.lead
        + _USUAL_SIDE_WEIGHT * pair.usual_side
        - _PROSE_WEIGHT * pair.prose
        - _CUT_WEIGHT * pair.cut
        - _OUTSIDE_WEIGHT * pair.outside
        - _BEYOND_WEIGHT * pair.beyond
        - _UNFINISHED_WEIGHT * pair.unfinished
        - _NEGLECTED_WEIGHT * pair.neglected
    )
    return round(1.0 / (1.0 + exp(-logit)), 3)
