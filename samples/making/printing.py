"""Printing: a laid-out paper as PDF bytes, the same on every run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import pymupdf
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from making.artwork import Artwork
from making.canvas import COLUMN_WIDTH, TEXT_WIDTH
from making.page_layout import PAGE_SIZE, TEXT_BOTTOM, TEXT_LEFT, TEXT_TOP, PlacedFloat, PlacedText
from making.typesetting import SERIF

PAGE_NUMBER_BASELINE = 744.0
AUTHORS_GAP = 10.0
FRONT_GAP = 16.0
FOOTNOTE_GAP = 8.0
FOOTNOTE_RULE = (80.0, 4.0)
"""Length of the rule above the footnote, and the space under it."""


@dataclass(frozen=True)
class FrontMatter:
    """Title, authors and the footnote of page 1."""

    title: Paragraph
    authors: Paragraph
    footnote: Paragraph

    @property
    def height(self) -> float:
        """From the top of the text area to the top of the columns."""
        title, authors = (float(part.wrap(TEXT_WIDTH, 1000)[1]) for part in (self.title, self.authors))
        return title + AUTHORS_GAP + authors + FRONT_GAP

    @property
    def footnote_height(self) -> float:
        """With its rule and the gap above."""
        return float(self.footnote.wrap(COLUMN_WIDTH, 1000)[1]) + FOOTNOTE_RULE[1] + FOOTNOTE_GAP


def print_paper(
    title: str,
    front: FrontMatter,
    texts: Sequence[PlacedText],
    floats: Sequence[PlacedFloat],
    page_count: int,
) -> bytes:
    """The PDF: text by reportlab, then the figures laid into the gaps as the vector pages that they are."""
    buffer = io.BytesIO()
    canvas = Canvas(
        buffer, pagesize=PAGE_SIZE, pageCompression=0, invariant=1,
        initialFontName=SERIF,  # type: ignore[arg-type]  # the stubs take this name for a number
    )  # fmt: skip
    canvas.setTitle(title)
    canvas.setAuthor("The figtune project")
    canvas.setSubject("A sample paper, invented for the figtune project")
    canvas.setCreator("samples/build.py")
    for page in range(1, page_count + 1):
        if page == 1:
            _draw_front(canvas, front)
        for placed in floats:
            if placed.block.item.page == page:
                _draw_float_text(canvas, placed)
        for text in texts:
            if text.page == page:
                text.paragraph.wrap(COLUMN_WIDTH, 1000)
                text.paragraph.drawOn(canvas, text.x, PAGE_SIZE[1] - text.top - text.height)
        canvas.setFont(SERIF, 10)
        canvas.drawCentredString(PAGE_SIZE[0] / 2, PAGE_SIZE[1] - PAGE_NUMBER_BASELINE, str(page))
        canvas.showPage()
    canvas.save()
    return _with_artwork(buffer.getvalue(), floats)


def _draw(canvas: Canvas, paragraph: Paragraph, x: float, top: float, width: float) -> float:
    """`paragraph` with its top-left corner at (x, top); returns where it ends."""
    height = float(paragraph.wrap(width, 1000)[1])
    paragraph.drawOn(canvas, x, PAGE_SIZE[1] - top - height)
    return top + height


def _draw_front(canvas: Canvas, front: FrontMatter) -> None:
    end = _draw(canvas, front.title, TEXT_LEFT, TEXT_TOP, TEXT_WIDTH)
    _draw(canvas, front.authors, TEXT_LEFT, end + AUTHORS_GAP, TEXT_WIDTH)
    length, space = FOOTNOTE_RULE
    rule = TEXT_BOTTOM - front.footnote_height + FOOTNOTE_GAP
    canvas.setLineWidth(0.4)
    canvas.line(TEXT_LEFT, PAGE_SIZE[1] - rule, TEXT_LEFT + length, PAGE_SIZE[1] - rule)
    _draw(canvas, front.footnote, TEXT_LEFT, rule + space, COLUMN_WIDTH)


def _draw_float_text(canvas: Canvas, placed: PlacedFloat) -> None:
    """The caption, and a table's cells; a figure comes later."""
    x0, top, x1, _ = placed.caption_frame
    _draw(canvas, placed.block.caption, x0, top, x1 - x0)
    body = placed.block.body
    if not isinstance(body, Artwork):
        body.wrapOn(canvas, placed.block.width, 1000)
        body.drawOn(canvas, placed.region[0], PAGE_SIZE[1] - placed.region[3])


def _with_artwork(pdf: bytes, floats: Sequence[PlacedFloat]) -> bytes:
    with pymupdf.open(stream=pdf, filetype="pdf") as document:
        for placed in floats:
            if isinstance(placed.block.body, Artwork):
                _lay_artwork(document[placed.block.item.page - 1], placed.block.body, placed)
        printed: bytes = document.tobytes(garbage=4, deflate=True, no_new_id=True)
    return printed


def _lay_artwork(page: pymupdf.Page, artwork: Artwork, placed: PlacedFloat) -> None:
    with pymupdf.open(stream=artwork.pdf, filetype="pdf") as source:
        page.show_pdf_page(pymupdf.Rect(placed.region), source, 0, clip=pymupdf.Rect(artwork.ink))
