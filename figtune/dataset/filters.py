"""Figures that no example should be made of, by named rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from figtune.dataset.image_store import PixelFacts
from figtune.dataset.records import Split
from figtune.dataset.references import FigureRef, without_label
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.vocabulary import ENGLISH_FUNCTION_WORDS, FOREIGN_FUNCTION_WORDS
from figtune.extraction.records import FigureRecord

_ENOUGH_WORDS = 8
"""Fewer words may well do without any function word ("Qualitative comparison on ScanNet")."""
_LATIN_SHARE = 0.7
JUDGEMENTS = frozenset(
    (
        *("table_kept_apart", "low_confidence", "not_english"),
        *("image_too_small", "extreme_aspect_ratio", "blank_image"),
    )
)
"""Rules against whole figures that a person may overrule. The others say that something is missing, or keep copies of a
picture out of other splits, without which an evaluation would not be of unseen figures."""


@dataclass(frozen=True)
class RejectReason:
    """Reason for a rejection."""

    rule: str
    detail: str


def check_figure(figure: FigureRecord, settings: PrepareSettings, *, accepted: bool = False) -> RejectReason | None:
    """The first rule against a figure that its record alone tells.

    Args:
        accepted: a person has accepted the figure, which is then judged by no `JUDGEMENTS`.
    """
    return _first(_faults(figure, settings), accepted=accepted)


def check_image(image: PixelFacts, settings: PrepareSettings, *, accepted: bool = False) -> RejectReason | None:
    """The first rule against a picture. See `check_figure`."""
    return _first(_image_faults(image, settings), accepted=accepted)


def _first(reasons: Iterator[RejectReason], *, accepted: bool) -> RejectReason | None:
    return next((reason for reason in reasons if not (accepted and reason.rule in JUDGEMENTS)), None)


def _faults(figure: FigureRecord, settings: PrepareSettings) -> Iterator[RejectReason]:
    if figure.figure_type == "Table" and not settings.include_tables:
        yield RejectReason("table_kept_apart", "tables are left out unless asked for")
    caption = without_label(figure.caption, FigureRef(figure.figure_type, figure.name))
    if figure.crop is None:
        yield RejectReason("no_region", figure.reason)
    if not caption:
        yield RejectReason("no_caption", figure.reason)
    if figure.confidence < settings.min_confidence:
        yield RejectReason(
            "low_confidence", f"{figure.confidence:.2f} < {settings.min_confidence:.2f}. {figure.reason}".strip()
        )
    if settings.english_only and not is_english(caption):
        yield RejectReason("not_english", caption)


def _image_faults(image: PixelFacts, settings: PrepareSettings) -> Iterator[RejectReason]:
    short, long = sorted((image.width, image.height))
    if short < settings.min_side_pixels:
        yield RejectReason("image_too_small", f"{image.width} x {image.height} pixels")
    if long > settings.max_aspect_ratio * short:
        yield RejectReason("extreme_aspect_ratio", f"{image.width} x {image.height} pixels")
    if image.ink_share < settings.min_ink_share:
        yield RejectReason("blank_image", f"{image.ink_share:.2%} of the pixels differ from the background")


def near_duplicate(kept: str, split: Split) -> RejectReason:
    """The fault of a picture whose near copy stands in an earlier split."""
    return RejectReason("near_duplicate_across_splits", f"nearly the same picture as {kept} in {split}")


def is_english(text: str) -> bool:
    """Return True if letters are mostly Latin and, in longer texts, one word in ten is an English function word."""
    letters = re.findall(r"[^\W\d_]", text)
    latin = sum(letter.isascii() for letter in letters)
    if not letters or latin < _LATIN_SHARE * len(letters):
        return False
    if all(letter.isascii() for letter in letters):
        words = re.findall(r"[a-z]+", text.lower())
        foreign = sum(word in FOREIGN_FUNCTION_WORDS for word in words)
        return foreign <= sum(word in ENGLISH_FUNCTION_WORDS for word in words)
    words = re.findall(r"[^\W\d_]+", text.lower())
    return len(words) < _ENOUGH_WORDS or 10 * sum(word in ENGLISH_FUNCTION_WORDS for word in words) >= len(words)
