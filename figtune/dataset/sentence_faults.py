"""Faults of single sentences that no replacement mends: wrong symbols, references left over, mere pointing.

Formulas within running text lose their layout on the way out of a PDF: "F_cls" arrives as "Fcls", and fonts with bad
code tables put one symbol for another. A target with such a sentence teaches a wrong reading, so it is dropped.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_MATHEMATICAL_SIGNS = frozenset("+<>=±×÷~≈≤≥−→↑↓|∞√∼°&%$#@^*/\\-–—¬©®™§¶†‡•◦▪●■□▲△▼▽★☆✓✗✔✘①②③④⑤➊➋➌➍→←↔⇒")
"""Signs that stand for themselves in prose; others are a formula's."""
_FIXED_GLYPHS = (
    (re.compile(r"(?<=\d), (?=\d{3}\s?×)|(?<=×\s\d), (?=\d{3}\b)"), ","),
    (re.compile(r"(?<=\d)\s?[⇥⇤]\s?(?=\d)"), "×"),
    (re.compile(r"(?<=\d)\s?[◦∘]"), "°"),
)
_FLATTENED = re.compile(
    # Braces of a set, but not of {1, 2}. All others begin where a word begins or ends, which is looked for first.
    r"\{(?!\d+(?:,\s?\d+)*\})|\b(?:"
    # Single letters behind each other; a unit whose number was lost; an arrow of a bad font, "A!B".
    r"(?<![.'’])[b-z]\s[b-z]\s[b-z](?![\w.'’])|(?:than|least|most|exactly|approximately)\s(?:mm|cm|km|nm|µm|ms|kg|Hz|kHz|MHz|GHz)\b|!\w|"
    # Indices behind a letter, "Lcls".
    r"[A-Zxyz](?:ref|gt|rec|ori|loc|deg|cls|adv|src|tgt|pred|rgb|max|min|avg|std|img|text|train|val|cop|sem|seg|inst|pos|"
    r"neg|loss|total|cond|global|local|coarse|fine|attn|feat|mask|init|proj|cross|recon)\b|"
    r"[a-zA-Zα-ωΑ-Ω]+,(?:\d|[a-z])(?!\w)|[B-HJ-Z]\s[A-Z]{2,}\b|"
    r"(?!(?:In|If|It|Is|We|As|At|On|Of|To|By|No|So|Up|Or|An|Be|Do|He|Me|My|Us|Vs|Dr|Mr|Ms|Id|Ex|Hz|Wi|Fi|Al)\b)[A-Z][a-z]\b|"
    r"[A-Z]\s\d[a-z]\b|[a-z]{2,}\d\s\d\b|(?<=[\w)]\s)2\s[A-Z]\w?\b(?!\w)|R\s?[A-Z](?:×|x)[A-Z])"
)
_FLATTENED_WITH_SIGNS = re.compile(
    # An index with a sum in it, "Ft−1"; letters joined by an arrow, "Ot→t".
    r"[A-Za-z]\w*−\d|[α-ωΑ-Ω](?!m\b|s\b|L\b)[a-z]|\w→\w|\(·\)|∥|(?<!\S)[À-ÖØ-ÞĀ-ɏ](?!\S)|"
    r"\b[A-Z]\s?×\s?[A-Z]\w?\s?×"
)
"""The same, with signs that are not ASCII."""
_LOST_INDEX = re.compile(
    r"\b(?:(?:L(?!l)[b-df-hj-np-tv-xz]|[FMN](?![gjlry])[b-df-hj-np-tv-xz]|D[b-df-gj-np-qs-tvxz]|W[b-df-gj-np-qs-tvxz]|X[b-df-hj-np-tv-xz]|"
    r"H[b-df-hj-np-tvxz]|Q[b-df-hj-np-tv-xz]|R[b-df-gj-np-tvxz]|I[hj]|Z[b-df-gj-np-tvxz]|T[b-dfgj-np-qtxz])[a-z]{1,8}\b"
    r"(?<!Mbps)(?<!Msec)(?<!Hrs)(?<!Mhz)(?<!Tbps)(?<!Xfmr)"
    r"|(?<![./-])(?!(?:vs|th|rd|nd|st|km|cm|mm|kg|px|ms|ns|pt|fp|mb|gb|kb|fc|nm|bs|lr|mg|ml|ft|hr|xy|xz|yz|pp|db)\b)"
    r"[b-df-hj-np-tv-xz]{2}(?![\w.'’/-])|as\s+et\b)"
)
"""A capital before letters that begin no English word with it, or two consonants: the index of "L_stereo", of "z_t"
lost its place."""
_EQUALS = re.compile(r"[=≤≥≈<>](?!\s?[a-z]{3})")
_VARIABLE = re.compile(r"[\W_]*(?:[B-HJ-Zb-z]|[A-Za-z]\d|[Α-ω])['′]?[\W_]*$")
_MOST_EQUALS = 2
_MOST_VARIABLES = 6

