"""Words printed in a figure, panel or table, in reading order, as the PDF's text layer has them: the target of the task
read; and how many of them can be read at the resolution of a vision encoder.

What holds formulas, or letters with an index, is left out: the text layer has no plain form for them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from figtune.dataset.panel_captions import PanelPart
from figtune.dataset.panel_images import PANEL_MARGIN
from figtune.dataset.sentences import count_words
from figtune.extraction.records import BoxTuple, FigureRecord, Panel, TableGrid
from figtune.pdf.geometry import Box
from figtune.pdf.reading_order import NUMBER, is_axis_torn, is_only_order

UNSURE_TABLE = "unsure_table"
"""The rule against reading a table, or asking about it, whose cells extraction is not sure of."""
_BETWEEN_CELLS = " | "
_FEWEST_WORDS = 3
_FEW_WORDS = 40
"""Words up to which a figure is read as a whole, though it has panels."""
_MOST_WORDS = 120
"""Words that are read off one picture; more are too small to be read in one of the usual size."""
_FORMULA = re.compile(r"(?m)^[i-z]$|(?<![^\W_]{4})[_^][\w−-]|\w\^|[×=+·]\s?\)|\(\s?[,)]|(?:^|\s)[x×]\s?10$")
"""An index, brackets that have lost a letter: `(N× )`, or a power that has lost its index: `x 10`; not the underscore
of a long name: `Conv5_3`."""
_LONGEST_LINE = 30  # words: more is running text that a region took in by mistake
_MOST_ODD = 0.15
"""Share of odd characters above which a text layer has a bad code table, or is a formula's."""
_LEAST_CUT, _MOST_CUT = 0.01, 0.1
"""Shares of a label on the other side of a panel's edge: from the first on the picture of the neighbour shows a part of
it, from the second on the picture of the panel lacks one."""
_NAME_COLUMN = 0.35
"""Share of a panel's width, at its left, in which the names of rows stand that its neighbours share."""
_ALONG_ROWS = 0.5
"""Share of its height that they are spread over."""
_STRIP = 1.5  # heights of a sub-caption
_LOW = 0.65  # of a panel's height: labels beside it stand in its middle
_SAME_ROW = 0.7  # of the height of the lower of two panels side by side that both reach over
_MOST_OVERLAP = 0.15
"""Share of the smaller of two labels that the other may cover: boxes are a little higher than letters."""
_SYMBOLS = re.compile(r"[^\s.…·•:,;|/+−–*()\[\]×→←↑↓⇒-]")
"""More than marks, in a label without a letter: the `∆` of a formula."""
_POWER = re.compile(r"(?<![\w.])10\^[−\-–]?\d+")
_MOST_BARE_LINES = 0.4
"""Share of lines without a word or number above which a figure holds formulas more than words."""
_GARBLED = re.compile(
    r"""[A-Za-z0-9(][!#$@^]+[A-Za-z0-9(]|[#$@^!]{2,}|[!#$"&'@^%]{3,}|[A-Za-z](?:[!#$@^]|\($)|\d[:;<=>?@]\d+[:;<=>?@]|[a-z]{2}[\d%!&$#@^][a-z]{2}(?<![24]..)|-‐|\w[®©¶§]|[a-z]{3}[au]ons?\b"""
)
"""Letters of a font with a bad code table come out as other signs, `f#!$`, or not at all: `Informaon`."""
_TORN = re.compile(r"(?:^|\s)[b-hj-zB-HJ-Z] [a-z]{2,}|[a-z]{21}|\d\.\d+\.\d|(?<![\d.,])\d{5,}(?<!00)(?!\d)")
"""A word in pieces, `T ransformer`, or words or numbers without a blank: `0.920.96`, `171819`, but not `12500`."""
_LETTERS = re.compile(r"[^\W\d_]{2}")
_SUB_CAPTION = re.compile(r"\(\w\)")
_WORD_OR_NUMBER = re.compile(r"[^\W\d_]{3,}|\d")
_READABLE = re.compile(r"[\w\s.,:;!?()\[\]/%+\-=<>&*#@\"'“”‘’–—−×·±°$|_~≈≤≥→←↑↓✓✗…•]", re.UNICODE)


