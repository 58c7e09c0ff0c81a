"""Confidence of a caption and its region, from the agreement of the features."""

from __future__ import annotations

from collections.abc import Sequence

from figtune.figures.captions import Caption
from figtune.figures.matching import SidePrior
from figtune.figures.scoring import Region

_RIVAL = 1.5  # score by which a rival region of another shape must stay behind to count for nothing
_SAME_SHAPE = 0.9  # overlap from which two regions are the same


def confidence_of(caption: Caption, region: Region, proposals: Sequence[Region], side_prior: SidePrior) -> float:
    """In [0, 1]. The weakest signal pulls it down most: a pair is as good as its worst evidence."""
    features = region.features
    factors = (
        caption.certainty,
        0.4 + 0.6 * features.caption_distance,
        0.3 + 0.7 * features.alignment,
        0.3 + 0.7 * features.type_match,
        0.3 + 0.7 * features.boundary_gap,
        0.3 + 0.7 * features.size,
        1.0 if region.side == side_prior.side else 0.5,
        0.6 + 0.4 * _margin_over_runner_up(region, proposals),
    )
    product = 1.0
    for value in factors:
        product *= value
    return round(0.5 * min(factors) + 0.5 * product, 3)


def _margin_over_runner_up(region: Region, proposals: Sequence[Region]) -> float:
    """Return the margin of the region's score over the best one of another shape on the same side."""
    rivals = [
        other.score for other in proposals if other.side == region.side and other.box.iou(region.box) < _SAME_SHAPE
    ]
    if not rivals:
        return 1.0
    return min(1.0, max(0.0, (region.score - max(rivals)) / _RIVAL))
