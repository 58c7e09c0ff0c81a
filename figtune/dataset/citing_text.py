"""Text of citing paragraphs about a figure: the sentences that name it and those that continue."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

from figtune.dataset.cleaning import clean_sentence, depends_on_previous, without_leading_connective
from figtune.dataset.references import FigureRef, cited_names, is_main_subject, likens
from figtune.dataset.sentence_faults import is_pointer, points_at_figure, presents_a_part
from figtune.dataset.sentences import count_words, is_closed, split_sentences
from figtune.dataset.vocabulary import SAYS_LITTLE, STOPWORDS
from figtune.extraction.records import Mention

_MAX_CONTINUATION = 2
"""Sentences after the one that names the figure; further on a paragraph has moved to something else."""
_SHARED_WORDS = 2
_SAME_SENTENCE = 0.7

_SAME = re.compile(r"^(?:outperform|surpas|exceed|superior|beat|exhibit)\w*$")
"""Words of one meaning in what papers say of results."""

_LOOKS = re.compile(
    r"^(?:(?:It|We|One|As) (?:can|could|may) (?:be )?(?:seen?|observed?)|"
    r"The (?:left|right|top|bottom|upper|lower|first|"
    r"second|third|fourth|last|middle|red|blue|green|orange|yellow|gray|grey|dashed|solid)\b|Panels?\b|Here,?\s)"
)
_TELLS_OF_IT = re.compile(r"(?:It|They|Its|Their|This|These|Here|Where|From\s+(?:this|these|it))\b")
"""Opening of a sentence about what the sentence before has named."""
_SUBJECT = re.compile(r"(?:The|Both|Each|All|Most)\s+((?:[\w-]+\s+){1,3}?)(?=\w+(?:s|ed|e)\b|is\b|are\b|has\b|have\b)")
_DEFINITE = re.compile(r"\b[Tt](?:he|hese|hose)\s+((?:[\w-]+\s+){0,2}[\w-]+)")
_CONTENT_WORD = re.compile(r"[^\W\d_][\w-]{3,}|\b[A-Z][A-Z\d]{2}\b")
_LEAVES = re.compile(
    r"^(?:(?:[\w-]+\s?){1,3},\s+)?(?:we|this\s+paper|our\s+(?:contributions?|work|paper))\s+(?:\w+ly\s+|also\s+|further\s+|then\s+|thus\s+|"
    r"therefore\s+|first\s+)?(?:propose|introduce|define|describe|discuss|leave|begin|start|turn|proceed|refer|conduct|report|argue|hope|plan|set|choose|fix|test|perform|will|would|outline|"
    r"note\s+that\s+we|do\s+not)\b|^(?:Motivated|Inspired)\s+by\b|^(?:In|Throughout)\s+(?:this|our|the\s+(?:following|next))\s+(?:paper|work|section|study)\b|"
    r"^(?:To\s+(?:solve|address|tackle|overcome|alleviate|mitigate|remedy)|There\s+are\s+(?:many|several|various|two|three)\s+(?:works|methods|approaches))\b|"
    r"^To\s+(?:demonstrate|verify|validate|evaluate|assess)\b[^,]*,\s+we\b|"
    r"^To\s[^,]*,\s+we\s+(?:tackle|address|take|consider)\b|"
    r"\bin\s+this\s+(?:paper|work)\b|\banother\s+(?:\w+\s+)?(?:way|approach|line|solution|option|alternative|question)\b|"
    r"^(?:(?:[\w-]+\s?){1,3},\s+)?(?!these|those|such)(?:[\w-]+\s+){0,4}(?:approaches|methods?|works|studies|techniques|algorithms|solutions|researchers)\s+"
    r"(?:(?:typically|usually|often|commonly|generally|mostly|mainly|primarily|rel(?:y|ies)|requires?|assumes?|needs?|suffers?|focus(?:es)?)\b|"
    r"have\s+(?:\w+ly\s+)?\w+ed\b)|"
    r"^[^,;:]*\b(?:is|are|been)\s+(?:commonly|widely|often|typically|usually|frequently)\s+(?:used|employed|adopted|applied)\b",
    re.IGNORECASE,
)
"""A sentence that turns from the figure to what the paper does about it."""
_ELSEWHERE = re.compile(r"(?i)\b(?:tab(?:le|\.)?s?\s?\d|appendi|appx|sup(?:p(?:l|\.|\b)|\.?\s*mat)|experiment\s+\d)")
"""A reference to a place that the sentence is about, where it does not cite the figure too."""
_ROW_OF_TABLE = re.compile(
    r"(?i)\b(?:(?:index|exp(?:eriment)?s?|settings?|variants?|configs?|configurations?|entry|entries|IDs?|rows?)[\s.-]*(?:#\s?\d+|\(\s?[a-h\d]\s?\))|"
    r"(?:index|exp|entry|ID)[\s.-]*\d+)"
)
"""`Index-2`, `Exp. (b)`: names of a table's rows."""
_FRAGMENT = re.compile(
    r"[a-z]{2,}|\((?![A-Za-z\d]{1,3}\))|(?:Where|Which|Whose)\b|To\s[^,]*,(?:\s+\w+ing\b[^,]*,)?\s+as\s+\w+\s+in\s+the\s+figure\W*$|"
    r"[^:]*:\s+\(?\w{1,3}\)\W*$|Given\b[^,]*\.$|As\s+\w+\s+in\s+(?:the\s+figure|panels?\s[^,]*),\s+\w+ing\b[^,]*$|"
    r"(?:Divide|Split|Train|Apply|Compute|Select|Choose|Replace|Remove|Merge|Sample|Extract|Feed|Pass|Add|Take|Repeat|Update|"
    r"Initiali[sz]e|Generate|Combine|Concatenate|Use|Keep|Set|Find|Build)\s+(?:an?|the|our|each|all|every|its|their|both|two|three)\b"
)
"""`Which is small.`; `Divide the mask into parts.` behind a heading that was cut."""
_BELOW = re.compile(
    r"(?i)\b(?:code|commands?|calls?|options?|listings?|outputs?|printouts?|snippets?|scripts?|equations?|formulas?|discussion|text)"
    r"\s+(?:(?:is|are)\s+)?(?:\w+\s+)?(?:below|above)\b|\b(?:shown|given|listed|displayed|printed|described|discussed|explained|mentioned)\s+"
    r"(?:below|above)\b(?!\s+(?:the|an?|each|its|it)\b)|\b(?:the\s+)?following\s+(?:\w+\s+)?(?:code|commands?|calls?|listings?|scripts?|snippets?)\b"
)
"""`the options shown below`: a place of the page on which the figure is not."""
_COMPARES_RESULTS = re.compile(r"(?i)\b(?:better|outperform\w*|improve\w*|surpass\w*|superior)\b")
"""A result, to which a figure that is cited afterwards adds something else: an example, a reason."""
_FIRST_ITEM = re.compile(r":\s+\(?(?:A|a|1|i|I)\)\s")
_SECOND_ITEM = re.compile(r"(?<!panel\s)\(?\b(?:B|b|2|ii|II)\)\s")
_FIRST = re.compile(r"^(?:First|Firstly|First\s+of\s+all|To\s+begin\s+with|To\s+start),?\s+(?=[a-z])")
_SECOND = re.compile(r"^(?:Second|Then|Next|Third|Finally|After|Afterwards|Subsequently|Last)", re.IGNORECASE)
_OF_OTHERS = re.compile(
    r"\bby\s+prior\s+work\b|\bprior\s+work’s\b|^We\s+(?:\w+ly\s+)?(?:adopt|follow|use|employ|borrow)\b.*\bprior\s+work\b"
)
_FUNCTION = re.compile(r"\b[A-Za-zα-ω]\([a-zα-ω](?:,\s?[a-zα-ω])*\)")
_INDEXED = re.compile(r"\b[A-Za-zα-ωΑ-Ω]\w{0,2}_\{?\w")
_DENOTED = re.compile(r"\b(?:denoted?|represented|expressed|written)\s+(?:as|by)\s+(\w+_\w+|[B-HJ-Zb-zα-ω]\b)")
"""`is denoted as f_i`: a name that the figure does not use."""
_MOST_INDEXED = 3
_EXACT_NUMBER = re.compile(r"(?<![\w.+])(?:\d+(?:\.\d+)?\s?%|\d+\.\d+|10\s?[−–-]\s?\d|\d{3,})(?![\w+])")
_NAME_BEFORE = re.compile(r"\b[A-Z][\w+]*[\s-]$")


