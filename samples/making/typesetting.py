"""Typesetting: the fonts and paragraph styles of the papers, after the look of the CVPR author kit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import matplotlib
import pyphen
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph, Table, TableStyle

SERIF, BOLD, ITALIC, BOLD_ITALIC = "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"
"""STIX comes with matplotlib: a Times with Greek and mathematical signs, free to embed."""


def register_fonts() -> None:
    """Make the serif family known to reportlab; must come before any paragraph."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in (SERIF, BOLD, ITALIC, BOLD_ITALIC):
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))
    pdfmetrics.registerFontFamily(SERIF, SERIF, BOLD, ITALIC, BOLD_ITALIC)
    pdfmetrics.registerFontFamily(ITALIC, ITALIC, BOLD_ITALIC, ITALIC, BOLD_ITALIC)


@cache
def _dictionary() -> pyphen.Pyphen:
    return pyphen.Pyphen(lang="en_US", left=2, right=3)


def break_points(word: str) -> Iterator[tuple[str, str]]:
    """The two parts of `word` at each place where a hyphen may go, the last place first.

    Compounds do not break: reportlab 5.1 loses their own hyphen when such a paragraph runs on in the next column. Names
    with capitals inside do not break either.
    """
    bare = word.rstrip(".,;:!?)]")
    if bare.isalpha() and bare[1:].islower():
        for place in reversed(_dictionary().positions(bare)):
            yield word[:place], word[place:]


def _style(
    name: str, font: str, size: float, leading: float, alignment: Literal[1, 4], indent: float = 0
) -> ParagraphStyle:
    return ParagraphStyle(
        name, fontName=font, fontSize=size, leading=leading, alignment=alignment, firstLineIndent=indent,
        allowWidows=0, allowOrphans=0, hyphenationMinWordLength=6,
        hyphenationLang=break_points,  # type: ignore[arg-type]  # a function serves too; the stubs know names only
    )  # fmt: skip


TITLE = ParagraphStyle("title", fontName=BOLD, fontSize=14.4, leading=18, alignment=TA_CENTER)
AUTHORS = _style("authors", SERIF, 12, 14.5, TA_CENTER)
ABSTRACT_HEADING = _style("abstract heading", BOLD, 12, 14, TA_CENTER)
ABSTRACT = _style("abstract", ITALIC, 10, 12, TA_JUSTIFY)
HEADING = ParagraphStyle("heading", fontName=BOLD, fontSize=12, leading=14)
FIRST_PARAGRAPH = _style("first paragraph", SERIF, 10, 12, TA_JUSTIFY)
PARAGRAPH = _style("paragraph", SERIF, 10, 12, TA_JUSTIFY, indent=12)
CAPTION = _style("caption", SERIF, 9, 10.5, TA_JUSTIFY)
SHORT_CAPTION = _style("short caption", SERIF, 9, 10.5, TA_CENTER)
FOOTNOTE = _style("footnote", SERIF, 8, 9.5, TA_JUSTIFY)
REFERENCE = ParagraphStyle(
    "reference", parent=_style("", SERIF, 9, 10.8, TA_JUSTIFY), leftIndent=16, firstLineIndent=-16
)

CELL_SIZE, CELL_HEIGHT, CELL_PADDING = 8.5, 12.0, 4.0
OUTER_RULE, INNER_RULE = 0.8, 0.5


def caption_paragraph(text: str, width: float) -> Paragraph:
    """A caption as LaTeX sets it: centred if it fits on one line, justified if not."""
    centred = Paragraph(text, SHORT_CAPTION)
    _, height = centred.wrap(width, 1000)
    return centred if height < 2 * SHORT_CAPTION.leading else Paragraph(text, CAPTION)


def ruled_table(rows: Sequence[Sequence[str]], width: float) -> Table:
    """A table over `width` points with a rule above, below and under the header; a cell starting with `*` is bold."""
    bold = [
        (column, row) for row, cells in enumerate(rows) for column, cell in enumerate(cells) if cell.startswith("*")
    ]
    texts = [[cell.removeprefix("*") for cell in cells] for cells in rows]
    style = TableStyle()
    style.add("FONT", (0, 0), (-1, -1), SERIF, CELL_SIZE, CELL_SIZE)
    style.add("ALIGN", (1, 0), (-1, -1), "CENTER")
    style.add("VALIGN", (0, 0), (-1, -1), "MIDDLE")
    style.add("TOPPADDING", (0, 0), (-1, -1), 0)
    style.add("BOTTOMPADDING", (0, 0), (-1, -1), 2)
    style.add("LEFTPADDING", (0, 0), (-1, -1), CELL_PADDING)
    style.add("RIGHTPADDING", (0, 0), (-1, -1), CELL_PADDING)
    style.add("LINEABOVE", (0, 0), (-1, 0), OUTER_RULE, "black")
    style.add("LINEBELOW", (0, 0), (-1, 0), INNER_RULE, "black")
    style.add("LINEBELOW", (0, -1), (-1, -1), OUTER_RULE, "black")
    for place in bold:
        style.add("FONTNAME", place, place, BOLD)
    return Table(texts, _column_widths(texts, width), CELL_HEIGHT, style=style)


def _column_widths(texts: Sequence[Sequence[str]], width: float) -> list[float]:
    """Return the width that each column needs, with an equal share of the rest of `width`."""
    needed = [
        max(pdfmetrics.stringWidth(cell, BOLD, CELL_SIZE) for cell in column) + 2 * CELL_PADDING
        for column in zip(*texts, strict=True)
    ]
    spare = (width - sum(needed)) / len(needed)
    if spare < 0:
        raise ValueError(f"table too wide by {-spare * len(needed):.0f} points: {texts[0]}")
    return [column + spare for column in needed]
