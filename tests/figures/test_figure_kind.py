"""The kind of a figure by what is counted inside it and said of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from figtune.extraction.records import FigureKind
from figtune.figures.figure_kind import KindFeatures, kind_features, kind_of
from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing, PageGraphics
from tests.figures.paper_maker import LEFT, RIGHT, WHOLE, PaperMaker, figures_in, findings_in
from tests.figures.pixels import diagram_image, photograph, plot_image
from tests.rows import each_row

SAMPLES = Path(__file__).parent.parent.parent / "samples"
_REGION = Box(0, 0, 100, 100)
_NOTHING = PageGraphics((), ())


@dataclass(frozen=True)
class _TrueFigure:
    figure_type: str
    name: str
    kind: str


@dataclass(frozen=True)
class _Truth:
    figures: tuple[_TrueFigure, ...]


def _evidence(photographs: float, scales: float, words: float, shapes: float, *told: FigureKind) -> KindFeatures:
    return KindFeatures(photographs, scales, words, shapes, dict.fromkeys(told, 0.45))


def _told(caption: str) -> dict[FigureKind, float]:
    return dict(kind_features(_REGION, caption, (), _NOTHING, ()).caption_votes)


@each_row(
    ("features", "kind"),
    [
        (_evidence(1.0, 0, 0.2, 0), "qualitative"),
        (_evidence(0.0, 1.0, 0.5, 0.5), "plot"),
        (_evidence(0.0, 0.0, 1.0, 1.0), "diagram"),
        (_evidence(0.5, 0.0, 1.0, 1.0), "mixed"),
        (_evidence(0.5, 1.0, 0.3, 0.3), "mixed"),
        (_evidence(0.3, 0.0, 0.0, 0.0, "plot"), "plot"),
        (_evidence(0.0, 0.0, 0.0, 0.0), "diagram"),
    ],
)
def test_kind(features: KindFeatures, kind: FigureKind) -> None:
    found, lead = kind_of("Figure", features)
    assert found == kind
    assert 0.5 <= lead <= 1


def test_a_table_is_what_its_caption_calls_one() -> None:
    assert kind_of("Table", _evidence(1, 0, 0, 0)) == ("table", 1.0)


@each_row(
    ("image", "caption", "kind"),
    [
        (photograph(seed=1), "Figure 1. What is seen.", "qualitative"),
        (plot_image(seed=2), "Figure 1. Accuracy of it.", "plot"),
        (diagram_image(), "Figure 1. Overview of it.", "diagram"),
        (plot_image(seed=3), "Figure 1. Before and after: the t-SNE plots show examples.", "plot"),
    ],
)
def test_what_is_saved_as_pixels_is_not_all_photographs(
    tmp_path: Path, image: Image.Image, caption: str, kind: FigureKind
) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.image(Box(80, 72, 520, 300), image)
    end = sheet.caption(WHOLE, 310, caption)
    for column in (LEFT, RIGHT):
        sheet.body(column, end + 14)
    assert figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].kind == kind


@each_row("file", sorted(SAMPLES.glob("*.pdf")))
def test_kinds_in_the_sample_papers_are_what_their_makers_say(file: Path) -> None:
    truth = msgspec.json.decode(file.with_suffix(".truth.json").read_bytes(), type=_Truth)
    found = {(figure.figure_type, figure.name): figure.kind for figure in findings_in(file).figures}
    assert found == {(figure.figure_type, figure.name): figure.kind for figure in truth.figures}


def test_images_count_by_the_area_that_they_cover_together_and_by_their_tones() -> None:
    images = (Box(0, 0, 50, 100), Box(0, 0, 50, 100), Box(50, 0, 100, 50), Box(300, 0, 400, 100))
    features = kind_features(_REGION, "", (), PageGraphics(images, ()), (0.5, 1.0, 0.4, 1.0))
    assert features.photographs == pytest.approx(0.5 * 1.0 + 0.25 * 0.4, abs=0.03)


def test_white_and_outside_shapes_do_not_count() -> None:
    inside = Drawing(Box(10, 10, 20, 20), "#000000", True, True)
    white = Drawing(Box(10, 10, 20, 20), "#ffffff", True, True)
    outside = Drawing(Box(110, 10, 120, 20), "#000000", True, True)
    features = kind_features(_REGION, "", (), PageGraphics((), (inside, white, outside)), ())
    assert features.shapes == pytest.approx(1 / 40)


def test_numbers_along_an_axis_are_scales_but_not_those_of_layers() -> None:
    labels = ("0.0 0.5 1.0", "10 M 30 M", "−10", "512", "512", "80%", "32 × 32 × 3", "Conv 3", "")
    features = kind_features(_REGION, "", labels, _NOTHING, ())
    assert features.scales == pytest.approx(3 / 8)
    assert features.words == pytest.approx(2 / 10)


def test_grid_lines_are_scales() -> None:
    long = [Drawing(Box(10, 10.0 * row, 90, 10.0 * row + 0.5), "#808080", False, False) for row in range(1, 6)]
    short = [Drawing(Box(10, 10.0 * row, 20, 10.0 * row + 0.5), "#808080", False, False) for row in range(1, 6)]
    features = kind_features(_REGION, "", (), PageGraphics((), (*long, *short)), ())
    assert features.scales == pytest.approx(5 / 20)


def test_the_first_sentence_tells_and_what_is_always_a_plot_tells_alone() -> None:
    assert set(_told("Figure 2. Overview of our method. Examples are generated. The loss falls.")) == {"diagram"}
    assert _told("Figure 2: Training of it. Eight samples are generated.") == {}
    certain = _told("Fig. 3: Samples. A T-SNE visualization of them.")
    assert set(certain) == {"plot"}
    assert certain["plot"] > _told("Fig. 3: Accuracy of it.")["plot"]


@each_row(
    ("caption", "kind"),
    [
        ("Fig. 3: Schematic of the effect of rolling.", "diagram"),
        ("Fig. 3: Distribution of the generated samples.", "plot"),
        ("Fig. 3: Visualization of the effects of noise.", "qualitative"),
    ],
)
def test_of_several_words_the_first_says_what_the_figure_is(caption: str, kind: FigureKind) -> None:
    assert set(_told(caption)) == {kind}


def test_pixels_alone_are_sure_only_with_the_caption() -> None:
    """A diagram with photographs in it may be one image."""
    pixels = _evidence(1.0, 0, 0.1, 0)
    assert kind_of("Figure", pixels)[1] < 0.9
    assert kind_of("Figure", replace(pixels, caption_votes={"plot": 0.45}))[1] < 0.9
    assert kind_of("Figure", replace(pixels, caption_votes={"qualitative": 0.45})) == ("qualitative", 1.0)
    assert kind_of("Figure", replace(pixels, words=0.5)) == ("qualitative", 1.0)


def test_only_the_beginning_of_the_caption_tells() -> None:
    assert set(_told("Overview of it.")) == {"diagram"}
    assert _told("It. " + "x" * 200 + " overview, t-SNE") == {}
