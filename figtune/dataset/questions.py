"""Short questions with short answers, made from what extraction is sure of; no model writes them.

Answers are balanced: yes and no, first and second caption and labels of panels are drawn by hash with equal odds;
frequent numbers of panels and wide figures are asked about less often.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from figtune.dataset.citing_text import content_words
from figtune.dataset.panel_captions import PanelPart
from figtune.dataset.sentences import count_words
from figtune.dataset.split_assignment import hash_to_unit_interval
from figtune.dataset.vocabulary import STOPWORDS
from figtune.extraction.records import FigureKind, TableGrid

MOST_QUESTIONS = 4
"""Questions a figure, drawn by hash among those that can be asked. They share the image's tokens in one row, so that
each further one costs about 30 tokens."""
_SURE_KIND = 0.9
_KIND_NAMES: dict[FigureKind, str] = {"diagram": "diagram", "plot": "plot", "qualitative": "pictures"}
_ASKED_SHARE = {2: 0.4, 3: 0.8}
"""Share of the figures with so many panels that are asked for the number."""
_PANEL_WORDS = range(1, 13)
_SHORT_PART = range(1, 5)
_CAPTION_WORDS = range(5, 41)
_LIST_LETTER = re.compile(r"(?:^|\s)[a-z]\.(?:\s|$)")
"""Letter of a list, at which a caption was cut: "a. Scores. b."."""
_MOST_ALIKE = 0.5
"""Share of the words of the shorter caption that the other may have: of two runs of one experiment nobody can tell."""
_FEWEST_PRINTED = 8
_MUCH_TEXT, _LITTLE_TEXT = 50, 10
"""Words of three letters and more from which a figure has much text, numbers left out as those of axes are no text to a
reader, and all words up to which it has little: of 302 figures of 56 papers 28 and 32. 30 words may look little."""
_WIDE, _NARROW = 2.3, 1.3
"""Width by height: of 322 figures 124 and 64. One of twice its height is not much wider to everybody."""
_ASKED_OF_WIDE = 0.55
_WORD = re.compile(r"(?<![\w-])[A-Za-z][a-z]{4,}(?![\w-])")
_WORD_IN_SENTENCE = re.compile(r"(?<=\w )[A-Za-z][a-z]{4,}(?![\w-])")
"""No word that begins a sentence: "Second", "Besides"."""

_FEWEST_COMPARED = 3
_LONGEST_ANSWER = 3  # words
_NUMBER = re.compile(r"[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?%?")


@dataclass(frozen=True, kw_only=True)
class ShortQuestion:
    """A question about a figure and its answer."""

    slug: str
    """Kind of question, for the example's id."""
    request: str
    answer: str


@dataclass(frozen=True)
class OtherCaption:
    """The caption of another figure of the paper."""

    headline: str
    """First sentence; empty where it was lost."""
    kind: FigureKind


@dataclass(frozen=True, kw_only=True)
class FigureFacts:
    """All that questions are made from."""

    figure_id: str
    kind: FigureKind
    kind_score: float
    panels: tuple[PanelPart, ...]
    panel_count: int
    """Number of panels that have a box and a label in order, 0 where any of it is unsure."""
    figure_text: str
    hides_words: bool
    """True if `figure_text` may lack some of the words printed."""
    shows_words: bool
    """True if `figure_text` is for certain what is printed."""
    aspect: float
    """Width by height; 0 where there is no crop."""
    caption: str
    """First sentence; empty where it was lost."""
    other_caption: OtherCaption | None
    """Caption of another figure of the paper; None where there is none."""
    spoken: str
    """Words of the paper about the figure, of which some are not printed in it."""


def ask(facts: FigureFacts) -> tuple[ShortQuestion, ...]:
    """Return at most `MOST_QUESTIONS` questions of different kinds."""
    return drawn(facts, _possible(facts))


def drawn(facts: FigureFacts, questions: Iterable[ShortQuestion]) -> tuple[ShortQuestion, ...]:
    """Return at most `MOST_QUESTIONS` of the questions about a figure or table, drawn by hash."""
    possible = sorted(questions, key=lambda question: draw(facts, f"order {question.slug}"))
    return tuple(possible[:MOST_QUESTIONS])


def _possible(facts: FigureFacts) -> Iterator[ShortQuestion]:
    if facts.kind in _KIND_NAMES and facts.kind_score >= _SURE_KIND:
        yield ShortQuestion(
            slug="kind",
            request="What kind of figure is this? Answer with diagram, plot or pictures.",
            answer=_KIND_NAMES[facts.kind],
        )
    yield from _about_looks(facts)
    count = facts.panel_count
    if count >= 2 and draw(facts, "count") < _ASKED_SHARE.get(count, 1.0):
        yield ShortQuestion(
            slug="count",
            request="How many labelled panels does this figure have? Answer with a number.",
            answer=str(count),
        )
    yield from _about_panels(facts)
    if facts.kind in ("diagram", "plot") and facts.kind_score >= _SURE_KIND and facts.shows_words:
        yield from about_words(facts, "figure")
    yield from about_captions(facts, "figure")


