"""Detection of the figures and tables of a paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from figtune.extraction.records import FigureKind, FigureType, TableGrid
from figtune.figures.captions import Caption, find_captions
from figtune.figures.figure_kind import KindFeatures, kind_features, kind_of
from figtune.figures.figure_labels import FigureLabel, ordered_labels
from figtune.figures.foreground_mask import CompressedMask, ForegroundMask
from figtune.figures.matching import (
    SidePrior,
    assign,
    estimate_side_prior,
    find_uncaptioned_regions,
    may_hold_uncaptioned_regions,
)
from figtune.figures.page_context import build_page_context
from figtune.figures.pair_features import confidence_of, pair_features
from figtune.figures.panels import DetectedPanel, find_panels, may_have_panels
from figtune.figures.region_candidates import propose_candidates
from figtune.figures.scoring import Region
from figtune.figures.table_grid import table_grid
from figtune.figures.word_visibility import INK_DPI, hides_words, shows_words
from figtune.layout.caption_labels import ANY_LABEL, CaptionLabels
from figtune.layout.line_roles import Role, page_roles
from figtune.layout.ruling_lines import long_rules
from figtune.layout.style import PaperStyle, style_of
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageText
from figtune.pdf.text_cleanup import Dehyphenator

_UNDECIDED = SidePrior("above", 0.0)
_NO_REGION = "no region found near the caption"
_NO_CAPTION = "no caption found for the region"
_ACROSS_THE_EDGE = 0.3  # of a line's area


@dataclass(frozen=True, slots=True)
class DetectedFigure:
    """A figure or table of a paper; or a caption, or a region, that found no partner."""

    figure_type: FigureType
    name: str
    """Name as printed: "3", "A1". Empty for a region without a caption."""
    page_index: int
    """Number from 0."""
    caption: str
    """Whole, with its label. Empty for a region without a caption."""
    caption_box: Box | None
    region: Box | None
    """Tight to ink, in points. None for a caption without a region."""
    kind: FigureKind
    kind_score: float
    confidence: float
    """Probability in [0, 1], 0 where either half is missing."""
    reason: str = ""
    """Reason for a missing caption or region; empty otherwise."""
    labels: tuple[FigureLabel, ...] = ()
    """Words inside the region, in reading order."""
    hides_words: bool = False
    """True if it may hold words that the text layer lacks."""
    shows_words: bool = False
    """True if the labels are for certain what is printed in it; asked of diagrams and plots only."""
    text_sizes: tuple[tuple[float, int], ...] = ()
    """Type sizes in points and the number of words of each, the smallest first."""
    panels: tuple[DetectedPanel, ...] = ()
    grid: TableGrid | None = None
    """Cells of a table, where they are sure."""


@dataclass(frozen=True, slots=True)
class PageDetections:
    """Roles of the lines of a page. Lines of captions and lines inside regions are no body text."""

    roles: tuple[Role, ...]
    """Role of each line of the page's `PageText.lines`, by type and place alone."""
    caption_lines: frozenset[int]
    """Positions of the lines of captions."""
    regions: tuple[Box, ...]
    """Figures and tables, in points."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Figures and tables of a paper, and its body style."""

    figures: tuple[DetectedFigure, ...]
    """Figures by page, then from top to bottom."""
    pages: tuple[PageDetections, ...]
    style: PaperStyle


@dataclass(frozen=True, slots=True)
class _PageCandidates:
    """A page between proposing and choosing. All pages wait for the paper's habits, so it holds no more than needed."""

    index: int
    roles: tuple[Role, ...]
    captions: tuple[Caption, ...]
    proposals: tuple[tuple[Region, ...], ...]
    cells: int
    photo_scores: tuple[float, ...]
    """Photo score of each image of the page."""
    foreground: CompressedMask | None
    """None for a page of text alone, which need not be rendered."""


