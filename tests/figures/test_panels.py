"""Sub-figures: what captions say of them, and where they lie on pages whose truth is known to the point."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from figtune.figures.foreground_mask import ForegroundMask
from figtune.figures.panels import DetectedPanel
from figtune.figures.subcaptions import labels_in, subcaptions
from figtune.pdf.geometry import Box
from tests.figures.paper_maker import LEFT, RIGHT, WHOLE, PaperMaker, Sheet, figures_in, near
from tests.rows import each_row


@each_row(
    ("caption", "parts"),
    [
        ("Figure 1. (a) Input. (b) Output of vs. Nets. More of both.", {"a": "Input", "b": "Output of vs. Nets"}),
        ("Fig. 1: We show (a) the input and (b) the MLP. Best viewed in color.", {"a": "the input", "b": "the MLP"}),
        ("Figure 1. Input (a), its mask (b), and ours (c). Red is new.", {"a": "Input", "b": "its mask", "c": "ours"}),
        ("Figure 1. Steps: a) cut the hair; b) wash it; c) dry.", {"a": "cut the hair", "b": "wash it", "c": "dry"}),
        ("Figure 1. a. Old ways fail. In contrast b. Ours does not.", {"a": "Old ways fail", "b": "Ours does not"}),
        ("Figure 1. (a-b) In. (c) and (d) Out.", {"a": "In", "b": "In", "c": "Out", "d": "Out"}),
        ("Figure 1. (a)-(c): All in. (d): Out.", {"a": "All in", "b": "All in", "c": "All in", "d": "Out"}),
        ("Figure 1. (a) Cars. (b) One of (a). In (b), it is red. More.", {"a": "Cars", "b": "One of (a)"}),
        ("Figure 1. (a) One. It moves. (b) Another. It rests.", {"a": "One. It moves", "b": "Another. It rests"}),
        ("Figure 1. (A) Left. (B) Right.", {"A": "Left", "B": "Right"}),
        ("Figure 1. The map (a) is that of the mask (a).", {}),
        ("Figure 1. Values are percentages in both (a, b).", {}),
        ("Figure 1. Of f(a) and g(b), as for class a. The rest is b. None.", {}),
    ],
)  # fmt: skip
def test_what_a_caption_says_of_its_panels(caption: str, parts: dict[str, str]) -> None:
    assert subcaptions(caption) == parts


def test_labels_that_a_caption_only_refers_to_are_known_without_words() -> None:
    caption = "Figure 1. (a) The scene. (b) It is warped with the table (d) by other functions (c)."
    assert labels_in(caption) == ["a", "b", "c", "d"]
    assert list(subcaptions(caption)) == ["a", "b"]


def _panels(sheet: Sheet, maker: PaperMaker, folder: Path, bottom: float, caption: str) -> dict[str, DetectedPanel]:
    end = sheet.caption(WHOLE, bottom + 10, caption)
    for column in (LEFT, RIGHT):
        sheet.body(column, end + 14)
    figure = figures_in(maker.finish(folder / "paper.pdf"))["Figure 1"]
    return {panel.label: panel for panel in figure.panels}


@each_row("bracketed", [True, False])
def test_rows_of_panels_right_under_the_labels_of_the_row_above(tmp_path: Path, bracketed: bool) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    boxes = {}
    for number, label in enumerate("abcd"):
        x0, top = 80 + 220 * (number % 2), 72 + 92 * (number // 2)
        picture = sheet.picture(Box(x0, top, x0 + 190, top + 78))
        boxes[label] = Box(picture.x0, picture.top, picture.x1, picture.bottom + 10)
        sheet.prose(x0 + 80, picture.bottom + 9, f"({label}) One" if bracketed else f"{label}. One", size=8)
    caption = "Figure 1. (a) The first. (b) The second. (c) The third. (d) The last."
    panels = _panels(sheet, maker, tmp_path, 254, caption)
    assert [panel.caption for panel in panels.values()] == ["The first", "The second", "The third", "The last"]
    assert all(near(panels[label].box, box, 3) for label, box in boxes.items())


def test_labels_over_and_in_front_of_their_panels(tmp_path: Path) -> None:
    for beside in (False, True):
        maker = PaperMaker()
        sheet = maker.sheet()
        boxes = []
        for label, top in zip("ab", (86, 190), strict=True):
            boxes.append(sheet.picture(Box(110, top, 480, top + 70)))
            sheet.prose(90 if beside else 260, top + 38 if beside else top - 5, f"({label})", size=8)
        panels = _panels(sheet, maker, tmp_path, 260, "Figure 1. Two of them. (a) Upper. (b) Lower.")
        for panel, box in zip(panels.values(), boxes, strict=True):
            truth = Box(90, box.top, box.x1, box.bottom) if beside else Box(box.x0, box.top - 11, box.x1, box.bottom)
            assert near(panel.box, truth, 3)


def test_a_strip_across_does_not_move_the_cut_between_panels(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.picture(Box(80, 72, 520, 80))
    sheet.picture(Box(80, 84, 330, 200))
    sheet.picture(Box(350, 84, 520, 200))
    sheet.prose(180, 212, "(a) Wide one", size=8)
    sheet.prose(420, 212, "(b) Narrow", size=8)
    panels = _panels(sheet, maker, tmp_path, 214, "Figure 1. Both share a legend.")
    assert [panel.caption for panel in panels.values()] == ["Wide one", "Narrow"]
    assert near(panels["a"].box, Box(80, 72, 340, 214), 3)
    assert near(panels["b"].box, Box(340, 72, 520, 214), 3)


def test_a_sub_caption_goes_on_in_the_next_line(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    for x0, label, words in ((80, "(a)", ("Before the", "change")), (320, "(b)", ("After the", "long change"))):
        sheet.picture(Box(x0, 72, x0 + 190, 160))
        sheet.prose(x0 + 60, 170, f"{label} {words[0]}", size=8)
        sheet.prose(x0 + 70, 179, words[1], size=8)
    panels = _panels(sheet, maker, tmp_path, 182, "Figure 1. What is done.")
    assert [panel.caption for panel in panels.values()] == ["Before the change", "After the long change"]
    assert near(panels["a"].box, Box(80, 72, 270, 181), 3)


def test_a_panel_as_high_as_two_of_its_neighbours(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    boxes = {"a": Box(80, 72, 330, 140), "b": Box(80, 158, 330, 230), "c": Box(340, 72, 540, 230)}
    for label, box in boxes.items():
        sheet.picture(box)
        sheet.prose((box.x0 + box.x1) / 2 - 10, box.bottom + 10, f"({label}) It", size=8)
    panels = _panels(sheet, maker, tmp_path, 242, "Figure 1. All of them.")
    assert list(panels) == ["a", "b", "c"]
    for label, box in boxes.items():
        assert near(panels[label].box, Box(box.x0, box.top, box.x1, box.bottom + 12), 3)


@each_row("labelled", [True, False])
def test_a_rule_between_panels_belongs_to_neither_and_tells_them_apart(tmp_path: Path, labelled: bool) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    boxes = [sheet.picture(Box(80, 72, 280, 190)), sheet.picture(Box(330, 80, 520, 190))]
    sheet.page.draw_line((322, 70), (322, 202), width=1)
    if labelled:
        for label, x0 in (("a", 170), ("b", 420)):
            sheet.prose(x0, 200, f"({label})", size=8)
    panels = _panels(sheet, maker, tmp_path, 204, "Figure 1. Side by side. (a) Left. (b) Right.")
    for panel, box in zip(panels.values(), boxes, strict=True):
        assert near(panel.box, Box(box.x0, box.top, box.x1, box.bottom + 12 * labelled), 3)


def test_rules_count_only_if_there_is_one_between_any_two_panels(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.picture(Box(80, 72, 280, 190))
    sheet.picture(Box(330, 80, 520, 190))
    sheet.page.draw_line((305, 70), (305, 192), width=1)
    panels = _panels(sheet, maker, tmp_path, 194, "Figure 1. Side by side. (a) Left. (b) Middle. (c) Right.")
    assert [panel.box for panel in panels.values()] == [None, None, None]


@each_row(("words", "captions"), [(("Before", "After"), ["Before", "After"]), (("", ""), ["Both", "Both"])])
def test_what_is_printed_at_a_panel_says_more_than_words_for_several(
    tmp_path: Path, words: tuple[str, str], captions: list[str]
) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    for x0, label, word in ((80, "(a)", words[0]), (320, "(b)", words[1])):
        sheet.picture(Box(x0, 72, x0 + 190, 160))
        sheet.prose(x0 + 60, 170, f"{label} {word}", size=8)
    panels = _panels(sheet, maker, tmp_path, 174, "Figure 1. What is done. (a-b) Both.")
    assert [panel.caption for panel in panels.values()] == captions


def test_a_label_not_in_the_text_layer_has_words_but_no_box(tmp_path: Path) -> None:
    maker = PaperMaker()
    sheet = maker.sheet()
    sheet.picture(Box(80, 72, 520, 200))
    panels = _panels(sheet, maker, tmp_path, 200, "Figure 1. Side by side. (a) Left. (b) Right.")
    assert [(panel.caption, panel.box) for panel in panels.values()] == [("Left", None), ("Right", None)]


def test_a_cut_goes_through_white_or_else_through_the_longest_white() -> None:
    page = np.full((100, 100), 255, dtype=np.uint8)
    page[:, :30] = page[:, 40:] = 0
    foreground = ForegroundMask(page, Box(0, 0, 100, 100), [])
    assert foreground.min_gap(Box(0, 0, 100, 100), vertical=False) == 35
    page[50, :] = 0
    assert ForegroundMask(page, Box(0, 0, 100, 100), []).min_gap(Box(0, 0, 100, 100), vertical=False) == 35
    assert foreground.min_gap(Box(10, 10, 20, 10), vertical=False) == 15


def test_a_legend_across_the_gutter_does_not_move_the_cut_into_a_plot() -> None:
    page = np.full((100, 100), 255, dtype=np.uint8)
    page[:10, 30:70] = 0
    for frame_or_curve in (15, 50, 95):
        page[frame_or_curve, :40] = page[frame_or_curve, 60:] = 0
    foreground = ForegroundMask(page, Box(0, 0, 100, 100), [])
    assert foreground.min_gap(Box(0, 0, 100, 100), vertical=False) == 50
    assert ForegroundMask(page.T, Box(0, 0, 100, 100), []).min_gap(Box(0, 0, 100, 100), vertical=True) == 50
