"""Figures that no example should be made of, by named rule."""

from __future__ import annotations

import re
from dataclasses import dataclass

from figtune.examples.choices import Choices
from figtune.examples.images import ImageFacts
from figtune.examples.records import Split
from figtune.examples.references import Subject, without_label
from figtune.examples.vocabulary import ENGLISH_FUNCTION_WORDS
from figtune.figures.records import FigureRecord

SETTINGS = {
    "table_kept_apart": "--prepare.include_tables",
    "low_confidence": "--prepare.min_confidence",
    "image_too_small": "--prepare.min_side_pixels",
    "extreme_aspect_ratio": "--prepare.max_aspect_ratio",
    "blank_image": "--prepare.min_ink_share",
    "not_english": "--prepare.english_only",
    "near_duplicate_across_splits": "--prepare.near_duplicate_bits",
    "no_id": "--data.id_column",
    "too_short": "--prepare.min_words",
    "no_sentence_fits": "--prepare.max_words",
}
"""What to change where a rule is too strict."""

_ENOUGH_WORDS = 8
"""Fewer words may well do without any function word ("Qualitative comparison on ScanNet")."""
_LATIN_SHARE = 0.7


@dataclass(frozen=True)
class Fault:
    """Why something was rejected."""

    rule: str
    detail: str


def fault_of_record(figure: FigureRecord, choices: Choices) -> Fault | None:
    """The first rule against a figure that its record alone tells."""
    if figure.figure_type == "Table" and not choices.include_tables:
        return Fault("table_kept_apart", "tables are left out unless asked for")
    caption = without_label(figure.caption, Subject(figure.figure_type, figure.name))
    if figure.crop is None:
        return Fault("no_region", figure.reason)
    if not caption:
        return Fault("no_caption", figure.reason)
    if figure.confidence < choices.min_confidence:
        return Fault(
            "low_confidence", f"{figure.confidence:.2f} < {choices.min_confidence:.2f}. {figure.reason}".strip()
        )
    if choices.english_only and not is_english(caption):
        return Fault("not_english", caption)
    return None


def fault_of_image(image: ImageFacts, choices: Choices) -> Fault | None:
    """The first rule against a picture."""
    short, long = sorted((image.width, image.height))
    if short < choices.min_side_pixels:
        return Fault("image_too_small", f"{image.width} x {image.height} pixels")
    if long > choices.max_aspect_ratio * short:
        return Fault("extreme_aspect_ratio", f"{image.width} x {image.height} pixels")
    if image.ink_share < choices.min_ink_share:
        return Fault("blank_image", f"{image.ink_share:.2%} of the pixels differ from the background")
    return None


def near_copy(kept: str, split: Split) -> Fault:
    """The fault of a picture whose near copy stands in an earlier split."""
    return Fault("near_duplicate_across_splits", f"nearly the same picture as {kept} in {split}")


def is_english(text: str) -> bool:
    """Whether letters are mostly Latin and, in longer texts, one word in ten is an English function word."""
    letters = re.findall(r"[^\W\d_]", text)
    latin = sum(letter.isascii() for letter in letters)
    if not letters or latin < _LATIN_SHARE * len(letters):
        return False
    words = re.findall(r"[^\W\d_]+", text.lower())
    return len(words) < _ENOUGH_WORDS or 10 * sum(word in ENGLISH_FUNCTION_WORDS for word in words) >= len(words)
