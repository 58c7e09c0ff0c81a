"""A sample paper, made: manuscript and drawings in, PDF and truth out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
from reportlab.platypus import Paragraph

from making import typesetting as styles
from making.artwork import SETTINGS, finish
from making.canvas import COLUMN_WIDTH, TEXT_WIDTH, Drawing
from making.manuscript import Float, Manuscript, read_manuscript
from making.page_layout import TEXT_BOTTOM, TEXT_TOP, FloatBlock, TextItem, flow, place_floats
from making.printing import FrontMatter, print_paper
from making.truth import Truth, heading_source, paragraph_source, tell_truth

PAPERS = Path(__file__).parent / "papers"
PAGE_COUNT = 4


@dataclass(frozen=True)
class MadePaper:
    """The two files of a sample."""

    pdf: bytes
    truth: Truth


def stems() -> list[str]:
    """The names of the papers there are manuscripts for."""
    return sorted(path.stem for path in PAPERS.glob("*.toml"))


def make_paper(stem: str) -> MadePaper:
    """The paper of that name; the same bytes on every run."""
    manuscript = read_manuscript(PAPERS / f"{stem}.toml")
    styles.register_fonts()
    with mpl.rc_context(SETTINGS):
        blocks = [_block(stem, manuscript, item) for item in manuscript.floats]
    front = _front(manuscript)
    floats, columns = place_floats(blocks, PAGE_COUNT, TEXT_TOP + front.height, TEXT_BOTTOM - front.footnote_height)
    texts = flow(_text_items(manuscript), columns)
    pdf = print_paper(manuscript.title, front, texts, floats, PAGE_COUNT, TEXT_BOTTOM)
    return MadePaper(pdf, tell_truth(f"{stem}.pdf", manuscript, texts, floats, PAGE_COUNT))


def _block(stem: str, manuscript: Manuscript, item: Float) -> FloatBlock:
    width = TEXT_WIDTH if item.span == "both" else COLUMN_WIDTH
    caption = styles.caption_paragraph(manuscript.labelled_caption(item), width)
    if item.rows:
        table = styles.ruled_table(item.rows, width)
        return FloatBlock(item, table, table.wrap(width, 1000), caption, manuscript.table_caption_above)
    draw: Callable[[], Drawing] = getattr(import_module(f"making.papers.{stem}"), item.drawing)
    artwork = finish(draw())
    return FloatBlock(item, artwork, artwork.size, caption, caption_above=False)


def _front(manuscript: Manuscript) -> FrontMatter:
    return FrontMatter(
        Paragraph(manuscript.title, styles.TITLE),
        Paragraph(f"{manuscript.authors}<br/>{manuscript.affiliation}", styles.AUTHORS),
        Paragraph(manuscript.footnote, styles.FOOTNOTE),
    )


def _text_items(manuscript: Manuscript) -> list[TextItem]:
    """Abstract, sections and references in reading order."""
    items = [
        TextItem(Paragraph("Abstract", styles.ABSTRACT_HEADING), 0, 0, True, "abstract heading"),
        TextItem(Paragraph(manuscript.abstract, styles.ABSTRACT), 8, 2, False, "abstract"),
    ]
    for i, section in enumerate(manuscript.sections):
        items.append(TextItem(Paragraph(section.heading, styles.HEADING), 12, 8, True, heading_source(i)))
        for j, text in enumerate(section.paragraphs):
            style = styles.PARAGRAPH if j else styles.FIRST_PARAGRAPH
            items.append(TextItem(Paragraph(text, style), 0 if j else 5, 2 if j else 1, False, paragraph_source(i, j)))
    items.append(TextItem(Paragraph("References", styles.HEADING), 12, 8, True, "references heading"))
    for number, text in enumerate(manuscript.references, start=1):
        label = f"[{number}]&nbsp;"
        items.append(
            TextItem(Paragraph(label + text, styles.REFERENCE), 2 if number > 1 else 5, 2, False, f"reference {number}")
        )
    return items
