"""References to numbered things in running text: "Fig. 3(a)", "Tables 1 and 2"; and those to the figure at hand.

A target stands beside one picture and no paper: what points at that picture becomes "the figure" or "panel (a)", so
whatever reference is left points elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, partial

from figtune.extraction.records import FigureType

_HEADS: dict[FigureType, str] = {"Figure": r"(?i:fig(?:ure)?s?)\b\.?", "Table": r"(?i:tab(?:le)?s?)\b\.?"}
_APART = r"(?:(?i:supp(?:l(?:ement(?:ary|al))?)?\.?|extended\s+data)\s+)?"
"""Before the name of a figure of the supplement, "S3"; "Supplementary Fig. 3" is another one than Fig. 3."""
_NUMBER = r"(?:\d+|[A-Z]\.?\d+|[IVX]+\b)"
_PANELS = (
    r"(?:(?:\.?[a-hA-H](?![\w’'])|\s[A-H](?=\s*[),;])|\s?[-–.]?\s?\([a-hA-H](?:\s?[-–,&]\s?[a-hA-H])*\))"
    r"(?:\s?(?:[-–,&]|and)\s?(?:\([a-hA-H]\)|[b-hB-H]\b))*)"
)
_ROWS = r"(?:rows?|columns?|cols?\.?|halves|half|part|side|panels?|plots?|block|subfigures?)"
_PLACE = (
    r"(?:(?:left|right|top|bottom|middle|cent(?:er|re)|upper|lower)(?:[- ]?(?:left|right|most))?"
    rf"(?:\s?/\s?(?:left|right|top|bottom|middle|cent(?:er|re)))?(?:\s+{_ROWS})?|(?:first|second|third|fourth|last|1st|2nd|3rd|4th)\s+{_ROWS})"
)
_ASIDE_OPENING = (
    r"(?i:(?:please\s+)?(?:also\s+)?(?:see|refer\s+to|cf\.?|c\.f\.|as\s+\w+\s+in|as\s+in|shown\s+in|\w+ed\s+in|in|e\.g\.,?|"
    r"i\.e\.,?)\s+)?"
)
_SHOWN = (
    r"(?:shown|depicted|illustrated|presented|given|displayed|visuali[sz]ed|sketched|plotted|pictured|drawn|outlined)"
)
_EXAMPLE = r"(?:\w+\s+){0,2}(?:examples?|illustrations?|visuali[sz]ations?|samples?)"
_IN_PASSING = (
    rf"(?:,\s+(?:which\s+(?:is|are)\s+)?(?:also\s+)?{_SHOWN}\s+(?:in|by)|"
    rf",?\s+with\s+{_EXAMPLE}\s+(?:being\s+)?{_SHOWN}\s+in)\s+(?:the\s+)?"
)
"""`Our model, shown in Fig. 3, reads ...`: what is said is said of the model."""
_LIKE = (
    r"(?i:\b(?:similar(?:ly)?|analogous|identical|equivalent|comparable|akin|like|consistent|in\s+line|same\s+\w+)\s+"
    r"(?:to|with|as|the|those|that)\b)"
)
_INVITATION = re.compile(r"\s*\(\s*(?i:(?:please|see|refer\s+to|cf\.|c\.f\.|check)\b)[^()]*(?:\([^()]*\)[^()]*)*\)")
"""An aside that sends the reader somewhere, up to its last bracket."""


@dataclass(frozen=True)
class FigureRef:
    """The figure or table that a text may refer to."""

    figure_type: FigureType
    name: str
    """Name as printed: "3", "A1"."""

    @property
    def noun(self) -> str:
        """Noun for it: "figure" or "table"."""
        return self.figure_type.lower()


def without_label(caption: str, ref: FigureRef) -> str:
    """Cut the label off: `Figure 3. Overview.` -> `Overview.`"""
    found = _label(ref).match(caption)
    return caption[found.end() :] if found else caption.strip()


@lru_cache(maxsize=64)
def _label(ref: FigureRef) -> re.Pattern[str]:
    return re.compile(
        rf"\s*{_HEADS[ref.figure_type]}\s*{re.escape(ref.name)}(?!\w)(?!\.\d)\s*[.:|—–-]?\s*", re.IGNORECASE
    )


def cited_names(sentence: str, figure_type: FigureType) -> set[str]:
    """Return the names of the figures, or tables, that a sentence refers to; a range counts with its ends."""
    references = _references(figure_type).finditer(sentence)
    return {name for found in references for name in re.findall(_NUMBER, found[0])}


def is_main_subject(sentence: str, ref: FigureRef) -> bool:
    """Return True if the main clause is about the figure, rather than a remark in brackets or after a comma."""
    outside = re.sub(r"\([^()]*(?:\([^()]*\)[^()]*)*\)|,\s*(?:see|cf\.)[^,]*$", " ", _panels_bare(sentence))
    # "Our model, shown in Fig. 3, reads ..." speaks of the figure; "we modify our model, shown in Fig. 3." need not.
    return ref.name in cited_names(_self_references(ref).remark.sub(" ", outside), ref.figure_type)


def likens(sentence: str, ref: FigureRef) -> bool:
    """Return True if what the sentence is about is only likened to the figure: "similar to that on cars (Fig. 3)"."""
    return _self_references(ref).likened.search(sentence) is not None


def normalize_self_references(sentence: str, ref: FigureRef) -> str:
    """Return the sentence with references to the subject put as "the figure" or "panel (a)", without asides to it."""
    patterns = _self_references(ref)
    if not patterns.bare.search(sentence):
        return sentence
    sentence = patterns.passing.sub(_panels_aside, patterns.pointer.sub("", patterns.aside.sub(_aside, sentence)))
    sentence = _INVITATION.sub(lambda found: "" if patterns.bare.search(found[0]) else found[0], sentence)
    return patterns.plain.sub(partial(_plainly, ref.noun), sentence)


@dataclass(frozen=True, kw_only=True)
class _SelfReferences:
    """Ways to refer to a figure."""

    bare: re.Pattern[str]
    aside: re.Pattern[str]
    pointer: re.Pattern[str]
    passing: re.Pattern[str]
    plain: re.Pattern[str]
    remark: re.Pattern[str]
    likened: re.Pattern[str]


@lru_cache(maxsize=64)
def _self_references(ref: FigureRef) -> _SelfReferences:
    """Compile once for each name: figures of all papers have the same few, and compiling takes longer than searching a
    paper's sentences."""
    reference = _one_reference(ref)
    return _SelfReferences(
        bare=re.compile(reference),
        aside=re.compile(
            rf"\s*\(\s*{_ASIDE_OPENING}(?:the\s+)?{reference}(?:[,\s]*\(?(?P<place>{_PLACE})\)?(?P<versus>\s+vs?\.?\s+{_PLACE})?)?(?:\s+for\s[^()]*)?\)"
        ),
        pointer=re.compile(rf",?\s*(?:\bsee\b|\bcf\.)\s+{reference}(?=\s*[.;,)]|$)"),
        passing=re.compile(rf"{_IN_PASSING}{reference}(?:,(?=\s)|(?=\s*[.;)]|$))"),
        plain=re.compile(
            rf"(?:\b[Tt]he\s+)?{reference}(?:(?P<set_off>,)?\s*\(?\b(?P<place>(?i:{_PLACE}))\b\)?(?(set_off)(?P<after>,(?=\s))?))?"
        ),
        remark=re.compile(rf"{_IN_PASSING}{reference}(?=\s*[.;)]|$)"),
        likened=re.compile(rf"{_LIKE}[^.,;:]{{0,80}}?{reference}"),
    )


