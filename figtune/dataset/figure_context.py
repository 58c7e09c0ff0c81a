"""Context of one figure: what the paper says of it, cleaned and sorted, ready for any task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from figtune.dataset.citing_text import CitingPassage, passages_about
from figtune.dataset.cleaning import CleanedText, clean
from figtune.dataset.components import complete_names, component_names
from figtune.dataset.figure_words import PrintedWords, panels_apart, printed_words
from figtune.dataset.panel_captions import PanelPart, panel_parts
from figtune.dataset.questions import FigureFacts, OtherCaption
from figtune.dataset.references import FigureRef, without_label
from figtune.dataset.sentence_assignment import SentenceShares, assign_sentences
from figtune.dataset.sentences import whole_sentences
from figtune.dataset.settings import PrepareSettings
from figtune.extraction.records import FigureKind, FigureRecord, Panel, PaperRecord, TableGrid


@dataclass(frozen=True, kw_only=True)
class FigureContext:
    """One figure with all that may be said of it."""

    ref: FigureRef
    kind: FigureKind
    title: str
    """Title of the paper."""
    caption: tuple[str, ...]
    """Sentences of the caption, without the label."""
    caption_in_prompt: str
    """The same, shortened at a sentence end to what a prompt may hold."""
    panels: tuple[PanelPart, ...]
    passages: tuple[CitingPassage, ...]
    """Sentences from citing paragraphs, direct ones first."""
    is_cited: bool
    """True if any paragraph cites the figure, even if cleaning removed all of it."""
    figure_text: str
    """The words inside the figure."""
    printed: tuple[PrintedWords, ...]
    """The same, as they are to be read, of the figure or of its panels."""
    has_headline: bool
    """True if the first sentence of the caption could be kept."""
    components: tuple[str, ...]
    """Names printed in the figure, in reading order."""
    is_architecture: bool
    shares: SentenceShares
    """Assignment of sentences to tasks."""
    facts: FigureFacts
    """Facts for questions."""
    grid: TableGrid | None
    """Cells of a table, where they are sure."""
    extra_context: tuple[tuple[str, str], ...]
    """Context, (name, value), that settings add to prompts of texts about the whole figure."""
    removed: Counter[str]
    """Fragments and sentences that cleaning took, by rule."""


def build_context(
    figure: FigureRecord,
    paper: PaperRecord,
    max_context_words: int,
    other_caption: OtherCaption | None = None,
    extra_context: tuple[tuple[str, str], ...] = (),
) -> FigureContext:
    """Read the texts around one figure.

    Args:
        max_context_words: how much of the caption a prompt may hold.
        extra_context: the field of that name.
        other_caption: of another figure of the paper.
    """
    ref = FigureRef(figure.figure_type, figure.name)
    write = _index_writer(dict(figure.indices))
    unlabelled = write(without_label(figure.caption, ref))
    caption = clean(unlabelled, ref)
    mentions = [replace(mention, text=write(mention.text)) for mention in figure.mentions]
    passages = passages_about(mentions, ref, f"{unlabelled} {figure.figure_text}")
    apart = panels_apart(figure)
    parts = [
        replace(panel, caption=write(panel.caption), box=panel.box if panel.label in apart else None)
        for panel in figure.panels
    ]
    panels = panel_parts(parts, unlabelled, ref)
    spoken = " ".join((unlabelled, *(mention.text for mention in mentions)))
    components = component_names(figure.figure_text, spoken)
    direct = [sentence for passage in passages.found if passage.direct for sentence in passage.sentences[:1]]
    drawn = is_architecture(
        figure.kind, caption.sentences, direct, components, has_text=bool(figure.figure_text.strip())
    )
    return FigureContext(
        ref=ref,
        kind=figure.kind,
        title=" ".join(paper.title.split()),
        caption=caption.sentences,
        caption_in_prompt=" ".join(whole_sentences(caption.sentences, max_context_words)),
        panels=panels,
        passages=passages.found,
        is_cited=bool(figure.mentions),
        figure_text=figure.figure_text,
        printed=printed_words(figure),
        has_headline=caption.has_headline,
        components=complete_names(figure.figure_text, components, spoken),
        is_architecture=drawn,
        shares=assign_sentences(
            caption.sentences,
            panels,
            passages.found,
            is_architecture=drawn,
            components=components,
            figure_text=figure.figure_text,
            caption_is_whole=not caption.has_gap,
        ),
        facts=_facts(figure, panels, headline_of(caption), other_caption, spoken),
        grid=figure.grid,
        extra_context=extra_context,
        removed=caption.removed + passages.removed,
    )


def _facts(
    figure: FigureRecord, panels: tuple[PanelPart, ...], headline: str, other_caption: OtherCaption | None, spoken: str
) -> FigureFacts:
    return FigureFacts(
        figure_id=figure.figure_id,
        kind=figure.kind,
        kind_score=figure.kind_score,
        panels=panels,
        panel_count=_sure_panels(figure.panels, figure.figure_text),
        figure_text=figure.figure_text,
        hides_words=figure.hides_words,
        shows_words=figure.shows_words,
        aspect=figure.crop_size[0] / figure.crop_size[1] if figure.crop_size else 0.0,
        caption=headline,
        other_caption=other_caption,
        spoken=spoken,
    )


def _index_writer(indices: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that writes words with a sub- or superscript as `FigureRecord.indices` has them."""
    if not indices:
        return str
    words = "|".join(re.escape(word) for word in sorted(indices, key=len, reverse=True))
    return partial(re.compile(rf"(?<!\w)(?:{words})(?!\w)").sub, lambda found: indices[found[0]])