@dataclass(frozen=True, kw_only=True)
class PrintedWords:
    """Words of a figure or of one panel."""

    panel: PanelPart | None
    """Panel that they are in; None for the whole figure."""
    labels: tuple[str, ...]
    reject_rule: str
    """The rule against reading them; empty where there is none."""


def printed_words(figure: FigureRecord) -> tuple[PrintedWords, ...]:
    """Return the words of the figure; of each panel alone where together they are many; of a table row by row."""
    if figure.figure_type == "Table":
        return (_in_table(figure.grid),)
    labels = figure.figure_text.splitlines()
    boxes = [Box(*box) for box in figure.text_boxes]
    panels = [panel for panel in figure.panels if panel.box is not None]
    if labels and not (figure.shows_words and len(boxes) == len(labels)):
        return (PrintedWords(panel=None, labels=(), reject_rule="hidden_words_in_figure"),)
    if _overlap(boxes) or is_axis_torn(labels, boxes):
        return (PrintedWords(panel=None, labels=(), reject_rule="unreadable_words_in_figure"),)
    if count_words(figure.figure_text) <= _FEW_WORDS or len(panels) < 2 or len(panels) < len(figure.panels):
        lines, reject_rule = _lines_in_order(labels, boxes)
        return (PrintedWords(panel=None, labels=lines, reject_rule=reject_rule),)
    return tuple(_in_panel(panel, labels, boxes) for panel in panels)


def _lines_in_order(labels: Sequence[str], boxes: Sequence[Box]) -> tuple[tuple[str, ...], str]:
    lines, reject_rule = printed_lines(labels, _MOST_WORDS)
    if not reject_rule and not is_only_order(labels, boxes):
        return (), "unsure_order_of_words"
    return lines, reject_rule


def _overlap(boxes: Sequence[Box]) -> bool:
    """Return True if a label lies over another, or between its parts: it is covered, or their order is unsure."""
    return any(
        (shared := box.overlap(other)) and shared > _MOST_OVERLAP * min(box.area, other.area)
        for place, box in enumerate(boxes)
        for other in boxes[place + 1 :]
    )


def _in_table(grid: TableGrid | None) -> PrintedWords:
    if grid is None:
        return PrintedWords(panel=None, labels=(), reject_rule=UNSURE_TABLE)
    printed = (*grid.header, *grid.rows)
    rows = tuple(_BETWEEN_CELLS.join(row).strip() for row in printed)
    reject_rule = ""
    if any("|" in cell for row in printed for cell in row):
        reject_rule = UNSURE_TABLE
    elif sum(map(count_words, rows)) > _MOST_WORDS:
        reject_rule = "too_many_words_in_figure"
    elif _has_odd_signs("".join(rows)):
        reject_rule = "unreadable_words_in_figure"
    return PrintedWords(panel=None, labels=() if reject_rule else rows, reject_rule=reject_rule)


def _in_panel(panel: Panel, labels: Sequence[str], boxes: Sequence[Box]) -> PrintedWords:
    shares = [_share_inside(box, panel.box) for box in boxes] if panel.box is not None else []
    inside = [place for place, share in enumerate(shares) if share > 1 - _MOST_CUT]
    lines, reject_rule = _lines_in_order([labels[place] for place in inside], [boxes[place] for place in inside])
    if not reject_rule and any(_LEAST_CUT < share <= 1 - _MOST_CUT for share in shares):
        lines, reject_rule = (), "words_cut_in_panel"
    part = PanelPart(label=panel.label.strip("()[]. "), sentences=(), box=panel.box)
    return PrintedWords(panel=part, labels=lines, reject_rule=reject_rule)