@dataclass(frozen=True)
class CitingPassage:
    """Consecutive sentences of one paragraph about the figure."""

    section: str
    sentences: tuple[str, ...]
    direct: bool
    """True if a main clause is about the figure, rather than a remark in brackets."""
    introduced: bool = False
    """True if the first sentence, or one before it that says no more, presents the figure."""
    place: int = 0
    """Number among the passages in reading order."""


@dataclass(frozen=True)
class CitingText:
    """All that citing paragraphs say of a figure."""

    found: tuple[CitingPassage, ...]
    removed: Counter[str]
    """Removed fragments, counted by rule."""


@dataclass(frozen=True)
class _Sentence:
    raw: str
    text: str | None
    """None where cleaning dropped it."""
    is_bare_pointer: bool
    """True if it says only that the figure exists."""
    cites: bool
    direct: bool
    cites_others: bool


def passages_about(mentions: Iterable[Mention], ref: FigureRef, seen: str) -> CitingText:
    """Return the parts of citing paragraphs that speak of the figure, direct ones first, otherwise in reading order.

    Args:
        seen: what the reader of the picture and the prompt knows: the caption and the words in the figure.
    """
    found: list[CitingPassage] = []
    removed: Counter[str] = Counter()
    vocabulary = content_words(seen)
    for mention in mentions:
        sentences = [_read(raw, ref, seen, removed) for raw in sentences_of(mention.text)]
        for run in _runs(sentences, vocabulary, removed):
            passage = _passage(mention.section, [sentences[index] for index in run], vocabulary)
            if passage.sentences and passage.sentences not in {other.sentences for other in found}:
                found.append(replace(passage, place=len(found)))
    return CitingText(found=tuple(sorted(found, key=lambda passage: not passage.direct)), removed=removed)


