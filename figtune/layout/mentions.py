"""Mentions: the body paragraphs that cite a figure or table, in whatever form.

"Figs. 3 and 4", "Figures 2-4", "Fig. 3(b)", "(see Fig. 5a)", "Abbildungen 3 und 4" and "如图3" all cite;
"Fig. 3 of [12]" does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from figtune.extraction.records import FigureType, Mention, PaperText
from figtune.layout.caption_labels import ANY_LABEL, CaptionLabels

FigureKey = tuple[FigureType, str]
"""Type and name of a figure, the name without dots: `("Figure", "3")`."""

_PREFIX = r"(?:(?P<prefix>Extended Data|Supplementary|Supplemental|Appendix)\s)?"
_ENGLISH = frozenset(("figure", "fig", "table", "tab"))
_ABBREVIATED = 3  # letters: "Abb", "Рис"
_SHORTEST_STEM = 5  # letters
_IDEOGRAPH = re.compile("[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_PANEL_NAME = re.compile(r"(?P<figure>.*\d)(?:[a-zA-Z]|\([a-zA-Z]\))$")
_NAME = re.compile(r"(?:[A-Z]\.?)?\d{1,4}(?:\.\d{1,2})*(?!\d)|[IVX]+\b|[A-Z]\b")
_PANEL = re.compile(
    r"\s?\([a-zA-Z0-9](?:\s?[-–,&]\s?[a-zA-Z0-9])*\)"
    r"|[a-h](?:\s?[-–,]\s?[a-h])*\b"
    r"|\s\((?:left|right|top|bottom|middle|center|upper|lower)\b[^()]{0,20}\)"
)
_AND = r"&|[和与及と]|\b(?:and|or|und|oder|et|ou|y|e|и)\b"
_JOINT = re.compile(rf"(?P<range>\s?(?:[-–—~]|\bto\b)\s?)|(?P<comma>,\s?)?(?:\s?(?:{_AND})\s?)?")
_ELSEWHERE = re.compile(r"\s?(?:of|in|from)\s(?:\[|(?:the\s|our\s)?supp)")
_LONGEST_RANGE = 30
_CONTINUED = 1  # page: figures of one name this near to each other are parts of one figure


class Citable(NamedTuple):
    """A figure or table that a paragraph can cite."""

    figure_type: FigureType
    name: str
    """Name as in its caption; empty for a figure that has none, which nothing cites."""
    page: int


def mentions_of(
    text: PaperText, figures: Sequence[Citable], labels: CaptionLabels = ANY_LABEL
) -> list[tuple[Mention, ...]]:
    """Return for each of `figures` the paragraphs of `text` that cite it, in reading order.

    Where several have one name, as in the papers of a volume, a paragraph cites the one nearest to it.

    Args:
        labels: those that captions begin with; text has them in other forms too ("Abbildungen 3 und 4").
    """
    known: dict[FigureKey, list[int]] = {}
    for number, figure in enumerate(figures):
        if figure.name:
            known.setdefault((figure.figure_type, _plain(figure.name)), []).append(number)
    for number, figure in enumerate(figures):
        # "Fig. 1(a)" and "Fig. 1" cite a panel that has a caption of its own, where no figure has the name alone.
        panel = _PANEL_NAME.match(_plain(figure.name))
        whole = (figure.figure_type, panel["figure"]) if panel else None
        if whole and not any(figures[other].name == whole[1] for other in known.get(whole, ())):
            known.setdefault(whole, []).append(number)
    found: list[list[Mention]] = [[] for _ in figures]
    for section in text.sections:
        for paragraph in section.paragraphs:
            mention = Mention(page=paragraph.page, section=section.heading, text=paragraph.text)
            for key in dict.fromkeys(cited_in(paragraph.text, labels)):
                for number in _nearest(_named(key, known), figures, paragraph.page):
                    found[number].append(mention)
    return [tuple(mentions) for mentions in found]


def _named(key: FigureKey, known: Mapping[FigureKey, list[int]]) -> Sequence[int]:
    """Return the figures of one name. "Supplementary Fig. S2" is also what a caption calls "Figure S2"."""
    figure_type, name = key
    last = name.rsplit(" ", 1)[-1]
    if key in known or not last[:1].isalpha():
        return known.get(key, ())
    return known.get((figure_type, last), ())


def _nearest(numbers: Sequence[int], figures: Sequence[Citable], page: int) -> Sequence[int]:
    """Return those of the figures with one name that are nearest to a page, and those that continue them."""
    if len(numbers) < 2:
        return numbers
    nearest = min((figures[number].page for number in numbers), key=lambda other: abs(other - page))
    return [number for number in numbers if abs(figures[number].page - nearest) <= _CONTINUED]


def cited_in(text: str, labels: CaptionLabels = ANY_LABEL) -> Iterator[FigureKey]:
    """Yield every figure and table that `text` cites, in order, with ranges written out and dots in names dropped."""
    for label in _label_pattern(labels).finditer(text):
        kind: FigureType = "Figure" if label["figure"] else "Table"
        prefix = f"{label['prefix']} " if label["prefix"] else ""
        names, end = _names_at(text, label.end(), plural=label["plural"] is not None)
        if not _ELSEWHERE.match(text, end):
            yield from ((kind, prefix + name) for name in names)


@lru_cache(maxsize=8)
def _label_pattern(labels: CaptionLabels) -> re.Pattern[str]:
    words = (*labels.figure, *labels.table)
    # Looked at first: most words of a text begin with none of these.
    initials = re.escape("".join(sorted({form for word in words for form in (word[0].lower(), word[0].upper())})))
    signs = "".join(word[0] for word in words if _IDEOGRAPH.search(word))
    return re.compile(
        rf"{_start(signs)}{_PREFIX}(?=[{initials}])"
        rf"(?:(?P<figure>{_any_form(labels.figure)})|(?P<table>{_any_form(labels.table)}))"
        r"(?P<plural>(?<=[a-z])s)?(?![^\W\d_])\.?\s?",
        re.IGNORECASE,
    )


def _start(signs: str) -> str:
    """Return a pattern of where a label may begin: at a word's beginning, or anywhere if it is one of these signs."""
    return rf"(?:\b|(?=[{signs}]))" if signs else r"\b"


