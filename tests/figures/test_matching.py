"""The joint choice of a page."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from figtune.figures.captions import Caption
from figtune.figures.matching import SidePrior, assign, estimate_side_prior
from figtune.figures.scoring import Region, RegionFeatures, Side
from figtune.pdf.geometry import Box

_FINE = RegionFeatures(1, 1, 1, 1, 1)


def _region(top: int, height: int, side: Side, score: float) -> Region:
    return Region(Box(0, top, 100, top + height), side, _FINE, 0, score)


def _caption(name: str) -> Caption:
    return Caption(0, "Table", name, "", Box(0, 0, 1, 1), (), 1.0)


@given(
    st.lists(
        st.lists(
            st.builds(_region, st.integers(0, 60), st.integers(5, 40), st.just("above"), st.integers(1, 9)), max_size=4
        ),
        min_size=1,
        max_size=3,
    )
)
def test_best_of_all_choices_without_overlap(proposals: list[list[Region]]) -> None:
    chosen = assign(proposals, 1, [SidePrior("above", 0)] * len(proposals))
    regions = [region for region in chosen if region is not None]
    assert all(
        one.box.overlap(other.box) <= 0.02 * min(one.box.area, other.box.area)
        for number, one in enumerate(regions)
        for other in regions[:number]
    )
    assert sum(region.score for region in regions) == max(
        sum(region.score for region in choice if region is not None)
        for choice in product(*[[None, *options] for options in proposals])
        if all(
            one.box.overlap(other.box) <= 0.02 * min(one.box.area, other.box.area)
            for number, one in enumerate(choice)
            if one is not None
            for other in choice[:number]
            if other is not None
        )
    )


def test_the_usual_side_of_the_paper_decides_between_equals() -> None:
    above, below = _region(0, 20, "above", 3), _region(40, 20, "below", 3.5)
    captions = [_caption("1"), _caption("2"), _caption("3")]
    side_prior = estimate_side_prior([(captions, [above, above, below])], "Table")
    assert side_prior.side == "above"
    assert assign([[above, below]], 1, [SidePrior("above", 0)]) == [below]
    assert assign([[above, below]], 1, [side_prior]) == [above]


def test_figures_stand_above_their_captions_unless_a_paper_insists() -> None:
    assert estimate_side_prior([], "Figure").side == "above"
    assert estimate_side_prior([], "Table").weight == 0