def _about_looks(facts: FigureFacts) -> Iterator[ShortQuestion]:
    """Ask what a glance at the whole figure tells: much or little text, wide or not."""
    words = count_words(facts.figure_text)
    # An image without a text layer may hold words all the same.
    is_sure = facts.kind_score >= _SURE_KIND and words > 0 and not facts.hides_words
    spelled = len(re.findall(r"[^\W\d_]{3,}", facts.figure_text))  # without the numbers of axes
    is_much = spelled >= _MUCH_TEXT
    if is_much or (is_sure and words <= _LITTLE_TEXT):
        yield ShortQuestion(
            slug="text",
            request="Is there much or little text in this figure? Answer with much or little.",
            answer="much" if is_much else "little",
        )
    is_wide = facts.aspect >= _WIDE
    if 0 < facts.aspect <= _NARROW or (is_wide and draw(facts, "shape") < _ASKED_OF_WIDE):
        yield ShortQuestion(
            slug="shape",
            request="Is this figure much wider than it is tall? Answer yes or no.",
            answer="yes" if is_wide else "no",
        )


def _about_panels(facts: FigureFacts) -> Iterator[ShortQuestion]:
    """Ask where something is, or what a panel of few words is; each panel as likely as the others."""
    if not facts.panel_count:
        return
    parts = [(panel.label, " ".join(panel.printed.split()).rstrip(" .,;:")) for panel in facts.panels]
    texts = [text.casefold() for _, text in parts]
    own = [part for part in parts if texts.count(part[1].casefold()) == 1 and _is_plain(part[1])]
    if len(own) != facts.panel_count:
        return
    label, text = own[int(draw(facts, "panel") * len(own))]
    if count_words(text) in _PANEL_WORDS and not _is_printed_elsewhere(text, label, facts.figure_text):
        yield ShortQuestion(
            slug="where", request=f'Which panel shows "{text}"? Answer with its label.', answer=f"({label})"
        )
    label, text = own[int(draw(facts, "other panel") * len(own))]
    if count_words(text) in _SHORT_PART:
        yield ShortQuestion(
            slug="panel", request=f"What does panel ({label}) show? Answer in a few words.", answer=text
        )


def _is_printed_elsewhere(text: str, label: str, figure_text: str) -> bool:
    """Return True if the words about a panel are printed in the figure beside those behind the panel's label."""
    words = text.casefold()
    rest = " ".join(figure_text.casefold().split()).replace(f"({label.casefold()}) {words}", "", 1)
    spoken = set(re.findall(r"[^\W_]{3,}", re.sub(r"\(.*?\)", "", words))) - STOPWORDS
    return spoken <= set(re.findall(r"[^\W_]{3,}", rest))


def _is_plain(text: str) -> bool:
    """Return True for words without references, symbols and other labels."""
    return bool(text) and re.search(r"\[|\]|\{|=|\\|\bFig|\bSec|\bTab|\(\w\)", text) is None and text.isascii()


def about_words(facts: FigureFacts, noun: str) -> Iterator[ShortQuestion]:
    """Ask for a word that is printed in the figure or table, or for one of the text around it that is not."""
    printed = {word.casefold() for word in re.findall(r"[^\W\d_]+", facts.figure_text)}
    if count_words(facts.figure_text) < _FEWEST_PRINTED:
        return
    inside = _topical(_WORD.findall(facts.figure_text))
    outside = [
        word
        for word in _topical(_WORD_IN_SENTENCE.findall(facts.spoken))
        if not any(word.casefold()[:5] in other or other[:5] in word.casefold() for other in printed if len(other) > 3)
    ]
    if inside and outside:
        is_yes = draw(facts, "yes") < 0.5
        words = inside if is_yes else outside
        word = words[int(draw(facts, "word") * len(words))]
        yield ShortQuestion(
            slug="word",
            request=f'Is the word "{word}" printed in this {noun}? Answer yes or no.',
            answer="yes" if is_yes else "no",
        )


def _topical(words: Sequence[str]) -> list[str]:
    return sorted({word for word in words if word.casefold() not in STOPWORDS})


