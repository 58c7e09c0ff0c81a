"""Lines of a text layer put in reading order, and what of them is no body text."""

from __future__ import annotations

from dataclasses import replace as replaced

from msgspec.structs import replace

from figtune.layout.line_roles import Role
from figtune.layout.running_lines import RunningLines
from figtune.layout.style import Column, PaperStyle
from figtune.layout.text_rows import UnclaimedLines, body_rows, unclaimed_lines
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageText, Span
from tests.rows import each_row

LEFT, RIGHT = Column(50, 286), Column(309, 545)
STYLE = PaperStyle(
    size=10.0,
    font="Times",
    families=frozenset({"Times", "CMMI"}),
    pitch=1.2,
    columns=(LEFT, RIGHT),
    facing=(LEFT, RIGHT),
    turned=(),
    front=0,
    top=72.0,
    bottom=716.0,
    running=RunningLines(frozenset({("Paper # of the Conference", 24)})),
)
BODY = "words of the body that fill a row"


def span(text: str, font: str = "Times", size: float = 10.0, *, superscript: bool = False) -> Span:
    """A run of characters."""
    return Span(text=text, font=font, size=size, bold=False, italic=False, superscript=superscript)


def line(
    text: str,
    x0: float,
    baseline: float,
    *,
    width: float = 236.0,
    size: float = 10.0,
    font: str = "Times",
    block: int = 0,
    horizontal: bool = True,
    spans: tuple[Span, ...] = (),
) -> Line:
    """A line of the text layer."""
    box = Box(x0, baseline - 0.8 * size, x0 + width, baseline + 0.2 * size)
    return Line(
        text=text,
        box=box,
        spans=spans or (span(text, font, size),),
        block=block,
        font=font,
        size=size,
        bold=False,
        baseline=baseline,
        horizontal=horizontal,
    )


def texts(*pages: list[tuple[Line, Role]]) -> list[str]:
    """The rows that these lines make, page by page."""
    return [
        row.text for row in body_rows([UnclaimedLines(index, tuple(page)) for index, page in enumerate(pages)], STYLE)
    ]


def body(*lines: Line) -> list[tuple[Line, Role]]:
    return [(one, Role.BODY) for one in lines]


def test_a_bold_phrase_before_a_sentence_is_a_head() -> None:
    def head(bold: str, rest: str) -> int:
        spans = (replace(span(bold), bold=True), span(rest))
        page = body(line(bold + rest, 50, 100, spans=spans))
        return next(iter(body_rows([UnclaimedLines(0, tuple(page))], STYLE))).run_in_heading_length

    assert head("Training details. ", "We train it") == 17
    assert head("Success status ", "We discard videos") == 14
    assert head("Our method ", "works well") == 0
    assert head("Language module", ". We take") == 16
    assert head("Lstereo ", "Is one") == 0


def test_symbols_within_bold_type_belong_to_the_head_or_heading() -> None:
    bold, symbol, stop = (
        replace(span("Effect of "), bold=True),
        span("Lm", "CMMI"),
        replace(span("."), bold=True),
    )
    spans = {
        "Effect of Lm. We vary it": (bold, symbol, stop, span(" We vary it")),
        "Effect of Lm": (bold, symbol),
        "Effect of Lm is strong": (bold, symbol, span(" is strong")),
        "Lm is strong": (symbol, span(" is strong")),
    }
    page = body(*(line(text, 50, 100 + 12 * at, spans=those) for at, (text, those) in enumerate(spans.items())))
    rows = list(body_rows([UnclaimedLines(0, tuple(page))], STYLE))
    assert [(row.run_in_heading_length, row.has_run_in_heading, row.bold) for row in rows] == [
        (len("Effect of Lm."), True, False),
        (0, False, True),
        (0, False, False),
        (0, False, False),
    ]


def test_columns_are_read_one_after_the_other_whatever_the_order_of_the_file() -> None:
    page = body(
        line("right first", 309, 100),
        line("left second", 50, 112),
        line("right second", 309, 112),
        line("left first", 50, 100),
    )
    assert texts(page) == ["left first", "left second", "right first", "right second"]


def test_a_row_across_the_columns_parts_the_page() -> None:
    page = body(
        line("left above", 50, 100),
        line("right above", 309, 100),
        line("all across the page", 50, 200, width=495),
        line("left below", 50, 300),
        line("right below", 309, 300),
    )
    assert texts(page) == ["left above", "right above", "all across the page", "left below", "right below"]


def test_the_pieces_of_a_row_are_joined_from_left_to_right() -> None:
    page = body(
        line("of the layer", 200, 100, width=86),
        line("where x", 50, 100, width=40),
        line("i", 90, 102, width=3, size=7, font="CMMI"),
        line("is the output", 97, 100, width=100),
    )
    assert texts(page) == ["where xi is the output of the layer"]


def test_the_parts_of_a_displayed_formula_are_one_row() -> None:
    page = [
        *body(line(BODY, 50, 100)),
        (line("n", 150, 118, width=8, font="CMMI"), Role.EQUATION),
        (line("y =", 120, 125, width=25, font="CMMI"), Role.EQUATION),
        (line("m", 162, 132, width=8, font="CMMI"), Role.EQUATION),
        (line("(3)", 274, 125, width=12), Role.EQUATION),
        *body(line(BODY, 50, 160)),
    ]
    assert texts(page) == [BODY, "y = n m (3)", BODY]


