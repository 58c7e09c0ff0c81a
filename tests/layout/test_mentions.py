"""Citations of figures and tables in whatever form, and the paragraphs they stand in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from figtune.extraction.records import FigureType, Mention, PaperText, Paragraph, Section
from figtune.layout.caption_labels import CaptionLabels
from figtune.layout.mentions import Citable, cited_in, mentions_of
from tests.rows import each_row


@each_row(
    ("text", "cited"),
    [
        ("as Fig. 3 shows", "F3"),
        ("as Fig.3 shows", "F3"),
        ("as FIGURE 3 shows", "F3"),
        ("see Figure1 (b)", "F1"),
        ("Figs. 3 and 4", "F3 F4"),
        ("Figures 2-4", "F2 F3 F4"),
        ("Figures 2–4", "F2 F3 F4"),
        ("Fig. 3 to 5", "F3 F4 F5"),
        ("Figs. 1, 3, and 7", "F1 F3 F7"),
        ("Tables 1, 2 & 3", "T1 T2 T3"),
        ("Fig. 3(b)", "F3"),
        ("(see Fig. 5a)", "F5"),
        ("Fig. 5a-c and 6b", "F5 F6"),
        ("Figs. 1a, 1b", "F1 F1"),
        ("Fig. 3 (a), (b) and 4", "F3 F4"),
        ("Fig. 3(a)-(c) and Fig. 4", "F3 F4"),
        ("Fig. 6 (left) and 7 (right)", "F6 F7"),
        ("Fig. 4a and b", "F4"),
        ("Tab. 2 and Fig. 2", "T2 F2"),
        ("Table III", "TIII"),
        ("Fig. A.1 and B2", "FA1 FB2"),
        ("ends with Fig. 10.", "F10"),
        ("In Fig. 3, 4 heads are drawn", "F3"),
        ("Fig. 3 and the model", "F3"),
        ("Fig. 3 A model", "F3"),
        ("Fig. 3 of [12]", ""),
        ("Table 4 in the supplementary material", ""),
        ("we configure 3 models", ""),
        ("a stable 4 and a tablet 5", ""),
        ("the figure shows 3 cats", ""),
        ("Figures 900-2", "F900 F2"),
        ("wie in Abb. 3 und Tabelle 2", "F3 T2"),
        ("die Abbildungen 3 und 4", "F3 F4"),
        ("les figures 1 et 2, le tableau 3", "F1 F2 T3"),
        ("las figuras 1 y 2 y la tabla 4", "F1 F2 T4"),
        ("le tabelle 1 e 2", "T1 T2"),
        ("на рис. 3 и в таблице 2", "F3 T2"),
        ("рисунков 3 и 4", "F3 F4"),
        ("na rysunku 3 i w tabeli 2", "F3 T2"),
        ("kuvassa 3", "F3"),
        ("i figuren 3 och tabellen 4", "F3 T4"),
        ("Şekil 3'te ve Tablo 4'te", "F3 T4"),
        ("στο Σχήμα 3 και στον Πίνακα 2", "F3 T2"),
        ("如图3和表2所示", "F3 T2"),
        ("図2と表1に示す", "F2 T1"),
        ("그림 3과 표 2", "F3 T2"),
        ("Hình 3 và Bảng 2", "F3 T2"),
        ("a figurehead of 1990, two tablets 5", ""),
    ],
)
def test_citations(text: str, cited: str) -> None:
    assert [f"{kind[0]}{name}" for kind, name in cited_in(text)] == cited.split()


def test_labels_of_ones_own_are_cited_too() -> None:
    labels = CaptionLabels(figure=("Ilustração",), table=("Quadro",))
    assert list(cited_in("na Ilustração 3 e no Quadro 2; Fig. 4", labels)) == [("Figure", "3"), ("Table", "2")]


@given(st.text(alphabet="Figstable .,-–()&0123456789abAIVX and\n", max_size=60))
def test_any_text_is_read_to_its_end(text: str) -> None:
    for kind, name in cited_in(text):
        assert kind in ("Figure", "Table")
        assert name
        assert "." not in name


@given(st.lists(st.integers(1, 99), min_size=2, max_size=5, unique=True))
def test_a_list_cites_what_it_lists(numbers: list[int]) -> None:
    listed = ", ".join(str(number) for number in numbers[:-1]) + f" and {numbers[-1]}"
    assert list(cited_in(f"(see Figs. {listed})")) == [("Figure", str(number)) for number in numbers]


def test_a_figure_is_mentioned_by_every_paragraph_that_cites_it() -> None:
    first = Paragraph(page=1, text="Figure 1 shows it; Fig. 1(b) in detail. See Table 1.")
    second = Paragraph(page=2, text="Nothing is cited here.")
    third = Paragraph(page=3, text="Figures 1-3 and Fig. A.1 show the rest.")
    text = PaperText(
        paper_id="p",
        title="",
        abstract="Figure 2 is not of the body.",
        sections=(
            Section(heading="1. Introduction", paragraphs=(first, second)),
            Section(heading="2. Method", paragraphs=(third,)),
        ),
        references=("[1] Figure 3.",),
    )

    names: list[tuple[FigureType, str]] = [
        ("Figure", "1"),
        ("Figure", "2"),
        ("Figure", "A.1"),
        ("Figure", "9"),
        ("Table", "1"),
        ("Figure", ""),
    ]
    found = mentions_of(text, [Citable(kind, name, 1) for kind, name in names])

    in_first = Mention(page=1, section="1. Introduction", text=first.text)
    in_third = Mention(page=3, section="2. Method", text=third.text)
    assert found == [(in_first, in_third), (in_third,), (in_third,), (), (in_first,), ()]


def test_of_figures_of_one_name_the_nearest_is_cited_and_what_continues_it() -> None:
    pages = (2, 9, 12, 31)
    paragraphs = tuple(Paragraph(page=page, text=f"Table 1 on page {page} shows it.") for page in pages)
    text = PaperText(
        paper_id="p", title="", abstract="", sections=(Section(heading="", paragraphs=paragraphs),), references=()
    )
    found = mentions_of(text, [Citable("Table", "1", page) for page in (3, 11, 12, 30)])
    assert [[mention.page for mention in mentions] for mentions in found] == [[2], [9, 12], [9, 12], [31]]
