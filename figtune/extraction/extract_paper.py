"""One paper taken apart: its records returned, its text, crops and thumbnails left in the content folder."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from figtune.core.errors import InputError
from figtune.core.io import atomic_write_dir
from figtune.core.jsonl import write_json
from figtune.extraction.paper_cache import ExtractionTask, PaperResult
from figtune.extraction.records import (
    CROPS_FOLDER,
    TEXTS_FOLDER,
    THUMBNAILS_FOLDER,
    BoxTuple,
    FigureRecord,
    FigureType,
    Mention,
    Panel,
    PaperRecord,
    PaperText,
    TableGrid,
)
from figtune.extraction.render_crop import Crop, ThumbnailDocument, render_crop
from figtune.extraction.text_source import TextSource, text_source
from figtune.figures.captions import caption_lookalikes
from figtune.figures.detector import DetectedFigure, Detections, detect_figures, grid_in
from figtune.figures.figure_labels import FigureLabel, ordered_labels, put_in_order
from figtune.layout.line_roles import Role
from figtune.layout.mentions import Citable, mentions_of
from figtune.layout.paragraphs import text_blocks
from figtune.layout.sections import paper_text
from figtune.layout.text_rows import body_rows, unclaimed_lines
from figtune.pdf.document import Document, UnreadablePaperError
from figtune.pdf.geometry import Box
from figtune.pdf.index_marks import core, index_words
from figtune.pdf.ocr_document import OcrDocument
from figtune.pdf.page import PageText
from figtune.pdf.text_cleanup import Dehyphenator, dehyphenator_for

_FEWEST_LETTERS = 100  # that a paper has, where there are pictures; a scan may bear a stamp of a few words
_PAGES_LOOKED_AT = 5
REPAIRED = "the file is damaged and was repaired: pages, figures or text may be missing"
_UNCLEAR = "{:.0%} of the characters have no role in the layout: text and figures may be missing or wrong"
_KEY_CHARACTERS = 500
_HEADER = b"%PDF-"
_HEADER_WITHIN = 1024  # bytes, as Adobe's own readers look for it
MOST = 0.5
"""Share of characters from which the layout of a paper is called unclear. Of 56 papers none has more than 0.16."""


class NoTextError(InputError):
    """A PDF that opens and has no words in it."""


def extract_paper(task: ExtractionTask) -> PaperResult:
    """Read one PDF; write `texts/<paper_id>.json`, `crops/<paper_id>/` and `thumbnails/<paper_id>/`.

    Raises:
        UnreadablePaperError: no PDF, encrypted, without pages, or too damaged.
        NoTextError: a scan that OCR has not read, or nothing on any page.
        ResourceError: OCR is installed and cannot read its model.
        OSError: the content folder cannot be written.
    """
    _check_header(task.source.path)
    with closing(ThumbnailDocument(task.source.path)) as document:
        source = text_source(document, task.settings.ocr)
        texts = source.texts
        _check_for_text(document, source)
        dehyphenator = dehyphenator_for(texts)
        detections = detect_figures(document, texts, dehyphenator, task.settings.labels)
        text = text_of(task.source.paper_id, texts, detections, dehyphenator)
        found = _confident_by_text(document, detections.figures)
        if task.settings.ocr_figures:
            found = _with_picture_words(document, texts, found, dehyphenator)
        figures = _figures(task, document, found, texts, text)
        _write_thumbnails(task, document, detections.figures)
        paper = _paper(
            task, source, text, figures, repaired=document.repaired, unknown=share_without_role(texts, detections)
        )
    write_json(task.content_dir / TEXTS_FOLDER / f"{task.source.paper_id}.json", text)
    return PaperResult(paper=paper, figures=figures)


def _check_header(path: Path) -> None:
    """Refuse what is no PDF: MuPDF takes anything for one in need of repair; a PDF says what it is near its start (ISO
    32000-1, 7.5.2)."""
    with path.open("rb") as file:
        if _HEADER not in file.read(_HEADER_WITHIN):
            raise UnreadablePaperError(f"{path.name} is not a PDF", "replace it with one")


def _check_for_text(document: Document, source: TextSource) -> None:
    letters = sum(sum(map(str.isalpha, line.text)) for text in source.texts for line in text.lines)
    if letters >= _FEWEST_LETTERS:
        return
    name = document.path.name
    if source.engine:
        raise NoTextError(f"{name}: {source.reason}, and OCR finds no words on them", "replace it with a better scan")
    if any(document.graphics(text.index).images for text in source.texts[:_PAGES_LOOKED_AT]):
        problem = f"{name} has no text layer: it seems to be a scan"
        raise NoTextError(f"{problem}; {source.unread}" if source.unread else problem, "run it through OCR first")
    if letters == 0:
        raise NoTextError(
            f"{name} is damaged or empty: nothing on its pages can be read", "replace it with an intact PDF"
        )


def text_of(paper_id: str, texts: Sequence[PageText], detections: Detections, dehyphenator: Dehyphenator) -> PaperText:
    """Return the text of a paper: what is left of `texts` without what `detections` holds, sorted into what it is."""
    style = detections.style
    pages = (
        unclaimed_lines(text, page.roles, page.caption_lines, page.regions)
        for text, page in zip(texts, detections.pages, strict=True)
    )
    until_front = list(islice(pages, style.front + 1))
    found = text_blocks(body_rows(chain(until_front, pages), style), style, dehyphenator)
    return paper_text(paper_id, until_front[-1], found, dehyphenator)


def _paper(
    task: ExtractionTask,
    source: TextSource,
    text: PaperText,
    figures: Sequence[FigureRecord],
    *,
    repaired: bool,
    unknown: float,
) -> PaperRecord:
    complete = Counter(figure.figure_type for figure in figures if figure.caption and figure.region_box)
    reasons = (
        "" if complete else _without_captions(source.texts, figures),
        f"{source.reason}; {source.unread}" if source.unread else "",
        REPAIRED if repaired else "",
        _UNCLEAR.format(unknown) if unknown > MOST else "",
    )
    return PaperRecord(
        paper_id=task.source.paper_id,
        file=task.source.file,
        sha256=task.source.sha256,
        pages=len(source.texts),
        status="ok" if complete else "no_figures",
        reason="; ".join(filter(None, reasons)),
        title=text.title,
        figures=complete["Figure"],
        tables=complete["Table"],
        repaired=repaired,
        unclear=unknown > MOST,
        text_key=_text_key(text),
        ocr_reason=source.reason,
        ocr_engine=source.engine,
    )


def _without_captions(texts: Sequence[PageText], figures: Sequence[FigureRecord]) -> str:
    """Return the reason for no captioned figure, with what looked most like captions where none was known as one."""
    alike = () if any(figure.caption for figure in figures) else caption_lookalikes(texts)
    if not alike:
        return "no captioned figure or table found"
    words = ", ".join(f'"{start}"' for start in alike)
    return f"no captioned figure or table found; lines begin with {words}: see --extract.figure_labels"


def _text_key(text: PaperText) -> str:
    """Hash the first letters and digits of the abstract, or of the body where there is none: layouts differ in the
    rest."""
    bodies = (paragraph.text for section in text.sections for paragraph in section.paragraphs)
    first = ""
    for part in chain((text.abstract,), bodies):
        first += "".join(filter(str.isalnum, part.casefold()))
        if len(first) >= _KEY_CHARACTERS:
            break
    return hashlib.sha256(first[:_KEY_CHARACTERS].encode()).hexdigest()[:16] if first else ""


def _confident_by_text(document: OcrDocument, found: Sequence[DetectedFigure]) -> list[DetectedFigure]:
    """Lower the confidence of figures whose caption OCR has read, to its share that the words of the caption have."""
    return [
        replace(figure, confidence=figure.confidence * document.confidence_in(figure.page_index, figure.caption_box))
        if figure.caption_box
        else figure
        for figure in found
    ]


def _with_picture_words(
    document: OcrDocument, texts: Sequence[PageText], found: Sequence[DetectedFigure], dehyphenator: Dehyphenator
) -> list[DetectedFigure]:
    """Add the words that the text layer lacks to the labels of the figures that hide some."""
    from figtune.pdf.ocr_document import picture_words

    return [
        _with_words(figure, picture_words(document, texts[figure.page_index], figure.region), dehyphenator)
        if figure.region is not None and figure.hides_words
        else figure
        for figure in found
    ]


def _with_words(figure: DetectedFigure, words: Sequence[tuple[str, Box]], dehyphenator: Dehyphenator) -> DetectedFigure:
    read = [FigureLabel(text=text, box=box, size=box.height, horizontal=True) for text, box in words]
    return replace(figure, labels=put_in_order((*figure.labels, *read), dehyphenator), hides_words=False)


def _figures(
    task: ExtractionTask,
    document: Document,
    found: Sequence[DetectedFigure],
    pages: Sequence[PageText],
    text: PaperText,
) -> tuple[FigureRecord, ...]:
    """Return records of all detections; crops of those that have a region."""
    mentions = mentions_of(text, citables(found), task.settings.labels)
    ids = _figure_ids(task.source.paper_id, found)
    indices = index_words(pages)
    records = []
    with atomic_write_dir(task.content_dir / CROPS_FOLDER / task.source.paper_id) as folder:
        for figure_id, figure, cited in zip(ids, found, mentions, strict=True):
            picture = None
            if figure.region is not None:
                picture = render_crop(
                    document,
                    figure.page_index,
                    figure.region,
                    dpi=task.settings.dpi,
                    longest_side=task.settings.longest_side,
                )
                (folder / f"{figure_id}.png").write_bytes(picture.png)
            records.append(_record(task, figure_id, figure, pages[figure.page_index], picture, cited, indices))
    return tuple(records)


def citables(found: Sequence[DetectedFigure]) -> list[Citable]:
    """Return the figures and tables of `found` that a paragraph can cite."""
    return [Citable(figure.figure_type, figure.name, figure.page_index + 1) for figure in found]


def _figure_ids(paper_id: str, found: Sequence[DetectedFigure]) -> list[str]:
    """Return `<paper_id>-figure-3`; a region without a caption is `<paper_id>-region-1`, and no two are the same."""
    ids: list[str] = []
    seen: Counter[str] = Counter()
    for figure in found:
        name = re.sub(r"[^a-z0-9]+", "-", figure.name.lower()).strip("-")
        stem = f"{paper_id}-{figure.figure_type.lower()}-{name}" if name else f"{paper_id}-region"
        seen[stem] += 1
        ids.append(f"{stem}-{seen[stem]}" if seen[stem] > 1 or not name else stem)
    return ids


def _record(
    task: ExtractionTask,
    figure_id: str,
    figure: DetectedFigure,
    page: PageText,
    picture: Crop | None,
    mentions: tuple[Mention, ...],
    indices: Mapping[str, str],
) -> FigureRecord:
    return FigureRecord(
        paper_id=task.source.paper_id,
        figure_id=figure_id,
        figure_type=figure.figure_type,
        name=figure.name,
        page=figure.page_index + 1,
        caption=figure.caption,
        caption_box=_rounded(figure.caption_box, page),
        region_box=_rounded(figure.region, page),
        crop=f"{CROPS_FOLDER}/{task.source.paper_id}/{figure_id}.png" if picture else None,
        crop_size=(picture.width, picture.height) if picture else None,
        dpi=max(1, round(picture.dpi * page.scale)) if picture else task.settings.dpi,
        kind=figure.kind,
        kind_score=round(figure.kind_score, 3),
        confidence=round(figure.confidence, 3),
        reason=figure.reason,
        figure_text="\n".join(label.text for label in figure.labels),
        text_boxes=tuple(_rounded_box(label.box, page) for label in figure.labels),
        hides_words=figure.hides_words,
        shows_words=figure.shows_words,
        indices=_indices_in(" ".join((figure.caption, *(mention.text for mention in mentions))), indices),
        panels=tuple(
            Panel(label=panel.label, box=_rounded(panel.box, page), caption=panel.caption) for panel in figure.panels
        ),
        mentions=mentions,
        text_sizes=_rounded_sizes(figure.text_sizes, page),
        grid=figure.grid,
    )


@dataclass(frozen=True, kw_only=True)
class RegionWords:
    """Words of the text layer inside a region, as `FigureRecord` has them."""

    labels: tuple[str, ...]
    boxes: tuple[BoxTuple, ...]
    sizes: tuple[tuple[float, int], ...]
    grid: TableGrid | None


def words_in(
    document: Document, region: Box, figure_type: FigureType, page: PageText, dehyphenator: Dehyphenator
) -> RegionWords:
    """Return the words inside a region of a page, such as one that a person has set."""
    lines = page.lines_in(region)
    labels = ordered_labels(figure_type, lines, dehyphenator)
    return RegionWords(
        labels=tuple(label.text for label in labels),
        boxes=tuple(_rounded_box(label.box, page) for label in labels),
        sizes=_rounded_sizes([(line.size, len(line.text.split())) for line in lines], page),
        grid=grid_in(document, region, figure_type, page),
    )


def _indices_in(text: str, indices: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    words = dict.fromkeys(core(word) for word in text.split())
    return tuple((word, indices[word]) for word in words if word in indices)


def _rounded(box: Box | None, page: PageText) -> BoxTuple | None:
    return None if box is None else _rounded_box(box, page)


def _rounded_box(box: Box, page: PageText) -> BoxTuple:
    box = page.as_shown(box)
    return round(box.x0, 1), round(box.top, 1), round(box.x1, 1), round(box.bottom, 1)


def _rounded_sizes(sizes: Sequence[tuple[float, int]], page: PageText) -> tuple[tuple[float, int], ...]:
    words: Counter[float] = Counter()
    for size, count in sizes:
        words[round(size / page.scale, 1)] += count
    return tuple(sorted(words.items()))


def _write_thumbnails(task: ExtractionTask, document: ThumbnailDocument, found: Sequence[DetectedFigure]) -> None:
    """Write `thumbnails/<paper_id>/<page>.jpg` of every page that something was found on."""
    with atomic_write_dir(task.content_dir / THUMBNAILS_FOLDER / task.source.paper_id) as folder:
        for index in sorted({figure.page_index for figure in found}):
            (folder / f"{index + 1}.jpg").write_bytes(document.thumbnail(index))


def share_without_role(texts: Sequence[PageText], detections: Detections) -> float:
    """Return the share of a paper's characters that belong neither to its text nor to a caption, figure or table."""
    total = unknown = 0
    for text, page in zip(texts, detections.pages, strict=True):
        for number, (line, role) in enumerate(zip(text.lines, page.roles, strict=True)):
            total += len(line.text)
            if role is Role.OTHER and number not in page.caption_lines:
                inside = any(region.overlap(line.box) > line.box.area / 2 for region in page.regions)
                unknown += 0 if inside else len(line.text)
    return unknown / total if total else 0.0