_IT = r"(?:the\s+(?:figure|table)|panels?\s\([a-hA-H]\)(?:(?:,|\sand|\sto|,\sand)\s\([a-hA-H]\))*)(?:\s\([\w ]+\))?"
_SHOW = (
    r"(?:shows?|presents?|visuali[sz]es?|provides?|illustrates?|displays?|depicts?|summari[sz]es?|plots?|gives?|reports?|"
    r"compares?|includes?|contains?|demonstrates?|showcases?|exemplif(?:y|ies)|outlines?|details?|describes?|explores?|offers?|"
    r"exhibits?)"
)
_SHOWN = (
    r"(?:shown|presented|visuali[sz]ed|provided|illustrated|displayed|depicted|summari[sz]ed|plotted|given|reported|seen|"
    r"found|listed|compared|demonstrated|described|sketched|outlined)"
)
_TELLS = re.compile(
    r"^(?:[^,]{0,60},\s+)?that\b|\b(?:find|found|observe|see|note|conclude|confirm|reveal|suggest|indicate|demonstrate|show)\s+that\b|"
    r"\b(?:because|since|while|whereas|but|although|outperform\w*|exceeds?|surpass\w*|"
    r"improve[sd]?|improving|achiev\w*|better|worse|higher|lower|than|increas(?:es?|ed)|decreas(?:es?|ed)|drops?|fails?)\b",
    re.IGNORECASE,
)
"""Words by which a sentence about a figure says something of what is in it."""
_ADDS = re.compile(r"\b(?:that|which|whose|consist\w*|compris\w*)\b|:", re.IGNORECASE)
"""Words by which it may, among many: "how the encoder works" says nothing, nor does "where results differ"."""
_WORDS_THAT_ADD = 18
_VARIES = re.compile(r"\b(?:as|when|with)\s+(?:the\s+)?(?:\S+\s+){0,5}?(?:increas|decreas|grow|var)\w*", re.IGNORECASE)
"""`as the number of views increases`: an axis, no finding."""
_POINTS = re.compile(
    rf"^(?:\S+\s+){{0,14}}?(?:is|are|was|were|be|been)\s+(?:\w+ly\s+|also\s+)?{_SHOWN}(?:\s+\S+){{0,6}}?\s+(?:in|by|on|at|of)\s+{_IT}"
    rf"(?P<tail>.*)$|^(?!The\s+(?:[\w-]+\s+){{1,3}}(?:of|in)\s+the\s)(?:\S+\s+){{0,4}}?{_IT}(?:\s+also|\s+further|\s+\w+ly)?\s+{_SHOW}\s+"
    rf"(?P<matter>.*)$|"
    rf"^(?:[^,]+,\s+)?(?:\S+\s+){{0,3}}?(?:we|I)\s+(?:also\s+|further\s+|only\s+|just\s+|\w+ly\s+)?(?:{_SHOW}|{_SHOWN})\s+"
    rf"(?P<object>.*?)\s+(?:as\s+{_SHOWN}\s+)?(?:in|by|on|at)\s+{_IT}(?P<end>.*)$|"
    rf"^(?:[^,]+,\s+)?(?:[Ii]n|[Aa]t|[Oo]n)\s+(?:the\s+[\w-]+(?:\s+\w+)?\s+of\s+)?{_IT},?\s+we\s+(?:also\s+|further\s+|\w+ly\s+)?(?:{_SHOW}|propose|introduce)\s+(?P<ours>.*)$|^{_IT}\s+(?:is|are)\s+(?P<naming>(?:an?|the)\s+.*)$|"
    rf"^(?:[^,]+,\s+)?(?:we|I)\s+(?:\w+ly\s+|also\s+|further\s+|then\s+)?(?:introduce|propose|use|employ|adopt|design|apply|develop|build|follow)\s+"
    rf"(?P<made>(?:(?!\bto\s).)*?),?\s+(?:as\s+|(?:that|which)\s+(?:is|are)\s+)?{_SHOWN}\s+in\s+{_IT}(?P<rest>.*)$|"
    rf"^(?:[^,]+,\s+)?(?:we|I)\s+.*\band\s+(?:then\s+)?{_SHOW}\s+(?P<both>.*?)\s+in\s+{_IT}(?P<last>.*)$",
    re.IGNORECASE,
)
_SIDE = r"(?:top|bottom|left|right|upper|lower|middle|cent(?:er|re)|first|second|third|fourth|last)"
_PART = re.compile(
    rf"^(?!As\b|See\b).*(?:\bpanels?\s\(?[a-h]\b|\({_SIDE}\b|"
    rf"\b{_SIDE}(?:[- ]?most|[- ]hand)?(?:\s\w+)?\s(?:of|in)\sthe\s(?:figure|table)\b)",
    re.IGNORECASE,
)
"""`Panel (b) shows masks.`, `The figure (left) shows masks.`, `The top row of the figure shows masks.`"""
_FEW_WORDS = 12
_OUTPUT = r"(?:[\w-]+\s+)?(?:results?|outputs?|plots?|graphs?|pictures?|diagrams?|curves?)\b"
_RESULT_IS_SHOWN = re.compile(
    rf"(?:[,;:]|\band)\s+(?:the|its|their)\s+{_OUTPUT}(?:\s+[^\s,;:]+){{0,8}}?\s+(?:is|are|can\s+be)\s+(?:\w+ly\s+)?{_SHOWN}\s+in\s+"
    rf"{_IT}\W*$|\bwith\s+(?:the\s+)?{_OUTPUT}\s+(?:being\s+)?{_SHOWN}\s+in\s+{_IT}\W*$|"
    r"^(?:We|One|You)\s+can\s+(?:also\s+)?(?:get|obtain|draw|produce|make|create|generate|plot|display)\b|"
    rf"^(?:Let\s+us\s+)?consider\b[^,;:]*\b(?:in|of)\s+{_IT}\W*$|^(?:\S+\s+){{0,6}}?{_IT}\s+can\s+be\s+(?:\w+ly\s+)?(?:obtained|produced|generated|created|drawn|reproduced)\b",
    re.IGNORECASE,
)
"""`We fit the model, and the result is shown in the figure.`, `The figure can be obtained by plotting it.`"""
_CONFIRMS = re.compile(
    rf"^(?:\S+\s+){{0,4}}?{_IT}\s+(?:also\s+|further\s+|\w+ly\s+)?(?:confirms?|validates?|verif(?:y|ies)|supports?|corroborates?|proves?|"
    r"demonstrates?|shows?)\s+(?:our|this|the|these|such)\s+(?:\w+\s+){0,2}?(?:hypothes[ie]s|claims?|intuitions?|assumptions?|observations?|"
    r"findings?|conclusions?|analys[ie]s|statements?)\W*$|^(?:\S+\s+){0,6}?(?:(?:in\s?line|consistent|agree\w*)\s+with|(?:confirmed|supported|verified)\s+by)"
    rf"\s+(?:(?:the|our)\s+)?(?:\w+\s+){{0,3}}?(?:in\s+)?{_IT}\W*$|^(?:As|See)\b[^,]{{0,60}}{_IT}\W*$|"
    r"^.*\b(?:a\s+few|various|several|many|some|two|three|four|a\s+number\s+of|the\s+following)\s+(?:[\w-]+\s+){1,3}(?:are|is|can\s+be)\s+"
    r"(?:\w+ly\s+)?(?:apparent|visible|evident|clear|observed|seen|noted|noticed|found|identified|made|drawn)\b[^,;:]{0,40}$|"
    rf"^.*\b(?:was|were|is|are)\s+used\s+(?:for|in)\b[^,]*{_SHOWN}\s+in\s+{_IT}\W*$|"
    r"^[^,;:]*(?:,[^,;:]*)?\b(?:two|three|four|five|several|the\s+following)\s+(?:[\w-]+\s+){0,3}?(?:ways|aspects|steps|reasons|cases|stages|types|"
    r"categories|perspectives|scenarios|settings|factors|points|observations|findings|phases|modes|kinds|challenges|issues|problems|limitations|"
    r"advantages|properties|trends|patterns)(?:\s*\([^()]*\))?\W*$|"
    rf"^(?:\S+\s+){{0,6}}?(?:{_IT}|(?:visual|qualitative|comparative|experimental)\s+\w+)\s+(?:\w+\s+)?(?:highlights?|demonstrates?|shows?|illustrates?|"
    r"confirms?|reveals?|validates?|verif(?:y|ies)|underlines?|underscores?|emphasi[sz]es?|showcases?)\s+(?:the\s+)?(?:[\w-]+\s+){0,2}?"
    r"(?:advantages?|benefits?|effectiveness|superiority|efficacy|usefulness|strengths?|capabilit(?:y|ies)|robustness|potential|importance|"
    r"efficiency|abilit(?:y|ies))\s+of\s+[^,;:]*$",
    re.IGNORECASE,
)
"""`The figure confirms our hypothesis.`, `Several problems are apparent.`, `They differ in two ways.`: none is told."""
_ANNOUNCES = re.compile(
    r"^(?:(?:As|For|On|In|At|With|To)\s[^,]*,\s+)?(?:(?:Here|Next|Now|First|Then|Finally|Also|Additionally|Moreover|Furthermore),?\s+)?(?:we|I)\s+(?:(?:also|further|first|next|then|now|finally|"
    r"additionally|\w+ly)\s+)?(?:evaluated?|stud(?:y|ied)|investigated?|analy[sz]ed?|examined?|assess(?:ed)?|explored?|ablated?|visuali[sz]ed?|compared?|"
    r"show(?:ed)?|present(?:ed)?|provided?|report(?:ed)?|plot(?:ted)?|depict|display|conduct(?:ed)?|perform(?:ed)?|test(?:ed)?|illustrated?|"
    r"demonstrated?|discuss|consider(?:ed)?|summari[sz]e|measured?)\b(?P<matter>.*)$",
    re.IGNORECASE,
)
"""`We evaluate the influence of the patch size.`: whatever comes of it stands in the next sentence."""
_LIST_LABEL = re.compile(r"(?<!\()\b[a-zA-Z\d]{1,3}\)")
"""`a) Features are sampled.`"""
_UNNAMED_PANEL = re.compile(
    r"such as the (?:figure|table)\b|the (?:figure|table) (?:[A-H]|[ivx]+|\d+)\b(?=\s?[,.;)])|(?<![\w.])\d+\s?\([a-h]\)"
)
_STRAY = re.compile(rf"(?P<before>[\w-]+)\s+(?:{_IT})", re.IGNORECASE)
_LEADS_TO_FIGURE = frozenset(
    (
        *("in", "of", "to", "from", "by", "on", "at", "with", "and", "as", "than", "see", "per", "via", "for", "under"),
        *("below", "within", "into", "that", "both", "or", "between", "across", "through", "where", "while", "whereas"),
        *(
            "when",
            "since",
            "because",
            "if",
            "is",
            "are",
            "like",
            "all",
            "unlike",
            "following",
            "about",
            "around",
            "over",
        ),
        *("inside", "beside", "how", "what", "which", "upon", "using", "consider", "observe", "note", "compare"),
        *("compares", "examine", "comparing", "observing", "considering", "inspecting", "examining", "analyzing"),
        ("analysing", "visualizing", "viewing", "against", "versus"),
    )
)
"""Words that "the figure" may follow: where a citation is a remark without brackets, another one does."""