@lru_cache(maxsize=2)
def _references(figure_type: FigureType) -> re.Pattern[str]:
    """Return every reference to things of a type, lists and ranges included."""
    head = _HEADS[figure_type]
    item = rf"{_NUMBER}{_PANELS}?"
    joint = rf"\s*(?:,\s*and|,|and|&|-|–|to|or)\s*(?:{head}\s*)?"
    return re.compile(rf"\b{head}\s*{item}(?:{joint}{item})*")


def _one_reference(ref: FigureRef) -> str:
    apart = _APART if ref.name[0].isalpha() else ""
    name = re.escape(ref.name)
    again = rf"\s*(?:,\s*and|,|and|&|-|–|to)\s*{name}\s?\(?[a-hA-H]\)?(?!\w)"
    return rf"\b{apart}{_HEADS[ref.figure_type]}\s*{name}(?P<panels>{_PANELS}(?:{again})*)?(?![\w])(?!\.\d)"


def _panels_bare(sentence: str) -> str:
    """Rewrite `Fig. 3(a)` and `Fig. 3 (a)` -> `Fig. 3a`, so that brackets left are asides."""
    return re.sub(r"(?<=\d)\s?\(([a-hA-H])\)", r"\1", sentence)


def _panels_aside(found: re.Match[str]) -> str:
    return f" ({_panels(found['panels'], brackets=False)})" if found["panels"] else ""


def _aside(found: re.Match[str]) -> str:
    if found["panels"]:
        return _panels_aside(found)
    return f" ({found['place'].lower()}{(found['versus'] or '').lower()})" if found["place"] else ""


def _plainly(noun: str, found: re.Match[str]) -> str:
    named = _panels(found["panels"], brackets=True) if found["panels"] else f"the {noun}"
    if not found["place"]:
        return named
    # "Figure 2, left, shows" has no comma before its verb any more; "In Figure 2, left, we" keeps it.
    comma = "," if found["after"] and found.start() else ""
    return f"{named} ({found['place'].lower()}){comma}"


def _panels(text: str, *, brackets: bool) -> str:
    """`(a)-(c)` -> `panels (a) to (c)`"""
    letters = re.findall(r"(?<![^\W\d_])[a-hA-H](?!\w)", text)
    named = [f"({letter})" if brackets else letter for letter in letters]
    if len(named) == 1:
        return f"panel {named[0]}"
    last_joint = "to" if re.search(r"[-–]", text) else "and"
    return f"panels {', '.join(named[:-1])} {last_joint} {named[-1]}"
