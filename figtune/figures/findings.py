"""Figures and tables of a paper found: the one entry for whoever wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from figtune.figures.assignment import Usage, assign, usage_of
from figtune.figures.captions import Caption, find_captions
from figtune.figures.confidence import confidence_of
from figtune.figures.ink import Ink, PackedInk
from figtune.figures.kinds import KindEvidence, evidence_in, kind_of
from figtune.figures.orphans import find_orphans, may_hold_orphans
from figtune.figures.pair_features import features_of
from figtune.figures.panels import FoundPanel, find_panels, may_have_panels
from figtune.figures.records import FigureKind, FigureType
from figtune.figures.regions import propose_regions
from figtune.figures.roles import Role, page_roles
from figtune.figures.rules import long_rules
from figtune.figures.scene import set_scene
from figtune.figures.signals import Region
from figtune.figures.style import PaperStyle, style_of
from figtune.papers.box import Box
from figtune.papers.document import Document
from figtune.papers.hyphens import Vocabulary
from figtune.papers.page import PageText

_UNDECIDED = Usage("above", 0.0)
_NO_REGION = "no region found near the caption"
_NO_CAPTION = "no caption found for the region"
_BEYOND_INK = 0.5  # em by which a line's box may reach beyond its ink


@dataclass(frozen=True, slots=True)
class FoundFigure:
    """A figure or table of a paper; or a caption, or a region, that found no partner."""

    figure_type: FigureType
    name: str
    """As printed: "3", "A1". Empty for a region without a caption."""
    page_index: int
    """From 0."""
    caption: str
    """Whole, with its label. Empty for a region without a caption."""
    caption_box: Box | None
    region: Box | None
    """Tight to ink, in points. None for a caption without a region."""
    kind: FigureKind
    kind_score: float
    confidence: float
    """In [0, 1], 0 where either half is missing."""
    reason: str
    """Why a half is missing; empty otherwise."""
    text: str
    """The words inside the region, line by line."""
    panels: tuple[FoundPanel, ...]


@dataclass(frozen=True, slots=True)
class PageFindings:
    """What the lines of a page are for. Lines of captions and lines inside regions are no body text."""

    roles: tuple[Role, ...]
    """Of each line of the page's `PageText.lines`, by type and place alone."""
    caption_lines: frozenset[int]
    """Positions of the lines of captions."""
    regions: tuple[Box, ...]
    """Figures and tables, in points."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a paper holds."""

    figures: tuple[FoundFigure, ...]
    """By page, then from top to bottom."""
    pages: tuple[PageFindings, ...]
    style: PaperStyle


@dataclass(frozen=True, slots=True)
class _Draft:
    """A page between proposing and choosing. All pages wait for the paper's habits, so it holds no more than needed."""

    index: int
    roles: tuple[Role, ...]
    captions: tuple[Caption, ...]
    proposals: tuple[tuple[Region, ...], ...]
    cells: int
    tones: tuple[float, ...]
    """Of the page's images."""
    ink: PackedInk | None
    """None for a page of text alone, which need not be rendered."""


def find_figures(document: Document, texts: Sequence[PageText], vocabulary: Vocabulary) -> Findings:
    """All captioned figures and tables, captions without a region and regions without a caption.

    Args:
        document: open; pages are rendered from it.
        texts: `document.text(index)` of every page, in order.
        vocabulary: `vocabulary_of(texts)`.

    Raises:
        UnreadablePaperError: a page cannot be rendered.
    """
    style = style_of(texts)
    captions = find_captions(texts, style, vocabulary, lambda index: long_rules(document.graphics(index)))
    drafts = [_draft(document, text, _on_page(captions, text.index), style.on(text.index)) for text in texts]
    usages = _usages(drafts)
    figures: list[FoundFigure] = []
    pages: list[PageFindings] = []
    for draft, text in zip(drafts, texts, strict=True):
        chosen = _chosen(draft, [usages[caption.figure_type] for caption in draft.captions])
        found = list(_figures(document, text, draft, chosen, usages, style.on(text.index)))
        figures.extend(sorted(found, key=_reading_order))
        pages.append(
            PageFindings(
                draft.roles,
                frozenset(number for caption in draft.captions for number in caption.lines),
                tuple(figure.region for figure in found if figure.region is not None),
            )
        )
    return Findings(tuple(figures), tuple(pages), style)


