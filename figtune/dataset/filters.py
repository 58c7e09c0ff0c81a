"""Figures and rows that no example should be made of, by named rule: a row becomes a candidate, or a rejection."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figtune.core.errors import InputError
from figtune.core.image_decoding import REMARKS, Remark, read_image_bytes
from figtune.dataset.dataset_rows import DatasetRow, OpenedSource
from figtune.dataset.image_store import PixelFacts, StoredImage, prepare_image, store_image
from figtune.dataset.records import CUSTOM_TASK, Example, Rejection, Split
from figtune.dataset.references import FigureRef, without_label
from figtune.dataset.sentences import count_words, split_sentences, whole_sentences
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.split_assignment import SplitAssignment
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

_LONGEST_PATH = 200
"""Characters of a path that are repeated: encoded pictures stand in its place at times."""


@dataclass(frozen=True)
class RejectReason:
    """Reason for a rejection."""

    rule: str
    detail: str


def check_figure(figure: FigureRecord, settings: PrepareSettings, *, accepted: bool = False) -> RejectReason | None:
    """Return the first rule against a figure that its record alone tells.

    Args:
        accepted: a person has accepted the figure, which is then judged by no `JUDGEMENTS`.
    """
    return _first(_faults(figure, settings), accepted=accepted)


def check_image(image: PixelFacts, settings: PrepareSettings, *, accepted: bool = False) -> RejectReason | None:
    """Return the first rule against a picture. See `check_figure`."""
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
    """Return the fault of a picture whose near copy stands in an earlier split."""
    return RejectReason("near_duplicate_across_splits", f"nearly the same picture as {kept} in {split}")


def is_english(text: str) -> bool:
    """Return True if letters are mostly Latin and, in longer texts, one word in ten is an English function word."""
    letters = re.findall(r"[^\W\d_]", text)
    latin = sum(map(str.isascii, letters))
    if not letters or latin < _LATIN_SHARE * len(letters):
        return False
    if latin == len(letters):
        words = re.findall(r"[a-z]+", text.lower())
        foreign = sum(word in FOREIGN_FUNCTION_WORDS for word in words)
        return foreign <= sum(word in ENGLISH_FUNCTION_WORDS for word in words)
    words = re.findall(r"[^\W\d_]+", text.lower())
    return len(words) < _ENOUGH_WORDS or 10 * sum(word in ENGLISH_FUNCTION_WORDS for word in words) >= len(words)


@dataclass(frozen=True, kw_only=True)
class CandidateExample:
    """A text and its image that are fit to be an example."""

    split: Split
    example: Example
    perceptual_hash: str
    """Perceptual hash of its image, in hex."""
    shortened: bool
    """True where sentences of its text were left out."""
    remarks: tuple[Remark, ...]
    """About its image."""


@dataclass(frozen=True, kw_only=True)
class RowFilter:
    """Turns rows into candidates and stores their images."""

    source: OpenedSource
    dataset_dir: Path
    splits: SplitAssignment
    settings: PrepareSettings
    needs_ids: bool
    """True where the user named a column of ids: the split of a row without one is unknown then."""

    def filter_row(self, row: DatasetRow, part: str) -> Iterator[CandidateExample | Rejection]:
        """Yield a candidate or a rejection for each text of a row.

        The image is decoded once, and not at all where no text is fit.
        """
        image: StoredImage | RejectReason | None = None
        for number, text in enumerate(row.targets, start=1):
            name = (
                f"{'row' if len(self.splits.own) == 1 else part}-{row.number:06d}{f'-{number}' if number > 1 else ''}"
            )
            completion = _bounded(text, self.settings.max_words)
            outcome: StoredImage | RejectReason | None = self._fault_of_id(row, part)
            outcome = outcome or _check_text(text, completion, self.settings)
            outcome = outcome or (image := image or self._image(row))
            if isinstance(outcome, RejectReason):
                yield self._rejection(row, part, name, outcome)
            else:
                yield self._candidate(row, part, name, completion, completion != text, outcome)

    def _fault_of_id(self, row: DatasetRow, part: str) -> RejectReason | None:
        if self.needs_ids and not row.row_id and self.splits.is_drawn(part):
            return RejectReason("no_id", "which rows belong with it cannot be told, so neither can its split")
        return None

    def _rejection(self, row: DatasetRow, part: str, name: str, fault: RejectReason) -> Rejection:
        return Rejection(
            item_id=name, rule=fault.rule, detail=fault.detail, task="", image="", source=self._source(row, part)
        )

    def _candidate(
        self, row: DatasetRow, part: str, name: str, completion: str, shortened: bool, image: StoredImage
    ) -> CandidateExample:
        group = row.row_id or image.facts.sha256
        return CandidateExample(
            split=self.splits.split_of(part, group),
            example=Example(
                example_id=name,
                task=CUSTOM_TASK,
                image=store_image(self.dataset_dir, image),
                image_sha256=image.facts.sha256,
                prompt=row.prompt,
                completion=completion,
                # Many data sets number their rows anew in each part.
                group=group if len(self.splits.own) == 1 else f"{part}/{group}",
                source=self._source(row, part),
                kind="",
            ),
            perceptual_hash=f"{image.facts.perceptual_hash:x}",
            shortened=shortened,
            remarks=image.remarks,
        )

    def _image(self, row: DatasetRow) -> StoredImage | RejectReason:
        data = self._encoded(row.image)
        if isinstance(data, RejectReason):
            return data
        try:
            image = prepare_image(data, "the image")
        except InputError as error:
            return RejectReason("unreadable_image", error.problem)
        fault = check_image(image.facts, self.settings)
        if fault is not None and fault.rule == "blank_image" and "dark" in image.remarks:
            return RejectReason(fault.rule, f"{fault.detail}; it has {REMARKS['dark']}")
        return fault or image

    def _encoded(self, image: bytes | str | None) -> bytes | RejectReason:
        if image is None:
            return RejectReason("no_image", "neither the bytes nor the path of one image")
        if isinstance(image, bytes):
            return image
        shown = image if len(image) <= _LONGEST_PATH else f"{image[:_LONGEST_PATH]}..."
        shown = shown.encode("utf-8", "replace").decode("utf-8")
        if "://" in image:
            return RejectReason("no_image", f"{shown} is an address; only files are read")
        path = Path(os.path.normpath(self.source.folder / image))
        if not self.source.trusted and not path.is_relative_to(self.source.folder):
            return RejectReason("image_outside", f"{shown} lies outside the data set")
        try:
            return read_image_bytes(path)
        except InputError as fault:
            return RejectReason("no_image", fault.problem.replace(str(path), shown))

    def _source(self, row: DatasetRow, part: str) -> str:
        row_id = f", {row.row_id}" if row.row_id else ""
        return f"{self.source.name}, {part} row {row.number}{row_id}"


def _bounded(text: str, max_words: int) -> str:
    """Return the text, or as many of its first sentences as fit."""
    if count_words(text) <= max_words:
        return text
    return " ".join(whole_sentences(split_sentences(text), max_words))


def _check_text(text: str, completion: str, settings: PrepareSettings) -> RejectReason | None:
    if not text:
        return RejectReason("no_text", "")
    if not completion:
        return RejectReason("no_sentence_fits", f"the first of {count_words(text)} words is longer than allowed")
    if count_words(completion) < settings.min_words:
        return RejectReason("too_short", completion)
    return None
