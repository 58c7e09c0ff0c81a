"""A folder of images, all asked the same: one JSON line an image, as soon as its batch is answered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from figtune.answers.answering import Question, answers_to, check_prompt, load_for_answers
from figtune.answers.journal import Journal
from figtune.answers.trained import read_trained
from figtune.core.errors import InputError, NothingProducedError, PartialError, UsageError
from figtune.core.image_formats import IMAGE_SUFFIXES
from figtune.core.images import decode_file
from figtune.core.io import sha256_of
from figtune.core.log import log, print_result, progress_bar
from figtune.models.loading import LoadedModel
from figtune.models.records import ADAPTER_FOLDER, MODEL_FILE
from figtune.talk.terms import Request, Terms


@dataclass(frozen=True, kw_only=True)
class ImageAnswer:
    """What became of one image."""

    schema: Literal[1] = 1
    image: str
    """Its path relative to the folder given."""
    prompt: str
    answer: str
    """Empty where there is a problem."""
    stopped: bool
    """Whether the answer ended by itself, rather than at the longest length allowed."""
    problem: str
    """Why there is no answer; empty otherwise."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Images, each counted once."""

    answered: int
    failed: int


def ask_folder(output_dir: Path, folder: Path, request: Request, answers: Path | None, terms: Terms) -> Counts:
    """Ask the model trained in `output_dir` about every image below a folder.

    Args:
        answers: the file that gets the `ImageAnswer` lines, where the same command carries on after an interruption;
            None for stdout.

    Raises:
        ArtifactMissingError: nothing has been trained there yet.
        UsageError: an empty prompt, or `answers` is a folder.
        InputError: no image in the folder, or a prompt that is too long.
        NothingProducedError: no image could be read.
        PartialError: some could not be, and the terms are strict.
        ResourceError: the base model is not to be had, or memory is too small.
    """
    read_trained(output_dir)
    if answers is not None and answers.is_dir():
        raise UsageError(f"--answers {answers} is a folder", "give a file, such as --answers answers.jsonl")
    images = image_files(folder)
    prompt = request.of_image()
    check_prompt(output_dir, prompt)
    request.tell_of_missing_context()
    asking = _Asking(output_dir, folder, prompt, terms)
    given = _shown(asking, images) if answers is None else _written(asking, images, answers)
    failed = sum(bool(problem) for problem in given)
    if failed == len(images):
        raise NothingProducedError(f"none of the {failed:,} images in {folder} can be read", "see the reasons above")
    if terms.strict and failed:
        raise PartialError(f"images without an answer: {failed:,}", "see why above, or leave out --strict")
    return Counts(answered=len(images) - failed, failed=failed)


def image_files(folder: Path) -> list[Path]:
    """Every image below a folder, by its suffix, sorted by the bytes of its path.

    Raises:
        InputError: there is none.
    """
    paths = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    images = sorted((path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES), key=os.fsencode)
    if not images:
        raise InputError(
            f"no image below {folder}", f"give a folder with files that end in {', '.join(IMAGE_SUFFIXES)}"
        )
    return images


class _Asking:
    """One question for many images."""

    def __init__(self, output_dir: Path, folder: Path, prompt: str, terms: Terms) -> None:
        self._output_dir = output_dir
        self._folder = folder
        self._prompt = prompt
        self._terms = terms
        self.batch_size = terms.batch_size

    def batches(self, images: Sequence[Path], done: int) -> Iterator[list[ImageAnswer]]:
        """Answers to the images after the first `done`, a batch at a time; their pictures are read batch by batch."""
        loaded = load_for_answers(self._output_dir, self._terms.device)
        with progress_bar(images[done:], total=len(images) - done, title="asking", unit="image") as bar:
            for first in range(done, len(images), self.batch_size):
                batch = images[first : first + self.batch_size]
                yield self._answered(loaded, batch)
                bar.update(len(batch))

    def identity(self, images: Sequence[Path]) -> str:
        """Of everything that decides what is answered; images are told by size and time, as reading all takes long."""
        digest = hashlib.sha256(f"{self._prompt} {self._terms.decoding} {self.batch_size}".encode())
        adapter = sorted((self._output_dir / ADAPTER_FOLDER).iterdir())
        for file in (self._output_dir / MODEL_FILE, *adapter):
            digest.update(sha256_of(file).encode())
        for image in images:
            state = image.stat(follow_symlinks=image.exists())
            digest.update(f"{image.relative_to(self._folder)} {state.st_size} {state.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def _answered(self, loaded: LoadedModel, images: Sequence[Path]) -> list[ImageAnswer]:
        questions: dict[Path, Question] = {}
        problems: dict[Path, str] = {}
        for image in images:
            try:
                decoded = decode_file(image)
            except InputError as broken:
                problems[image] = broken.problem.replace(str(image), image.name)
                log(f"failed: {broken.problem}")
                continue
            if decoded.remarks:
                log(f"{image.name} has {decoded.remarks_in_words}")
            questions[image] = Question(picture=decoded.rgb, prompt=self._prompt)
        answers = dict(zip(questions, self._said(loaded, list(questions.values())), strict=True))
        return [self._line(image, *answers.get(image, ("", False)), problems.get(image, "")) for image in images]

    def _said(self, loaded: LoadedModel, questions: Sequence[Question]) -> list[tuple[str, bool]]:
        if not questions:
            return []
        return [(answer.text, answer.stopped) for answer in answers_to(loaded, questions, self._terms.decoding)]

    def _line(self, image: Path, answer: str, stopped: bool, problem: str) -> ImageAnswer:
        name = image.relative_to(self._folder).as_posix()
        return ImageAnswer(image=name, prompt=self._prompt, answer=answer, stopped=stopped, problem=problem)


def _shown(asking: _Asking, images: Sequence[Path]) -> Iterator[str]:
    """Lines on stdout; yields the problem of each."""
    for batch in asking.batches(images, 0):
        for line in batch:
            print_result(msgspec.json.encode(line).decode())
            yield line.problem


def _written(asking: _Asking, images: Sequence[Path], answers: Path) -> Iterator[str]:
    """Lines in a file that grows batch by batch; yields the problem of each."""
    journal = Journal(kind=ImageAnswer, final=answers, identity=asking.identity(images))
    done = journal.resume(len(images), asking.batch_size)
    yield from (line.problem for line in done)
    if len(done) < len(images):
        for batch in asking.batches(images, len(done)):
            journal.append(batch)
            yield from (line.problem for line in batch)
    journal.finish()