def _on_page(captions: Sequence[Caption], index: int) -> list[Caption]:
    return [caption for caption in captions if caption.page_index == index]


def _draft(document: Document, text: PageText, captions: Sequence[Caption], style: PaperStyle) -> _Draft:
    graphics = document.graphics(text.index)
    if not captions and not may_hold_orphans(graphics):
        return _Draft(text.index, tuple(page_roles(text, style, graphics)), (), (), 0, (), None)
    scene = set_scene(document, text, graphics, captions, style)
    return _Draft(
        index=text.index,
        roles=scene.roles,
        captions=scene.captions,
        proposals=tuple(tuple(propose_regions(caption, scene)) for caption in scene.captions),
        cells=scene.ink.spread(scene.text.box),
        tones=scene.tones,
        ink=scene.ink.packed(),
    )


def _usages(drafts: Sequence[_Draft]) -> dict[FigureType, Usage]:
    first = [(draft.captions, _chosen(draft, [_UNDECIDED] * len(draft.captions))) for draft in drafts]
    return {"Figure": usage_of(first, "Figure"), "Table": usage_of(first, "Table")}


def _chosen(draft: _Draft, usages: Sequence[Usage]) -> list[Region | None]:
    return assign(draft.proposals, draft.cells, usages)


def _figures(
    document: Document,
    text: PageText,
    draft: _Draft,
    chosen: Sequence[Region | None],
    usages: dict[FigureType, Usage],
    style: PaperStyle,
) -> Iterator[FoundFigure]:
    """The figures of a page with everything said about them."""
    if draft.ink is None:
        return
    ink = Ink.unpacked(draft.ink)
    unclaimed = ink.copy()
    unclaimed.wipe(region.box for region in chosen if region is not None)
    graphics = document.graphics(draft.index)
    for caption, region, proposals in zip(draft.captions, chosen, draft.proposals, strict=True):
        if region is None:
            yield _without_region(caption)
        else:
            usage = usages[caption.figure_type]
            features = features_of(caption, region, proposals, usage, text.lines, draft.roles, style, unclaimed)
            confidence = confidence_of(caption.certainty, region.signals, features)
            evidence = evidence_in(region.box, caption.text, text.lines, graphics, draft.tones)
            yield _paired(document, text, caption, region, confidence, evidence, ink)
    for box in find_orphans(graphics, ink, [region.box for region in chosen if region is not None]):
        yield _without_caption(box, text, evidence_in(box, "", text.lines, graphics, draft.tones))


def _paired(
    document: Document,
    text: PageText,
    caption: Caption,
    region: Region,
    confidence: float,
    evidence: KindEvidence,
    ink: Ink,
) -> FoundFigure:
    kind, kind_score = kind_of(caption.figure_type, evidence)
    return FoundFigure(
        figure_type=caption.figure_type,
        name=caption.name,
        page_index=text.index,
        caption=caption.text,
        caption_box=caption.box,
        region=region.box,
        kind=kind,
        kind_score=kind_score,
        confidence=confidence,
        reason="",
        text=_text_in(region.box, text),
        panels=_panels(document, text, caption, region.box, ink),
    )


def _panels(document: Document, text: PageText, caption: Caption, region: Box, ink: Ink) -> tuple[FoundPanel, ...]:
    if caption.figure_type == "Table" or not may_have_panels(caption.text, region, text.lines):
        return ()
    return find_panels(caption.text, region, document.words(text), ink)


def _without_region(caption: Caption) -> FoundFigure:
    return FoundFigure(
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
        text="",
        panels=(),
    )


def _without_caption(box: Box, text: PageText, evidence: KindEvidence) -> FoundFigure:
    kind, kind_score = kind_of("Figure", evidence)
    return FoundFigure(
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
        text=_text_in(box, text),
        panels=(),
    )


def _text_in(region: Box, text: PageText) -> str:
    """Lines that lie inside the region, top to bottom, then left to right."""
    inside = [line for line in text.lines if line.text and region.contains(line.box, max(3, _BEYOND_INK * line.size))]
    inside.sort(key=lambda line: (round(line.baseline), line.box.x0))
    return "\n".join(line.text for line in inside)


def _reading_order(figure: FoundFigure) -> tuple[float, float, str, str]:
    box = figure.region or figure.caption_box
    top, x0 = (box.top, box.x0) if box else (0.0, 0.0)
    return top, x0, figure.figure_type, figure.name
