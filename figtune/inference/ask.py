"""Answers on the terminal about an image, a figure of a paper, or a folder of images."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from figtune.core.images import decode_file, read_image
from figtune.core.log import print_result
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.ask_folder import AskCounts, ask_folder
from figtune.inference.paper_figures import read_paper, select_figure
from figtune.inference.predict import Question, check_prompt, load_model, predict
from figtune.inference.preflight import check_subject, is_paper
from figtune.inference.prompt_spec import PromptSpec
from figtune.inference.settings import InferenceSettings

logger = logging.getLogger(__name__)


def ask_about(
    output_dir: Path,
    about: Path,
    spec: PromptSpec,
    settings: InferenceSettings,
    figure: str | None,
    answers: Path | None,
) -> AskCounts:
    """Print the answer of the model trained in `output_dir`. Everything is checked before the model is loaded.

    Args:
        about: an image, a PDF, or a folder of images.
        figure: name of the figure in the PDF: "3", "Table 2".
        answers: file for the lines about a folder; None for stdout.

    Raises:
        ArtifactMissingError: no trained adapter.
        UsageError: an empty prompt, `figure` or `answers` without use, or no `figure` for a PDF.
        InputError: an unusable image or paper, no such figure, or too long a prompt.
        NothingProducedError: no image of the folder could be read.
        ResourceError: the base model is unavailable, or memory is too small.
    """
    read_adapter_record(output_dir)
    check_subject(about, figure, answers)
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
        paper = read_paper(about, Path(folder), settings.paper)
        chosen = select_figure(paper, figure)
        logger.info(f"asking about {paper.record.file}, page {chosen.page}: {chosen.caption}")
        return Question(image=read_image(paper.crop(chosen)), prompt=spec.figure_prompt(paper, chosen))
