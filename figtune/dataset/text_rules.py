"""The rules that keep out of a target what its reader can neither see nor know, by name.

A target stands beside one picture and a short prompt. Numbers of citations, sections, equations and tables, other
figures, supplements, footnotes and addresses mean nothing there, so they are taken out where the sentence stands
without them, and the sentence is dropped where it does not.

Rules work on one sentence, in the order of `RULES`. References to the figure at hand have been put as "the figure"
before (see references.py), so every "Fig. 7" left is another figure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from figtune.dataset.vocabulary import NOUN_WANTED_AFTER

Action = Literal["drop", "replace"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Something that must not be in a target, and what is done about it."""

    name: str
    """Name in stats.json; rules that catch the same thing in different places share it."""
    pattern: re.Pattern[str]
    action: Action
    """Replace what matches, or drop the whole sentence."""
    replacement: str = ""

    @property
    def signs(self) -> tuple[str, ...]:
        """Texts one of which stands, in whatever case, in every sentence that the pattern matches: it takes much longer
        to search than they."""
        return _SIGNS.get(self.name, ("",))


_SIGNS: dict[str, tuple[str, ...]] = {
    "display_equation": (*"=≤≥≈∈∼∝←→⊙", "follow"),
    "flattened_formula": ("=",),
    "latex_source": ("\\",),
    "address": ("http", "www.", "github", ".com/", ".org/", ".net/", ".io", ".ai/", ".edu/", "available"),
    **dict.fromkeys(
        ("citation", "citation_as_subject", "citation_as_noun"), ("[", "et al", "19", "20", "prior work", "ref")
    ),
    "footnote_mark": (*"†‡§¶", *map(str, range(10))),
    "viewing_advice": ("view", "seen", "zoom", "enlarge"),
    "section_reference": ("sec", "chapter", "§"),
    "supplement_reference": ("sup", "appendi", "appx", "project"),
    "equation_reference": ("eq",),
    "statement_reference": (
        *("alg", "theorem", "thm", "lemma", "prop", "corollar", "definition", "problem", "assumption", "remark"),
        "observation",
    ),
    "table_reference": ("tab",),
    "other_figure_reference": ("fig", "same", "similar"),
    "text_reference": (
        *("detail", "text", "paper", "section", "paragraph", "chapter", "as ", "below", "above", "page"),
    ),
    "bare_pointer": ("refer", "reader", "see", "cf."),
    "about_the_paper": (
        *("online", "source", "courtesy", "credit", "permission", "cc", "creative", "©", "copyright", "about"),
        *("outline", "elaborate", "recap", "rest", "remainder", "section", "through", "consent", "contribution"),
        "follows",
    ),
    "future_work": ("future", "explor", "investigat", "stud", "remain", "experiment", "arises"),
}
"""Signs of the rules, by name. See `Rule.signs`."""
_NUMBER = r"\(?(?:\d+(?:\.\d+)*|[A-Z](?:\.?\d+)*|[IVX]+)\)?(?![\w-])"
_DIGITS = r"\(?[A-Z]?\.?\d+(?:\.\d+)*\)?[a-z]?(?!\w)"
_JOINT = r"\s*(?:,\s*and|,|and|&|-|–|to|or)\s*"


def _numbered(head: str, number: str = _NUMBER) -> str:
    """Return the pattern of a reference such as `Sec. 3.1 and 3.2`."""
    return rf"\b(?:{head})\b\.?\s*{number}(?:{_JOINT}(?:(?:{head})\b\.?\s*)?{_DIGITS})*"


