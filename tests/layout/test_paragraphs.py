"""Rows grown into paragraphs and headings, whole across columns and pages."""

from __future__ import annotations

import pytest

from figtune.layout.paragraphs import text_blocks
from figtune.layout.running_lines import RunningLines
from figtune.layout.style import Column, PaperStyle
from figtune.layout.text_rows import TextRow
from figtune.pdf.geometry import Box
from figtune.pdf.text_cleanup import Dehyphenator

LEFT, RIGHT = Column(50, 286), Column(309, 545)
SIZE, PITCH = 10.0, 12.0
STYLE = PaperStyle(
    size=SIZE,
    font="Times",
    families=frozenset({"Times"}),
    pitch=PITCH / SIZE,
    columns=(LEFT, RIGHT),
    facing=(LEFT, RIGHT),
    turned=(),
    front=0,
    top=72.0,
    bottom=716.0,
    running=RunningLines(frozenset()),
)


class Sheet:
    """Rows set one below the other, as a typesetter would."""

    def __init__(self) -> None:
        self.rows: list[TextRow] = []
        self.place(0, LEFT)

    def place(self, page: int, column: Column) -> None:
        """Go to the top of a column."""
        self.page, self.column, self.baseline = page, column, 80.0

    def full(self, text: str, *, indent: float = 0.0, gap: float = 0.0, bold: bool = False, head: str = "") -> None:
        """A row to the right edge of the column."""
        self.add(text, indent=indent, right=0.0, gap=gap, bold=bold, head=head)

    def add(
        self,
        text: str,
        *,
        indent: float = 0.0,
        right: float = 100.0,
        size: float = SIZE,
        gap: float = 0.0,
        bold: bool = False,
        head: str = "",
        heading: bool = False,
        formula: bool = False,
    ) -> None:
        """A row; `right` points short of the right edge, `gap` points further down than the pitch asks."""
        self.baseline += PITCH + gap
        box = Box(self.column.x0 + indent, self.baseline - 8, self.column.x1 - right, self.baseline + 2)
        self.rows.append(
            TextRow(
                page_index=self.page,
                column=self.column,
                box=box,
                baseline=self.baseline,
                text=text,
                size=size,
                bold=bold,
                starts_bold=bold or bool(head),
                has_run_in_heading=bool(head),
                run_in_heading_length=len(head),
                heading=heading,
                formula=formula,
            )
        )

    def passages(self) -> list[tuple[str, str]]:
        """Kind and text of what the rows make."""
        return [(found.kind, found.text) for found in text_blocks(self.rows, STYLE, Dehyphenator([]))]


@pytest.fixture
def sheet() -> Sheet:
    return Sheet()


def fill(sheet: Sheet) -> None:
    """Enough text for the pitch to be known."""
    for _ in range(4):
        sheet.full("and this is so")


def test_an_indented_row_begins_a_paragraph(sheet: Sheet) -> None:
    sheet.full("One begins")
    sheet.add("and ends.")
    sheet.full("Two begins", indent=12)
    sheet.add("and ends.")
    assert sheet.passages() == [("paragraph", "One begins and ends."), ("paragraph", "Two begins and ends.")]


def test_a_gap_begins_a_paragraph(sheet: Sheet) -> None:
    fill(sheet)
    sheet.full("Another one.", gap=8)
    assert [text for _, text in sheet.passages()] == [" ".join(["and this is so"] * 4), "Another one."]


@pytest.mark.parametrize(("page", "column"), [(0, RIGHT), (1, LEFT)])
def test_a_paragraph_goes_on_in_the_next_column(sheet: Sheet, page: int, column: Column) -> None:
    sheet.full("A paragraph that the column cuts in the mid-")
    sheet.place(page, column)
    sheet.add("dle of a word.")
    assert sheet.passages() == [("paragraph", "A paragraph that the column cuts in the middle of a word.")]


def test_a_paragraph_may_end_where_the_column_ends(sheet: Sheet) -> None:
    sheet.full("It ends")
    sheet.add("here.")
    sheet.place(0, RIGHT)
    sheet.full("Without indent, this one is new.")
    assert [text for _, text in sheet.passages()] == ["It ends here.", "Without indent, this one is new."]


def test_a_list_item_goes_on_in_the_next_column(sheet: Sheet) -> None:
    sheet.full("• The first of", indent=12)
    sheet.place(0, RIGHT)
    sheet.full("two items is", indent=20)
    sheet.add("long.", indent=20)
    sheet.full("• The second is not.", indent=12)
    assert [text for _, text in sheet.passages()] == ["• The first of two items is long.", "• The second is not."]


def test_text_below_a_list_is_a_paragraph_of_its_own(sheet: Sheet) -> None:
    sheet.full("• An item of", indent=12)
    sheet.full("two rows.", indent=20)
    sheet.full("And then the text.")
    assert [text for _, text in sheet.passages()] == ["• An item of two rows.", "And then the text."]


def test_a_number_in_brackets_within_a_sentence_is_no_list(sheet: Sheet) -> None:
    sheet.full("the solution is given by")
    sheet.full("(3) and nothing else.")
    assert [text for _, text in sheet.passages()] == ["the solution is given by (3) and nothing else."]


def test_a_number_in_brackets_after_a_full_row_is_no_list(sheet: Sheet) -> None:
    sheet.full("We report these metrics:")
    sheet.full("(1) accuracy; and")
    sheet.full("(2) precision.")
    assert len(sheet.passages()) == 1