def first_sentence(figure: FigureRecord) -> str:
    """Return the first sentence of a figure's caption, cleaned; nothing where it was lost."""
    ref = FigureRef(figure.figure_type, figure.name)
    write = _index_writer(dict(figure.indices))
    return headline_of(clean(write(without_label(figure.caption, ref)), ref))


def build_extra_context(
    figure: FigureRecord, other_captions: Iterable[str], settings: PrepareSettings
) -> tuple[tuple[str, str], ...]:
    """Return the context that settings add to prompts, each part with as many words as a caption at most.

    Args:
        other_captions: first sentences of the other captions of the paper.
    """
    most = settings.max_context_words
    words = figure.figure_text.split() if settings.figure_words else []
    others = tuple(other_captions) if settings.other_captions else ()
    return (
        (f"Words in the {figure.figure_type.lower()}", " ".join(words[:most])),
        ("Other captions", " ".join(whole_sentences(others, most))),
    )


def headline_of(caption: CleanedText) -> str:
    """Return the first sentence of a caption; nothing where it was lost."""
    return caption.sentences[0] if caption.has_headline and caption.sentences else ""


def _sure_panels(panels: Sequence[Panel], figure_text: str) -> int:
    """Return the number of panels, 0 where a box or a label of the row a, b, c is missing, or printed labels differ."""
    labels = [panel.label.strip("()[]. ").lower() for panel in panels]
    in_order = labels == [chr(ord("a") + place) for place in range(len(labels))]
    printed = {found[1].lower() for found in _PANEL_LABEL.finditer(figure_text)}
    following = chr(ord("a") + len(labels))
    is_sure = in_order and printed.issuperset(labels) and following not in printed
    return len(labels) if is_sure and all(panel.box is not None for panel in panels) else 0


_PANEL_LABEL = re.compile(r"(?:\(|(?m:^))([A-Za-z])(?:\)|(?m:\.?$))")
_NOUN = (
    r"(?:architectures?|pipelines?|frameworks?|workflows?|flow\s?charts?|networks?|modules?|schematics?|block\s+diagrams?|"
    r"encoders?|decoders?|branch(?:es)?|backbone|system|stages?|overview|detailed?\s+structures?|training\s+process|"
    r"(?:proposed|our)\s+(?:method|approach|model)|model\s+structure|blocks?|layers?|heads?|generators?|discriminators?)"
)
_HEADLINE = re.compile(
    r"(?i)(?:\b(?:architecture|pipeline|framework|workflow|flow\s?chart)\b|^(?:an?\s+|the\s+)?(?:\w+\s+){0,2}(?:overview|"
    r"schematic|block\s+diagram)\b)"
)
_SPOKEN = re.compile(rf"(?i)\b{_NOUN}\b")
_OTHERS = re.compile(
    r"(?i)\b(?:comparisons?|compared|results?|performance|ablations?|visuali[sz]ations?|visuali[sz]ing|accuracy|curves?|"
    r"heat\s?maps?|attention\s+maps?|activation\s+maps?|feature\s+maps?\s+of|matri(?:x|ces)|"
    r"histograms?|bar|charts?|plots?|t-?sne|umap|scatter|statistics|confusion|trade-?off|qualitative|"
    r"quantitative|failure|loss\s+landscape|versus|vs\.?|effects?\s+of|impact\s+of)\b"
)
_MATTER = re.compile(
    r"(?i)\b(?:examples?|samples?|distributions?|datasets?|motivation|similarity|scores?|error|number\s+of)\b"
)
"""Words of data, of which a headline that names an architecture may speak: "Pipeline of the dataset"."""
_FEWEST_NAMES = 3


def is_architecture(
    kind: FigureKind, caption: Sequence[str], spoken: Sequence[str], components: Sequence[str], *, has_text: bool
) -> bool:
    """Return True for a drawing of parts that work together.

    A diagram is one where its headline or a direct sentence about it speaks of parts, nothing in the headline speaks of
    results or data, and it names components; another kind only where its headline says so. A drawing saved as pixels
    has no names to read, so its headline has to say what it is.

    Args:
        spoken: sentences that have the figure as their matter.
        has_text: whether the figure has a text layer.
    """
    headline = caption[0] if caption else ""
    if kind == "table" or _OTHERS.search(headline):
        return False
    if _HEADLINE.search(headline):
        return True
    if not has_text or kind != "diagram" or len(components) < _FEWEST_NAMES or _MATTER.search(headline):
        return False
    return _SPOKEN.search(" ".join((*caption, *spoken))) is not None