def with_fixed_glyphs(text: str) -> str:
    """Replace symbols of bad fonts whose meaning their neighbours leave no doubt of: `512⇥512` -> `512×512`."""
    if text.isascii():
        return text
    for pattern, sign in _FIXED_GLYPHS:
        text = pattern.sub(sign, text)
    return text


def has_wrong_symbols(sentence: str) -> bool:
    """Return True if symbols were lost, or so many are left that a formula stands flattened in the sentence."""
    if _FLATTENED.search(sentence) or _LOST_INDEX.search(sentence):
        return True
    if not sentence.isascii() and (_FLATTENED_WITH_SIGNS.search(sentence) or any(map(_is_wrong, sentence))):
        return True
    tokens = sentence.split()
    variables = sum(_VARIABLE.match(token) is not None for token in tokens)
    return len(_EQUALS.findall(sentence)) > _MOST_EQUALS or variables > _MOST_VARIABLES


@lru_cache(maxsize=4096)
def _is_wrong(sign: str) -> bool:
    if sign.isascii() or sign in _MATHEMATICAL_SIGNS:
        return False
    category = unicodedata.category(sign)
    if category in ("Sm", "So", "Sk", "Mn", "Me", "Co", "Cn", "Lm", "Lo"):
        return True
    # Letters with a mark above that no European language has, such as a hat on W: a variable's.
    return category in ("Ll", "Lu") and "LATIN" in unicodedata.name(sign, "") and sign in "ıȷŵŴŷŶẑẐẋẍỹỸẽẼŝŜĝĜĥĤĉĈĵĴẃẁẅḡ"


