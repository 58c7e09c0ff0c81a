"""Sentences made fit for a target: each rule applied, what it took counted, the seams tidied."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from figtune.dataset.references import FigureRef, normalize_self_references
from figtune.dataset.sentence_faults import has_open_bracket, has_stray_reference, has_wrong_symbols, with_fixed_glyphs
from figtune.dataset.sentences import ends_in_abbreviation, ends_in_function_word, is_closed, split_sentences
from figtune.dataset.text_rules import RULE_GROUPS
from figtune.dataset.vocabulary import BACK_REFERENCES, CONNECTIVES, CONNECTIVES_WITHOUT_COMMA

_SYMBOLS_SHARE = 0.34
"""Above this share of tokens without a word in them a sentence is a formula with words between."""

_WORDLIKE = re.compile(
    r"[^\W\d_]{3,}|^\W*(?:a|an|as|at|be|by|if|in|is|it|no|of|on|or|so|to|up|us|we|vs|3d|2d)\W*$", re.I
)
_SHORTENED = re.compile(r"\(?w/o?\W?$|\(?w\.r\.t\W*$|\(?(?:e\.g|i\.e|vs|cf|etc|al)\W*$|\(?[A-Z]{2}s?\W?$", re.I)
_PLAIN_NUMBER = re.compile(r"\W?\d+(?:\.\d+)?[%×x]?\W?$|\(?[a-h0-9]{1,2}\)\W?$")
_LEADING_CONNECTIVE = re.compile(rf"^(?:(?:(?:{'|'.join(CONNECTIVES)}),|{'|'.join(CONNECTIVES_WITHOUT_COMMA)})\s+)+")
_ADDING = re.compile(
    r"^((?:(?:[Aa]s|[Ii]n|[Ff]rom|[Oo]n)\b[^,]*,\s+)?(?:[Ww]e|The\s+(?:figure|table)|This\s+(?:figure|table)|Panels?\s\([a-hA-H]\)))\s+(?:also|further|additionally|then|next|now|"
    r"therefore|thus|hence|finally|again)\s+(?=[a-z])"
)
"""`We then modify it`: nothing stands before that it could add to."""
_ADDING_LATER = re.compile(
    r"^((?:(?:As|In|From|On)\b[^,]*,\s+)?(?:(?!(?:but|only)\b)[^\s,;:]+\s+){1,12}?)"
    r"(?:also|nonetheless|nevertheless|therefore|thus|hence|consequently|additionally|likewise)\s+(?=[a-z])"
)
"""`Several approaches have nonetheless been proposed`."""
_ASIDE = re.compile(
    r"^((?:In|As|For|With|On|When|By|At|To|From|Unlike|Despite|After|Since|While)\s[^,;:]+,|[^,;:]+(?=,)),?\s+(?:however|therefore|thus|hence|moreover|furthermore|in\s+addition|in\s+turn),\s+"
)
_DEPENDS_ON_PREVIOUS = re.compile(rf"^(?:{'|'.join(BACK_REFERENCES)})(?!\w)")
_DEPENDS_ON_PREVIOUS_LATER = re.compile(
    r"^(?:\S+\s+){0,9}?(?:an?\s+)?similar\s+(?:\w+\s+){0,1}(?:plots?|figures?|pictures?|diagrams?|trends?|behaviou?rs?|observations?|"
    r"conclusions?|effects?|results?|phenomen\w+|patterns?|tendency|findings?|gains?|improvements?)\b(?!\s+(?:to|as|between|for|across|"
    r"among|in|on|with)\b)|"
    r"^.*\bin\s+(?:this|these|that|those|such|both)\s+(?:cases?|settings?|scenarios?|situations?|respects?)\b|"
    r"^(?:\S+\s+){1,9}?(?:(?:this|these)\b(?!\s+(?:figure|table|diagram|plot|panels?|paper|work|section|study|illustration)s?\b)|"
    r"(?:those|such|said)\b(?!\s+(?:as|who|that|which|of|from|in|with|by|on)\b)|(?:the\s+)?(?:above|aforementioned|former|latter|do(?:ing)?\s+so)\b(?!\s+the\b))|"
    r"^.*\bsuch\s+an?(?!.*\b(?:as|that)\b)(?:\s+[\w-]+){1,3}\W*$|"
    r"^(?:\S+\s+){1,6}?instead\b(?!\s+of\b)"
)
_THIS = re.compile(
    r"\b(?:this|these)\s+(?!(?:figure|table|diagram|plot|panel|paper|work|section|study|illustration)s?\b)([\w-]+)|"
    r"\b(?:this|these)(?=\W*$)"
)
_INTRODUCTION = re.compile(
    r"^(?:To|In|As|With|By|For|From|When|If|Given|Since|While|After|Before|Although|On|At)\b[^,]*,\s+"
)
_CLAUSE = re.compile(r"[^,;:(–—]*")
_NAMED_BEFORE = re.compile(
    r"^To\s+\w+\s+(?:the|its|their)\s+(?:reason|cause|issue|problem|effect|phenomen|claim|hypothes|question|observation|intuition|"
    r"finding|difference|gap|limitation|challenge|assumption)\w*\b(?!\s+(?:of|for|that|why|behind|in|between|with|to|how|whether)\b)|"
    r"^(?:An?|One)\s+(?:[\w-]+\s+)?(?:example|instance|alternative|option|exception)\s+is\b|"
    r"^An?\s+(?:naive|simple|possible|straightforward|natural|common|typical|better)\s+(?:solution|approach|way|choice|remedy)\s+is\b|"
    r"^The\s+(?:only|main|key|major)\s+(?:addition|difference|change|exception|modification)s?\s+(?:is|are|was|were)\b|"
    r"^An?\s+(?:more|less|simpler|better|larger|smaller|further|second|third)\s(?!.*\bthan\b)|"
    r"^(?:The|Our)\s+(?:\S+\s+){1,5}?(?:then|subsequently)\b|"
    r"^The\s+(?:resulting|corresponding|respective|obtained|remaining|rest)\b(?!\s+[\w-]+\s+(?:of|for|to)\b)|"
    r"^(?:(?!\b(?:and|with|of|or)\b)[^,;:])*\bthe\s+corresponding\b|^[^;:]*\bmany\s+(?:more|others)\b(?!\s+\w+s\b)|"
    r"^(?!.*\b(?:[Ee]ven|[Aa]lthough|[Dd]espite|[Tt]hough|[Ww]hile)\b.*\b(?:still|no\s+longer)\b)[^,;:]*\b(?:still|no\s+longer)\b|"
    r"^(?:To\s[^,]*,\s+)?(?:(?:[Ii]n|[Ff]rom|[Aa]s)\s[^,]{0,40}\s)?[Ww]e\s+\w+\s+(?:\w+ly\s+)?(?:its|their|them)\b"
)
"""`To reveal the reasons, we compare their errors`: a thing that only the sentence before has named."""
_PRONOUN_FIRST = re.compile(
    r"^(?:We\s+(?:\w+ly\s+)?\w+\s+(?:it|them|this|these)\s(?:as|into|to|for|with|by|on|in|from)\b|"
    r"(?:\w+ing|To\s+\w+|Given|In|With|By|For|From|Of|On|Towards?|When|If|While|As|Since|Because|Although|Though|Among|Unlike|"
    r"Besides|Despite|After|Before|At|All|Some|One|Most|Each|Both|None)\s+(?:of\s+)?"
    r"(?:it|its|they|them|their|theirs|he|she|his|her|one|ones|this|that)\b(?<!As\sit)(?!\s+figure\b)(?<!As\sone)|"
    r"As\s+it\b(?!\s+(?:is|can|may|has\s+been)\b)|The\s+(?:first|second|third|last|other|latter|former)(?:\s+one)?\s+(?:is|are|was|were)\b|"
    r"[^,.;]*\b(?:the\s+same|similar)\s+(?:phenomen\w+|trends?|results?|observations?|conclusions?)(?:\s+as)?\s+(?:before|above|earlier)\b)"
)
"""`To address them, ...`, `In its place ...`: nothing before the pronoun that it could stand for."""
_FIRST = re.compile(r"^First(?:ly)?,\s+")
_GOES_ON = re.compile(r"The\s+(?:\S+\s+){1,5}?(?:then|thus|therefore|hence|again|subsequently)\b", re.IGNORECASE)
"""`The result will then be used`: a step whose first one is not there."""
_ADDS = re.compile(r"(?:Moreover|Furthermore|Additionally|In addition|Besides|Also|Indeed)\b,?\s")
_LIST_ITEM = re.compile(
    r"\(?(?:[a-z](?:(?:\s?[,&–-]\s?|\sand\s)[a-z])*"
    r"|(?i:(?:(?:upper|lower|top|bottom|far)[\s-])?(?:left|right|middle|cent(?:er|re)|top|bottom|upper|lower)"
    r"(?:\s(?:row|column|panel|part|half|side))?))(?:\)|[.:](?=\s))"
)
"""Label of a panel or a side before what is told of it."""
_LATER_ITEM = re.compile(r"\(?(?:[2-9]|[b-h]|ii+|iv|vi*)\)[.:]?\s|\(?[2-9]\.\s|1\)\s")
_AS_SHOWN = re.compile(
    r"^(?:As|In|From|On)\b[^,]*\b(?:figure|table|images?|panels?\s\([a-hA-H]\)|left|right|top|bottom|rows?|columns?)\b[^,]*,\s+"
)
_STANDS_ALONE = re.compile(
    r"^(?:In\s+this\s+(?:section|paper|work|study|figure)|"
    r"(?:This|The same|These|Here,?)\s+(?:figure|table|diagram|plot|panels?|visuali[sz]ation)|"
    r"It\s+(?:can\s+be|is\s+(?:clear|evident|worth|obvious|possible|important|observed|seen|noted))|"
    r"There\s+(?:is|are|exist)|Here,?\s+we|Both\s+(?!of\b)\w+)\b"
)
_TIDY: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\(\s*[,;:.\s]*\)|\[\s*[,;\s]*\]", ""),
        (r"([(\[])\s*[,;]?\s+", r"\1"),
        (r"[,;]?\s+([)\]])", r"\1"),
        (r"\s+", " "),
        (r"\s+([,.;:!?])", r"\1"),
        (r"([,;:])(?:\s*[,;:])+", r"\1"),
        (r"[,;:]+\s*([.!?])$", r"\1"),
        (r"\b(prior work)(?:\s*(?:,|and|,\s*and)\s*prior work)+", r"\1"),
        (r"\b([Tt]he|[Aa]n?|of|in|to|by|and)\s+\1\b", r"\1"),
        (r"\.\s*\.$", "."),
        (r"[\s,;:]+$", ""),
        (r"^[\s,;:.)•▪◦❑■□●–-]+", ""),
    )
)


@dataclass(frozen=True)
class CleanedText:
    """Cleaned text."""

    sentences: tuple[str, ...]
    removed: Counter[str]
    """Fragments and sentences taken out or put otherwise, by rule."""
    has_headline: bool
    """True if the first sentence was kept: without it the others have no subject."""
    has_gap: bool = False
    """True if a sentence was dropped before the last one that was kept."""


def clean(text: str, ref: FigureRef) -> CleanedText:
    """Return a caption without its label, fit for a target.

    A sentence that leans back on one that was dropped ("It ...") goes with it. Nothing is kept of a list of panels or
    sides, "(a) ... (b) ..." or "Left: ... Right: ...", one of which was dropped: what is said after the first may
    belong to the lost one.
    """
    kept: list[str | None] = []
    removed: Counter[str] = Counter()
    raw = split_sentences(text)
    for sentence in raw:
        plain = clean_sentence(sentence, ref, removed)
        if plain is not None and kept and kept[-1] is None and (depends_on_previous(plain) or _GOES_ON.match(plain)):
            removed["leans_on_removed"] += 1
            plain = None
        elif plain is not None and kept and kept[-1] is None:
            plain = without_leading_connective(plain)
        kept.append(plain)
    has_headline = not kept or kept[0] is not None
    items = [number for number, sentence in enumerate(raw) if _LIST_ITEM.match(sentence)]
    if any(kept[number] is None for number in items):
        removed["broken_list"] += sum(plain is not None for plain in kept[items[0] :])
        kept = kept[: items[0]]
    ended = [plain is None for plain in kept]
    while ended and ended[-1]:
        ended.pop()
    return CleanedText(
        sentences=tuple(plain for plain in kept if plain is not None),
        removed=removed,
        has_headline=has_headline,
        has_gap=any(ended),
    )


def clean_sentence(sentence: str, ref: FigureRef, removed: Counter[str]) -> str | None:
    """Return the sentence without what must not be in a target; None where nothing is left of it.

    Args:
        removed: gains one for each rule that took something.
    """
    sentence = with_fixed_glyphs(sentence)
    plain = normalize_self_references(sentence, ref)
    if plain != sentence:
        removed["own_reference"] += 1
    lowered = plain.lower()
    for signs, rules in RULE_GROUPS:
        if not any(map(lowered.__contains__, signs)):
            continue
        for rule in rules:
            if not rule.pattern.search(plain):
                continue
            removed[rule.name] += 1
            if rule.action == "drop":
                return None
            plain = tidy(rule.pattern.sub(rule.replacement, plain))
            lowered = plain.lower()
    plain = tidy(plain)
    if not re.search(r"[^\W\d_]{2}", plain):
        return None
    for name, is_unfit in CHECKS:
        if is_unfit(plain):
            removed[name] += 1
            return None
    return plain


def without_leading_connective(sentence: str) -> str:
    """Cut the connective off: `However, it works.` -> `It works.`; `We then train it.` -> `We train it.`"""
    plain = _ADDING.sub(r"\1 ", _capitalised(_LEADING_CONNECTIVE.sub("", sentence)))
    return _ASIDE.sub(r"\1 ", _ADDING_LATER.sub(r"\1", plain))


@lru_cache(maxsize=1024)
def depends_on_previous(sentence: str) -> bool:
    """Return True if the sentence needs the one before it: it starts with a pronoun or soon refers to "these
    requirements"."""
    plain = (sentence, without_leading_connective(sentence), _FIRST.sub("", sentence))
    starts = {_AS_SHOWN.sub("", start) for start in plain}
    return any(_leans_back(start[:1].upper() + start[1:]) for start in starts)


