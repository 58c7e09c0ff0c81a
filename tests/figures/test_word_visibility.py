"""Words of the text layer that nobody sees, and printed ones that it lacks."""

from __future__ import annotations

from pathlib import Path

import pymupdf

from figtune.figures.word_visibility import INK_DPI, hides_words, shows_words
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing
from tests.rows import each_row

REGION = Box(0, 0, 400, 300)


def shows(path: Path, pictures: tuple[tuple[Box, float], ...] = (), drawings: tuple[Drawing, ...] = ()) -> bool:
    """Return the verdict on the figure that is all of a page."""
    with Document(path) as document:
        lines = document.text(0).lines_in(REGION)
        return shows_words(REGION, lines, pictures, drawings, lambda: document.text_ink(0, REGION, INK_DPI))


def figure(path: Path, *, mode: int = 0, color: float = 0.0, cover: tuple[float, ...] = (), font: str = "helv") -> Path:
    """Write a page with two words, the second one in a render mode and a grey, a white box drawn over a part of it."""
    with pymupdf.open() as file:
        page = file.new_page(width=400, height=300)
        page.insert_text((50, 50), "Encoder", fontsize=12)
        page.insert_text((50, 100), "Hidden decoder", fontsize=12, render_mode=mode, color=(color,) * 3, fontname=font)
        if cover:
            page.draw_rect(pymupdf.Rect(*cover), color=(1, 1, 1), fill=(1, 1, 1))
        file.save(path)
    return path


def test_words_that_are_seen_are_the_figures(tmp_path: Path) -> None:
    assert shows(figure(tmp_path / "plain.pdf"))
    assert shows(figure(tmp_path / "grey.pdf", color=0.7))
    assert shows(figure(tmp_path / "beside.pdf", cover=(300, 80, 390, 110)))
    assert not shows(figure(tmp_path / "nothing.pdf"), drawings=tuple(small(range(5))))


@each_row(
    ("mode", "color", "cover"), [(3, 0.0, ()), (0, 1.0, ()), (0, 0.0, (40, 80, 200, 110)), (0, 0.0, (88, 80, 115, 110))]
)
def test_words_that_nobody_sees_make_a_figure_unsure(
    tmp_path: Path, mode: int, color: float, cover: tuple[float, ...]
) -> None:
    assert not shows(figure(tmp_path / "hidden.pdf", mode=mode, color=color, cover=cover))


def test_a_word_of_another_color_than_its_ground_is_seen(tmp_path: Path) -> None:
    with pymupdf.open() as file:
        page = file.new_page(width=400, height=300)
        page.draw_rect(pymupdf.Rect(40, 80, 200, 110), fill=(0, 0, 0.5))
        page.insert_text((50, 100), "White on blue", fontsize=12, color=(1, 1, 1))
        file.save(tmp_path / "blue.pdf")
    assert shows(tmp_path / "blue.pdf")


def test_a_picture_may_hold_words_unless_it_is_a_large_photograph(tmp_path: Path) -> None:
    path = figure(tmp_path / "plain.pdf")
    assert shows(path, ((Box(100, 150, 200, 250), 1.0),))
    assert not shows(path, ((Box(100, 150, 200, 250), 0.8),))
    assert not shows(path, ((Box(100, 150, 200, 170), 1.0),))
    assert shows(path, ((Box(500, 150, 600, 170), 0.0),))


def small(widths: range) -> list[Drawing]:
    return [Drawing(Box(9.0 * x, 9, 9.0 * x + 2 + 0.1 * x, 17), "#000000", True, False) for x in widths]


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