def about_captions(facts: FigureFacts, noun: str) -> Iterator[ShortQuestion]:
    """Ask which of two captions belongs to the figure or table, where its kind or its words tell."""
    if facts.other_caption is None:
        return
    captions = (facts.caption, facts.other_caption.headline)
    if any(count_words(each) not in _CAPTION_WORDS or _LIST_LETTER.search(each) for each in captions):
        return
    one, two = ({*re.findall(r"\w+", caption.casefold())} - STOPWORDS for caption in captions)
    if len(one & two) > _MOST_ALIKE * min(len(one), len(two)):
        return
    printed, ours, theirs = (content_words(text) for text in (facts.figure_text, *captions))
    own, others = len(printed & (ours - theirs)), len(printed & (theirs - ours))
    kinds = {facts.kind, facts.other_caption.kind} - {"mixed"}
    if own < others or (own == others and len(kinds) < 2):
        return
    is_first = draw(facts, "first") < 0.5
    upper, lower = captions if is_first else reversed(captions)
    yield ShortQuestion(
        slug="caption",
        request=f"Which caption belongs to this {noun}?\n(1) {upper}\n(2) {lower}\nAnswer with 1 or 2.",
        answer="1" if is_first else "2",
    )


def draw(facts: FigureFacts, purpose: str) -> float:
    """Return a number in [0, 1) that only the figure and the purpose decide."""
    return hash_to_unit_interval(0, f"question {purpose} {facts.figure_id}")


def ask_about_table(grid: TableGrid, facts: FigureFacts) -> tuple[ShortQuestion, ...]:
    """Return as many questions as about a figure. Each has one answer: names of rows and columns stand there once."""
    asked = (_about_size(grid, facts), *_about_cells(grid, facts), *_about_extremes(grid, facts))
    words = () if facts.hides_words else about_words(facts, "table")
    return drawn(facts, (*asked, *words, *about_captions(facts, "table")))


def _about_size(grid: TableGrid, facts: FigureFacts) -> ShortQuestion:
    if draw(facts, "size") < 0.5:
        return ShortQuestion(
            slug="columns",
            request="How many columns does this table have? Answer with a number.",
            answer=str(len(grid.columns)),
        )
    return ShortQuestion(
        slug="rows",
        request="How many rows does this table have below its header? Answer with a number.",
        answer=str(len(grid.rows)),
    )


def _about_cells(grid: TableGrid, facts: FigureFacts) -> Iterator[ShortQuestion]:
    """Ask for one cell; each column as likely as the others."""
    names = _names(grid)
    columns = [
        (column, cells)
        for place, column in enumerate(grid.columns)
        if place > 0
        and _is_plain_cell(column)
        and (
            cells := [
                (row, line[place]) for row, line in zip(names, grid.rows, strict=True) if _is_asked(row, line[place])
            ]
        )
    ]
    if columns:
        column, cells = columns[int(draw(facts, "column") * len(columns))]
        row, cell = cells[int(draw(facts, "row") * len(cells))]
        yield ShortQuestion(
            slug="cell",
            request=f'What does this table have for "{row}" under "{column}"? Answer with the cell as it is printed.',
            answer=cell,
        )


def _about_extremes(grid: TableGrid, facts: FigureFacts) -> Iterator[ShortQuestion]:
    """Ask for the row of the highest or the lowest number of a column, with equal odds: the last row has often the
    best."""
    names = _names(grid)
    if not all(names) or len(names) < _FEWEST_COMPARED:
        return
    numbers = [
        (column, values)
        for place, column in enumerate(grid.columns)
        if place > 0 and _is_plain_cell(column) and (values := _values([line[place] for line in grid.rows]))
    ]
    if numbers:
        column, values = numbers[int(draw(facts, "numbers") * len(numbers))]
        word, best = ("highest", max(values)) if draw(facts, "highest") < 0.5 else ("lowest", min(values))
        if values.count(best) == 1:
            yield ShortQuestion(
                slug="best",
                request=f'Which row has the {word} value under "{column}"? Answer with the name of the row.',
                answer=names[values.index(best)],
            )


def _names(grid: TableGrid) -> list[str]:
    """Return the names of the rows; nothing for those that several share, or that are no name."""
    every = [row[0] for row in grid.rows]
    return [name if every.count(name) == 1 and _is_plain_cell(name) else "" for name in every]


def _is_plain_cell(name: str) -> bool:
    return '"' not in name and any(map(str.isalnum, name))


def _is_asked(row: str, cell: str) -> bool:
    return bool(row) and any(map(str.isalnum, cell)) and len(cell.split()) <= _LONGEST_ANSWER


def _values(cells: Sequence[str]) -> list[float]:
    """Return the numbers of a column; nothing where one of its cells is none."""
    if not all(_NUMBER.fullmatch(cell) for cell in cells) or len({cell.endswith("%") for cell in cells}) > 1:
        return []
    return [float(re.sub(r"[,%]", "", cell).replace("−", "-")) for cell in cells]