def continues_previous(sentence: str) -> bool:
    """Return True if the sentence belongs to the one before it, with or without need of it: `Moreover, ...`."""
    return _ADDS.match(sentence) is not None or depends_on_previous(sentence)


def _leans_back(start: str) -> bool:
    if _STANDS_ALONE.match(start):
        return False
    leaning = (_DEPENDS_ON_PREVIOUS, _DEPENDS_ON_PREVIOUS_LATER, _PRONOUN_FIRST, _LATER_ITEM, _NAMED_BEFORE)
    return any(pattern.match(start) for pattern in leaning) or _points_back(start)


def _points_back(sentence: str) -> bool:
    """Return True if the main clause has "this capability", of which it said nothing before."""
    introduction = _INTRODUCTION.match(sentence)
    clause = _CLAUSE.match(sentence, introduction.end() if introduction else 0)
    for found in _THIS.finditer(sentence, 0, clause.end() if clause else 0):
        named = (found[1] or "").lower().removesuffix("s")
        if not named or named not in sentence[: found.start()].lower():
            return True
    return False


def mostly_symbols(sentence: str) -> bool:
    """Return True if so few tokens are words that the sentence is a flattened formula."""
    tokens = [token for token in sentence.split() if not (_PLAIN_NUMBER.match(token) or _SHORTENED.match(token))]
    symbols = sum(_WORDLIKE.search(token) is None for token in tokens)
    return symbols >= 3 and symbols > _SYMBOLS_SHARE * len(tokens)


CHECKS = (
    ("mostly_symbols", mostly_symbols),
    ("broken_off", ends_in_function_word),
    ("broken_off", ends_in_abbreviation),
    ("broken_off", has_open_bracket),
    ("wrong_symbols", has_wrong_symbols),
    ("stray_reference", has_stray_reference),
)
"""Rules that only drop, by name."""


def tidy(sentence: str) -> str:
    """Put white space, brackets and commas right after something was taken out; end on a mark, begin with a capital."""
    before = None
    while before != sentence:  # what one pattern joins, another may have to part
        before = sentence
        for pattern, replacement in _TIDY:
            sentence = pattern.sub(replacement, sentence)
    sentence = _capitalised(sentence)
    return sentence if not sentence or is_closed(sentence) else f"{sentence}."


def _capitalised(sentence: str) -> str:
    """Return the first letter as a capital, unless its word has its own way of writing (`mIoU`, `k-means`, `(a)`)."""
    first = sentence.split(" ", 1)[0]
    ordinary = re.fullmatch(r"[a-z]{2,}[,;:]?|a", first) is not None
    return sentence[:1].upper() + sentence[1:] if ordinary else sentence
