"""The kind of a figure by what is counted inside it and said of it."""

from __future__ import annotations

import numpy as np
import pytest

from figtune.figures.ink import Ink
from figtune.figures.kinds import KindEvidence, evidence_in, kind_of
from figtune.figures.records import FigureKind
from figtune.papers.box import Box
from figtune.papers.page import Drawing, PageGraphics

_REGION = Box(0, 0, 100, 100)


def _ink(*boxes: Box) -> Ink:
    page = np.full((100, 100), 255, dtype=np.uint8)
    for box in boxes:
        page[int(box.top) : int(box.bottom), int(box.x0) : int(box.x1)] = 0
    return Ink(page, _REGION, [])


def _evidence(photographs: float, ticks: float, words: float, shapes: float, *told: FigureKind) -> KindEvidence:
    return KindEvidence(photographs, ticks, words, shapes, frozenset(told))


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        (_evidence(1.0, 0, 0.2, 0), "qualitative"),
        (_evidence(0.0, 1.0, 0.5, 0.5), "plot"),
        (_evidence(0.0, 0.0, 1.0, 1.0), "diagram"),
        (_evidence(0.5, 0.0, 1.0, 1.0), "mixed"),
        (_evidence(0.3, 0.0, 0.0, 0.0, "plot"), "plot"),
    ],
)
def test_kind(evidence: KindEvidence, kind: FigureKind) -> None:
    found, lead = kind_of("Figure", evidence)
    assert found == kind
    assert 0.5 <= lead <= 1


def test_a_table_is_what_its_caption_calls_one() -> None:
    assert kind_of("Table", _evidence(1, 0, 0, 0)) == ("table", 1.0)


def test_pictures_are_measured_by_the_area_that_they_cover_together() -> None:
    twice = PageGraphics(images=(Box(0, 0, 50, 100), Box(0, 0, 50, 100), Box(300, 0, 400, 100)), drawings=())
    dark, white = _ink(_REGION), _ink()
    assert evidence_in(_REGION, "", (), twice, dark).photographs == pytest.approx(0.5, abs=0.05)
    assert evidence_in(_REGION, "", (), twice, white).photographs < 0.25


def test_white_and_outside_shapes_do_not_count() -> None:
    inside = Drawing(Box(10, 10, 20, 20), "#000000", True, True)
    white = Drawing(Box(10, 10, 20, 20), "#ffffff", True, True)
    outside = Drawing(Box(110, 10, 120, 20), "#000000", True, True)
    evidence = evidence_in(_REGION, "", (), PageGraphics((), (inside, white, outside)), _ink())
    assert evidence.shapes == pytest.approx(1 / 40)


def test_the_first_sentence_tells_and_what_is_always_a_plot_tells_alone() -> None:
    nothing = PageGraphics((), ())

    def told(caption: str) -> frozenset[FigureKind]:
        return evidence_in(_REGION, caption, (), nothing, _ink()).told

    assert told("Figure 2. Overview of our method. Examples are generated. The loss falls.") == {"diagram"}
    assert told("Figure 2: Training of it. Eight samples are generated.") == frozenset()
    assert told("Fig. 3: T-SNE visualization of samples. Best seen in color.") == {"plot"}


def test_only_the_beginning_of_the_caption_tells() -> None:
    nothing = PageGraphics((), ())
    assert evidence_in(_REGION, "Overview of it.", (), nothing, _ink()).told == {"diagram"}
    assert evidence_in(_REGION, "It. " + "x" * 200 + " overview", (), nothing, _ink()).told == frozenset()
