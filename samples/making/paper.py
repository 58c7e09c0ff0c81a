"""A sample paper, made: manuscript and drawings in, PDF and truth out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import Paragraph

from making import typesetting as styles
from making.artwork import apply_settings, finish
from making.canvas import COLUMN_WIDTH, TEXT_WIDTH, Drawing
from making.manuscript import Float, Manuscript, read_manuscript
from making.page_layout import TEXT_BOTTOM, TEXT_TOP, FloatBlock, TextItem, flow, place_floats
from making.printing import FrontMatter, print_paper
from making.truth import Truth, heading_source, paragraph_source, tell_truth

PAPERS = Path(__file__).parent / "papers"
PAGE_COUNT = 4
AUTHOR_SPACE = "&nbsp;" * 6
HEADING_GAP, HEADING_STRETCH = 12.0, 8.0
PARAGRAPH_STRETCH = 2.0
"""Gaps and by how much they may grow, in points; paragraphs are told apart by their indent, not by a gap."""
AFTER_HEADING, BETWEEN_REFERENCES = 5.0, 2.0


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
    with mpl.rc_context():
        apply_settings()
        blocks = [_block(stem, manuscript, item) for item in manuscript.floats]
    front = _front(manuscript)
    floats, columns = place_floats(blocks, PAGE_COUNT, TEXT_TOP + front.height, TEXT_BOTTOM - front.footnote_height)
    texts = flow(_text_items(manuscript), columns)
    pdf = print_paper(manuscript.title, front, texts, floats, PAGE_COUNT)
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
        Paragraph(f"{AUTHOR_SPACE.join(manuscript.authors)}<br/>{manuscript.affiliation}", styles.AUTHORS),
        Paragraph(manuscript.footnote, styles.FOOTNOTE),
    )


def _text_items(manuscript: Manuscript) -> list[TextItem]:
    """Abstract, sections and references in reading order."""
    items = [
        TextItem(Paragraph("Abstract", styles.ABSTRACT_HEADING), 0, 0, True, "abstract heading"),
        _paragraph(manuscript.abstract, styles.ABSTRACT, AFTER_HEADING, "abstract"),
    ]
    for i, section in enumerate(manuscript.sections):
        items.append(_heading(section.heading, heading_source(i)))
        for j, text in enumerate(section.paragraphs):
            style, gap = (styles.PARAGRAPH, 0.0) if j else (styles.FIRST_PARAGRAPH, AFTER_HEADING)
            items.append(_paragraph(text, style, gap, paragraph_source(i, j)))
    items.append(_heading("References", "references heading"))
    for number, text in enumerate(manuscript.references, start=1):
        gap = BETWEEN_REFERENCES if number > 1 else AFTER_HEADING
        items.append(_paragraph(f"[{number}]&nbsp;{text}", styles.REFERENCE, gap, f"reference {number}"))
    return items


def _heading(text: str, source: str) -> TextItem:
    return TextItem(Paragraph(text, styles.HEADING), HEADING_GAP, HEADING_STRETCH, True, source)


def _paragraph(text: str, style: ParagraphStyle, gap: float, source: str) -> TextItem:
    return TextItem(Paragraph(text, style), gap, PARAGRAPH_STRETCH, False, source)