def has_open_bracket(sentence: str) -> bool:
    """Return True if a bracket is opened and not closed, or closed and not opened: what stood in it was cut."""
    opened, closed = sentence.count("("), sentence.count(")")
    return opened > closed or opened < closed - len(_LIST_LABEL.findall(sentence))


def has_stray_reference(sentence: str) -> bool:
    """Return True if "the figure" stands where a citation had no preposition: `the results the figure, which ...`."""
    if _UNNAMED_PANEL.search(sentence):
        return True
    if not any(map(sentence.lower().__contains__, ("figure", "table", "panel"))):
        return False
    return any(found["before"].lower() not in _LEADS_TO_FIGURE for found in _STRAY.finditer(sentence))


@lru_cache(maxsize=1024)
def is_pointer(sentence: str) -> bool:
    """Return True if the sentence says no more than that the figure is there, or what it is of in a few words."""
    if _CONFIRMS.match(sentence) or _RESULT_IS_SHOWN.search(sentence):
        return True
    matter = _pointed_at(sentence)
    if matter is None:
        announced = _ANNOUNCES.match(sentence)
        return announced is not None and not _tells(announced["matter"])
    return not _tells(matter) or (len(sentence.split()) <= _FEW_WORDS and not re.match(r"(?:that|how)\b", matter))


def presents_a_part(sentence: str) -> bool:
    """Return True if the sentence presents a part of the figure, and no more: what follows tells of no other part."""
    return _PART.search(sentence) is not None and is_pointer(sentence) and _CONFIRMS.match(sentence) is None


def points_at_figure(sentence: str) -> bool:
    """Return True if the figure is what the sentence presents, whether it says more of it or not."""
    return is_pointer(sentence) or _POINTS.match(sentence) is not None


def _tells(matter: str) -> bool:
    plain = _VARIES.sub(" ", matter)
    return _TELLS.search(plain) is not None or (
        _ADDS.search(plain) is not None and len(plain.split()) >= _WORDS_THAT_ADD
    )


def _pointed_at(sentence: str) -> str | None:
    """Return the object of the pointing; None where the sentence does not point."""
    found = _POINTS.match(sentence)
    if found is None:
        return None
    return " ".join(value for value in found.groups() if value)
