"""Sub- and superscripts told from the text that they belong to."""

from __future__ import annotations

from figtune.pdf.geometry import Box
from figtune.pdf.index_marks import UNREADABLE, index_words, marked_text
from figtune.pdf.page import Line, PageText, Span
from tests.rows import each_row


def line(*parts: str, size: float = 10.0) -> Line:
    """Text with "_" before subscripts and "^" before superscripts, set in 7 points."""
    spans = [
        Span(part.lstrip("_^"), "Times", 7.0 if part[0] in "_^" else size, False, False, part[0] == "^")
        for part in parts
    ]
    text = "".join(span.text for span in spans).strip()
    return Line(text, Box(0, 0, 100, 10), tuple(spans), 0, "Times", size, False, 8.0, True)


def page(*lines: Line) -> PageText:
    return PageText(0, 600, 800, lines)


def test_indices_are_marked_in_a_line() -> None:
    assert marked_text(line("The loss F", "_cls", " grows by 10", "^-3", ".")) == "The loss F_cls grows by 10^-3."
    assert marked_text(line("H", "_long")) == "H_long", "though most of it is small"
    assert marked_text(line("Plain text")) == "Plain text"


@each_row(
    ("parts", "word", "written"),
    [
        (("the loss F", "_cls", ", which"), "Fcls", "F_cls"),
        (("the area in m", "^2", " of it"), "m2", "m^2"),
        (("the same ratio.", "^3", " The next"), "ratio.3", "ratio."),
        (("the author", "^*", " did"), None, ""),
        (("the 5", "^th", " of it"), None, ""),
        (("the matrix R", "^l×d", " is"), "Rl×d", UNREADABLE),
        (("the map F", "_i", "^j", " is"), "Fij", UNREADABLE),
    ],
)
def test_words_are_written_with_their_index(parts: tuple[str, ...], word: str | None, written: str) -> None:
    assert index_words([page(line(*parts))]) == ({word: written} if word else {})


def test_words_that_stand_without_an_index_too_are_left_as_they_are() -> None:
    assert index_words([page(line("the state A", "_s", " is"), line("As it is"))]) == {}


def test_one_spelling_of_two_things_is_unreadable() -> None:
    assert index_words([page(line("a map F", "_ab", " is"), line("a map F", "^ab", " is"))]) == {"Fab": UNREADABLE}
