"""Filter rows one by one: each text becomes a candidate for an example, or a rejection by a named rule."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figtune.examples.choices import Choices
from figtune.examples.dealing import Deal
from figtune.examples.images import KeptImage, keep
from figtune.examples.imagestore import store_image
from figtune.examples.records import DATA_SET_TASK, Example, Rejection, Split
from figtune.examples.rows import OpenedSource, Row
from figtune.examples.screening import Fault, fault_of_image
from figtune.examples.sentences import count_words, split_sentences, whole_sentences
from figtune.pipeline.errors import InputError
from figtune.pipeline.images import REMARKS, Remark, read_image_bytes

_LONGEST_PATH = 200
"""Characters of a path that are repeated: encoded pictures stand in its place at times."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A text and its image that are fit to be an example."""

    split: Split
    example: Example
    perceptual_hash: str
    """Of its image, in hex."""
    shortened: bool
    """True where sentences of its text were left out."""
    remarks: tuple[Remark, ...]
    """About its image."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Turns rows into candidates and stores their images."""

    source: OpenedSource
    dataset_dir: Path
    deal: Deal
    choices: Choices
    needs_ids: bool
    """True where the user named a column of ids: the split of a row without one is unknown then."""

    def judged(self, row: Row, part: str) -> Iterator[Candidate | Rejection]:
        """Yield a candidate or a rejection for each text of a row.

        The image is decoded once, and not at all where no text is fit.
        """
        image: KeptImage | Fault | None = None
        for number, text in enumerate(row.targets, start=1):
            name = f"{'row' if len(self.deal.own) == 1 else part}-{row.number:06d}{f'-{number}' if number > 1 else ''}"
            completion = _bounded(text, self.choices.max_words)
            outcome: KeptImage | Fault | None = self._fault_of_id(row, part)
            outcome = outcome or _fault_of_text(text, completion, self.choices)
            outcome = outcome or (image := image or self._image(row))
            if isinstance(outcome, Fault):
                yield self._rejection(row, part, name, outcome)
            else:
                yield self._candidate(row, part, name, completion, completion != text, outcome)

    def _fault_of_id(self, row: Row, part: str) -> Fault | None:
        if self.needs_ids and not row.row_id and self.deal.is_drawn(part):
            return Fault("no_id", "which rows belong with it cannot be told, so neither can its split")
        return None

    def _rejection(self, row: Row, part: str, name: str, fault: Fault) -> Rejection:
        return Rejection(
            item_id=name, rule=fault.rule, detail=fault.detail, task="", image="", source=self._source(row, part)
        )

    def _candidate(
        self, row: Row, part: str, name: str, completion: str, shortened: bool, image: KeptImage
    ) -> Candidate:
        group = row.row_id or image.facts.sha256
        return Candidate(
            split=self.deal.split_of(part, group),
            example=Example(
                example_id=name,
                task=DATA_SET_TASK,
                image=store_image(self.dataset_dir, image),
                image_sha256=image.facts.sha256,
                prompt=row.prompt,
                completion=completion,
                # Many data sets number their rows anew in each part.
                group=group if len(self.deal.own) == 1 else f"{part}/{group}",
                source=self._source(row, part),
                kind="",
            ),
            perceptual_hash=f"{image.facts.perceptual_hash:x}",
            shortened=shortened,
            remarks=image.remarks,
        )

    def _image(self, row: Row) -> KeptImage | Fault:
        data = self._encoded(row.image)
        if isinstance(data, Fault):
            return data
        try:
            image = keep(data, "the image")
        except InputError as error:
            return Fault("unreadable_image", error.problem)
        fault = fault_of_image(image.facts, self.choices)
        if fault is not None and fault.rule == "blank_image" and "dark" in image.remarks:
            return Fault(fault.rule, f"{fault.detail}; it has {REMARKS['dark']}")
        return fault or image

    def _encoded(self, image: bytes | str | None) -> bytes | Fault:
        if image is None:
            return Fault("no_image", "neither the bytes nor the path of one image")
        if isinstance(image, bytes):
            return image
        shown = image if len(image) <= _LONGEST_PATH else f"{image[:_LONGEST_PATH]}..."
        shown = shown.encode("utf-8", "replace").decode("utf-8")
        if "://" in image:
            return Fault("no_image", f"{shown} is an address; only files are read")
        path = Path(os.path.normpath(self.source.folder / image))
        if not self.source.trusted and not path.is_relative_to(self.source.folder):
            return Fault("image_outside", f"{shown} lies outside the data set")
        try:
            return read_image_bytes(path)
        except InputError as fault:
            return Fault("no_image", fault.problem.replace(str(path), shown))

    def _source(self, row: Row, part: str) -> str:
        row_id = f", {row.row_id}" if row.row_id else ""
        return f"{self.source.name}, {part} row {row.number}{row_id}"


def _bounded(text: str, max_words: int) -> str:
    """Return the text, or as many of its first sentences as fit."""
    if count_words(text) <= max_words:
        return text
    return " ".join(whole_sentences(split_sentences(text), max_words))


def _fault_of_text(text: str, completion: str, choices: Choices) -> Fault | None:
    if not text:
        return Fault("no_text", "")
    if not completion:
        return Fault("no_sentence_fits", f"the first of {count_words(text)} words is longer than allowed")
    if count_words(completion) < choices.min_words:
        return Fault("too_short", completion)
    return None