def _any_form(labels: Sequence[str]) -> str:
    return "|".join(map(_forms, sorted(labels, key=len, reverse=True)))


def _forms(label: str) -> str:
    """Return a pattern of the forms that a label takes within a sentence.

    English ones take an s; others end in a few other letters, the longer the word the more: "Tabelle", "Tabellen";
    "Рисунок", "рисунков".
    """
    if _IDEOGRAPH.search(label) or label.lower() in _ENGLISH or len(label) <= _ABBREVIATED:
        return re.escape(label)
    stem = label[: max(_SHORTEST_STEM, len(label) - 2)]
    if stem.lower() in _ENGLISH:  # of "Tableau"
        stem = label
    return rf"{re.escape(stem)}[^\W\d_]{{0,4}}"


def _names_at(text: str, position: int, *, plural: bool) -> tuple[list[str], int]:
    """Return the names listed from `position` on, and where the list ends."""
    names: list[str] = []
    in_range = False
    end = position
    while match := _NAME.match(text, position):
        name = _plain(match[0])
        names += _between(names[-1], name) if in_range else []
        names.append(name)
        end = position = _past_panels(text, match.end())
        joint = _JOINT.match(text, position)
        # After a lone label a bare comma begins a clause: "as in Fig. 3, 4 heads suffice".
        if joint is None or not joint[0] or (joint["comma"] and joint[0].strip() == "," and not plural):
            break
        in_range = joint["range"] is not None
        position = joint.end()
    return names, end


def _past_panels(text: str, position: int) -> int:
    """Return where the panels named after a figure's name end: "(b)", "(a)-(c)", "a", "a, b"."""
    while match := _PANEL.match(text, position):
        position = match.end()
        joint = _JOINT.match(text, position)
        if joint is None or not _PANEL.match(text, joint.end()):
            break
        position = joint.end()
    return position


def _between(first: str, last: str) -> list[str]:
    """Return names strictly between the ends of a range."""
    if first.isdigit() and last.isdigit() and 0 < int(last) - int(first) <= _LONGEST_RANGE:
        return [str(number) for number in range(int(first) + 1, int(last))]
    return []


def _plain(name: str) -> str:
    return name.replace(".", "")
