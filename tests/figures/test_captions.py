"""Captions: where they start, how far they go, what they say."""

from __future__ import annotations

from pathlib import Path

import pymupdf
from msgspec.structs import replace

from figtune.figures.captions import Caption, find_captions
from figtune.layout.style import style_of
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from figtune.pdf.text_cleanup import dehyphenator_for
from tests.figures.paper_maker import LEFT, RIGHT, PaperMaker, Sheet


def _captions(maker: PaperMaker, tmp_path: Path) -> dict[str, Caption]:
    with Document(maker.finish(tmp_path / "paper.pdf")) as document:
        texts = [document.text(index) for index in range(document.page_count)]
    found = find_captions(texts, style_of(texts), dehyphenator_for(texts), lambda _: ())
    return {f"{caption.figure_type} {caption.name}": caption for caption in found}


def _lines(sheet: Sheet, x0: float, baseline: float, *lines: str) -> None:
    for number, line in enumerate(lines):
        sheet.prose(x0, baseline + 11 * number, line, size=9)


def test_hyphens_at_line_ends_are_undone_and_compounds_kept(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    _lines(
        sheet,
        50,
        80,
        "Figure 1. The architec-",
        "ture of the self-",
        "attention and its state-of-the-",
        "art results.",
    )
    sheet.body(LEFT, 140)
    sheet.body(RIGHT)
    captions = _captions(maker, tmp_path)
    assert (
        captions["Figure 1"].text
        == "Figure 1. The architecture of the self-attention and its state-of-the-art results."
    )


def test_formulas_do_not_end_a_caption(tmp_path: Path) -> None:
    """Subscripts lower a line's box and come as pieces of their own."""
    maker = PaperMaker()
    sheet = maker.sheet()
    _lines(
        sheet, 50, 80, "Figure 1. The loss L", "is the sum of all x", "over the batch, where both are small numbers."
    )
    for x0, baseline, text in ((132, 82, "total"), (124, 93, "i"), (131, 87, "2")):
        sheet.prose(x0, baseline, text, size=6, font="tiit")
    sheet.prose(155, 80, "of the whole network here", size=9)
    sheet.body(LEFT, 130)
    sheet.body(RIGHT)
    caption = _captions(maker, tmp_path)["Figure 1"]
    assert caption.text.startswith("Figure 1. The loss L")
    assert caption.text.endswith("over the batch, where both are small numbers.")
    assert "of the whole network here" in caption.text


def test_body_right_below_in_larger_type_is_not_caption(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    end = sheet.caption(LEFT, 72, "Table 3: A caption of two lines with body text right below it, not a blank between.")
    sheet.body(LEFT, end + 1)
    sheet.body(RIGHT)
    caption = _captions(maker, tmp_path)["Table 3"]
    assert caption.text == "Table 3: A caption of two lines with body text right below it, not a blank between."
    assert caption.certainty == 1


def test_captions_beside_each_other_are_two(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.caption((50, 160), 72, "Table 1. The first of two in one column, narrow.")
    sheet.caption((176, 286), 72, "Table 2. The second of two in one column, narrow.")
    sheet.body(LEFT, 140)
    sheet.body(RIGHT)
    captions = _captions(maker, tmp_path)
    assert captions["Table 1"].text == "Table 1. The first of two in one column, narrow."
    assert captions["Table 2"].text == "Table 2. The second of two in one column, narrow."


def test_captions_ten_points_apart_are_two_though_their_lines_stand_at_one_height(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    texts = ("Table 1. The higher one of two, of which each", "Table 2. The lower one that begins where the")
    _lines(sheet, 50, 80, texts[0], "has three lines and nearly meets the other", "in the middle.")
    width = pymupdf.get_text_length("has three lines and nearly meets the other", fontname="tiro", fontsize=9)
    _lines(sheet, 50 + width + 10, 91, texts[1], "second line of the first one stands, as", "its words say.")
    sheet.body(LEFT, 140)
    sheet.body(RIGHT, 140)
    captions = _captions(maker, tmp_path)
    assert captions["Table 1"].text == f"{texts[0]} has three lines and nearly meets the other in the middle."
    assert captions["Table 2"].text == f"{texts[1]} second line of the first one stands, as its words say."


def test_a_row_whose_longest_piece_stands_as_high_as_the_row_above_ends(tmp_path: Path) -> None:
    """Row after row is looked for by height; one that comes no further down must not be found again and again."""
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.prose(50, 80, "Figure 1. A first line of the caption, and", size=9)
    sheet.prose(50, 86, "then", size=9)
    sheet.body(LEFT, 140)
    sheet.body(RIGHT)
    with Document(maker.finish(tmp_path / "paper.pdf")) as document:
        texts = [document.text(index) for index in range(document.page_count)]
    first, then, *rest = texts[0].lines
    long = replace(then, text="a piece that is set higher than the line", box=Box(72, 72, 240, 84), baseline=79.5)
    texts[0] = replace(texts[0], lines=(first, then, long, *rest))
    caption = find_captions(texts, style_of(texts), dehyphenator_for(texts), lambda _: ())[0]
    assert len(set(caption.lines)) == len(caption.lines)


def test_sentences_that_begin_with_a_label_are_no_captions(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.caption(LEFT, 72, "Figure 1. The one caption of this page, which is in smaller type than the body.")
    sheet.caption(RIGHT, 72, "Table 1. The other caption of this page, which is in smaller type as well.")
    sheet.body(LEFT, 120, 300)
    sheet.prose(50, 330, "Figure 2 shows what happens when nothing is done here.")
    sheet.prose(50, 342.5, "Table 1 and Figure 1 say the same about what we see.")
    sheet.body(LEFT, 360)
    sheet.body(RIGHT, 120)
    assert list(_captions(maker, tmp_path)) == ["Figure 1", "Table 1"]


def test_other_ways_to_write_a_label(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    for number, label in enumerate(("Fig. 1.", "Fig. A2.", "TABLE III.", "Figure 4.1.", "Tab. 5.")):
        sheet.caption(LEFT, 72 + 60 * number, f"{label} Something that is said about what stands above or below.")
    sheet.body(RIGHT)
    assert set(_captions(maker, tmp_path)) == {"Figure 1", "Figure A2", "Table III", "Figure 4.1", "Table 5"}


def test_an_appendix_that_numbers_anew_keeps_its_captions(tmp_path: Path) -> None:
    maker = PaperMaker()
    for page in ("main part", "appendix"):
        sheet = maker.sheet()
        sheet.caption(LEFT, 72, f"Figure 1. What the {page} shows first, in the smaller type of captions.")
        sheet.body(LEFT, 110)
        sheet.body(RIGHT)
    with Document(maker.finish(tmp_path / "paper.pdf")) as document:
        texts = [document.text(index) for index in range(document.page_count)]
    found = find_captions(texts, style_of(texts), dehyphenator_for(texts), lambda _: ())
    assert [(caption.page_index, caption.name) for caption in found] == [(0, "1"), (1, "1")]


def _centred(sheet: Sheet, middle: float, baseline: float, *lines: str) -> None:
    for number, line in enumerate(lines):
        width = pymupdf.get_text_length(line, fontname="tiro", fontsize=9)
        sheet.prose(middle - width / 2, baseline + 11 * number, line, size=9)


def test_lines_of_a_centred_caption_may_begin_further_left_than_the_first(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    lines = (
        "Figure 1. The first line of a centred caption",
        "extraordinarily short beside the one below it here",
        "and longer than the last.",
    )
    _centred(sheet, 168, 80, *lines)
    sheet.body(LEFT, 140)
    sheet.body(RIGHT)
    assert _captions(maker, tmp_path)["Figure 1"].text == " ".join(lines)


def test_a_wider_row_under_a_short_centred_caption_is_not_of_it(tmp_path: Path) -> None:
    """Its first word would have had room in the line above."""
    maker = PaperMaker()
    sheet = maker.sheet()
    _centred(sheet, 168, 80, "Table 1. A short one.", "Method Accuracy Recall Precision Speed")
    sheet.body(LEFT, 140)
    sheet.body(RIGHT)
    assert _captions(maker, tmp_path)["Table 1"].text == "Table 1. A short one."


def test_a_row_may_begin_with_a_large_symbol_that_hangs_low(tmp_path: Path) -> None:
    """TeX's sums hang from a baseline of their own, near that of the line above, and often have no character."""
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.prose(50, 80, "Figure 1. What is minimised is the sum of all losses, written", size=9)
    sheet.prose(60, 91, "of x, over every example of the batch.", size=9)
    sheet.body(LEFT, 140)
    sheet.body(RIGHT)
    with Document(maker.finish(tmp_path / "paper.pdf")) as document:
        texts = [document.text(index) for index in range(document.page_count)]
    first, rest = texts[0].lines[0], texts[0].lines[1:]
    symbol = replace(first, text="", box=Box(50, 83.5, 59, 89.5), baseline=84.0)
    texts[0] = replace(texts[0], lines=(first, symbol, *rest))
    caption = find_captions(texts, style_of(texts), dehyphenator_for(texts), lambda _: ())[0]
    assert caption.text.endswith("written of x, over every example of the batch.")
    assert caption.lines == (0, 1, 2)


def test_a_row_may_begin_with_a_root_whose_baseline_is_near_the_row_above(tmp_path: Path) -> None:
    """The fonts of TeX draw a root below its baseline."""
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.prose(50, 80, "Table 7. Errors on the large set of images, where the width is", size=9)
    sheet.prose(58, 91, "2 times that of the others.", size=9)
    sheet.body(LEFT, 140)
    sheet.body(RIGHT)
    with Document(maker.finish(tmp_path / "paper.pdf")) as document:
        texts = [document.text(index) for index in range(document.page_count)]
    first, rest = texts[0].lines[0], texts[0].lines[1:]
    root = replace(first, text="√", spans=(replace(first.spans[0], text="√"),), box=Box(50, 77, 58, 86), baseline=84.0)
    texts[0] = replace(texts[0], lines=(first, root, *rest))
    caption = find_captions(texts, style_of(texts), dehyphenator_for(texts), lambda _: ())[0]
    assert caption.text.endswith("the width is √2 times that of the others.")


def test_sentences_do_not_outvote_captions_in_the_type_of_the_body(tmp_path: Path) -> None:
    maker = PaperMaker()
    for number in (1, 2, 3):
        sheet = maker.sheet()
        sheet.prose(50, 80, f"Table {number}: Errors of all methods on the set of probes under a lamp.")
        sheet.table(Box(60, 90, 270, 150), 3)
        sheet.body(LEFT, 200)
        sheet.prose(RIGHT[0], 80, f"Table {number} shows the results on the set of probes")
        for row in range(3):
            sheet.prose(RIGHT[0], 300 + 30 * row, f"Table {number} gives the errors of all the methods")
        sheet.body(RIGHT, 450)
    captions = _captions(maker, tmp_path)
    assert {key: caption.text[:15] for key, caption in captions.items()} == {
        f"Table {number}": f"Table {number}: Errors" for number in (1, 2, 3)
    }
