"""Records of extraction: `papers.jsonl`, `figures.jsonl`, `texts/<paper_id>.json`.

Boxes are `(x0, top, x1, bottom)` in points, origin at the top-left of the upright page, rounded to 0.1 point.
Pages count from 1. Paths are relative to the content folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FigureType = Literal["Figure", "Table"]
FigureKind = Literal["diagram", "plot", "qualitative", "mixed", "table"]
PaperStatus = Literal["ok", "no_figures", "duplicate", "failed"]
BoxTuple = tuple[float, float, float, float]

PAPERS_FILE = "papers.jsonl"
FIGURES_FILE = "figures.jsonl"
TEXTS_FOLDER = "texts"
CROPS_FOLDER = "crops"
THUMBNAILS_FOLDER = "thumbnails"
"""`thumbnails/<paper_id>/<page>.jpg`: pages with figures, for the gallery."""
THUMBNAIL_DPI = 36
GALLERY_FILE = "gallery.html"


@dataclass(frozen=True, kw_only=True)
class PaperRecord:
    """One PDF given, whatever became of it."""

    schema: Literal[1] = 1
    paper_id: str
    """Stable name, safe as a file name: from the file's stem and its sha256."""
    file: str
    """The PDF's path relative to the folder given by the user."""
    sha256: str
    pages: int
    status: PaperStatus
    reason: str
    """Reason for a status other than "ok"; empty otherwise."""
    title: str
    figures: int
    tables: int
    repaired: bool = False
    """True where the PDF was damaged (cut off, say) and had to be repaired to be read."""
    unclear: bool = False
    """True where most of its characters have no role in its layout."""
    text_key: str = ""
    """Hash of how its text begins, the same whatever the file is called; empty where nothing was read."""
    ocr_reason: str = ""
    """Reason for reading pages by OCR: those whose text layer is missing or scrambled. Empty for a sound layer."""
    ocr_engine: str = ""
    """OCR engine and model with their versions; empty where no page was read by OCR."""


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A body paragraph that cites the figure."""

    page: int
    section: str
    """The heading it stands under; empty if none was found."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A sub-figure: its label, its box where one was found, its own part of the caption."""

    label: str
    box: BoxTuple | None
    caption: str


@dataclass(frozen=True, kw_only=True)
class TableGrid:
    """Cells of a table whose rows and columns are sure."""

    header: tuple[tuple[str, ...], ...]
    """Cells of each row above the body: one for each column, or as printed where some are merged or missing."""
    columns: tuple[str, ...]
    """Name of each column; empty where it has none of its own or none that is sure."""
    rows: tuple[tuple[str, ...], ...]
    """Rows of the body, with a cell for each column, empty where nothing is printed. The first cell names the row."""


@dataclass(frozen=True, kw_only=True)
class FigureRecord:
    """One captioned figure or table; or a caption or a region left alone, with the reason."""

    schema: Literal[1] = 1
    paper_id: str
    figure_id: str
    """Unique in the content folder: `<paper_id>-figure-3`, `<paper_id>-table-1`."""
    figure_type: FigureType
    name: str
    """Number as printed: "3", "A1". Empty for a region without a caption."""
    page: int
    caption: str
    """Caption with its label ("Figure 3. ..."), whole, hyphens undone. Empty for a region without a caption."""
    caption_box: BoxTuple | None
    region_box: BoxTuple | None
    crop: str | None
    """`crops/<paper_id>/<figure_id>.png`, or None where there is no region."""
    crop_size: tuple[int, int] | None
    """Width and height in pixels."""
    dpi: int
    """Resolution of the crop; lower than the setting where the longest side was capped."""
    kind: FigureKind
    kind_score: float
    confidence: float
    reason: str
    """Reason for a missing region or caption, or for low confidence; empty otherwise."""
    figure_text: str
    """The words inside the region, a label a line, in reading order; `_` and `^` stand before indices."""
    panels: tuple[Panel, ...]
    mentions: tuple[Mention, ...]
    text_sizes: tuple[tuple[float, int], ...] = ()
    """Type sizes in points and the number of words of each in the text layer inside the region, the smallest first."""
    text_boxes: tuple[BoxTuple, ...] = ()
    """Box of each line of `figure_text`, in order."""
    hides_words: bool = False
    """True if the region may hold words that `figure_text` lacks: in drawn pictures, or as outlines."""
    shows_words: bool = False
    """True if what is printed in a diagram or plot is for certain what `figure_text` has: it holds no image but large
    photographs and no outlines of letters, and each word of the text layer is seen."""
    indices: tuple[tuple[str, str], ...] = ()
    """Words of caption and mentions with a sub- or superscript: as they stand there, and with `_` or `^` before it;
    U+FFFD for what cannot be written in one line."""
    grid: TableGrid | None = None
    """Cells of a table; None where they are unsure, and for figures."""


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A body paragraph, whole across columns and pages."""

    page: int
    """The page it starts on."""
    text: str
    """Displayed formulas stand on lines of their own, as the text layer has them, and so does a heading run into the
    paragraph ("Training details.")."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and the paragraphs under it; the heading is empty before the first one."""

    heading: str
    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True, kw_only=True)
class PaperText:
    """The text of a paper in reading order, without headers, footers, footnotes, captions, figure and
    table text."""

    schema: Literal[1] = 1
    paper_id: str
    title: str
    abstract: str
    sections: tuple[Section, ...]
    references: tuple[str, ...]
