"""The words printed in a figure, as a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from figtune.dataset.figure_words import panels_apart, printed_lines, printed_words
from figtune.extraction.records import BoxTuple, FigureRecord, Panel, TableGrid
from tests.dataset.content_maker import PLAIN_FIGURE
from tests.rows import each_row


def test_lines_stay_lines_in_their_order() -> None:
    assert printed_lines(["Input  image", "", "Encoder 3×3", "Output"], 50) == (
        ("Input image", "Encoder 3×3", "Output"),
        "",
    )


def test_marks_of_plots_and_quotes_are_readable() -> None:
    text = "Top-1 Acc. (%)\n10^2 10^3 10^4\nMoXI(-)\nIt's \"a cat\"!\n…\nUsers' choice"
    assert printed_lines(text.splitlines(), 50) == (
        ("Top-1 Acc. (%)", "10^2 10^3 10^4", "MoXI(-)", 'It\'s "a cat"!', "Users' choice"),
        "",
    )


@each_row(
    ("text", "rule"),
    [
        ("", "no_words_in_figure"),
        ("(a)\nInput", "no_words_in_figure"),
        ("one two\n" * 30, "too_many_words_in_figure"),
        (" ".join(["word"] * 40), "too_many_words_in_figure"),
        ("\ue001\ue002\ue003 loss \ue004\ue005 of x", "unreadable_words_in_figure"),
        ("Encoder of images\nf#!$\nDecoder", "unreadable_words_in_figure"),
        ('Encoder of images\n!"#$"%: !!\nDecoder', "unreadable_words_in_figure"),
        ("Encoder of images\nE\nU\nP\nx", "unreadable_words_in_figure"),
        ("the loss \ufffd of it", "unreadable_words_in_figure"),
        ("Ques%on of it\nEncoder", "unreadable_words_in_figure"),
        ("Mul1ple filters of it\nEncoder", "unreadable_words_in_figure"),
        ("The voltage inside\n(mV)\nTime outside\n(mV)", "unreadable_words_in_figure"),
        ("The mean of it\nH_1\nH_2\nH^2", "unreadable_words_in_figure"),
        ("Error of it\n0 1 2 3\n11 x 10", "unreadable_words_in_figure"),
        ("Number of Species\n∆+", "unreadable_words_in_figure"),
        ("T ransformer of it\nEncoder", "unreadable_words_in_figure"),
        ("Chromosome of it\n9 10 171819 X", "unreadable_words_in_figure"),
        ("Accuracy of it\n0.920.96", "unreadable_words_in_figure"),
        ("adaptivefeatureaggregation of it\nEncoder", "unreadable_words_in_figure"),
    ],
)
def test_what_cannot_be_read_is_left_out(text: str, rule: str) -> None:
    assert printed_lines(text.splitlines(), 50) == ((), rule)


@each_row("formula", ["H_1", "(N× )", "q", "Loss L_seg", "x^2"])
def test_a_figure_with_formulas_is_not_read(formula: str) -> None:
    labels = [
        "Image encoder",
        "Loss of masks",
        "Text encoder",
        "3 4 5",
        "Output text",
        "Conv5_3",
        "Mask",
        "Head",
        "(a)",
    ]
    assert printed_lines(labels, 50) == (tuple(labels), "")
    assert printed_lines([*labels, formula], 50) == ((), "unreadable_words_in_figure")


def test_numbers_that_belong_to_no_axis_are_not_read() -> None:
    labels = ["Speedup of layers", "Ours", "0 10000 120000"]
    assert printed_lines(labels, 50) == (tuple(labels), "")
    assert printed_lines([*labels, "1.2"], 50) == ((), "unreadable_words_in_figure")


def figure_of(places: Sequence[tuple[str, BoxTuple]]) -> FigureRecord:
    return replace(
        PLAIN_FIGURE,
        figure_text="\n".join(text for text, _ in places),
        text_boxes=tuple(box for _, box in places),
        shows_words=True,
    )


def test_labels_that_lie_over_each_other_are_not_read() -> None:
    names = (("Image encoder of words", (0.0, 0.0, 90.0, 8.0)), ("Text decoder", (10.0, 30.0, 60.0, 38.0)))
    assert [(each.labels, each.reject_rule) for each in printed_words(figure_of(names))] == [
        (("Image encoder of words", "Text decoder"), "")
    ]
    covered = figure_of((names[0], (names[1][0], (10.0, 4.0, 60.0, 12.0))))
    assert [each.reject_rule for each in printed_words(covered)] == ["unreadable_words_in_figure"]


def test_words_that_could_be_read_in_another_order_are_not_read() -> None:
    grid = [
        (text, (x, y, x + 30.0, y + 8.0))
        for text, x, y in (("Slice", 0, 0), ("Pool", 60, 0), ("Roll", 0, 30), ("Stack", 60, 30))
    ]
    assert [each.reject_rule for each in printed_words(figure_of(grid))] == ["unsure_order_of_words"]


def test_an_axis_without_its_minus_signs_is_not_read() -> None:
    upright = ("0.3 0.2 0.1 0", (0.0, 0.0, 9.0, 70.0))
    across, name = ("0 1 2 3", (10.0, 72.0, 90.0, 80.0)), ("Loss of words", (20.0, 84.0, 80.0, 92.0))
    assert [each.reject_rule for each in printed_words(figure_of([upright, across, name]))] == [""]
    torn = figure_of([upright, ("0.1 0.2 0.3", (0.0, 82.0, 9.0, 130.0)), name])
    assert [each.reject_rule for each in printed_words(torn)] == ["unreadable_words_in_figure"]
    alone = figure_of([upright, ("Loss of words", (20.0, 72.0, 80.0, 80.0))])
    assert [each.reject_rule for each in printed_words(alone)] == ["unsure_order_of_words"]


def test_a_figure_that_may_hold_other_words_is_not_read() -> None:
    words = printed_words(replace(PLAIN_FIGURE, shows_words=False))
    assert [(each.labels, each.reject_rule) for each in words] == [((), "hidden_words_in_figure")]


def test_a_table_is_read_row_by_row_where_bars_part_its_cells_only() -> None:
    grid = TableGrid(header=(("", "Loss"),), columns=("", "Loss"), rows=(("Base", "2.5"), ("Ours", "")))
    table = replace(PLAIN_FIGURE, figure_type="Table", kind="table", grid=grid)
    assert [each.labels for each in printed_words(table)] == [("| Loss", "Base | 2.5", "Ours |")]
    for unsure in (None, replace(grid, rows=(("Base", "2.5 | 3"),))):
        assert [each.reject_rule for each in printed_words(replace(table, grid=unsure))] == ["unsure_table"]
    long = replace(grid, rows=(("Base", "2.5"),) * 61)
    assert [each.reject_rule for each in printed_words(replace(table, grid=long))] == ["too_many_words_in_figure"]


def test_many_words_are_read_panel_by_panel() -> None:
    left, right = (0.0, 0.0, 100.0, 100.0), (100.0, 0.0, 200.0, 100.0)
    names = ["Image encoder of words", "Text decoder of words"] * 6
    figure = replace(
        PLAIN_FIGURE,
        shows_words=True,
        figure_text="\n".join(names),
        text_boxes=tuple(
            (100.0 * (place % 2) + 10, 8.0 * place, 100.0 * (place % 2) + 90, 8.0 * place + 6) for place in range(12)
        ),
        panels=(Panel(label="a", box=left, caption=""), Panel(label="b", box=right, caption="")),
    )
    words = printed_words(figure)
    assert [each.panel.label if each.panel else "" for each in words] == ["a", "b"]
    assert [each.labels for each in words] == [("Image encoder of words",) * 6, ("Text decoder of words",) * 6]
    cut = replace(figure, text_boxes=((60.0, 0.0, 140.0, 6.0), *figure.text_boxes[1:]))
    assert [each.reject_rule for each in printed_words(cut)] == ["words_cut_in_panel"] * 2
    shown = replace(figure, text_boxes=((40.0, 0.0, 104.0, 6.0), *figure.text_boxes[1:]))
    assert [each.reject_rule for each in printed_words(shown)] == ["", "words_cut_in_panel"]
    few = replace(figure, figure_text="\n".join(names[:4]), text_boxes=figure.text_boxes[:4])
    assert [each.panel for each in printed_words(few)] == [None]


def test_panels_are_shown_apart_where_a_crop_holds_all_their_words() -> None:
    left, right = (0.0, 0.0, 100.0, 100.0), (110.0, 0.0, 200.0, 100.0)
    panels = (Panel(label="a", box=left, caption=""), Panel(label="b", box=right, caption=""))

    def apart(*places: tuple[str, BoxTuple]) -> set[str]:
        return set(panels_apart(replace(figure_of(places), panels=panels)))

    sub_captions = (("(a) In", (40.0, 90.0, 60.0, 98.0)), ("(b) Out", (150.0, 90.0, 170.0, 98.0)))
    rows = (("Base", (2.0, 10.0, 20.0, 18.0)), ("Ours", (2.0, 70.0, 20.0, 78.0)))
    assert apart(*sub_captions, rows[0]) == {"a", "b"}
    assert apart(*((text, (x0, 70.0, x1, 78.0)) for text, (x0, _, x1, _) in sub_captions)) == set()
    assert apart(*sub_captions, *rows) == {"a"}
    assert apart(*sub_captions, *rows, ("Epoch", (150.0, 40.0, 180.0, 48.0))) == {"a", "b"}
    assert apart(*sub_captions, ("Legend", (80.0, 2.0, 150.0, 10.0))) == set()
    assert apart(*sub_captions, ("mirror", (70.0, 40.0, 104.0, 48.0))) == {"a", "b"}
    assert apart(*sub_captions, ("mirrors", (90.0, 40.0, 118.0, 48.0))) == set()