def detect_figures(
    document: Document, texts: Sequence[PageText], dehyphenator: Dehyphenator, labels: CaptionLabels = ANY_LABEL
) -> Detections:
    """Return all captioned figures and tables, captions without a region and regions without a caption.

    Args:
        document: open; pages are rendered from it.
        texts: `document.text(index)` of every page, in order.
        dehyphenator: `dehyphenator_for(texts)`.
        labels: that captions begin with.

    Raises:
        UnreadablePaperError: a page cannot be rendered.
    """
    style = style_of(texts)
    captions = find_captions(texts, style, dehyphenator, lambda index: long_rules(document.graphics(index)), labels)
    all_candidates = [
        _page_candidates(document, text, _on_page(captions, text.index), style.on(text.index)) for text in texts
    ]
    side_priors = _side_priors(all_candidates)
    frame = _with_captions(style, captions)
    figures: list[DetectedFigure] = []
    pages: list[PageDetections] = []
    for page_candidates, text in zip(all_candidates, texts, strict=True):
        chosen = _matched_regions(
            page_candidates, [side_priors[caption.figure_type] for caption in page_candidates.captions]
        )
        found = list(_figures(document, text, page_candidates, chosen, side_priors, frame.on(text.index), dehyphenator))
        figures.extend(sorted(found, key=_reading_order))
        pages.append(
            PageDetections(
                page_candidates.roles,
                frozenset(number for caption in page_candidates.captions for number in caption.lines),
                tuple(figure.region for figure in found if figure.region is not None),
            )
        )
    return Detections(tuple(figures), tuple(pages), style)


def _with_captions(style: PaperStyle, captions: Sequence[Caption]) -> PaperStyle:
    """Extend the body's top and bottom to the captions: in a paper of few pages each may begin or end with a float."""
    return replace(
        style,
        top=min([style.top, *(caption.box.top for caption in captions)]),
        bottom=max([style.bottom, *(caption.box.bottom for caption in captions)]),
    )


def _on_page(captions: Sequence[Caption], index: int) -> list[Caption]:
    return [caption for caption in captions if caption.page_index == index]


def _page_candidates(
    document: Document, text: PageText, captions: Sequence[Caption], style: PaperStyle
) -> _PageCandidates:
    graphics = document.graphics(text.index)
    if not captions and not may_hold_uncaptioned_regions(graphics):
        return _PageCandidates(text.index, tuple(page_roles(text, style, graphics)), (), (), 0, (), None)
    context = build_page_context(document, text, graphics, captions, style)
    return _PageCandidates(
        index=text.index,
        roles=context.roles,
        captions=context.captions,
        proposals=tuple(tuple(propose_candidates(caption, context)) for caption in context.captions),
        cells=context.foreground.occupied_cells(context.text.box),
        photo_scores=context.photo_scores,
        foreground=context.foreground.compress(),
    )


def _side_priors(all_candidates: Sequence[_PageCandidates]) -> dict[FigureType, SidePrior]:
    first = [
        (page_candidates.captions, _matched_regions(page_candidates, [_UNDECIDED] * len(page_candidates.captions)))
        for page_candidates in all_candidates
    ]
    return {"Figure": estimate_side_prior(first, "Figure"), "Table": estimate_side_prior(first, "Table")}


def _matched_regions(page_candidates: _PageCandidates, side_priors: Sequence[SidePrior]) -> list[Region | None]:
    return assign(page_candidates.proposals, page_candidates.cells, side_priors)


def _figures(
    document: Document,
    text: PageText,
    page_candidates: _PageCandidates,
    chosen: Sequence[Region | None],
    side_priors: dict[FigureType, SidePrior],
    style: PaperStyle,
    dehyphenator: Dehyphenator,
) -> Iterator[DetectedFigure]:
    """Yield the figures of a page with everything said about them."""
    if page_candidates.foreground is None:
        return
    foreground = ForegroundMask.decompress(page_candidates.foreground)
    unclaimed = foreground.copy()
    unclaimed.erase(region.box for region in chosen if region is not None)
    graphics = document.graphics(page_candidates.index)
    for caption, region, proposals in zip(page_candidates.captions, chosen, page_candidates.proposals, strict=True):
        if region is None:
            yield _without_region(caption)
        else:
            side_prior = side_priors[caption.figure_type]
            pair = pair_features(
                caption, region, proposals, side_prior, text.lines, page_candidates.roles, style, unclaimed
            )
            confidence = confidence_of(caption.certainty, region.features, pair)
            labels = ordered_labels(caption.figure_type, text.lines_in(region.box), dehyphenator)
            texts = [label.text for label in labels]
            features = kind_features(region.box, caption.text, texts, graphics, page_candidates.photo_scores)
            kind = kind_of(caption.figure_type, features)
            yield _paired(
                document,
                text,
                caption,
                region,
                confidence,
                kind,
                labels,
                page_candidates.photo_scores,
                foreground,
                dehyphenator,
            )
    for box in find_uncaptioned_regions(graphics, foreground, [region.box for region in chosen if region is not None]):
        labels = ordered_labels("Figure", text.lines_in(box), dehyphenator)
        texts = [label.text for label in labels]
        features = kind_features(box, "", texts, graphics, page_candidates.photo_scores)
        yield _without_caption(box, text, features, labels)