_SECTION = rf"(?:{_numbered(r'(?i:sections?|secs?|sects?|subsections?|chapters?)')}|§+\s*\d[\d.]*)"
_APPENDIX = (
    r"(?:(?:the|our|its)\s+)?(?i:supplement(?:ary|al|aries)?|supp(?:l|lem)?\b\.?|sup\b\.?(?=\s*mat)|appendi(?:x|ces)|appx\b\.?|project\s+(?:web)?page)"
    r"(?:\s+(?:(?i:materials?|mat\b\.?|files?|documents?|sections?|videos?|results?|pdf|sec\.?)|[A-Z](?:\.\d+)*\b|\d+(?:\.\d+)*))*"
)
_EQUATION = _numbered(r"(?i:equations?|eqn?s?|equs?)", r"\(?[A-Z]?\.?\d+[a-z]?\)?(?!\w)")
_TABLE = _numbered(r"(?i:tables?|tabs?)", r"(?:[A-Z]?\.?\d+|[IVX]+\b)(?:\([a-h]\)|[a-h]\b)?")
_FIGURE = _numbered(r"(?i:fig(?:ure)?s?)", r"(?:[A-Z]?\.?\d+|[IVX]+\b)(?:\s?\([a-hA-H]\)|[a-hA-H]\b)?")
_LISTED = _numbered(
    r"(?i:algorithms?|algs?|theorems?|thm|lemmas?|propositions?|prop|corollar(?:y|ies)|definitions?|problems?|assumptions?|remarks?|observations?)",
    _DIGITS,
)

_BRACKETS = r"\s*\((?=[^()]*(?:\([^()]*\)[^()]*)*\b(?:{0}))(?:[^()]|\([^()]*\)){{0,90}}\)"
_SAID = (
    r"(?:shown|described|discussed|explained|detailed|introduced|defined|mentioned|presented|illustrated|given|listed|"
    r"reported|stated|outlined|seen|suggested|derived|obtained|specified|formulated|noted|analy[sz]ed|elaborated|proposed|computed|calculated)"
)
_NOT_PREDICATE = r"(?<!\bis)(?<!\bare)(?<!\bwas)(?<!\bwere)(?<!\bbe)(?<!\bbeen)(?<!\bbeing)"

_RANGE_WORDS = ("range ", "range of ", "interval ", "within ", "between ", "∈ ", "∈", "= ", "size ", "in ")
_COUNTED = ("epochs", "layers", "steps", "iterations", "values", "scales", "sizes", "rates", "ratios", "levels")
"""Things of which a list of four numbers or more is told: "at epochs [1, 2, 5, 10]"."""
_NOUN_WANTED = "|".join(rf"(?<=^{word} )|(?<=\s{word} )" for word in sorted(NOUN_WANTED_AFTER))
_CITED = r"\[\s*\d+[a-z]?(?:\s*[,;–-]\s*\d+[a-z]?)*\s*\]"
_NEEDS_THE_NOUN = (
    r"the|an?|us(?:es?|ed|ing)|adopt\w*|employ\w*|extend\w*|appl(?:y|ies|ied|ying)|outperform\w*|surpass\w*|against|"
    r"between|via|while|where|that|which|but|both|when|because|since|although"
)
"""A citation after one of these is a part of the sentence that nothing else stands in for."""
_NO_NOUN = "for|from|with|which|that|where|while|when|and|are|was|were|has|have|can|may|but|via"
"""After a genitive these tell that its noun is missing: "we follow Doe et al.'s and ..."."""
_NOT_FROM_ZERO = r"(?!\[\s*0\s*[,–-])"
_NOT_COUNTED = "".join(rf"(?<!{word} )" for word in _COUNTED)
_NOT_A_RANGE = (
    "".join(rf"(?<!{word})" for word in _RANGE_WORDS)
    + rf"(?:{_NOT_COUNTED}|(?!\[\s*\d+(?:\s*,\s*\d+){{3}}))"
    + _NOT_FROM_ZERO
)
_NAME = r"[^\W\d_a-zα-ω][\w'’-]+"
_SURNAME = r"[A-Z][^\W\d_A-Z]+(?:[-'’][A-Z]?[^\W\d_A-Z]+)*"
_YEAR = r"(?:19|20)\d\d[a-z]?"
# With a number behind it, "A and B [3]" is more often two methods than two people.
_AUTHORS = rf"(?:{_NAME}\s+et\s+al\b\.?|{_SURNAME}(?:,\s+{_SURNAME})*,?\s+(?:and|&)\s+{_SURNAME}(?=\s*\(?{_YEAR}))"
_AUTHOR_YEAR = rf"[^()]*(?:\bet\s+al\b|{_NAME},|{_NAME}\s+(?:and|&)\s+{_NAME}),?[^()]*\b{_YEAR}[^()]*"
_NUMBERS = rf"(?:\s*\(\s*{_YEAR}\s*\)|,?\s*{_CITED})*"
_URL = r"(?:https?://\S+|www\.\S+|\b[\w.-]+\.(?:github\.io|com|org|net|io|ai|edu)/\S*|\bgithub\.com\S*|\b[\w-]+\.github\.io\S*)"


