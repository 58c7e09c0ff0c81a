"""Captions to the left or right of their figure, on pages whose truth is known to the point."""

from __future__ import annotations

from pathlib import Path

from figtune.pdf.geometry import Box
from tests.figures.paper_maker import LEFT, RIGHT, WHOLE, PaperMaker, figures_in, near
from tests.rows import each_row

_WORDS = "Figure {}. Four shapes on a blue ground whose caption is set beside them in a narrow block of its own."


@each_row("at", ["top", "middle", "bottom"])
@each_row("caption_left", [False, True])
def test_caption_beside_a_figure_across_the_columns(tmp_path: Path, caption_left: bool, at: str) -> None:
    """The figure reaches into the caption's column, so that a part of it lies above or below the caption."""
    maker = PaperMaker()
    sheet = maker.sheet()
    truth = sheet.picture(Box(215, 80, 545, 230) if caption_left else Box(50, 80, 380, 230))
    column = (50.0, 203.0) if caption_left else (392.0, 545.0)
    sheet.caption(column, {"top": 80, "middle": 130, "bottom": 186}[at], _WORDS.format(1))
    for other in (LEFT, RIGHT):
        sheet.body(other, 250)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, truth)


def test_caption_beside_a_figure_in_one_column(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.body(LEFT, bottom=200)
    truth = sheet.picture(Box(50, 214, 160, 310))
    sheet.caption((172, 286), 230, _WORDS.format(1))
    sheet.body(LEFT, 322)
    sheet.body(RIGHT)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, truth)


def test_figures_one_above_the_other_each_with_its_caption_beside_it(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    pictures = [sheet.picture(Box(50, top, 360, top + 120)) for top in (76, 214)]
    for number, picture in enumerate(pictures):
        sheet.caption((375, 545), picture.top + 20, _WORDS.format(number + 1))
    for column in (LEFT, RIGHT):
        sheet.body(column, 350)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Figure 1"].region, pictures[0])
    assert near(found["Figure 2"].region, pictures[1])


def test_a_caption_beside_leaves_the_figure_below_it_to_the_caption_there(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    beside = sheet.picture(Box(50, 76, 340, 190))
    sheet.caption((355, 545), 100, _WORDS.format(1))
    above = sheet.picture(Box(60, 220, 535, 320))
    end = sheet.caption(WHOLE, 328, "Figure 2. The picture right above these words and no other one on this page.")
    for column in (LEFT, RIGHT):
        sheet.body(column, end + 14)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Figure 2"].region, above)
    assert near(found["Figure 1"].region, beside)


def test_a_caption_without_a_figure_takes_none_from_the_next_column(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    picture = sheet.picture(Box(309, 76, 545, 190))
    end = sheet.caption(RIGHT, 198, _WORDS.format(2))
    sheet.body(RIGHT, end + 14)
    sheet.body(LEFT, bottom=100)
    end = sheet.caption(LEFT, 120, _WORDS.format(1))
    sheet.body(LEFT, end + 14)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Figure 2"].region, picture)
    assert found["Figure 1"].region is None