def panels_apart(figure: FigureRecord) -> frozenset[str]:
    """Return the labels of the panels that a crop shows whole: without half a word, names of rows that stand at the
    first panel of several, or the legend below all of them. The others are shown in the whole figure."""
    labels = figure.figure_text.splitlines()
    boxes = [Box(*box) for box in figure.text_boxes]
    apart = {panel.label for panel in figure.panels if panel.box is not None}
    if len(boxes) != len(labels):
        return frozenset(apart)
    if any(_has_strip_below(panel, labels, boxes) for panel in figure.panels):
        return frozenset()
    shares = {panel.label: [_share_inside(box, panel.box) for box in boxes] for panel in figure.panels if panel.box}
    apart -= {label for label, inside in shares.items() if any(_MOST_CUT < share <= 1 - _MOST_CUT for share in inside)}
    words = [place for place, label in enumerate(labels) if _LETTERS.search(label) and not _SUB_CAPTION.match(label)]
    own = {label: [boxes[at] for at in words if inside[at] > 1 - _MOST_CUT] for label, inside in shares.items()}
    for panel in figure.panels:
        if panel.box is not None and _has_row_names(Box(*panel.box), own[panel.label]):
            beside = {
                other.label
                for other in figure.panels
                if other.box is not None and _is_right_of(Box(*other.box), Box(*panel.box))
            }
            apart -= {label for label in beside if not own[label]}
    return frozenset(apart)


def _has_strip_below(panel: Panel, labels: Sequence[str], boxes: Sequence[Box]) -> bool:
    """Return True if more than the end of its sub-caption stands below a panel's label, at its lower end."""
    if panel.box is None:
        return False
    _, top, _, bottom = panel.box
    mark = f"({panel.label.strip('()[]. ')})"
    for label, box in zip(labels, boxes, strict=True):
        if label.startswith(mark) and _share_inside(box, panel.box) > 1 - _MOST_CUT:
            return box.top > top + _LOW * (bottom - top) and bottom - box.bottom > _STRIP * box.height
    return False


def _has_row_names(panel: Box, words: Sequence[Box]) -> bool:
    """Return True if words stand one below the other at the left of a panel."""
    at_left = [box for box in words if box.x1 <= panel.x0 + _NAME_COLUMN * panel.width]
    middles = [(box.top + box.bottom) / 2 for box in at_left]
    return len(at_left) > 1 and max(middles) - min(middles) >= _ALONG_ROWS * panel.height


def _is_right_of(panel: Box, other: Box) -> bool:
    shared = min(panel.bottom, other.bottom) - max(panel.top, other.top)
    return panel.x0 >= other.x1 - PANEL_MARGIN and shared >= _SAME_ROW * min(panel.height, other.height)


def _share_inside(box: Box, panel: BoxTuple) -> float:
    return box.overlap(Box(*panel).expanded(PANEL_MARGIN)) / box.area if box.area else 0.0


def printed_lines(labels: Iterable[str], max_words: int) -> tuple[tuple[str, ...], str]:
    """Return the labels that hold words or numbers, and the rule against reading them, empty where there is none."""
    every = [" ".join(label.split()) for label in labels]
    lines = tuple(label for label in every if re.search(r"\w", label))
    words = sum(count_words(line) for line in lines)
    text = "".join(lines)
    if words < _FEWEST_WORDS:
        return (), "no_words_in_figure"
    if words > max_words or any(len(line.split()) > _LONGEST_LINE for line in lines):
        return (), "too_many_words_in_figure"
    plain = "\n".join(_POWER.sub("10", label) for label in every)
    if _FORMULA.search(plain) or _has_odd_signs(text) or any(map(_SYMBOLS.search, set(every) - set(lines))):
        return (), "unreadable_words_in_figure"
    # A number of no axis has no sure place: the value of a bar, a part of an axis.
    if any(NUMBER.fullmatch(line) or _TORN.search(line) for line in lines):
        return (), "unreadable_words_in_figure"
    bare = sum(_WORD_OR_NUMBER.search(line) is None for line in lines)
    if bare > _MOST_BARE_LINES * len(lines) or is_garbled(plain) or sum(map(_is_unit, lines)) > 1:
        return (), "unreadable_words_in_figure"
    return lines, ""


