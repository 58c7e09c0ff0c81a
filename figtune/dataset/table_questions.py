"""Short questions about a table, from the cells of its grid. See `questions`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from figtune.dataset.questions import FigureFacts, ShortQuestion, about_captions, about_words, draw, drawn
from figtune.extraction.records import TableGrid

_FEWEST_COMPARED = 3
_LONGEST_ANSWER = 3  # words
_NUMBER = re.compile(r"[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?%?")


def ask_about_table(grid: TableGrid, facts: FigureFacts) -> tuple[ShortQuestion, ...]:
    """Return as many questions as about a figure. Each has one answer: names of rows and columns stand there once."""
    asked = (_about_size(grid, facts), *_about_cells(grid, facts), *_about_extremes(grid, facts))
    words = () if facts.hides_words else about_words(facts, "table")
    return drawn(facts, (*asked, *words, *about_captions(facts, "table")))


def _about_size(grid: TableGrid, facts: FigureFacts) -> ShortQuestion:
    if draw(facts, "size") < 0.5:
        return ShortQuestion(
            slug="columns",
            request="How many columns does this table have? Answer with a number.",
            answer=str(len(grid.columns)),
        )
    return ShortQuestion(
        slug="rows",
        request="How many rows does this table have below its header? Answer with a number.",
        answer=str(len(grid.rows)),
    )


def _about_cells(grid: TableGrid, facts: FigureFacts) -> Iterator[ShortQuestion]:
    """Ask for one cell; each column as likely as the others."""
    names = _names(grid)
    columns = [
        (column, cells)
        for place, column in enumerate(grid.columns)
        if place > 0
        and _is_plain(column)
        and (
            cells := [
                (row, line[place]) for row, line in zip(names, grid.rows, strict=True) if _is_asked(row, line[place])
            ]
        )
    ]
    if columns:
        column, cells = columns[int(draw(facts, "column") * len(columns))]
        row, cell = cells[int(draw(facts, "row") * len(cells))]
        yield ShortQuestion(
            slug="cell",
            request=f'What does this table have for "{row}" under "{column}"? Answer with the cell as it is printed.',
            answer=cell,
        )


def _about_extremes(grid: TableGrid, facts: FigureFacts) -> Iterator[ShortQuestion]:
    """Ask for the row of the highest or the lowest number of a column, with equal odds: the last row has often the
    best."""
    names = _names(grid)
    if not all(names) or len(names) < _FEWEST_COMPARED:
        return
    numbers = [
        (column, values)
        for place, column in enumerate(grid.columns)
        if place > 0 and _is_plain(column) and (values := _values([line[place] for line in grid.rows]))
    ]
    if numbers:
        column, values = numbers[int(draw(facts, "numbers") * len(numbers))]
        word, best = ("highest", max(values)) if draw(facts, "highest") < 0.5 else ("lowest", min(values))
        if values.count(best) == 1:
            yield ShortQuestion(
                slug="best",
                request=f'Which row has the {word} value under "{column}"? Answer with the name of the row.',
                answer=names[values.index(best)],
            )


def _names(grid: TableGrid) -> list[str]:
    """Return the names of the rows; nothing for those that several share, or that are no name."""
    every = [row[0] for row in grid.rows]
    return [name if every.count(name) == 1 and _is_plain(name) else "" for name in every]


def _is_plain(name: str) -> bool:
    return '"' not in name and any(map(str.isalnum, name))


def _is_asked(row: str, cell: str) -> bool:
    return bool(row) and any(map(str.isalnum, cell)) and len(cell.split()) <= _LONGEST_ANSWER


def _values(cells: Sequence[str]) -> list[float]:
    """Return the numbers of a column; nothing where one of its cells is none."""
    if not all(_NUMBER.fullmatch(cell) for cell in cells) or len({cell.endswith("%") for cell in cells}) > 1:
        return []
    return [float(re.sub(r"[,%]", "", cell).replace("−", "-")) for cell in cells]
