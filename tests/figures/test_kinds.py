"""The kind of a figure by what is counted inside it."""

from __future__ import annotations

import pytest

from figtune.figures.kinds import KindEvidence, evidence_in, kind_of
from figtune.papers.box import Box
from figtune.papers.page import Drawing, PageGraphics


def test_a_table_is_what_its_caption_calls_one() -> None:
    assert kind_of("Table", KindEvidence(1, 0, 0, 0)) == ("table", 1.0)


def test_pictures_are_measured_by_the_area_that_they_cover_together() -> None:
    region = Box(0, 0, 100, 100)
    twice = PageGraphics(images=(Box(0, 0, 50, 100), Box(0, 0, 50, 100), Box(300, 0, 400, 100)), drawings=())
    assert evidence_in(region, (), twice).pictures == pytest.approx(0.5, abs=0.05)


def test_white_and_outside_shapes_do_not_count() -> None:
    region = Box(0, 0, 100, 100)
    inside = Drawing(Box(10, 10, 20, 20), "#000000", True, True)
    white = Drawing(Box(10, 10, 20, 20), "#ffffff", True, True)
    outside = Drawing(Box(110, 10, 120, 20), "#000000", True, True)
    evidence = evidence_in(region, (), PageGraphics((), (inside, white, outside)))
    assert evidence.shapes == pytest.approx(1 / 40)
