"""Questions about tables: every answer follows from the cells, nothing is asked that two answers fit."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from figtune.dataset.questions import MOST_QUESTIONS, FigureFacts, OtherCaption, ShortQuestion, ask_about_table
from figtune.extraction.records import TableGrid
from tests.rows import each_row

GRID = TableGrid(
    header=(("Quality", "Cost"), ("Method", "PSNR ↑", "FID", "Time", "Data")),
    columns=("Method", "PSNR ↑", "FID", "Time", ""),
    rows=(
        ("Base model", "21.3", "1,204", "12 s", "5"),
        ("Large model [12]", "24.1", "98", "–", "6"),
        ("Twin", "20.0", "97", "9 s", "7"),
        ("Twin", "22.0", "96", "8 s", "8"),
        ("Ours", "-1.5", "95", "a very long remark", "9"),
    ),
)
PLAIN = replace(GRID, rows=tuple(row for row in GRID.rows if row[0] != "Twin"))
FACTS = FigureFacts(
    figure_id="paper-table-1",
    kind="table",
    kind_score=1.0,
    panels=(),
    panel_count=0,
    figure_text="Quality Cost Method PSNR FID Time Data Base model Large model Twin remark Ours",
    hides_words=False,
    shows_words=False,
    aspect=2.5,
    caption="Quality of all methods in the test.",
    other_caption=OtherCaption("Ablation of the single modules here.", "table"),
    spoken="Table 1 compares schedules; momentum helps smaller networks.",
)


def asked(grid: TableGrid, facts: FigureFacts = FACTS, tables: int = 300) -> list[ShortQuestion]:
    return [
        question
        for number in range(tables)
        for question in ask_about_table(grid, replace(facts, figure_id=f"table-{number}"))
    ]


def slugs(questions: list[ShortQuestion]) -> set[str]:
    return {each.slug for each in questions}


def test_questions_are_few_and_differ() -> None:
    for number in range(40):
        kinds = [each.slug for each in ask_about_table(PLAIN, replace(FACTS, figure_id=f"table-{number}"))]
        assert len(kinds) == len(set(kinds)) == MOST_QUESTIONS


@each_row("grid", [GRID, PLAIN])
def test_every_answer_follows_from_the_cells(grid: TableGrid) -> None:
    questions = asked(grid)
    assert slugs(questions) >= {"columns", "rows", "cell", "word", "caption"}
    names = [row[0] for row in grid.rows]
    for each in questions:
        quoted = re.findall(r'"([^"]+)"', each.request)
        if each.slug == "columns":
            assert each.answer == "5"
        elif each.slug == "rows":
            assert each.answer == str(len(grid.rows))
        elif each.slug == "cell":
            row, column = quoted
            assert names.count(row) == grid.columns.count(column) == 1
            assert each.answer == grid.rows[names.index(row)][grid.columns.index(column)]
            assert each.answer not in ("–", "a very long remark")
        elif each.slug == "word":
            assert (quoted[0] in FACTS.figure_text) == (each.answer == "yes")
        elif each.slug == "caption":
            assert f"({each.answer}) {FACTS.caption}" in each.request
        assert "figure" not in each.request.lower()


def test_the_best_row_is_asked_for_where_all_cells_are_numbers_and_all_names_differ() -> None:
    best = [each for each in asked(PLAIN) if each.slug == "best"]
    answers = {(each.request.split(" the ")[1].split()[0], each.request.split('"')[1]): each.answer for each in best}
    assert answers == {
        ("highest", "PSNR ↑"): "Large model [12]",
        ("lowest", "PSNR ↑"): "Ours",
        ("highest", "FID"): "Base model",
        ("lowest", "FID"): "Ours",
    }
    assert "best" not in slugs(asked(GRID))
    tied = replace(PLAIN, rows=tuple((row[0], "1", "2", "3 s", "4") for row in PLAIN.rows))
    assert "best" not in slugs(asked(tied))


def test_answers_are_balanced() -> None:
    questions = asked(PLAIN, tables=600)
    for slug, choices in (("word", 2), ("caption", 2)):
        counts = Counter(each.answer for each in questions if each.slug == slug)
        assert len(counts) == choices
        assert min(counts.values()) > 0.4 * sum(counts.values())
    words = Counter("highest" in each.request for each in questions if each.slug == "best")
    assert min(words.values()) > 0.4 * sum(words.values())
    cells = Counter(each.request.split('under "')[1] for each in questions if each.slug == "cell")
    assert min(cells.values()) > 0.7 * sum(cells.values()) / 3


def test_words_are_not_asked_for_where_some_may_hide() -> None:
    assert "word" not in slugs(asked(PLAIN, replace(FACTS, hides_words=True)))
