"""Pages set as venues other than CVPR set them: each test makes the one thing that such pages differ in."""

from __future__ import annotations

from pathlib import Path

import pymupdf
import pytest

from figtune.pdf.geometry import Box
from tests.figures.paper_maker import BOTTOM, LEFT, RIGHT, WHOLE, PaperMaker, Sheet, figures_in, findings_in, near
from tests.rows import each_row

NARROW = (309.0 - 10, 545.0)
"""A right column 13 points from the left one."""


def _figure(sheet: Sheet, name: str, *, column: tuple[float, float] = LEFT, top: float = 80) -> Box:
    """A picture with a caption of two lines at the top of a column, body below it."""
    truth = sheet.picture(Box(column[0] + 20, top, column[1] - 20, top + 120))
    end = sheet.caption(
        column, top + 130, f"{name} A picture of four shapes that stands above its caption in one column."
    )
    sheet.body(column, end + 14)
    return truth


def test_a_header_set_like_the_body_stays_out_of_the_region_below_it(tmp_path: Path) -> None:
    maker = PaperMaker()
    truths: list[Box] = []
    for _ in range(3):
        sheet = maker.sheet()
        sheet.prose(50, 62, "Published as a paper at the conference on probes and lamps")
        truths.append(_figure(sheet, f"Figure {len(truths) + 1}."))
        sheet.body(RIGHT)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    for number, truth in enumerate(truths, start=1):
        assert near(found[f"Figure {number}"].region, truth)


def test_a_header_that_comes_once_at_the_height_of_others_stays_out(tmp_path: Path) -> None:
    maker = PaperMaker()
    for number in range(4):
        sheet = maker.sheet()
        sheet.prose(
            50,
            50,
            "A. Author and B. Author" if number % 2 else f"Part {'IXC'[number // 2]} of the paper on probes",
            size=9,
        )
        truth = _figure(sheet, f"Figure {number + 1}.", top=60)
        sheet.body(RIGHT)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert all(near(found[f"Figure {number}"].region, truth) for number in range(1, 5))


def test_a_table_whose_label_stands_alone_takes_the_centred_title_below(tmp_path: Path) -> None:
    maker = PaperMaker()
    for name in ("I", "II"):
        sheet = maker.sheet()
        label = f"TABLE {name}"
        for text, baseline in ((label, 80), ("ERRORS OF ALL METHODS ON THE EASY SETTING", 90)):
            width = pymupdf.get_text_length(text, "tiro", 8)
            sheet.prose((LEFT[0] + LEFT[1] - width) / 2, baseline, text, size=8)
        truth = sheet.table(Box(100, 100, 236, 160), 3)
        sheet.body(LEFT, 180)
        sheet.body(RIGHT)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert found["Table II"].caption == "TABLE II ERRORS OF ALL METHODS ON THE EASY SETTING"
    assert near(found["Table II"].region, truth, 2)


def test_captions_in_a_type_that_the_body_never_uses_are_found(tmp_path: Path) -> None:
    maker = PaperMaker()
    truths = []
    for name in ("1", "2"):
        sheet = maker.sheet()
        truths.append(sheet.picture(Box(70, 80, 266, 200)))
        sheet.prose(50, 216, f"Fig. {name}. The probe stands under a lamp and moves.", size=8, font="helv")
        sheet.body(LEFT, 240)
        sheet.body(RIGHT)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert [near(found[f"Figure {name}"].region, truth) for name, truth in zip("12", truths, strict=True)] == [
        True,
        True,
    ]


