"""Assignment of a figure's sentences to tasks: each sentence belongs to one task, so that nothing is taught twice.

The caption goes to caption; parts of it about one panel alone go to describe where all panels have one and enough of
the caption is left. What one paragraph says of the figure stays together, and goes to

    explain   where it tells of meaning and findings: more words of results, comparisons, reasons
    analyze   where the figure is an architecture, if all of this together tells what its parts do
    describe  otherwise: what panels hold, how it is drawn, what was done

A share too short for a target joins the largest one. Where citing text does not say what the parts of an architecture
do, analyze takes the sentences of its caption that do, except the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from figtune.dataset.citing_text import CitingPassage, content_words, hangs, repeats
from figtune.dataset.cleaning import continues_previous, depends_on_previous, without_leading_connective
from figtune.dataset.components import mentioned
from figtune.dataset.panel_captions import PanelPart
from figtune.dataset.sentence_faults import is_pointer
from figtune.dataset.sentences import count_words
from figtune.dataset.vocabulary import WORK_VERBS

_FEWEST_WORDS = 12
"""Shorter shares of citing text join another one."""
_FEWEST_TOLD_WORDS = 13
"""Shorter ones that have none to join are left out: they say too little of the figure."""
_FEWEST_ANALYZED_WORDS = 22
_FEWEST_VERBS = 2
_FEWEST_NAMES = 3
"""Names of components below which a text need not mention one: most others were not read."""
_FEWEST_WORDS_OF_FIGURE = 3
_LEAST_SHARE_OF_FIGURE = 0.2
"""Share of the words printed in it, where they are few."""
_FEWEST_CAPTION_WORDS = 5
_SHARED_WORDS = 3
_SHARED_WORDS_INTRODUCED = 2
_SHARED_WORDS_OF_ASIDE = 5
"""Fewest words where a paragraph cites the figure in brackets only: more words must tell that it is about it."""
_BACKGROUND = re.compile(r"(?i)\b(?:introduction|related|background|prior|previous|motivation|preliminar)")
"""Sections that cite a figure in brackets beside what they tell of the field."""
_WORDS_OF_OPENING = 10
"""Words within which a sentence that goes on behind another passage names the figure: not as a remark at its end."""
_CITES = re.compile(
    r"(?i)\b(?:the|this)\s+(?:figure|table|diagram|plots?)\b|\bpanels?\s\(?[a-h]\b|\((?:left|right|top|bottom|middle|cent)"
)
_PANEL = re.compile(r"(?i)\bpanels?\s\(?([a-h])\b")
_LOOKS_AT = re.compile(
    r"(?i)\b(?:red|green|blue|orange|yellow|purple|gr[ae]y|black|white|dashed|dotted|solid|bold|arrows?|lines?|curves?|"
    r"rows?|columns?|left|right|top|bottom|circles?|axis|axes|highlighted|colou?rs?|colou?red|heat\s?maps?)\b"
)
"""Words by which a single sentence tells of what can be seen."""
_LABEL = re.compile(r"^\(?[a-h](?:\)|[.:])[.:]?\s*")
_NAMED = re.compile(r"\b[Tt]he\s+[\w-]+(?=[\s,.;])")
_PLACE = re.compile(r"(?:Top|Bottom|Upper|Lower|Left|Right|Middle|Cent(?:er|re))\b[^.:]{0,20}:")
_CITING_TASKS = ("explain", "analyze", "describe")
_FINDINGS = re.compile(
    r"(?i)\b(?:outperform\w*|better|worse|best|worst|improv\w*|superior\w*|significant\w*|accura\w*|performance|results?|"
    r"demonstrat\w*|suggest\w*|indicat\w*|observ\w*|evident\w*|evidence|conclu\w*|reveal\w*|confirm\w*|validat\w*|"
    r"highlight\w*|advantages?|benefi\w*|fails?|failure|limit\w*|"
    r"because|due|motivat\w*|therefore|thus|compared|comparison|"
    r"robust\w*|effective\w*|increas\w*|decreas\w*|higher|lower|more|less|gains?|drops?|reduc\w*|why|means|implies|"
    r"shows? that|consistent\w*|challeng\w*)\b"
)
_MECHANISM = re.compile(
    r"(?i)\b(?:encod\w*|decod\w*|modules?|layers?|branch\w*|blocks?|networks?|backbone|consists?|compris\w*|contains?|feeds?|fed|"
    r"inputs?|outputs?|pass(?:es|ed)?|takes?|produc\w*|generat\w*|extract\w*|comput\w*|appl(?:y|ies|ied)|concatenat\w*|project\w*|"
    r"train\w*|optimi[sz]\w*|loss(?:es)?|stages?|steps?|first|then|pipeline|framework|architecture|attention|features?|tokens?|"
    r"embedd\w*|predict\w*|mapp(?:ed|ing)|maps|transform\w*|fus(?:e|es|ed|ion)|align\w*|sampl\w*|updat\w*|heads?|query|queries|"
    r"convolution\w*|generator|discriminator|components?)\b"
)
_LISTS = re.compile(
    r"^(?:[^,]*,\s+)?(?:[^\s,]+\s+){1,12}?(?:consists?\s+of|contains?|compris(?:es?|ing)|includes?|(?:is|are)\s+composed\s+of|"
    r"(?:has|have)\s+(?:two|three|four|five|\d)\b|(?:is|are)\s+divided\s+into)\b"
)
"""`Our network consists of an encoder and a decoder`: names parts and explains none."""
_LEGEND = re.compile(r"^(?:\S+\s+){1,7}?(?:denotes?|indicates?|represents?|stands?\s+for|refers?\s+to|means?)\b")
_INTRODUCES = re.compile(
    r"(?i)\b(?:inspired|motivated|novel|we\s+(?:thus\s+|therefore\s+)?(?:introduce|propose|present))\b"
)
_EXAMPLE = re.compile(r"\(\s*(?:i\.e|e\.g)\b[^()]*\)")
_DEED = re.compile(
    rf"\b(?:{'|'.join(sorted(verb.removesuffix('e') if len(verb) > 3 else verb for verb in WORK_VERBS))})"
    r"(?:e|es|ed|d|s|ing|[pt](?:ed|ing))?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class SentenceShares:
    """The sentences of each task."""

    caption: tuple[str, ...]
    panels: tuple[PanelPart, ...]
    """Panels whose part goes to describe."""
    explain: tuple[str, ...]
    analyze: tuple[str, ...]
    describe: tuple[str, ...]


def assign_sentences(
    caption: tuple[str, ...],
    panels: tuple[PanelPart, ...],
    passages: Iterable[CitingPassage],
    *,
    is_architecture: bool,
    components: Sequence[str],
    figure_text: str,
    caption_is_whole: bool = True,
) -> SentenceShares:
    """Part the sentences of a figure between the tasks.

    Args:
        caption_is_whole: False where cleaning dropped sentences between those of the caption.
        figure_text: words printed in the figure; a block that neither cites the figure nor shares words with it or its
            caption is about something else.
        components: names printed in the figure; what mentions none of them is no analysis of it.
    """
    own, taken = _without_panels(caption, panels)
    parts = _parts(passages, caption, " ".join((*caption, figure_text)))
    shares = _shares_of(parts, is_architecture=is_architecture)
    analyze = _told_together(shares["analyze"], across=True)
    if not _is_analysis(analyze, components, figure_text):
        analyze = ()
        shares["describe"] += shares["analyze"]
    describe, explain = _told_together(shares["describe"]), _told_together(shares["explain"])
    if is_architecture and not analyze and caption_is_whole:
        rest, others = _parts_of_caption(own, figure_text)
        if _is_analysis(others, components, figure_text):
            own, analyze = rest, others
    return SentenceShares(
        caption=own,
        panels=taken,
        explain=explain if _is_enough(explain) else (),
        analyze=analyze,
        describe=describe if _is_enough(describe) and (len(describe) > 1 or _looks_at(describe[0])) else (),
    )


def _is_enough(sentences: tuple[str, ...]) -> bool:
    return count_words(" ".join(sentences)) >= _FEWEST_TOLD_WORDS


def _looks_at(sentence: str) -> bool:
    """Return True if the sentence cites the figure or tells of what can be seen."""
    return _CITES.search(sentence) is not None or _LOOKS_AT.search(sentence) is not None


def _is_analysis(sentences: Sequence[str], components: Sequence[str], figure_text: str) -> bool:
    """Return True if the sentences tell what several parts of the figure do, rather than that there are such."""
    told = " ".join(sentences)
    working = [s for s in sentences if not any(pattern.search(s) for pattern in (_LISTS, _LEGEND, _INTRODUCES))]
    verbs = _DEED.findall(" ".join(working))
    if count_words(told) < _FEWEST_ANALYZED_WORDS or len({verb[:5].lower() for verb in verbs}) < _FEWEST_VERBS:
        return False
    if 2 * len(_FINDINGS.findall(told)) > len(verbs) or (
        len(components) >= _FEWEST_NAMES and not mentioned(told, components)
    ):
        return False
    printed = content_words(figure_text)
    return len(printed & content_words(told)) >= min(_FEWEST_WORDS_OF_FIGURE, _LEAST_SHARE_OF_FIGURE * len(printed))


def _without_panels(
    caption: tuple[str, ...], panels: tuple[PanelPart, ...]
) -> tuple[tuple[str, ...], tuple[PanelPart, ...]]:
    """Return the caption without what is about one panel alone, and the panels that take it."""
    stated = {_LABEL.sub("", sentence): sentence for sentence in caption}
    lost = {panel.label for panel in panels if panel.sentences and stated.keys().isdisjoint(panel.sentences)}
    apart = tuple(panel for panel in panels if panel.below_panel or panel.label in lost)
    whole = " ".join(caption)
    if any(panel.label in lost and " ".join(panel.sentences).rstrip(".") in whole for panel in panels):
        return caption, apart  # A list that begins within a sentence cannot be parted.
    listed = [panel for panel in panels if not panel.below_panel and panel.label not in lost]
    parts = [sentence for panel in listed for sentence in panel.sentences]
    is_whole = all(sentence in stated for sentence in parts) and all(
        count_words(" ".join(panel.sentences)) >= _FEWEST_CAPTION_WORDS for panel in listed
    )
    gone = {stated[sentence] for sentence in parts} if is_whole else set()
    rest = _standing(caption, gone)
    if not gone or count_words(" ".join(rest)) < _FEWEST_CAPTION_WORDS:
        return caption, apart
    return rest, (*listed, *apart)


def _standing(sentences: Sequence[str], gone: set[str]) -> tuple[str, ...]:
    """Return the sentences that are not gone and do not lean on one that is."""
    kept: list[str] = []
    for number, sentence in enumerate(sentences):
        stands = not depends_on_previous(sentence) or (number > 0 and sentences[number - 1] in kept)
        if sentence not in gone and stands:
            kept.append(sentence)
    return tuple(kept)


def _parts_of_caption(caption: tuple[str, ...], figure_text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first sentence and the others; all and none where those do not stand alone.

    A first sentence too short for a target ("Overview.") says nothing that the others do not: it goes. "The images"
    at the beginning of the others stand alone only where the first has not introduced them, or the figure names them;
    "the encoder" does.
    """
    headline, others = caption[:1], caption[1:]
    is_list = any(_LABEL.match(sentence) or _PLACE.match(sentence) for sentence in caption)
    if not others or is_list or depends_on_previous(others[0]):
        return caption, ()
    named = content_words(" ".join(_NAMED.findall(others[0])))
    leans_on = named & content_words(headline[0]) - content_words(figure_text)
    if any(not _MECHANISM.fullmatch(word) for word in leans_on):
        return caption, ()
    return headline if count_words(headline[0]) >= _FEWEST_CAPTION_WORDS else (), others