_REFS = r"(?:[Ss]ee\s+)?[Rr]efs?\.?\s?\d+(?:\s?(?:,|–|-|and)\s?\d+)*"


def _replace(name: str, pattern: str, replacement: str = "") -> Rule:
    return Rule(name=name, pattern=re.compile(pattern), action="replace", replacement=replacement)


def _drop(name: str, pattern: str) -> Rule:
    return Rule(name=name, pattern=re.compile(pattern), action="drop")


def _pointers(name: str, pointer: str) -> tuple[Rule, ...]:
    """Return rules against a pointer that a sentence often does without: in brackets, or in a clause of its own."""
    return (
        _replace(name, _BRACKETS.format(pointer)),
        _drop(name, rf"^(?i:please\s+)?(?i:see|refer|check|find|more|further|additional|details?|full)\b.*{pointer}"),
        _replace(name, rf",?\s*\bas\s+(?:\w+ly\s+)?(?:{_SAID}\s+)?(?:in|by|per)\s+(?:the\s+)?{pointer},?"),
        _replace(name, rf"^(?:In|As\s+{_SAID}\s+in)\s+{pointer},\s*"),
        _replace(name, rf"{_NOT_PREDICATE}\s+{_SAID}\s+in\s+(?:the\s+)?{pointer}"),
        _replace(
            name, rf",?\s*\b(?:see|cf\.?|refer\s+to)\s+(?:also\s+)?{pointer}(?:\s+for\s+[\w\s-]+)?(?=\s*[.;,)]|$)"
        ),
        _replace(name, rf"(?<!ed)(?<!wn)(?<!en)(?<!und)(?<!\bis)(?<!\bare)\s+in\s+{pointer}"),
        _drop(name, pointer),
    )