def test_a_sign_before_a_row_begins_an_item(sheet: Sheet) -> None:
    sheet.full("There are these")
    sheet.full("❑One that is")
    sheet.add("long.")
    sheet.full("❑ And another.")
    assert [text for _, text in sheet.passages()] == ["There are these", "❑One that is long.", "❑ And another."]


def test_a_row_that_stands_off_a_finished_item_begins_a_paragraph(sheet: Sheet) -> None:
    sheet.full("• An item of", indent=4)
    sheet.add("two rows.", indent=9)
    sheet.full("And then the text.", indent=12)
    assert [text for _, text in sheet.passages()] == ["• An item of two rows.", "And then the text."]


def test_a_formula_stays_in_its_paragraph(sheet: Sheet) -> None:
    fill(sheet)
    sheet.add("E = mc2 (1)", indent=80, right=0, gap=10, formula=True)
    sheet.full("where m is the mass.", gap=10)
    sheet.full("A new paragraph.", indent=12)
    assert [text for _, text in sheet.passages()] == [
        " ".join(["and this is so"] * 4) + "\nE = mc2 (1)\nwhere m is the mass.",
        "A new paragraph.",
    ]


def test_words_tell_that_a_stretched_row_goes_on(sheet: Sheet) -> None:
    fill(sheet)
    sheet.full("such as a tall fraction,", gap=9)
    assert len(sheet.passages()) == 1


def test_what_ends_with_an_equals_sign_goes_on(sheet: Sheet) -> None:
    fill(sheet)
    sheet.full("the logit is p =", gap=1)
    sheet.full("S, where S is a sum.", gap=9)
    assert len(sheet.passages()) == 1


def test_a_bold_phrase_with_a_full_stop_begins_a_paragraph(sheet: Sheet) -> None:
    sheet.full("All of this was said before.")
    sheet.full("Training details. We train it.", head="Training details.")
    assert [text for _, text in sheet.passages()] == [
        "All of this was said before.",
        "Training details.\nWe train it.",
    ]


def test_bold_words_within_a_sentence_begin_nothing(sheet: Sheet) -> None:
    sheet.full("All of this was said")
    sheet.full("Before", bold=True)
    sheet.full("now, and again.")
    assert [text for _, text in sheet.passages()] == ["All of this was said Before now, and again."]


def test_a_bold_phrase_below_a_formula_begins_a_paragraph(sheet: Sheet) -> None:
    fill(sheet)
    sheet.add("E = mc2 (1)", indent=80, right=0, gap=10, formula=True)
    sheet.full("Training details. We train it.", head="Training details.", gap=10)
    assert [text for _, text in sheet.passages()][1:] == ["Training details.\nWe train it."]


def test_a_bold_row_that_ends_like_a_heading_begins_a_paragraph(sheet: Sheet) -> None:
    sheet.full("All of this was said before.")
    sheet.full("Shuffling for fine transfer:", bold=True)
    sheet.full("We train it.")
    assert [text for _, text in sheet.passages()] == [
        "All of this was said before.",
        "Shuffling for fine transfer: We train it.",
    ]


@pytest.mark.parametrize(("gap", "paragraphs"), [(0.0, 1), (0.8, 2)])
def test_bold_words_after_a_sentence_begin_a_paragraph_below_a_small_gap(
    sheet: Sheet, gap: float, paragraphs: int
) -> None:
    sheet.full("All of this was said before.")
    sheet.full("Hyperparameters", bold=True, gap=gap)
    sheet.full("are set so.")
    assert len(sheet.passages()) == paragraphs


def test_headings(sheet: Sheet) -> None:
    sheet.add("3. A Heading of", size=12, bold=True, heading=True)
    sheet.add("Two Rows", size=12, bold=True)
    sheet.add("3.1. And Another", size=11, bold=True, heading=True)
    sheet.full("Then text.")
    sheet.add("References", bold=True, gap=9)
    assert sheet.passages() == [
        ("heading", "3. A Heading of Two Rows"),
        ("heading", "3.1. And Another"),
        ("paragraph", "Then text."),
        ("heading", "References"),
    ]


def test_footnotes_are_left_out_and_do_not_cut_the_paragraph_around_them(sheet: Sheet) -> None:
    fill(sheet)
    sheet.add("1See the website of", size=8, gap=10)
    sheet.add("the project.", size=8, gap=-2)
    sheet.place(0, RIGHT)
    sheet.add("to the end.")
    assert sheet.passages() == [("paragraph", " ".join(["and this is so"] * 4) + " to the end.")]


def test_acknowledgements_run_into_their_paragraph_are_a_section_however_small(sheet: Sheet) -> None:
    fill(sheet)
    sheet.full("It ends.")
    sheet.add("Acknowledgments. We thank", right=0, head="Acknowledgments.", size=9)
    sheet.add("everyone.", size=9)
    assert sheet.passages()[1:] == [("heading", "Acknowledgments."), ("paragraph", "We thank everyone.")]


def test_references_are_small_and_no_footnotes(sheet: Sheet) -> None:
    fill(sheet)
    sheet.add("References", bold=True, gap=9)
    sheet.add("[1] A. Author. A title.", size=9)
    sheet.add("A journal, 2020.", size=9, indent=20, formula=True)
    assert [kind for kind, _ in sheet.passages()] == ["paragraph", "heading", "paragraph"]


def test_small_rows_amid_the_text_are_no_footnotes(sheet: Sheet) -> None:
    fill(sheet)
    sheet.add("i,j", size=7, indent=60)
    sheet.full("and so on.")
    assert [kind for kind, _ in sheet.passages()] == ["paragraph"]


def test_nothing_gives_nothing(sheet: Sheet) -> None:
    assert sheet.passages() == []
