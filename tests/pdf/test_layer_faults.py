"""Text layers that are missing or scrambled, told from sound ones."""

from __future__ import annotations

from figtune.pdf.geometry import Box
from figtune.pdf.layer_faults import faults_in_words, layer_faults, scrambled_fonts
from figtune.pdf.page import Drawing, Line, PageGraphics, PageText, Span
from tests.rows import each_row

PAGE = Box(0, 0, 600, 800)
ENGLISH = "we train the networks on images of many scenes and report the results for each of the common benchmarks"
NO_GRAPHICS = PageGraphics((), ())


def page(index: int, lines: list[str], *, font: str = "Body", meaningless: int = 0) -> PageText:
    """A page with the given lines in one font."""
    box = Box(50, 50, 550, 60)
    made = [
        Line(text, box, (Span(text, font, 10, False, False, False),), 0, font, 10, False, 60, True) for text in lines
    ]
    return PageText(index, PAGE.x1, PAGE.bottom, tuple(made), meaningless=meaningless)


def shifted(text: str, by: int) -> str:
    """The letters of `text` moved in the alphabet."""
    return "".join(chr((ord(c) - 97 + by) % 26 + 97) if c.isalpha() else c for c in text)


def faults(*pages: PageText, graphics: PageGraphics = NO_GRAPHICS) -> dict[int, str]:
    """The faults of a paper whose pages all have the same graphics."""
    return layer_faults(pages, lambda index: graphics)


@each_row(
    "text",
    [
        ENGLISH,
        "wir lernen die Merkmale aus vielen Bildern und zeigen für jede Größe die Ergebnisse der Prüfung über Straßen",
        "nous présentons une méthode qui apprend à décrire les différentes scènes d'après leurs légendes détaillées",
        "мы обучаем сеть на изображениях многих сцен и приводим результаты для каждого набора данных",
        "我们在许多场景的图像上训练网络并报告每个基准的结果",
    ],
)
def test_sound_layers_of_any_language_are_left_alone(text: str) -> None:
    assert faults(*(page(index, [text] * 8) for index in range(2))) == {}


@each_row("by", [3, 7, 10, 23])
def test_shifted_letters_are_scrambled(by: int) -> None:
    assert faults(page(0, [shifted(ENGLISH, by)] * 8)) == {0: "scrambled"}


def test_signs_where_letters_belong_are_scrambled() -> None:
    # The bytes of "learning away" and so on, moved beyond ASCII, as a font without a table of its own gives them.
    moved = "".join(chr(ord(c) + 0x4E) if c.isalpha() else c for c in ENGLISH)
    assert faults(page(0, [moved] * 8)) == {0: "scrambled"}


def test_unmapped_characters_scramble_only_the_pages_that_are_full_of_them() -> None:
    sound, formulas, unmapped = (
        page(0, [ENGLISH] * 8),
        page(1, [ENGLISH] * 8, meaningless=80),
        page(2, ["x"], meaningless=900),
    )
    assert faults(sound, formulas, unmapped) == {2: "scrambled"}


def test_a_font_is_judged_over_the_whole_paper_and_its_pages_by_their_share_of_it() -> None:
    garbage = shifted(ENGLISH, 3)
    body = [page(index, [ENGLISH] * 20) for index in range(2)]
    heading = page(2, [garbage], font="Heading")
    mixed = page(3, [garbage] * 8, font="Heading")
    assert scrambled_fonts([*body, heading, mixed]) == {"Heading"}
    assert faults(*body, heading, mixed) == {2: "scrambled", 3: "scrambled"}


def test_letters_of_formulas_say_nothing() -> None:
    formulas = ["x y z W k q v w h z j x y F G H z q w x k j"] * 20
    assert scrambled_fonts([page(0, formulas, font="Math")]) == frozenset()


def test_a_page_that_is_one_picture_has_no_layer_whatever_is_stamped_on_it() -> None:
    strips = PageGraphics(tuple(Box(0, top, 600, top + 200) for top in (0, 200, 400, 600)), ())
    stamp = ["Authorized use limited to subscribers of the library. Downloaded today."]
    assert faults(page(0, []), page(1, stamp), graphics=strips) == {0: "missing", 1: "missing"}
    assert faults(page(0, [ENGLISH] * 8), graphics=strips) == {}


def test_text_drawn_as_outlines_has_no_layer_and_a_blank_page_needs_none() -> None:
    outlines = PageGraphics((), (Drawing(Box(50, 50, 55, 58), "#000000", True, False),) * 600)
    assert faults(page(0, []), graphics=outlines) == {0: "missing"}
    assert faults(page(0, [])) == {}


def test_faults_are_told_by_page() -> None:
    assert faults_in_words({}, 9) == ""
    assert faults_in_words({0: "missing", 1: "missing", 2: "missing"}, 3) == "text layer missing on all pages"
    told = faults_in_words({0: "missing", 1: "missing", 4: "missing", 6: "scrambled"}, 9)
    assert told == "text layer missing on pages 1-2, 5, scrambled on page 7"