@lru_cache(maxsize=256)
def content_words(text: str) -> frozenset[str]:
    """Return words that carry a topic, without case and plural."""
    words = {word.lower().removesuffix("s") for word in set(_CONTENT_WORD.findall(text))}
    return frozenset(word for word in words if word not in STOPWORDS and f"{word}s" not in STOPWORDS)


def repeats(sentence: str, known: Iterable[str]) -> bool:
    """Return True if most of the telling words of a sentence stand in one of `known`."""
    words = _telling_words(sentence)
    return any(len(words & _telling_words(other)) >= _SAME_SENTENCE * len(words) for other in known)


def hangs(sentence: str, gap: Iterable[str], known: frozenset[str]) -> bool:
    """Return True if only sentences that are gone have named what "the gray rhombuses" are."""
    lost = content_words(" ".join(gap)) - known
    return any(content_words(found[1]) & lost for found in _DEFINITE.finditer(sentence))


def _telling_words(sentence: str) -> frozenset[str]:
    words = content_words(sentence) - SAYS_LITTLE
    return frozenset(_SAME.sub("better", word) for word in words) or frozenset(sentence.lower().split())


def _read(raw: str, ref: FigureRef, seen: str, removed: Counter[str]) -> _Sentence:
    cited = cited_names(raw, ref.figure_type)
    cites = ref.name in cited
    text = clean_sentence(raw, ref, removed)
    if text is not None and (rule := _misfit(raw, text, ref, seen, cited)):
        removed[rule] += 1
        text = None
    return _Sentence(
        raw=raw,
        text=text,
        is_bare_pointer=text is not None and is_pointer(without_leading_connective(text)),
        cites=cites,
        direct=cites and is_main_subject(raw, ref),
        cites_others=bool(cited - {ref.name}) or (not cites and _ELSEWHERE.search(raw) is not None),
    )


def _misfit(raw: str, text: str, ref: FigureRef, seen: str, cited: Set[str]) -> str | None:
    """Return the rule against a sentence of body text, from which more must be kept out than from a caption."""
    if cited - {ref.name} or likens(raw, ref):
        return "other_figure_reference"
    if not is_closed(raw) or _FRAGMENT.match(text):
        return "broken_off"
    if raw.rstrip('"”’)').endswith("?"):
        return "question_asked"
    known = seen.replace(" ", "")
    if any(number.replace(" ", "") not in known for number in _measured(text)):
        return "unseen_number"
    if any(row[0].replace(" ", "").lower() not in known.lower() for row in _ROW_OF_TABLE.finditer(text)):
        return "unseen_number"
    if (
        any(symbol[0] not in known for symbol in _FUNCTION.finditer(text))
        or len(_INDEXED.findall(text)) > _MOST_INDEXED
    ):
        return "mostly_symbols"
    if any(symbol[1] not in known for symbol in _DENOTED.finditer(text)):
        return "mostly_symbols"
    if _OF_OTHERS.search(text):
        return "citation_as_noun"
    if ref.name not in cited and _ELSEWHERE.search(raw):
        return "table_reference"
    if any(map(text.__contains__, ("below", "above", "following"))) and _BELOW.search(text):
        return "text_reference"
    return None