def _parts(passages: Iterable[CitingPassage], caption: Sequence[str], known: str) -> list[CitingPassage]:
    """Return what each passage says of the figure, without what the caption or an earlier passage has said.

    Args:
        known: words of the caption and the figure, by which a block is told to be about it.
    """
    topic = content_words(known)
    kept: list[CitingPassage] = []
    for passage in passages:
        if not passage.direct and _BACKGROUND.search(passage.section):
            continue
        said = [*caption, *(sentence for other in kept for sentence in other.sentences)]
        part = _part(passage, said, topic)
        # One sentence beside a remark in brackets tells of a corner at most, unless of what can be seen.
        if part and (len(part) > 1 or passage.direct or _looks_at(part[0])):
            kept.append(replace(passage, sentences=tuple(part)))
    return kept


def _part(passage: CitingPassage, said: Sequence[str], topic: frozenset[str]) -> list[str]:
    """Return the sentences of a passage that are new and about the figure, up to a gap that later ones lean on.

    What shares no words with the figure stays between sentences that do.
    """
    part: list[str] = []
    between: list[str] = []
    gap: list[str] = []
    blocks = _grouped(passage.sentences)
    for number, block in enumerate(blocks):
        later = [sentence for other in blocks[number + 1 :] for sentence in other] if len(block) == 1 else []
        repeated = [repeats(sentence, (*said, *part, *later)) and not is_pointer(sentence) for sentence in block]
        # What leans on a repeated sentence goes with it.
        new = block[: repeated.index(True) if True in repeated else len(block)]
        if all(map(is_pointer, new)):
            new = ()
        elif not _is_about(new, passage, topic, part):
            if passage.introduced:
                break  # What comes behind a gap would lean on it.
            if part and not gap and new == block:
                between.extend(block)
                continue
            new = ()
        if gap and new:
            if part and (not _CITES.search(new[0]) or hangs(new[0], gap, topic | content_words(" ".join(part)))):
                break
            new = (without_leading_connective(new[0]), *new[1:])
        part += (*between, *new) if new else ()
        gap = [*([] if new else (*gap, *between)), *block[len(new) :]]
        between = []
    while part and is_pointer(part[-1]):
        part.pop()
    return part


