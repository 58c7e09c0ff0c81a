"""Rows judged one by one: an example, until its copies elsewhere are known, or the rule that is against it."""

from __future__ import annotations

import os
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


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A row that is fit to be an example."""

    split: Split
    example: Example
    perceptual_hash: str
    """Of its image, in hex."""
    shortened: bool
    """Whether sentences of its text were left out."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Turns rows into candidates and stores their images."""

    source: OpenedSource
    dataset_dir: Path
    deal: Deal
    choices: Choices

    def judged(self, row: Row, part: str) -> Candidate | Rejection:
        """Text first: where it is unfit the image need not be decoded."""
        completion = _bounded(row.target, self.choices.max_words)
        fault = _fault_of_text(row.target, completion, self.choices)
        image = fault or self._image(row)
        if isinstance(image, Fault):
            return Rejection(
                item_id=self._name(row, part),
                rule=image.rule,
                detail=image.detail,
                task="",
                image="",
                source=self._source(row, part),
            )
        return self._candidate(row, part, completion, image)

    def _candidate(self, row: Row, part: str, completion: str, image: KeptImage) -> Candidate:
        group = row.row_id or image.facts.sha256
        return Candidate(
            split=self.deal.split_of(part, group),
            example=Example(
                example_id=self._name(row, part),
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
            shortened=completion != row.target,
        )

    def _image(self, row: Row) -> KeptImage | Fault:
        data = self._encoded(row.image)
        if isinstance(data, Fault):
            return data
        try:
            image = keep(data, "the image")
        except InputError as fault:
            return Fault("unreadable_image", fault.problem)
        return fault_of_image(image.facts, self.choices) or image

    def _encoded(self, image: bytes | str | None) -> bytes | Fault:
        if image is None:
            return Fault("no_image", "neither bytes nor a path")
        if isinstance(image, bytes):
            return image
        if "://" in image:
            return Fault("no_image", f"{image} is an address; only files are read")
        path = Path(os.path.normpath(self.source.folder / image))
        if not self.source.trusted and not path.is_relative_to(self.source.folder):
            return Fault("image_outside", f"{image} lies outside the data set")
        try:
            return path.read_bytes()
        except OSError as fault:
            return Fault("no_image", f"{image}: {(fault.strerror or 'cannot be read').lower()}")

    def _name(self, row: Row, part: str) -> str:
        return f"{'row' if len(self.deal.own) == 1 else part}-{row.number:06d}"

    def _source(self, row: Row, part: str) -> str:
        row_id = f", {row.row_id}" if row.row_id else ""
        return f"{self.source.name}, {part} row {row.number}{row_id}"


def _bounded(text: str, max_words: int) -> str:
    """The text as it is, or as many of its sentences as fit."""
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
