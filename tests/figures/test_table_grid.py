"""Grids of tables: every cell at its place, and none at all where rows or columns are in doubt."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pymupdf

from figtune.extraction.records import TableGrid
from figtune.figures.table_grid import table_grid
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from tests.figures.paper_maker import figures_in
from tests.rows import each_row

SAMPLES = Path(__file__).parents[2] / "samples"
SIZE, PITCH = 8.0, 11.0
LEFT, TOP = 60.0, 100.0
COLUMNS = (60.0, 150.0, 200.0, 250.0)
ROWS = (
    ("Method", "PSNR", "SSIM", "Time (s)"),
    ("Base model", "21.30", "0.81", "12"),
    ("Large model [12]", "24.10", "0.85", "-"),
    ("Ours", "25.70", "0.90", "1,204"),
)


class TablePage:
    """A page with one table: cells begin at `COLUMNS` unless told otherwise, rules are as wide as the table."""

    def __init__(self) -> None:
        self.file = pymupdf.open()
        self.page = self.file.new_page(width=400, height=400)

    def row(self, number: float, cells: Sequence[str], columns: Sequence[float] = COLUMNS) -> None:
        for x, cell in zip(columns, cells, strict=True):
            self.page.insert_text((x, TOP + PITCH * number), cell, fontname="tiro", fontsize=SIZE)

    def rule(self, number: float, x0: float = LEFT, x1: float = 290.0) -> None:
        height = TOP + PITCH * number - 8
        self.page.draw_line((x0, height), (x1, height), width=0.6)

    def rows(self, rows: Sequence[Sequence[str]], columns: Sequence[float] = COLUMNS) -> None:
        """Draw rows, the first as header between two rules."""
        self.rule(0)
        self.rule(1)
        self.rule(len(rows))
        for number, cells in enumerate(rows):
            self.row(number, cells, columns)

    def grid(self, folder: Path) -> TableGrid | None:
        path = folder / "table.pdf"
        self.file.save(path)
        with Document(path) as document:
            text = document.text(0)
            region = Box(50, TOP - 15, 350, TOP + 300)
            return table_grid(region, document.words(text), text, document.graphics(0).drawings)


def test_every_cell_is_read_at_its_place(tmp_path: Path) -> None:
    page = TablePage()
    page.rows(ROWS)
    assert page.grid(tmp_path) == TableGrid(header=(ROWS[0],), columns=ROWS[0], rows=ROWS[1:])


@each_row("seed", range(8))
def test_random_tables_are_read_whole(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    count = random.randint(2, 4)
    names = ("Method", "mAP", "FID", "Params (M)")[:count]
    body = [
        (f"Model {chr(65 + row)}", *(f"{random.uniform(0, 99):.{random.randint(0, 3)}f}" for _ in range(count - 1)))
        for row in range(random.randint(2, 12))
    ]
    page = TablePage()
    page.rule(0, x1=COLUMNS[count - 1] + 35)
    page.rule(1, x1=COLUMNS[count - 1] + 35)
    for number, cells in enumerate((names, *body)):
        page.row(number, cells, COLUMNS[:count])
    assert page.grid(tmp_path) == TableGrid(header=(names,), columns=names, rows=tuple(body))


def test_names_under_merged_cells_count_where_they_stand_once(tmp_path: Path) -> None:
    page = TablePage()
    page.rule(0)
    page.row(0, ("Quality of all the pictures",), (155.0,))
    page.row(1, ("Method", "PSNR", "SSIM", "PSNR"))
    page.rule(2)
    for number, cells in enumerate(ROWS[1:], start=2):
        page.row(number, cells)
    grid = page.grid(tmp_path)
    assert grid is not None
    assert grid.header == (("Quality of all the pictures",), ("Method", "PSNR", "SSIM", "PSNR"))
    assert grid.columns == ("Method", "", "SSIM", "")
    assert grid.rows == ROWS[1:]


def test_a_title_over_the_names_does_not_end_the_header(tmp_path: Path) -> None:
    page = TablePage()
    page.row(0, ("Results of every method in the test set of last year",), (90.0,))
    page.rule(1)
    for number, cells in enumerate(ROWS, start=1):
        page.row(number, cells)
    page.rule(2)
    grid = page.grid(tmp_path)
    assert grid is not None
    assert (grid.columns, grid.rows) == (ROWS[0], ROWS[1:])


def test_an_arrow_beside_a_name_belongs_to_it(tmp_path: Path) -> None:
    page = TablePage()
    page.rows(ROWS)
    page.row(0, ("v",), (COLUMNS[2] + 26,))
    grid = page.grid(tmp_path)
    assert grid is not None
    assert grid.columns == ("Method", "PSNR", "SSIM v", "Time (s)")


def test_empty_cells_stay_empty(tmp_path: Path) -> None:
    rows = (("", *ROWS[0][1:]), ("Base model", "", "0.81", "12"), *ROWS[2:])
    page = TablePage()
    page.rows(rows)
    assert page.grid(tmp_path) == TableGrid(header=(rows[0],), columns=rows[0], rows=rows[1:])


def _merged_first_column(page: TablePage) -> None:
    page.rows((ROWS[0], ("", *ROWS[1][1:]), ROWS[2], ("", *ROWS[3][1:])))


def _title_between_rows(page: TablePage) -> None:
    page.rows((*ROWS[:2], ("Trained on all of the pictures", "", "", ""), *ROWS[2:]))


def _wrapped_cell(page: TablePage) -> None:
    page.rows((*ROWS[:2], ("with more layers", "", "", ""), *ROWS[2:]))


def _text_in_cells(page: TablePage) -> None:
    page.rows((ROWS[0], ("A model of many layers that is slow", *ROWS[1][1:]), *ROWS[2:]))


def _columns_run_together(page: TablePage) -> None:
    page.rows((*ROWS[:3], ("Ours", "25.70 0.90", "", "7")))


def _no_rule_under_the_header(page: TablePage) -> None:
    for number, cells in enumerate(ROWS):
        page.row(number, cells)


def _short_rule_under_the_header(page: TablePage) -> None:
    _no_rule_under_the_header(page)
    page.rule(1, x0=150, x1=240)


def _two_tables_side_by_side(page: TablePage) -> None:
    _no_rule_under_the_header(page)
    page.rule(1, x0=60, x1=170)
    page.rule(1, x0=195, x1=290)


def _words_on_their_side(page: TablePage) -> None:
    page.rows(ROWS)
    page.page.insert_text((57, 140), "Pictures", fontname="tiro", fontsize=SIZE, rotate=90)


def _column_of_drawn_signs(page: TablePage) -> None:
    page.rows((ROWS[0][:3], *(row[:3] for row in ROWS[1:])), COLUMNS[:3])
    page.row(0, ("Trained",), COLUMNS[3:])


def _formulas(page: TablePage) -> None:
    page.rows((*ROWS[:3], ("f(x) = g(x)", *ROWS[3][1:])))


@each_row(
    "draw",
    [
        _merged_first_column,
        _title_between_rows,
        _wrapped_cell,
        _text_in_cells,
        _columns_run_together,
        _no_rule_under_the_header,
        _short_rule_under_the_header,
        _two_tables_side_by_side,
        _words_on_their_side,
        _column_of_drawn_signs,
        _formulas,
    ],
)
def test_tables_in_doubt_have_no_grid(draw: Callable[[TablePage], None], tmp_path: Path) -> None:
    page = TablePage()
    draw(page)
    assert page.grid(tmp_path) is None


@each_row("stem", ["ray_probes", "view_schedules", "weave_faults"])
def test_tables_of_the_sample_papers_are_read_whole(stem: str) -> None:
    manuscript = tomllib.loads((SAMPLES / "making" / "papers" / f"{stem}.toml").read_text())
    written = [item["rows"] for item in manuscript["floats"] if item.get("rows")]
    found = [figure.grid for figure in figures_in(SAMPLES / f"{stem}.pdf").values() if figure.figure_type == "Table"]
    assert len(written) == len(found) > 0
    plain = [tuple(tuple(cell.removeprefix("*") for cell in row) for row in rows) for rows in written]
    assert found == [TableGrid(header=rows[:1], columns=rows[0], rows=rows[1:]) for rows in plain]


def test_figures_have_no_grid() -> None:
    figures = figures_in(SAMPLES / "ray_probes.pdf").values()
    assert {figure.figure_type: figure.grid is not None for figure in figures} == {"Figure": False, "Table": True}
