"""Answers on the terminal about an image, a figure of a paper, or a folder of images: there one JSON line per image."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from figtune.core.errors import InputError, NothingProducedError, PartialError, UsageError
from figtune.core.image_decoding import decode_file, read_image
from figtune.core.image_formats import IMAGE_SUFFIXES
from figtune.core.jsonl import ResumableJsonl, batch_sizes
from figtune.core.log import print_result, progress_bar
from figtune.inference.adapter_record import adapter_fingerprint, check_input_file, is_paper, read_adapter_record
from figtune.inference.generate import Question, check_prompt, load_model, predict
from figtune.inference.paper_figures import PromptSpec, read_paper, select_figure
from figtune.inference.settings import InferenceSettings
from figtune.models.loading import LoadedModel

logger = logging.getLogger(__name__)


class ImageAnswer(msgspec.Struct, frozen=True, kw_only=True, rename={"ended_with_eos": "stopped"}):
    """The line of one image."""

    schema: Literal[1] = 1
    image: str
    """Path relative to the folder."""
    prompt: str
    answer: str
    """Empty if there is a problem."""
    ended_with_eos: bool
    """True if it ended with EOS, False at the maximum length."""
    problem: str
    """Reason for no answer; empty otherwise."""


@dataclass(frozen=True, kw_only=True)
class AskCounts:
    """Numbers of images; each counts once."""

    answered: int
    failed: int


def ask_folder(
    output_dir: Path, folder: Path, spec: PromptSpec, answers: Path | None, settings: InferenceSettings
) -> AskCounts:
    """Ask the model trained in `output_dir` about every image below a folder.

    Args:
        answers: file for the `ImageAnswer` lines, which the same command continues after an interruption; None for
            stdout.

    Raises:
        ArtifactMissingError: no trained adapter.
        UsageError: an empty prompt, or `answers` is a folder.
        InputError: no image in the folder, or too long a prompt.
        NothingProducedError: no image could be read.
        PartialError: some could not be, and the settings are strict.
        ResourceError: the base model is unavailable, or memory is too small.
    """
    read_adapter_record(output_dir)
    if answers is not None and answers.is_dir():
        raise UsageError(f"--answers {answers} is a folder", "give a file, such as --answers answers.jsonl")
    images = list_images(folder)
    prompt = spec.image_prompt()
    check_prompt(output_dir, prompt)
    spec.log_missing_context()
    run = _FolderRun(output_dir, folder, prompt, settings)
    given = _print_lines(run, images) if answers is None else _write_lines(run, images, answers)
    failed = sum(bool(problem) for problem in given)
    if failed == len(images):
        raise NothingProducedError(f"none of the {failed:,} images in {folder} can be read", "see the reasons above")
    if settings.strict and failed:
        raise PartialError(f"images without an answer: {failed:,}", "see why above, or leave out --strict")
    return AskCounts(answered=len(images) - failed, failed=failed)


def list_images(folder: Path) -> list[Path]:
    """Return the images below a folder, by suffix, sorted by the bytes of their paths.

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


class _FolderRun:
    """One prompt for many images."""

    def __init__(self, output_dir: Path, folder: Path, prompt: str, settings: InferenceSettings) -> None:
        self._output_dir = output_dir
        self._folder = folder
        self._prompt = prompt
        self._settings = settings
        self.batch_size = settings.batch_size

    def batches(self, images: Sequence[Path], done: int) -> Iterator[list[ImageAnswer]]:
        """Yield the lines of the images after the first `done`, batch by batch; images are decoded batch by batch."""
        loaded = load_model(self._output_dir, self._settings.device, unquantized=self._settings.unquantized)
        with progress_bar(images[done:], total=len(images) - done, title="asking", unit="image") as bar:
            for first in range(done, len(images), self.batch_size):
                batch = images[first : first + self.batch_size]
                yield self._answered(loaded, batch)
                bar.update(len(batch))

    def fingerprint(self, images: Sequence[Path]) -> str:
        """Hash everything that the answers depend on; of images the size and time, since reading all takes long."""
        adapter = adapter_fingerprint(self._output_dir)
        digest = hashlib.sha256(f"{adapter} {self._prompt} {self._settings.decoding} {self.batch_size}".encode())
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
                logger.warning(f"failed: {broken.problem}")
                continue
            if decoded.remarks:
                logger.warning(f"{image.name} has {decoded.remarks_in_words}")
            questions[image] = Question(image=decoded.rgb, prompt=self._prompt)
        predicted = predict(loaded, list(questions.values()), self._settings.decoding) if questions else []
        answers = dict(zip(questions, predicted, strict=True))
        return [
            ImageAnswer(
                image=image.relative_to(self._folder).as_posix(),
                prompt=self._prompt,
                answer=answers[image].text if image in answers else "",
                ended_with_eos=image in answers and answers[image].ended_with_eos,
                problem=problems.get(image, ""),
            )
            for image in images
        ]


def _print_lines(run: _FolderRun, images: Sequence[Path]) -> Iterator[str]:
    """Print the lines; yield the problem of each."""
    for batch in run.batches(images, 0):
        for line in batch:
            print_result(msgspec.json.encode(line).decode())
            yield line.problem


def _write_lines(run: _FolderRun, images: Sequence[Path], answers: Path) -> Iterator[str]:
    """Write the lines to a resumable file; yield the problem of each."""
    lines_file = ResumableJsonl(kind=ImageAnswer, final=answers, fingerprint=run.fingerprint(images))
    done = lines_file.resume(batch_sizes(len(images), run.batch_size))
    yield from (line.problem for line in done)
    if len(done) < len(images):
        for batch in run.batches(images, len(done)):
            lines_file.append(batch)
            yield from (line.problem for line in batch)
    lines_file.commit()


def ask_about(
    output_dir: Path,
    about: Path,
    spec: PromptSpec,
    settings: InferenceSettings,
    figure: str | None,
    answers: Path | None,
) -> AskCounts:
    """Print the answer of the model trained in `output_dir`. Everything is checked before the model is loaded.

    Raises:
        ArtifactMissingError: no trained adapter.
        UsageError: an empty prompt, `figure` or `answers` without use, or no `figure` for a PDF.
        InputError: an unusable image or paper, no such figure, or too long a prompt.
        NothingProducedError: no image of the folder could be read.
        ResourceError: the base model is unavailable, or memory is too small.
    """
    read_adapter_record(output_dir)
    check_input_file(about, figure, answers)
    if about.is_dir():
        return ask_folder(output_dir, about, spec, answers, settings)
    question = _question(about, figure, spec, settings)
    check_prompt(output_dir, question.prompt)
    (answer,) = predict(
        load_model(output_dir, settings.device, unquantized=settings.unquantized), [question], settings.decoding
    )
    print_result(answer.text)
    return AskCounts(answered=1, failed=0)


def _question(about: Path, figure: str | None, spec: PromptSpec, settings: InferenceSettings) -> Question:
    if not is_paper(about):
        decoded = decode_file(about)
        if decoded.remarks:
            logger.warning(f"{about.name} has {decoded.remarks_in_words}")
        spec.log_missing_context()
        return Question(image=decoded.rgb, prompt=spec.image_prompt())
    with tempfile.TemporaryDirectory(prefix="figtune-") as folder:
        paper = read_paper(about, Path(folder), settings.extract)
        chosen = select_figure(paper, figure)
        logger.info(f"asking about {paper.record.file}, page {chosen.page}: {chosen.caption}")
        return Question(image=read_image(paper.crop(chosen)), prompt=spec.figure_prompt(paper, chosen))
