"""Figures and tables found on pages whose truth is known to the point."""

from __future__ import annotations

from pathlib import Path

import pymupdf

from figtune.layout.line_roles import Role
from figtune.pdf.geometry import Box
from tests.figures.paper_maker import LEFT, RIGHT, WHOLE, PaperMaker, figures_in, findings_in, near
from tests.rows import each_row


def test_figure_in_a_column_above_its_caption(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    truth = sheet.picture(Box(60, 72, 276, 200))
    end = sheet.caption(LEFT, 208, "Figure 1. A picture of four shapes that stands above its caption in one column.")
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert list(found) == ["Figure 1"]
    figure = found["Figure 1"]
    assert near(figure.region, truth)
    assert figure.caption == "Figure 1. A picture of four shapes that stands above its caption in one column."
    assert figure.page_index == 0
    assert figure.confidence > 0.9
    assert figure.reason == ""


def test_figure_across_both_columns(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    truth = sheet.picture(Box(52, 72, 543, 220))
    end = sheet.caption(WHOLE, 226, "Figure 2: Short but centred over nothing.")
    for column in (LEFT, RIGHT):
        sheet.body(column, end + 14)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 2"].region, truth)


def test_tables_whose_captions_stand_above_although_pictures_are_near(tmp_path: Path) -> None:
    """A table right above a figure, between the two captions: nothing but likeness tells them apart."""
    maker = PaperMaker()
    sheet = maker.sheet()
    end = sheet.caption(LEFT, 72, "Table 1. Numbers of the first kind for every item, best in bold.")
    table = sheet.table(Box(60, end + 6, 276, end + 70), 4)
    picture = sheet.picture(Box(60, table.bottom + 16, 276, table.bottom + 130))
    end = sheet.caption(LEFT, picture.bottom + 8, "Figure 1. Shapes that follow right below a table of numbers.")
    sheet.body(LEFT, end + 14)
    end = sheet.caption(RIGHT, 72, "Table 2. Numbers of the second kind for every item of the set.")
    second = sheet.table(Box(320, end + 6, 540, end + 82), 5)
    sheet.body(RIGHT, second.bottom + 16)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Table 1"].region, table)
    assert near(found["Table 2"].region, second)
    assert near(found["Figure 1"].region, picture)


def test_tables_whose_captions_stand_below(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    table = sheet.table(Box(60, 74, 276, 140), 4)
    end = sheet.caption(LEFT, 146, "Table 1. Numbers of the first kind for every item, best in bold.")
    second = sheet.table(Box(60, end + 12, 276, end + 80), 3)
    end = sheet.caption(LEFT, second.bottom + 6, "Table 2. Numbers of the second kind for every item of the set.")
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Table 1"].region, table)
    assert near(found["Table 2"].region, second)


def test_figure_and_table_side_by_side_with_a_caption_each(tmp_path: Path) -> None:
    """The row is not cut at the gutter between the columns."""
    maker = PaperMaker()
    sheet = maker.sheet()
    picture = sheet.picture(Box(50, 72, 340, 200))
    table = sheet.table(Box(370, 90, 545, 190), 4)
    sheet.caption((50, 340), 206, "Figure 1. The wider half of a row that two items share, each with its own words.")
    end = sheet.caption((370, 545), 206, "Table 1. The narrower half of the row, a table of numbers.")
    for column in (LEFT, RIGHT):
        sheet.body(column, end + 18)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Figure 1"].region, picture)
    assert near(found["Table 1"].region, table)


@each_row("table_left", [False, True])
def test_captioned_table_in_the_row_of_a_figure_with_a_caption_across(tmp_path: Path, table_left: bool) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    shift = -270.0 if table_left else 0.0
    table = sheet.table(Box(330 + shift, 80, 530 + shift, 180), 4)
    sheet.caption((330 + shift, 530 + shift), 186, "Table 1. The table in the row, with a caption of its own below it.")
    shift = 230.0 if table_left else 0.0
    picture = sheet.picture(Box(60 + shift, 72, 310 + shift, 206))
    end = sheet.caption(
        WHOLE, 224, "Figure 1. The picture in the row; what is said of it runs " + "on and on " * 12 + "."
    )
    for column in (LEFT, RIGHT):
        sheet.body(column, end + 18)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Table 1"].region, table)
    assert near(found["Figure 1"].region, picture)


def test_one_caption_over_two_half_tables(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    end = sheet.caption(
        WHOLE, 72, "Table 1. Two halves under one caption, the left for one task, the right for another."
    )
    left = sheet.table(Box(60, end + 8, 280, end + 80), 4)
    right = sheet.table(Box(310, end + 8, 540, end + 80), 4)
    for column in (LEFT, RIGHT):
        sheet.body(column, left.bottom + 16)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Table 1"].region, Box.around([left, right]))


def test_teaser_under_the_e_mails_of_the_authors(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.prose(120, 120, "A Title in Large Type for a Paper", size=14.3, font="tibo")
    sheet.prose(200, 150, "Ada Author       Ben Writer", size=12)
    sheet.prose(190, 166, "University of Somewhere Far", size=12)
    sheet.prose(200, 182, "{ada, ben}@somewhere.edu", size=9, font="cour")
    truth = sheet.picture(Box(60, 196, 540, 330))
    end = sheet.caption(
        WHOLE, 336, "Figure 1. A teaser across the page, right under what the authors say of themselves."
    )
    for column in (LEFT, RIGHT):
        sheet.body(column, end + 16)
    found = findings_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found.figures[0].region, truth)
    assert found.pages[0].roles[:4].count(Role.FRONT) == 4


def test_words_of_a_teaser_may_be_larger_than_the_title(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.prose(180, 90, "A Title of the Paper in Large Type", size=14)
    sheet.prose(250, 118, "First Author", size=11)
    truth = Box(60, 150, 535, 250)
    sheet.page.draw_rect(pymupdf.Rect(truth.x0, truth.top, truth.x1, truth.bottom), color=None, fill=(0.9, 0.9, 0.9))
    for x0 in (80, 240, 400):
        sheet.prose(x0, 205, "Memory bank", size=18)
    end = sheet.caption(WHOLE, 258, "Figure 1. Three boxes of one kind on a light background.")
    for column in (LEFT, RIGHT):
        sheet.body(column, end + 20)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, truth)


def test_heading_with_a_wide_blank_behind_its_number_is_no_part_of_a_table(tmp_path: Path) -> None:
    maker = PaperMaker()
    maker.sheet().body(LEFT)
    sheet = maker.sheet()
    sheet.body(LEFT, 72, 200)
    sheet.prose(50, 230, "2", size=14, font="tibo")
    sheet.prose(72, 230, "Geometry", size=14, font="tibo")
    truth = sheet.table(Box(70, 237, 266, 297), 4)
    end = sheet.caption(LEFT, 305, "Table 1. Numbers that follow right on a heading, nothing between the two.")
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Table 1"].region, truth)


def test_footnote_above_a_figure_at_the_foot_of_a_column(tmp_path: Path) -> None:
    """There LaTeX sets footnotes above figures, and a formula keeps their lines from looking like body text."""
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.body(LEFT, 72, 400)
    sheet.page.draw_line((50, 420), (144, 420), width=0.4)
    sheet.prose(60, 430, "1", size=6)
    sheet.prose(63, 433, "As is usual, with weights a", size=8)
    sheet.prose(50, 442, "= b and the rest as before.", size=8)
    truth = sheet.picture(Box(60, 456, 276, 560))
    sheet.caption(LEFT, 568, "Figure 1. A picture of four shapes at the foot of a column.")
    sheet.body(RIGHT)
    findings = findings_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(findings.figures[0].region, truth)
    assert findings.pages[0].roles.count(Role.NOTE) == 2


def test_end_of_a_list_item_under_a_table_is_no_part_of_it(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.body(LEFT)
    end = sheet.caption(RIGHT, 72, "Table 1. Numbers of one kind for every item of the set, best in bold.")
    truth = sheet.table(Box(320, end + 6, 540, end + 70), 4)
    sheet.prose(325, truth.bottom + 20, "are features of images which explain the shape of faces")
    sheet.prose(325, truth.bottom + 34, "and trees.")
    sheet.body(RIGHT, truth.bottom + 60)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Table 1"].region, truth)


def test_text_flows_around_a_figure_whose_caption_stands_below_it(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.body(LEFT)
    sheet.body(RIGHT, 72, 560)
    sheet.body((309, 420), 560, 690)
    truth = sheet.picture(Box(435, 600, 540, 680))
    sheet.caption((430, 545), 692, "Figure 1. A picture at the side.")
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, truth)


def test_what_sticks_out_higher_up_does_not_widen_a_figure(tmp_path: Path) -> None:
    """Two figures side by side, their captions at different heights, below a table that crosses the middle."""
    maker = PaperMaker()
    sheet = maker.sheet()
    end = sheet.caption(WHOLE, 72, "Table 1. Numbers across both columns, with a wide blank on either side of them.")
    table = sheet.table(Box(180, end + 6, 440, end + 80), 5)
    left = sheet.picture(Box(60, table.bottom + 30, 270, table.bottom + 150))
    right = sheet.picture(Box(340, table.bottom + 30, 520, table.bottom + 110))
    ends = (
        sheet.caption(LEFT, left.bottom + 8, "Figure 1. The higher one of two pictures."),
        sheet.caption(RIGHT, right.bottom + 8, "Figure 2. The lower one of two pictures."),
    )
    for column in (LEFT, RIGHT):
        sheet.body(column, max(ends) + 20)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Table 1"].region, table)
    assert near(found["Figure 1"].region, left)
    assert near(found["Figure 2"].region, right)


def test_rotated_page_reads_upright(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.picture(Box(60, 72, 276, 200))
    end = sheet.caption(LEFT, 208, "Figure 1. A picture of four shapes that stands above its caption in one column.")
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT)
    upright = maker.finish(tmp_path / "upright.pdf")
    with pymupdf.open(upright) as source, pymupdf.open() as turned:
        for number, page in enumerate(source):
            lying = turned.new_page(width=page.rect.height, height=page.rect.width)
            lying.show_pdf_page(lying.rect, source, number, rotate=90)
            lying.set_rotation(90)
        turned.save(tmp_path / "turned.pdf")
    expected, found = figures_in(upright)["Figure 1"], figures_in(tmp_path / "turned.pdf")["Figure 1"]
    assert expected.region is not None
    assert near(found.region, expected.region)
    assert found.caption == expected.caption


def test_light_panel_background_and_overhang_belong_to_the_figure(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.page.draw_rect(pymupdf.Rect(44, 72, 300, 210), color=None, fill=(0.96, 0.96, 0.97))
    sheet.picture(Box(80, 90, 250, 190))
    end = sheet.caption(LEFT, 214, "Figure 1. A light background that sticks out of the column on both sides.")
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT, 222)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, Box(44, 72, 300, 210))


def test_sub_captions_are_inside_and_panels_are_told_apart(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    first, second = sheet.picture(Box(60, 72, 150, 150)), sheet.picture(Box(180, 72, 270, 150))
    sheet.prose(85, 162, "(a) Before", size=8, font="helv")
    sheet.prose(208, 162, "(b) After", size=8, font="helv")
    end = sheet.caption(
        LEFT, 170, "Figure 1. Two panels: (a) the state before, and (b) the state after the change. More."
    )
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT)
    figure = figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"]
    assert near(figure.region, Box(60, 72, 270, 164), 2)
    assert [label.text for label in figure.labels] == ["(a) Before", "(b) After"]
    assert [(panel.label, panel.caption) for panel in figure.panels] == [
        ("a", "the state before"),
        ("b", "the state after the change"),
    ]
    assert near(figure.panels[0].box, Box(first.x0, first.top, first.x1, 164), 2)
    assert near(figure.panels[1].box, Box(second.x0, second.top, second.x1, 164), 2)


def test_figure_above_the_text_area_but_not_the_running_head(tmp_path: Path) -> None:
    maker = PaperMaker()
    for number in (1, 2):
        sheet = maker.sheet()
        sheet.prose(250, 30, "Some Conference on Everything", size=8)
        truth = sheet.picture(Box(60, 46, 540, 180))
        end = sheet.caption(
            WHOLE, 186, f"Figure {number}. A picture that begins above the first line of the text area."
        )
        for column in (LEFT, RIGHT):
            sheet.body(column, end + 16)
        sheet.prose(295, 755, f"{number}", size=9)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Figure 1"].region, truth)
    assert near(found["Figure 2"].region, truth)


def test_figures_reach_below_the_text_area_where_their_captions_do(tmp_path: Path) -> None:
    maker = PaperMaker()
    page = maker.sheet()
    whole = page.picture(Box(110, 72, 485, 690))
    page.caption(WHOLE, 698, "Figure 1. A whole page of it.")
    low = maker.sheet()
    small = low.picture(Box(60, 702, 280, 718))
    low.caption(LEFT, 721, "Figure 2. A small one below the body.")
    low.body(LEFT, bottom=690)
    low.body(RIGHT)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Figure 1"].region, Box(whole.x0 - 40, whole.top, whole.x1, whole.bottom), 2)
    assert near(found["Figure 2"].region, small)


def test_algorithm_is_no_figure(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    for height in (74.0, 90.0, 170.0):
        sheet.page.draw_line((50, height), (286, height), width=0.8)
    sheet.prose(52, 85, "Algorithm 1 How to do it", font="tibo")
    for number in range(6):
        sheet.prose(60, 102 + 12 * number, f"{number}: do step {number} until done")
    picture = sheet.picture(Box(60, 190, 276, 300))
    end = sheet.caption(LEFT, 306, "Figure 1. A picture below an algorithm, which is not part of it.")
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert list(found) == ["Figure 1"]
    assert near(found["Figure 1"].region, picture)


def test_halves_without_a_partner_are_reported_with_a_reason(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.body(LEFT, bottom=300)
    end = sheet.caption(
        LEFT, 314, "Figure 1. A caption whose picture is missing from the file, between two paragraphs."
    )
    sheet.body(LEFT, end + 14)
    truth = sheet.picture(Box(320, 72, 535, 200))
    sheet.body(RIGHT, 214)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert found["Figure 1"].region is None
    assert "no region" in found["Figure 1"].reason
    assert near(found["Figure "].region, truth)
    assert "no caption" in found["Figure "].reason
    assert found["Figure "].confidence == found["Figure 1"].confidence == 0


def test_lines_of_captions_are_handed_over_with_the_regions(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    truth = sheet.picture(Box(60, 72, 276, 200))
    end = sheet.caption(LEFT, 208, "Figure 1. A picture of four shapes that stands above its caption in one column.")
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT)
    path = maker.finish(tmp_path / "paper.pdf")
    pages = findings_in(path).pages
    assert len(pages) == 2
    assert len(pages[0].caption_lines) == 2
    assert near(pages[0].regions[0], truth)
    assert pages[1].caption_lines == frozenset()
    assert set(pages[1].roles) == {Role.BODY}


@each_row("size", [(3, 3), (14_000, 100)])
def test_pages_of_strange_size_do_no_harm(tmp_path: Path, size: tuple[float, float]) -> None:
    maker = PaperMaker()
    maker.file.new_page(width=size[0], height=size[1])
    sheet = maker.sheet()
    truth = sheet.picture(Box(60, 72, 276, 200))
    end = sheet.caption(LEFT, 208, "Figure 1. A picture of four shapes that stands above its caption in one column.")
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, truth)