def _measured(text: str) -> Iterable[str]:
    """Yield numbers that are results or settings, not parts of names such as "VOC 2012", "CIFAR-100" or "ResNet101"."""
    for number in _EXACT_NUMBER.finditer(text):
        if not (number[0].isdigit() and _NAME_BEFORE.search(text[: number.start()])):
            yield number[0]


def _runs(
    sentences: Sequence[_Sentence], vocabulary: frozenset[str], removed: Counter[str]
) -> Iterable[tuple[int, ...]]:
    """Yield indices of sentences that belong together: from one that cites the figure to the last that goes on about
    it."""
    free_from = 0
    told = vocabulary
    for index, sentence in enumerate(sentences):
        if not sentence.cites or sentence.text is None or index < free_from:
            continue
        start = _start(sentences, index, free_from, vocabulary)
        if start is None or (free_from and hangs(sentence.text, [s.raw for s in sentences[free_from:start]], told)):
            removed["leans_on_removed"] += 1
            continue
        # A remark in brackets does not make the figure what the paragraph is about.
        known = vocabulary | content_words(sentence.text) if sentence.direct else vocabulary
        end = _end(sentences, index, known)
        free_from = end
        told |= content_words(" ".join(sentence.raw for sentence in sentences[start:end]))
        yield tuple(range(start, end))


def _start(sentences: Sequence[_Sentence], index: int, free_from: int, vocabulary: frozenset[str]) -> int | None:
    """Return the beginning of the run: one sentence earlier, of the figure too, where the citing one leans back; None
    where it cannot stand."""
    text = sentences[index].text
    if text is None or not depends_on_previous(text):
        return index
    before = sentences[index - 1].text if index > free_from else None
    if before is None or depends_on_previous(before):
        return None
    strays = not content_words(before) & vocabulary or _COMPARES_RESULTS.search(before)
    if strays and not (sentences[index - 1].cites or sentences[index].is_bare_pointer):
        return None
    # What follows a sentence about another figure tells of that one.
    turned_away = any(sentence.cites_others for sentence in sentences[free_from : index - 1])
    return None if turned_away and not sentences[index - 1].cites else index - 1


def _end(sentences: Sequence[_Sentence], index: int, vocabulary: frozenset[str]) -> int:
    """Return one past the last sentence that goes on about the figure."""
    end = index + 1
    at_most = _MAX_CONTINUATION if sentences[index].direct else 1
    # "Fig. 2 shows speed. Fig. 3 shows accuracy. Ours is better.": of both.
    before = sentences[index - 1] if index and sentences[index].is_bare_pointer else None
    after_another = before is not None and before.cites_others and not _ELSEWHERE.search(before.raw)
    while end < len(sentences) and end - index <= at_most:
        text = sentences[end].text
        # What follows a mere pointer tells what it points at.
        introduced = sentences[end - 1].is_bare_pointer and text is not None and not _LEAVES.search(text)
        if text is None or (after_another and not sentences[end].cites):
            break
        if not (introduced or sentences[end].cites or _continues_topic(text, vocabulary)):
            break
        vocabulary |= content_words(text) if introduced else frozenset()
        end += 1
    return end


def _continues_topic(text: str, vocabulary: frozenset[str]) -> bool:
    if _LEAVES.search(text):
        return False
    shared = len(content_words(text) & vocabulary)
    return shared >= _SHARED_WORDS or (shared > 0 and _LOOKS.match(text) is not None)