RULES: tuple[Rule, ...] = (
    # Hangul from U+D400 on: mathematical letters (U+1D400 ...) whose code was cut to 16 bits.
    _drop("unreadable_glyphs", r"[\ud400-\ud7a3\ufffd\ue000-\uf8ff\x00-\x08\x0b-\x1f]|\(cid:\d+\)"),
    _drop("display_equation", r"[=≤≥≈∈∼∝←→⊙].*?[\s,.]\(\d{1,2}[a-z]?\)(?=[\s.,]|$)"),
    # Sub- and superscripts run together: "(Ss)Ss=1", "{Ot}T −1t=1".
    _drop("flattened_formula", r"[)}\]]\s?[A-Z]?\w?(?:\s?[−–-]\s?\d)?\w?=\d"),
    _drop("latex_source", r"\\\s?[a-zA-Z{}]"),
    # Addresses first: they hold digits and dots that later rules would take for something else.
    _replace("address", rf"\s*\([^()]*{_URL}[^()]*\)"),
    _drop(
        "address",
        rf"{_URL}|(?i:\b(?:code|data|models?|videos?)\b[^.]*\b(?:is|are|be)\s+(?:made\s+)?(?:publicly\s+)?available\b)",
    ),
    # Who did it: brackets go, authors and bare numbers used as nouns become "prior work".
    _replace("citation", rf"\s*\((?:(?:e\.g\.|i\.e\.|see|cf\.)?,?\s*)?{_CITED}(?:[,;]\s*{_CITED})*\)"),
    # The bracket is looked for first: few places have one.
    _replace("citation", rf"(?=\()(?i:{_NOUN_WANTED})\((?i:e\.g\.,?\s*)?{_AUTHOR_YEAR}\)", "prior work"),
    _replace("citation", rf"\s*\({_AUTHOR_YEAR}\)"),
    _replace("citation", rf"^In\s+{_CITED}(?:(?:,|\s+and)\s+{_CITED})*(?=\W*\w)", "In prior work"),
    # Whoever is cited as the subject is gone with the number, and "prior work proposed" tells nothing.
    _drop("citation_as_subject", rf"^(?:{_CITED}|{_AUTHORS})(?!\s*\])"),
    _drop("citation_as_noun", rf"(?i:\b(?:{_NEEDS_THE_NOUN}))\s+{_NOT_FROM_ZERO}{_CITED}"),
    _replace(
        "citation", rf"{_AUTHORS}{_NUMBERS}\s?['’]s{_NUMBERS}(?=\s(?!(?:{_NO_NOUN})\b)[A-Za-z-]{{3,}})", "prior work’s"
    ),
    _drop("citation_as_noun", rf"{_AUTHORS}{_NUMBERS}\s?['’]s"),
    _replace("citation", rf"{_AUTHORS}{_NUMBERS}", "prior work"),
    _replace(
        "citation",
        rf"(?=\[)(?i:{_NOUN_WANTED}){_NOT_FROM_ZERO}{_CITED}(?:(?:,|\s+and)\s*{_CITED})*",
        "prior work",
    ),
    _replace("citation", rf"(?=\s*\[)\s*{_NOT_A_RANGE}{_CITED}(?:(?:,|\s+and)\s*{_CITED})*"),
    # "Following prior work, we ...": the sentence stands without it.
    _replace(
        "citation",
        r"^(?:Following|Inspired\s+by|Motivated\s+by|Similar(?:ly)?\s+to|As\s+in|Like|Building\s+(?:up)?on|Based\s+on|As\s+suggested\s+(?:in|by))\s+prior\s+work,\s*",
    ),
    _replace(
        "citation",
        r",?\s+as\s+(?:also\s+)?(?:discussed|shown|noted|reported|observed|described|mentioned|suggested|pointed\s+out|done)\s+(?:in|by)\s+prior\s+work"
        r"(?=[.,;)])",
    ),
    _replace(
        "citation",
        r",\s+(?:inspired\s+by|motivated\s+by|following|similar(?:ly)?\s+to|as\s+in|like)\s+prior\s+work"
        r"(?:(?=[.;]|,\s+(?:we|our|the|an?|this|these|it|each|both|all|I)\b)|,)",
    ),
    _drop(
        "citation_as_subject",
        r"(?:^|[,;]\s+|\b(?:that|which|while|and|but|since|as|because)\s+)[Pp]rior\s+work\s+(?:also\s+|further\s+|first\s+|only\s+|\w+ly\s+)?"
        r"(?:(?!based|related|called|named|inspired)\w{2,}ed|shows?|uses?|finds?|found|makes?|made|takes?|took|gives?|gave|does|did|builds?|built|learns?|"
        r"learnt|proposes?|introduces?|presents?|employs?|adopts?|exploits?|considers?|assumes?)\b",
    ),
    # "It is similar to that of prior work": nobody knows which.
    _drop(
        "citation_as_noun",
        r"(?i)\b(?:is|are|was|were|be)\s+(?:\w+ly\s+|also\s+|very\s+|quite\s+|much\s+)?(?:similar|identical|comparable|analogous|"
        r"equivalent|inspired|the\s+same|in\s+line|consistent)\b[^,;.:]*\bprior\s+work\b(?=[^\w]*$)|\bauthors\s+of\s+prior\s+work\b|"
        r"^We\s+(?:\w+ly\s+|also\s+)?(?:follow|use|adopt|employ|borrow|reuse|take)\s+(?:[\w-]+\s+){0,5}(?:of|from|in|by)\s+prior\s+work\W*$",
    ),
    # Journals that number their references above the line: "ref. 41", "refs 12-14", "were labelled1,2".
    _replace("footnote_mark", r"(?<=[a-z]{4})\d{1,2}(?:[,–]\d{1,2})+(?=[\s.,;)]|$)"),
    _replace("citation", rf"\s*\({_REFS}\)|,?\s*\b{_REFS}(?=[\s.,;:)]|$)"),
    _replace("footnote_mark", r"(?<=[\w)])\s?[†‡§¶](?=[\s.,;:)]|$)"),
    _replace("footnote_mark", r"(?<=[a-z]{3}\))\d{1,2}(?=[\s.,;:]|$)"),
    # What to do with the page, rather than what is on it.
    _replace(
        "viewing_advice",
        r"(?i)\s*\((?:please\s+)?(?:[^()]*\b(?:best|better)\s+(?:be\s+)?(?:viewed|seen)|zoom(?:ed)?[\s-]in)\b[^()]*\)",
    ),
    _replace("viewing_advice", r"(?i),\s*(?:best|better)\s+(?:viewed|seen)\b[^,;]*?(?=[.;]|$)"),
    _drop(
        "viewing_advice",
        r"(?i)\b(?:best|better)\s+(?:be\s+)?(?:viewed|seen|view)\b|^(?:please\s+)?(?:zoom(?:ed)?[\s-]in|enlarge|view)\b|"
        r"\bplease\s+zoom|\bzoom(?:ing|ed)?[\s-]in\s+(?:for|to)\b",
    ),
    *_pointers("section_reference", _SECTION),
    *_pointers("supplement_reference", _APPENDIX),
    *_pointers("equation_reference", _EQUATION),
    *_pointers("statement_reference", _LISTED),
    # Tables and other figures hold results: only brackets can go, the rest of the sentence tells what they show.
    _replace("table_reference", _BRACKETS.format(_TABLE)),
    _drop("table_reference", _TABLE),
    _replace("other_figure_reference", _BRACKETS.format(_FIGURE)),
    _replace(
        "other_figure_reference",
        rf",?\s+(?i:(?:in\s+|with\s+|under\s+|using\s+)?the\s+same\s+(?:\w+\s+){{0,3}}(?:as|of)|"
        rf"similar(?:ly)?\s+to|(?<!\bthe\ssame\s)as|like|corresponding\s+to|analogous\s+to|"
        rf"continu(?:ed|ing)\s+from|following)\s+(?:(?:that|those|the\s+one)\s+)?(?:(?:in|of)\s+)?{_FIGURE}(?=\s*[.;,)]|$)",
    ),
    _replace("other_figure_reference", rf"(?<!\bas)(?<!ed)(?<!wn)(?<!en)\s+(?:in|of)\s+{_FIGURE}(?=[.;]?$)"),
    _drop("other_figure_reference", _FIGURE),
    # What is left of "Same as Fig. 5, but ...".
    _drop(
        "other_figure_reference",
        r"^(?:The\s+)?(?:[Ss]ame|[Ss]imilar)\b,?\s*(?:but|except|however|plots?|for|with|results?|using|on)\b",
    ),
    _replace("about_the_paper", r"(?i)^\(\s*colou?r\s+online\s*\)\s*|\s*\(\s*(?:see\s+)?colou?r\s+online\s*\)"),
    _drop(
        "about_the_paper",
        r"(?i)^(?:(?:image|photo|picture|figure|data|map|source)s?\s+)?(?:source|courtesy|credits?)s?\s*(?::|of\b)|"
        r"\b(?:reprinted|reproduced|used|adapted)\s+(?:with\s+(?:the\s+)?permission|under\s+(?:a\s+)?(?:CC|creative))|"
        r"^(?:©|copyright)|\babout\s+here\b",
    ),
    _drop(
        "citation_as_noun",
        r"(?i)\b(?:illustration|figure|image|photo|diagram|drawing|picture|design|graphic)s?\b[^.]*\b(?:inspired|adapted|adopted|"
        r"taken|borrowed|reproduced|modified|courtesy)\s+(?:by|from|of)\s+(?:the\s+)?prior\s+work\b",
    ),
    _drop(
        "future_work",
        r"(?i)\bfuture\s+(?:work|research|stud(?:y|ies)|investigations?|directions?)\b|\b(?:could|should|can|may|might|would|must|will|to)\s+be\s+(?:further\s+)?"
        r"(?:explored|investigated|studied)\b|\bremains?\s+(?:to\s+be\s+\w+ed|an?\s+open\s)|\b(?:interesting|worthwhile|worth)\s+(?:to\s+)?"
        r"(?:explor|investigat|experiment|study)\w*|\ba\s+question\s+arises\b|\bin\s+the\s+future\b",
    ),
    _replace(
        "text_reference",
        r"(?i),?\s*\bas\s+(?:we\s+(?:have\s+)?|was\s+|is\s+)?(?:already\s+)?(?:mentioned|discussed|noted|described|explained|stated|said|introduced|shown|seen|argued)\s+"
        r"(?:above|before|earlier|previously|below|later)\b,?",
    ),
    # "Figure 3 below", "Figure 3 (on page 30)".
    _replace(
        "text_reference",
        r"(?i)(?:(?<=\bthe\sfigure)|(?<=\bthe\stable))\s\(?(?:below|above|overleaf|on\s(?:the\s)?(?:\w+\s)?page(?:\s\d+)?|(?:page|p\.|pp\.)\s?\d+)\)?(?=[\s,.;:)]|$)",
    ),
    # "Shows the network": the figure does.
    _replace(
        "missing_subject",
        r"^(?:Shows?|Illustrates?|Depicts?|Displays?|Presents?|Visuali[sz]es?)\s+(?=(?:the|an?|our|some|how|several|two|three|four)\b)",
    ),
    _drop(
        "about_the_paper",
        r"(?i)\bwe\s+(?:(?:first|then|next|briefly|\w+ly)\s+)?(?:outline|elaborate|recap(?:itulate)?)\b",
    ),
    _replace("text_reference", r"(?i),?\s+as\s+(?:is\s+)?(?:shown|illustrated|depicted|indicated)(?=[.;])"),
    _drop("text_reference", r"(?i)\bas\s+(?:was\s+|is\s+)?(?:done\s+)?(?:before|previously)\b\W*$"),
    _drop(
        "text_reference",
        r"(?i)\b(?:previous|preceding|next|last|following|subsequent)\s+(?:sections?|subsections?|paragraphs?|chapters?)\b",
    ),
    _drop(
        "about_the_paper",
        r"(?i)\b(?:(?:in|throughout)\s+the\s+(?:rest|remainder)|in\s+the\s+(?:following|next)\s+sections?|go\s+through\s+each|consent(?:ed)?\s+(?:to|for)\s+publication|our\s+(?:main\s+|key\s+)?contributions?|rest\s+of\s+(?:the|this)\s+paper|(?:organi[sz]ed|summari[sz]ed)\s+as\s+follows)\b",
    ),
    _drop(
        "text_reference",
        r"(?i)^(?:more|further|additional|full)?\s*details?\b[^.]*\b(?:text|paper|sections?|below|above)\.?$",
    ),
    _replace("text_reference", r"(?i)\s*\((?:please\s+)?(?:see|refer\s+to)\s+[^()]*\b(?:text|paper)\b[^()]*\)"),
    _drop("text_reference", r"(?i)\b(?:see|refer\s+to)\s+(?:the\s+)?(?:main\s+)?(?:text|paper)\b"),
    _drop("display_equation", r"(?i)\bas\s+follows?\b\W*(?:where\b|$)|\bas\s+follows?,"),
    _drop(
        "bare_pointer",
        r"(?i)\b(?:we\s+refer|refer\s+(?:the\s+)?readers?|please\s+(?:refer|see)|readers?\s+(?:is|are|may|can)\b)",
    ),
    _drop("bare_pointer", r"(?i)^(?:please\s+)?(?:see|refer\s+to|cf\.)\s+(?:the\s+(?:figure|table)|panels?)\b"),
)
RULE_GROUPS: tuple[tuple[tuple[str, ...], tuple[Rule, ...]], ...] = tuple(
    (signs, tuple(rules)) for signs, rules in groupby(RULES, key=lambda rule: rule.signs)
)
"""The rules in their order, those that follow each other and have the same signs together, behind these."""