def _grouped(sentences: Iterable[str]) -> list[tuple[str, ...]]:
    groups: list[list[str]] = []
    for sentence in sentences:
        if groups and (continues_previous(sentence) or is_pointer(groups[-1][-1])):
            groups[-1].append(sentence)
        else:
            groups.append([sentence])
    return [tuple(group) for group in groups]


def _is_about(block: Sequence[str], passage: CitingPassage, topic: frozenset[str], before: Sequence[str]) -> bool:
    """Return True if a block cites the figure, or shares words with it or its caption.

    Behind a sentence that only introduces the figure fewer words are enough, and what was said there is a topic too.
    """
    pointer, told = block[:1], block[1:]
    if not told or not is_pointer(block[0]) or continues_previous(told[0]):
        pointer, told = (), block
    text, topic = " ".join(told), topic | content_words(" ".join(pointer))
    if _CITES.search(_EXAMPLE.sub(" ", text)):
        return True
    if not passage.introduced:
        needed = _SHARED_WORDS if passage.direct else _SHARED_WORDS_OF_ASIDE
    else:
        # A finding behind "Results are shown in Fig. 3." is about it.
        tells = not before and (_FINDINGS.search(text) or _LOOKS_AT.search(text))
        needed, topic = 1 if tells else _SHARED_WORDS_INTRODUCED, topic | content_words(" ".join(before))
    return len(content_words(text) & topic) >= needed