def _is_unit(label: str) -> bool:
    """Return True for a unit alone, "(mV)", which has lost the letter that it is the unit of."""
    return re.fullmatch(r"\([^\W\d_]{2,3}\)", label) is not None


def is_garbled(text: str) -> bool:
    """Return True if letters came out as other signs, so that none of it can be trusted."""
    return _GARBLED.search(text) is not None


def _has_odd_signs(text: str) -> bool:
    return sum(map(_is_odd, text)) > _MOST_ODD * len(text) or "\ufffd" in text


def _is_odd(sign: str) -> bool:
    return not _READABLE.match(sign) or unicodedata.category(sign) in ("Co", "Cn", "Lo")


Size = tuple[int, int]
"""Width and height in pixels."""

_POINTS_PER_INCH = 72
READABLE_PIXELS = 10.0
"""Type size in pixels from which a word counts as readable. In figures of 56 papers OCR finds 81 % of the words at this
size, 90 % at 18 pixels and 48 % at 7."""


def _square(side: int, _: Size) -> Size:
    return side, side


def _as_it_is(size: Size) -> Size:
    return size


def _gemma3_tiles(size: Size) -> Size:
    """Return the size of up to four tiles side by side, each squashed to a square, as pan and scan cuts them."""
    short, long = sorted(size)
    tiles = min(4, max(2, min(math.floor(long / short + 0.5), long // 256)))
    if long / short < 1.2 or min(short, math.ceil(long / tiles)) < 256:
        tiles = 1
    return (896 * tiles, 896) if size[0] >= size[1] else (896, 896 * tiles)


def _gemma4_grid(tokens: int, size: Size) -> Size:
    """Return the size of the grid of 48 x 48 squares, at most so many, that Gemma 4 resizes an image to."""
    factor = math.sqrt(tokens * 48 * 48 / (size[0] * size[1]))
    width, height = (max(1, math.floor(factor * side / 48)) * 48 for side in size)
    return min(width, 48 * tokens), min(height, 48 * tokens)


ENCODERS: dict[str, Callable[[Size], Size]] = {
    "PaliGemma, 224 x 224": partial(_square, 224),
    "Gemma 3, 896 x 896": partial(_square, 896),
    "Gemma 3, 4 tiles": _gemma3_tiles,
    **{f"Gemma 4, {tokens} tokens": partial(_gemma4_grid, tokens) for tokens in (280, 560, 1120)},
    "the crop itself": _as_it_is,
}
"""Size that an encoder resizes an image to, by the name of the encoder; last the most that any can see."""


def count_readable_words(figure: FigureRecord) -> tuple[int, dict[str, int]]:
    """Return the number of words printed in a figure, and of those that can be read, by encoder.

    Only words of the text layer count: those that are pixels have no type size.
    """
    if figure.crop_size is None:
        return 0, {}
    words = sum(count for _, count in figure.text_sizes)
    readable = {}
    for name in ENCODERS:
        least = least_readable_size(name, figure.crop_size, figure.dpi)
        readable[name] = sum(count for size, count in figure.text_sizes if size >= least)
    return words, readable


def least_readable_size(encoder: str, size: Size, dpi: int) -> float:
    """Return the type size in points from which words can be read.

    Squashing shrinks one direction more than the other, and the smaller one counts; enlarging a picture adds nothing
    that can be read.

    Args:
        encoder: its name in `ENCODERS`.
        size: of the picture given to it.
        dpi: resolution of that picture.
    """
    scales = (now / before for now, before in zip(ENCODERS[encoder](size), size, strict=True))
    return READABLE_PIXELS / (dpi / _POINTS_PER_INCH * min(1.0, *scales))
