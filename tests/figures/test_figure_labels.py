"""Words of a figure as a reader goes through them: labels of several lines, axes, panels side by side."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from figtune.figures.figure_labels import FigureLabel, hides_words, put_in_order
from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing
from figtune.pdf.text_cleanup import dehyphenator_for
from tests.rows import each_row

SIZE = 10.0
ADVANCE = 5.0  # points a character
REGION = Box(0, 0, 400, 300)


def label(text: str, x: float, baseline: float, size: float = SIZE) -> FigureLabel:
    """Text whose middle is at x."""
    half = ADVANCE * len(text) * size / SIZE / 2
    return FigureLabel(text, Box(x - half, baseline - 0.75 * size, x + half, baseline + 0.2 * size), size, True)


def texts(pieces: Iterable[FigureLabel]) -> list[str]:
    return [each.text for each in put_in_order(pieces, dehyphenator_for([]))]


def test_centred_lines_are_one_label_and_boxes_beside_are_others() -> None:
    pieces = [
        label("Motion", 50, 100),
        label("Speaker and noise", 200, 100),
        label("condition", 50, 112),
        label("condition", 200, 112),
    ]
    assert texts(pieces) == ["Motion condition", "Speaker and noise condition"]


def test_lines_of_a_legend_stay_apart() -> None:
    pieces = [
        FigureLabel(text, Box(40, top, 40 + ADVANCE * len(text), top + 9.5), SIZE, True)
        for text, top in (("Ours", 10), ("Baseline", 23), ("Random", 36))
    ]
    assert texts(pieces) == ["Ours", "Baseline", "Random"]


def test_single_words_in_lower_case_are_entries_of_a_legend() -> None:
    pieces = [
        FigureLabel(text, Box(40, top, 40 + ADVANCE * len(text), top + 9.5), SIZE, True)
        for text, top in (("plain-20", 10), ("plain-56", 21))
    ]
    assert texts(pieces) == ["plain-20", "plain-56"]


def test_pieces_of_a_word_are_one() -> None:
    pieces = [
        FigureLabel(text, Box(x, 10, x + ADVANCE * len(text), 19.5), SIZE, True)
        for text, x in (("MMB", 40.0), ("enc", 55.2), ("h", 70.2), ("next", 100.0))
    ]
    assert texts(pieces) == ["MMBench", "next"]


def test_an_uneven_axis_down_is_one_label_and_far_numbers_across_are_not() -> None:
    down = [
        FigureLabel(text, Box(30 - ADVANCE * len(text), top, 30, top + 9.5), SIZE, True)
        for text, top in (("20", 10.0), ("10", 90.0), ("5", 150.0))
    ]
    across = [label(str(number), 60 + 100 * place, 250) for place, number in enumerate((65, 70, 80))]
    assert texts([*down, *across]) == ["20 10 5", "65", "70", "80"]
    sparse = [label(f"{number} M", 60 + 100 * place, 250) for place, number in enumerate((10, 30, 100, 300))]
    assert texts(sparse) == ["10 M 30 M 100 M 300 M"]


@each_row("values", [(5, 1, 0), (2, 0, 7), (0, 3, 4), (0, 0, 0), (3, 3, 3), (9, 4, 4)])
def test_far_numbers_with_a_zero_among_them_are_read_one_by_one(values: tuple[int, ...]) -> None:
    across = [label(f"{number}k", 60 + 100 * place, 250) for place, number in enumerate(values)]
    assert texts(across) == [f"{number}k" for number in values]


def test_a_sentence_that_goes_on_is_one_label() -> None:
    pieces = [
        FigureLabel(text, Box(40, top, 40 + ADVANCE * len(text), top + 9.5), SIZE, True)
        for text, top in (("Grasp the cup, and", 10), ("provide the", 22), ("waypoints", 34))
    ]
    assert texts(pieces) == ["Grasp the cup, and provide the waypoints"]


@each_row("shift", [0.0, 250.0])
def test_numbers_of_an_axis_are_one_label(shift: float) -> None:
    across = [label(str(number), 40 + 30 * number + shift, 200) for number in range(5)]
    down = [
        FigureLabel(text, Box(30 + shift - ADVANCE * len(text), top, 30 + shift, top + 9.5), SIZE, True)
        for text, top in ((f"{10 * number}%", 180.0 - 30 * number) for number in range(5))
    ]
    assert texts([*across, *down]) == ["40% 30% 20% 10% 0%", "0 1 2 3 4"]


def test_axes_of_two_plots_side_by_side_are_two() -> None:
    pieces = [label(str(number), 40 + 30 * number, 200) for number in range(4)]
    pieces += [label(str(number), 180 + 30 * number, 200) for number in range(4)]
    assert texts(pieces) == ["0 1 2 3", "0 1 2 3"]


def test_panels_are_read_one_after_the_other() -> None:
    pieces = [
        label(f"{word} {place}", x, y)
        for place, (x, y) in enumerate(((60, 40), (260, 40), (60, 240), (260, 240)))
        for word, y in (("top", y), ("middle", y + 20), ("bottom", y + 40))
    ]
    assert texts(pieces) == [f"{word} {place}" for place in range(4) for word in ("top", "middle", "bottom")]


def test_small_pieces_beside_a_letter_are_its_indices() -> None:
    pieces = [label("P", 100, 100), label("1", 104.4, 96, 6), label("m", 104.4, 103, 6)]
    assert texts(pieces) == ["P^1_m"]


def test_a_tick_above_the_end_of_an_axis_title_is_no_index() -> None:
    title = label("iter. (1e4)", 100, 120)
    ticks = [label(str(number), 67.5 + 20 * number, 111, 5) for number in range(5)]
    assert ticks[3].box.x0 == pytest.approx(title.box.x1, abs=1.5)
    assert texts([title, *ticks]) == ["0 1 2 3 4", "iter. (1e4)"]
    power = [label("10", 100, 100), label("2", 106.5, 96, 6)]
    assert texts(power) == ["10^2"]
    feature = [label("Silhouette feature F", 100, 100), label("S", 151.5, 103, 6)]
    assert texts(feature) == ["Silhouette feature F_S"]


def test_numbers_of_a_list_belong_to_their_items() -> None:
    items = ("Reach for the cup", "Grasp the cup", "Lift it")
    pieces = [
        FigureLabel(item, Box(60, top, 60 + ADVANCE * len(item), top + 9.5), SIZE, True)
        for item, top in zip(items, (10, 23, 36), strict=True)
    ]
    pieces += [
        FigureLabel(f"{place + 1}.", Box(46, top, 54, top + 9.5), SIZE, True) for place, top in enumerate((10, 23, 36))
    ]
    assert texts(pieces) == ["1. Reach for the cup", "2. Grasp the cup", "3. Lift it"]


def test_the_label_of_a_stack_of_boxes_is_read_once() -> None:
    assert texts([label("Residual block", 100 + 3 * place, 100 + 3 * place) for place in range(3)]) == [
        "Residual block"
    ]


def test_what_is_printed_over_in_larger_type_is_read_once() -> None:
    over = [label("Input", 100, 100, 5), label("(a) Input", 96, 101, 10), label("(a)", 80, 100, 5)]
    assert texts(over) == ["(a) Input"]
    assert texts([label("Input", 100, 100, 5), label("Input", 100, 120, 10)]) == ["Input", "Input"]


def test_equal_numbers_where_two_axes_meet_are_two() -> None:
    down = [
        FigureLabel(text, Box(30 - ADVANCE * len(text), top, 30, top + 9.5), SIZE, True)
        for text, top in (("0", 20.0), ("-1", 60.0), ("-2", 100.0), ("-3", 140.0))
    ]
    across = [label(text, x, 157.2) for text, x in (("-3", 34.5), ("-2", 64.5), ("-1", 94.5), ("0", 124.5))]
    assert texts([*down, *across]) == ["0 -1 -2 -3", "-3 -2 -1 0"]


def test_nothing_is_lost_or_made() -> None:
    pieces = [label(f"word{number}", (number * 97) % 380, (number * 61) % 280) for number in range(60)]
    found = " ".join(texts(pieces)).split()
    assert sorted(found) == sorted(piece.text for piece in pieces)


def test_words_hide_in_drawn_pictures_and_in_outlines() -> None:
    picture = Box(10, 10, 200, 200)
    assert hides_words(REGION, [(picture, 0.1)], [])
    assert not hides_words(REGION, [(picture, 0.9), (Box(0, 0, 20, 20), 0.0)], [])
    letters = [Drawing(Box(x, 50, x + 2 + 0.2 * (x % 24), 57), "#000000", True, False) for x in range(20, 180, 4)]
    markers = [Drawing(Box(x, 50, x + 4, 54), "#ff0000", True, False) for x in range(20, 380, 4)]
    assert hides_words(
        REGION, [], [Drawing(Box(x, 9, x + 2 + 0.1 * x, 17), "#000000", True, False) for x in range(1, 40)]
    )
    assert not hides_words(REGION, [], markers)
    assert not hides_words(Box(0, 100, 400, 300), [], letters)