def _shares_of(parts: Sequence[CitingPassage], *, is_architecture: bool) -> dict[str, list[CitingPassage]]:
    tasks = [_task_of(" ".join(part.sentences), is_architecture=is_architecture) for part in parts]
    shares = {task: [part for part, its in zip(parts, tasks, strict=True) if its == task] for task in _CITING_TASKS}
    largest = max(shares, key=lambda task: _words(shares[task]))
    for task in _CITING_TASKS:
        if task != largest and _words(shares[task]) < _FEWEST_WORDS:
            shares[largest] += shares[task]
            shares[task] = []
    return shares


def _words(parts: Iterable[CitingPassage]) -> int:
    return sum(count_words(" ".join(part.sentences)) for part in parts)


def _told_together(parts: Iterable[CitingPassage], *, across: bool = False) -> tuple[str, ...]:
    """Return the sentences of the longest text of passages, each beginning with the figure or telling of another panel.

    One that has the figure as its matter comes before one of remarks in brackets.

    Args:
        across: True if passages of different sections make a text, as of the parts of an architecture.
    """
    texts: list[list[CitingPassage]] = [[]]
    for part in sorted(parts, key=lambda part: part.place):
        before = texts[-1]
        if before and (across or part.section == before[-1].section) and _goes_on(part, before):
            before.append(part)
        else:
            texts.append([part])
    return tuple(sentence for part in max(texts, key=_worth) for sentence in part.sentences)


def _worth(text: Sequence[CitingPassage]) -> tuple[bool, int]:
    words = _words(text)
    return any(part.direct for part in text) and words >= _FEWEST_TOLD_WORDS, words


def _goes_on(part: CitingPassage, before: Iterable[CitingPassage]) -> bool:
    own, other = (
        {panel for each in passages for panel in _PANEL.findall(" ".join(each.sentences))}
        for passages in ((part,), before)
    )
    opening = " ".join(part.sentences[0].split()[:_WORDS_OF_OPENING])
    return _CITES.search(opening) is not None or bool(own and other and own.isdisjoint(other))


def _task_of(part: str, *, is_architecture: bool) -> str:
    findings, mechanism = len(_FINDINGS.findall(part)), len(_MECHANISM.findall(part))
    if findings and (findings > mechanism if is_architecture else findings >= mechanism):
        return "explain"
    return "analyze" if is_architecture and mechanism else "describe"