@pytest.mark.slow
def test_body_type_is_that_of_prose_however_much_the_references_hold(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    truth = _figure(sheet, "Figure 1.")
    sheet.body(RIGHT)
    for _ in range(3):
        sheet = maker.sheet()
        sheet.prose(50, 82, "References", size=12, font="tibo")
        for column in (LEFT, RIGHT):
            for line in range(80):
                sheet.prose(
                    column[0],
                    100 + 7.5 * line,
                    "A. Author and B. Author. On the light of lamps in rooms. Probes",
                    size=7,
                    font="tiit",
                )
    style = findings_in(path := maker.finish(tmp_path / "paper.pdf")).style
    assert (style.size, style.font) == (10.0, "Times-Roman")
    assert near(figures_in(path)["Figure 1"].region, truth)


def test_columns_of_odd_and_even_pages_are_learned_apart(tmp_path: Path) -> None:
    maker = PaperMaker()
    truths = []
    for number in range(4):
        shift = 6.0 if number % 2 else 0.0
        column = (WHOLE[0] + shift, WHOLE[1] + shift)
        truths.append(_figure(maker.sheet(), f"Figure {number + 1}:", column=column))
    path = maker.finish(tmp_path / "paper.pdf")
    found = figures_in(path)
    for number, truth in enumerate(truths, start=1):
        assert near(found[f"Figure {number}"].region, truth)
    style = findings_in(path).style
    assert style.on(1).columns[0].x0 - style.on(0).columns[0].x0 == pytest.approx(6, abs=1)


def test_a_caption_does_not_go_on_over_a_narrow_gutter(tmp_path: Path) -> None:
    maker = PaperMaker()
    for number in (1, 2):
        sheet = maker.sheet()
        sheet.picture(Box(70, 80, 266, 200))
        sheet.prose(50, 216, f"Figure {number}: A probe under a lamp that is as long as the col", size=10)
        sheet.body(LEFT, 240)
        for line in range(51):
            sheet.prose(
                NARROW[0],
                79 + 12.5 * line,
                "words of the other column that fill it to its right edge at last",
                size=9.1,
            )
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert found["Figure 2"].caption == "Figure 2: A probe under a lamp that is as long as the col"


def test_a_figure_that_text_flows_around_has_its_region(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.body(WHOLE, 72, 300)
    sheet.body((50, 315), 306, 470)
    truth = sheet.picture(Box(340, 312, 520, 420))
    sheet.caption((330, 545), 430, "Figure 1: A probe under a lamp. The shade moves from left to right.")
    sheet.body(WHOLE, 480, BOTTOM)
    maker.sheet().body(WHOLE)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, truth)


def test_bold_numbers_in_a_table_are_no_headings(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    truth = sheet.table(Box(60, 80, 276, 160), 4)
    sheet.page.add_redact_annot(pymupdf.Rect(64, 118, 90, 132))
    for column, text in ((60, "5.34"), (168, "43.88 / 89.64")):
        sheet.prose(column + 4, 152, text, size=10, font="tibo")
    end = sheet.caption(LEFT, 170, "Table 1. Errors of four methods on the easy setting of all.")
    sheet.body(LEFT, end + 14)
    sheet.body(RIGHT)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Table 1"].region, truth, 3)


def test_a_rule_ends_the_caption_over_a_table(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.prose(60, 80, "Table 1. Errors of four methods on", size=9)
    sheet.page.draw_line((60, 84), (276, 84), width=0.8)
    sheet.prose(60, 93, "Method of all    Error    Time", size=9)
    sheet.page.draw_line((60, 97), (276, 97), width=0.8)
    sheet.prose(60, 106, "Ours    12.5    0.98", size=9)
    sheet.page.draw_line((60, 112), (276, 112), width=0.8)
    sheet.body(LEFT, 130)
    sheet.body(RIGHT)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))["Table 1"]
    assert found.caption == "Table 1. Errors of four methods on"
    assert near(found.region, Box(60, 83, 276, 113), 2)


@each_row("cover", [False, True])
def test_title_and_authors_stay_out_of_the_first_figure(tmp_path: Path, cover: bool) -> None:
    maker = PaperMaker()
    if cover:
        for line, text in enumerate(
            ("THE REPOSITORY OF SOME UNIVERSITY", "This is the accepted version of the article.")
        ):
            maker.sheet().prose(60, 120 + 60 * line, text, size=18, font="helv")
    sheet = maker.sheet()
    sheet.prose(150, 90, "A Paper on Probes and Lamps", size=17, font="tibo")
    sheet.prose(250, 140, "A. Author and B. Author", size=11)
    sheet.prose(255, 155, "Institute of Lamps", size=11, font="tiit")
    sheet.prose(140, 190, "Abstract", size=12, font="tibo")
    sheet.body(LEFT, 200)
    truth = _figure(sheet, "Figure 1.", column=RIGHT, top=190)
    for _ in range(2):
        sheet = maker.sheet()
        sheet.body(LEFT)
        sheet.body(RIGHT)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, truth)