def _paired(
    document: Document,
    text: PageText,
    caption: Caption,
    region: Region,
    confidence: float,
    kind: tuple[FigureKind, float],
    labels: tuple[FigureLabel, ...],
    photo_scores: Sequence[float],
    foreground: ForegroundMask,
    dehyphenator: Dehyphenator,
) -> DetectedFigure:
    graphics = document.graphics(text.index)
    lines = text.lines_in(region.box)
    pictures = list(zip(graphics.images, photo_scores, strict=True))
    hides = _loses_words(region.box, text) or hides_words(region.box, pictures, graphics.drawings)
    ink = partial(document.text_ink, text.index, region.box, INK_DPI)
    return DetectedFigure(
        figure_type=caption.figure_type,
        name=caption.name,
        page_index=text.index,
        caption=caption.text,
        caption_box=caption.box,
        region=region.box,
        kind=kind[0],
        kind_score=kind[1],
        confidence=confidence,
        labels=labels,
        hides_words=hides,
        shows_words=not hides
        and kind[0] in ("diagram", "plot")
        and shows_words(region.box, lines, pictures, graphics.drawings, ink),
        text_sizes=_sizes_of(lines),
        panels=_panels(document, text, caption, region.box, foreground, dehyphenator),
        grid=grid_in(document, region.box, caption.figure_type, text),
    )


def grid_in(document: Document, region: Box, figure_type: FigureType, text: PageText) -> TableGrid | None:
    """Return the grid of a table in a region of a page; None for a figure, and where it is unsure."""
    if figure_type == "Figure":
        return None
    return table_grid(region, document.words(text), text, document.graphics(text.index).drawings)


def _panels(
    document: Document,
    text: PageText,
    caption: Caption,
    region: Box,
    foreground: ForegroundMask,
    dehyphenator: Dehyphenator,
) -> tuple[DetectedPanel, ...]:
    if caption.figure_type == "Table" or not may_have_panels(caption.text, region, text.lines):
        return ()
    return find_panels(caption.text, region, document.words(text), foreground, dehyphenator)


def _without_region(caption: Caption) -> DetectedFigure:
    return DetectedFigure(
        figure_type=caption.figure_type,
        name=caption.name,
        page_index=caption.page_index,
        caption=caption.text,
        caption_box=caption.box,
        region=None,
        kind="table" if caption.figure_type == "Table" else "mixed",
        kind_score=0.0,
        confidence=0.0,
        reason=_NO_REGION,
    )


def _without_caption(
    box: Box, text: PageText, features: KindFeatures, labels: tuple[FigureLabel, ...]
) -> DetectedFigure:
    kind, kind_score = kind_of("Figure", features)
    return DetectedFigure(
        figure_type="Figure",
        name="",
        page_index=text.index,
        caption="",
        caption_box=None,
        region=box,
        kind=kind,
        kind_score=kind_score,
        confidence=0.0,
        reason=_NO_CAPTION,
        labels=labels,
        hides_words=True,
        text_sizes=_sizes_of(text.lines_in(box)),
    )


def _loses_words(region: Box, text: PageText) -> bool:
    """Return True if a line in or across the edge of the region is not whole."""
    inside = {id(line) for line in text.lines_in(region)}
    return any(
        line.incomplete if id(line) in inside else region.overlap(line.box) > _ACROSS_THE_EDGE * line.box.area
        for line in text.lines
        if line.text
    )


def _sizes_of(lines: Sequence[Line]) -> tuple[tuple[float, int], ...]:
    words: Counter[float] = Counter()
    for line in lines:
        words[line.size] += len(line.text.split())
    return tuple(sorted(words.items()))


def _reading_order(figure: DetectedFigure) -> tuple[float, float, str, str]:
    box = figure.region or figure.caption_box
    top, x0 = (box.top, box.x0) if box else (0.0, 0.0)
    return top, x0, figure.figure_type, figure.name