def test_a_row_of_text_beside_the_number_of_a_formula_is_no_part_of_it() -> None:
    page = [
        (line("y = m", 120, 118, width=25, font="CMMI"), Role.EQUATION),
        (line("(3)", 274, 118, width=12), Role.EQUATION),
        (line("where m is what the text goes on with", 50, 124), Role.EQUATION),
    ]
    assert texts(page) == ["y = m (3)", "where m is what the text goes on with"]


def test_an_exponent_above_an_index_comes_before_it() -> None:
    page = body(
        line("of the features f", 50, 100, width=70),
        line("i can further", 120, 100, width=166),
        line("l", 120.2, 97, width=3, size=7, font="CMMI"),
    )
    assert texts(page) == ["of the features fli can further"]


def test_a_small_number_above_another_is_a_fraction_where_it_stands_alone() -> None:
    def stacked(before: str) -> list[tuple[Line, Role]]:
        above = (span(before), span("1", "CMR", 7.0, superscript=True))
        below = (span("4", "CMR", 7.0), span(" of the time"))
        return body(
            line(f"{before}1", 50, 100, width=100, spans=above),
            line("4 of the time", 146, 100, width=140, spans=below),
        )

    assert texts(stacked("it is almost ")) == ["it is almost 1/4 of the time"]
    assert texts(stacked("it is almost x")) == ["it is almost x14 of the time"]


def test_pieces_that_stand_lower_and_lower_are_one_row() -> None:
    page = body(
        line("third", 130, 104.2, width=156), line("first", 50, 100, width=30), line("second", 90, 102.1, width=30)
    )
    assert texts(page) == ["first second third"]


def test_a_number_that_ends_a_reference_is_no_page_number() -> None:
    style = replaced(STYLE, running=RunningLines(frozenset({("#", 0)})))
    page = body(line("A journal, 2020. 3,", 50, 700, size=9), line("7", 50, 711, width=4, size=9))
    rows = body_rows([UnclaimedLines(0, tuple(page))], style)
    assert [row.text for row in rows] == ["A journal, 2020. 3,", "7"]


def test_what_is_no_body_is_left_out() -> None:
    kept = line(BODY, 50, 100)
    page = [
        (kept, Role.BODY),
        (line("1 of 8", 300, 750, width=20), Role.FURNITURE),
        (line("Ann Author", 100, 112), Role.FRONT),
        (line("for i in range(n)", 60, 124), Role.ALGORITHM),
        (line("upwards", 20, 136, horizontal=False), Role.BODY),
        (line("epoch", 400, 148, width=30, font="Arial", block=9), Role.OTHER),
    ]
    assert texts(page) == [BODY]


def test_words_in_another_type_within_a_paragraph_stay() -> None:
    page = [
        (line("we call", 50, 100, width=40, block=3), Role.BODY),
        (line("model.fit()", 95, 100, width=80, block=3, font="Mono"), Role.OTHER),
    ]
    assert texts(page) == ["we call model.fit()"]


def test_from_the_abstract_on_nothing_is_front_matter() -> None:
    page = [
        (line("Ann Author", 100, 112), Role.FRONT),
        (line("Abstract", 146, 150, width=44), Role.FRONT),
        (line("It begins here", 50, 162), Role.FRONT),
    ]
    assert texts(page) == ["Abstract", "It begins here"]


def test_running_heads_are_left_out() -> None:
    pages = [
        body(line(f"Paper {number} of the Conference", 50, 80, width=200), line(f"page {number} says {BODY}", 50, 300))
        for number in range(1, 6)
    ]
    assert texts(*pages) == [f"page {number} says {BODY}" for number in range(1, 6)]


@each_row(
    ("before", "number", "font", "read"),
    [
        ("a score", "1", "Times", "a score is found"),
        ("of ResNet-18", "1", "Times", "of ResNet-18 is found"),
        ("a score [5] ", "1", "Times", "a score [5] is found"),
        ("a score", "2", "Times", "a score2 is found"),
        ("a score", "1", "CMMI", "a score1 is found"),
        ("a score of 10", "1", "Times", "a score of 101 is found"),
    ],
)
def test_marks_of_footnotes_are_dropped_where_the_page_has_such_a_note(
    before: str, number: str, font: str, read: str
) -> None:
    spans = (span(before), span(number, font, size=7, superscript=True), span(" is found"))
    marked = line(f"{before}{number} is found", 50, 100, spans=spans)
    note = line("1It is high.", 50, 700, size=8, spans=(span("1", size=6), span("It is high.", size=8)))
    assert texts(body(marked, note))[0] == read


def test_captions_and_what_lies_in_figures_are_not_free() -> None:
    lines = (line("Figure 1. A caption", 50, 100), line("label", 60, 150, width=30), line(BODY, 50, 300))
    text = PageText(0, 595, 792, lines)
    free = unclaimed_lines(text, [Role.BODY] * 3, frozenset({0}), [Box(50, 120, 286, 200)])
    assert [one.text for one, _ in free.lines] == [BODY]
