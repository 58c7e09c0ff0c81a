"""Answers on a terminal: about an image, a figure of a paper, or a folder of images."""

from __future__ import annotations

import tempfile
from pathlib import Path

from figtune.answers.answering import Question, answers_to, check_prompt, load_for_answers
from figtune.answers.trained import read_trained
from figtune.core.images import decode_file, read_image
from figtune.core.log import log, print_result
from figtune.talk.folder import Counts, ask_folder
from figtune.talk.paper import chosen_figure, read_paper
from figtune.talk.preflight import check_subject, is_paper
from figtune.talk.terms import Request, Terms


def answer_about(
    output_dir: Path, about: Path, request: Request, terms: Terms, *, figure: str | None, answers: Path | None
) -> Counts:
    """Print what the model trained in `output_dir` says. Whatever can be refused is refused before it is loaded.

    Args:
        about: an image, a PDF, or a folder of images.
        figure: of the PDF: "3", "Table 2".
        answers: the file for the lines about a folder; None for stdout.

    Raises:
        ArtifactMissingError: nothing has been trained there yet.
        UsageError: an empty prompt, or `figure` or `answers` where there is nothing for them or where they are missing.
        InputError: an image or a paper that cannot be used, no such figure, or a prompt that is too long.
        NothingProducedError: no image of the folder could be read.
        ResourceError: the base model is not to be had, or memory is too small.
    """
    read_trained(output_dir)
    check_subject(about, figure, answers)
    if about.is_dir():
        return ask_folder(output_dir, about, request, answers, terms)
    question = _question(about, figure, request, terms)
    check_prompt(output_dir, question.prompt)
    (answer,) = answers_to(load_for_answers(output_dir, terms.device), [question], terms.decoding)
    print_result(answer.text)
    return Counts(answered=1, failed=0)


def _question(about: Path, figure: str | None, request: Request, terms: Terms) -> Question:
    if not is_paper(about):
        decoded = decode_file(about)
        if decoded.remarks:
            log(f"{about.name} has {decoded.remarks_in_words}")
        request.tell_of_missing_context()
        return Question(picture=decoded.rgb, prompt=request.of_image())
    with tempfile.TemporaryDirectory(prefix="figtune-") as folder:
        paper = read_paper(about, Path(folder), terms.reading)
        chosen = chosen_figure(paper, figure)
        log(f"asking about {paper.record.file}, page {chosen.page}: {chosen.caption}")
        return Question(picture=read_image(paper.crop(chosen)), prompt=request.of_figure(paper, chosen))