def _passage(section: str, sentences: Sequence[_Sentence], vocabulary: frozenset[str]) -> CitingPassage:
    texts: list[str] = []
    for sentence, before in zip(sentences, (None, *sentences), strict=False):
        if sentence.text is None or sentence.is_bare_pointer:
            continue
        stands = before is not None and before.text is not None and before.text in texts[-1:]
        pointer = before.text if before is not None and before.is_bare_pointer else None
        # "The network is shown in Fig. 3. It has two branches.": the pointer names what the next one tells of.
        named = pointer is not None and _is_named_by(pointer, sentence.text, vocabulary)
        leans = depends_on_previous(sentence.text)
        if pointer is not None and (
            named or (leans and _TELLS_OF_IT.match(sentence.text)) or (not leans and presents_a_part(pointer))
        ):
            texts += (pointer, sentence.text) if not depends_on_previous(pointer) else ()
        elif stands or not leans:
            texts.append(sentence.text)
        elif texts:
            break  # What comes behind a gap would lean on it.
    return CitingPassage(
        section=section,
        sentences=_as_beginning(_without_cut_list(texts)),
        direct=any(sentence.direct for sentence in sentences),
        introduced=points_at_figure(without_leading_connective(sentences[0].text or "")),
    )


def _is_named_by(pointer: str, sentence: str, vocabulary: frozenset[str]) -> bool:
    """Return True if only the pointer has named what "The components" of a sentence are."""
    subject = _SUBJECT.match(sentence)
    words = content_words(subject[1]) if subject else frozenset()
    return bool(words & content_words(pointer)) and not words & vocabulary


def _without_cut_list(texts: Sequence[str]) -> Sequence[str]:
    """Return the sentences before one that begins a list, "two options: (A) ...", whose second item is not there."""
    for number, text in enumerate(texts):
        if _FIRST_ITEM.search(text) and not _SECOND_ITEM.search(" ".join(texts[number:])):
            return texts[:number]
    return texts


def _as_beginning(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the sentences, the first without words that join it to others."""
    if not texts:
        return ()
    first, *others = texts
    if not any(_SECOND.match(other) for other in others) and (found := _FIRST.match(first)):
        first = first[found.end() :]
        first = first[:1].upper() + first[1:]
    return (without_leading_connective(first), *others)


FORMULA = ""
"""Stands for a formula."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_EQUATION_NUMBER = re.compile(r"\(\d+[a-z]?\)$")
_LONGEST_HEAD = 12  # words
_WORDED = 0.4  # of a line's characters: less in words of four letters or more makes a formula
_POINTER = re.compile(r"(?:,?\s+(?:as\s+follows|as\s+shown\s+below))?\s*:$")
_NEEDS_MORE = re.compile(
    r"\b(?:\w+ed|is|are|be|as|by|of|to|in|on|with|via|for|from|and|where|that|below|follows|given|written|"
    r"function|equation|formula|loss|objective|follow|have)$|\bfollowing\b",
    re.IGNORECASE,
)


def sentences_of(paragraph: str) -> Iterator[str]:
    """Yield the sentences of a paragraph in order, with `FORMULA` for every displayed formula, and without a head.

    Only a clause that a colon ends may stand without the formula that it leads to: "The index grows with the
    pressure:", not "The loss is defined as:". What goes on behind a formula ("where x is ...") goes with it.
    """
    parts = list(_parts(paragraph))
    for number, (is_formula, text) in enumerate(parts):
        if is_formula:
            yield FORMULA
            continue
        sentences = split_sentences(text) if number + 1 == len(parts) else tuple(_before_formula(text))
        yield from sentences[1:] if number and text[0].islower() else sentences


def _parts(paragraph: str) -> Iterator[tuple[bool, str]]:
    """Yield text and formulas by turns, and which of them each is."""
    first, *others = [line.strip() for line in paragraph.split("\n") if line.strip()] or [FORMULA]
    if others and count_words(first) <= _LONGEST_HEAD and not _is_formula(others[0]):
        first, *others = others
    lines = [(False, first), *((_is_formula(line), line) for line in others)]
    for is_formula, members in groupby(lines, key=lambda line: line[0]):
        yield is_formula, " ".join(text for _, text in members)


def _is_formula(line: str) -> bool:
    return bool(_EQUATION_NUMBER.search(line)) or sum(map(len, _WORD.findall(line))) < _WORDED * len(line)


def _before_formula(line: str) -> Iterator[str]:
    *whole, last = split_sentences(line)
    yield from whole
    clause = _POINTER.sub("", last)
    if is_closed(last):
        yield last
    elif clause != last and not _NEEDS_MORE.search(clause):
        yield f"{clause}."