def test_numbers_of_a_review_ruler_are_in_no_caption_and_no_region(tmp_path: Path) -> None:
    maker = PaperMaker()
    for page in range(2):
        sheet = maker.sheet()
        truth = _figure(sheet, f"Figure {page + 1}.")
        sheet.body(RIGHT)
        for number in range(54):
            for x0 in (30, 289):
                sheet.prose(x0, 76 + 12 * number, f"{54 * page + number:03}", size=7, font="helv")
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Figure 2"].region, truth)
    assert not any(character in found["Figure 2"].caption[9:] for character in "0123456789")


def test_numbering_may_begin_anew_and_go_on(tmp_path: Path) -> None:
    maker = PaperMaker()
    truths = [
        _figure(maker.sheet(), label)
        for label in ("Figure 1:", "Figure 2:", "Figure 1: (continued)", "Figure 2:", "Figure A1:")
    ]
    found = [figure for figure in findings_in(maker.finish(tmp_path / "paper.pdf")).figures if figure.caption]
    assert [figure.name for figure in found] == ["1", "2", "1", "2", "A1"]
    assert all(near(figure.region, truth) for figure, truth in zip(found, truths, strict=True))


def test_a_frame_around_each_page_is_no_part_of_a_region(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    truth = _figure(sheet, "Figure 1.")
    sheet.body(RIGHT)
    sheet.page.draw_rect(pymupdf.Rect(36, 40, 560, 750), width=1)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, truth)


def test_the_colour_of_a_page_is_paper(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.page.draw_rect(sheet.page.rect, color=None, fill=(1, 0.97, 0.88))
    truth = _figure(sheet, "Figure 1.")
    sheet.body(RIGHT)
    assert near(figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].region, truth)


def test_text_drawn_twice_is_read_once(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    truth = sheet.picture(Box(70, 80, 266, 200))
    for shift in (0, 0.2):
        for line, text in enumerate(("Figure 1. A probe under a lamp in a", "room without light.")):
            sheet.prose(50 + shift, 216 + 11 * line, text, size=9)
        sheet.prose(50 + shift, 262, "Another line of words that stands below the caption", size=10)
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"]
    assert found.caption == "Figure 1. A probe under a lamp in a room without light."
    assert near(found.region, truth)


@each_row(("labels", "name"), [(("Figure A diagram of the encoder",), "A"), (("Figures 1 and 2 show it.",), "s")])
def test_sentences_are_no_captions(tmp_path: Path, labels: tuple[str, ...], name: str) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    _figure(sheet, "Figure 1.")
    for line, text in enumerate(labels):
        sheet.prose(RIGHT[0], 80 + 12 * line, text)
    sheet.body(RIGHT, 110)
    assert f"Figure {name}" not in figures_in(maker.finish(tmp_path / "paper.pdf"))


def test_panels_with_captions_of_their_own_keep_their_letters(tmp_path: Path) -> None:
    maker = PaperMaker()
    truths = {name: _figure(maker.sheet(), f"Figure {name}:") for name in ("1a", "1b", "2")}
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert all(near(found[f"Figure {name}"].region, truth) for name, truth in truths.items())


def test_labels_of_another_language(tmp_path: Path) -> None:
    maker = PaperMaker()
    truths = [_figure(maker.sheet(), f"Abbildung {number}:") for number in (1, 2)]
    found = figures_in(maker.finish(tmp_path / "paper.pdf"))
    assert near(found["Figure 2"].region, truths[1])
    assert found["Figure 2"].caption.startswith("Abbildung 2: A picture")


def test_a_figure_around_its_caption_is_not_trusted(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.picture(Box(60, 80, 540, 180))
    sheet.picture(Box(320, 190, 540, 250))
    sheet.caption((60, 300), 190, "Figure 1. A picture in the shape of an L that stands around its caption here.")
    sheet.body(LEFT, 290)
    sheet.body(RIGHT, 290)
    assert figures_in(maker.finish(tmp_path / "paper.pdf"))["Figure 1"].confidence < 0.5
