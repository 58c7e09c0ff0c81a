"""Evaluation of a server's answers beside those of the model that it should serve.

Servers that are given an adapter beside its base model can answer with the base model alone, without an error. So
answers are compared with those that tuned and base model gave to the same examples.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from figtune.core.errors import ResourceError
from figtune.core.image_decoding import read_image
from figtune.core.io import sha256_of
from figtune.core.jsonl import ResumableJsonl, batch_sizes, write_json
from figtune.core.log import progress_bar
from figtune.core.number_format import count
from figtune.core.stages import locked
from figtune.evaluation.evaluate import write_report
from figtune.evaluation.settings import TestSettings
from figtune.evaluation.staleness import read_evaluation
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.served_model import ServedModel, UnansweredError, connect
from figtune.metrics.aggregate import aggregate
from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.records import (
    EVALUATION_FOLDER,
    METRICS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    SERVED_FOLDER,
    ModelResult,
    Prediction,
    ServedAgreement,
)
from figtune.metrics.text_metrics import chrf, sentence_scores
from figtune.models.families import family_of
from figtune.models.family import Family, Processor
from figtune.models.records import CURVES_FILE, PROCESSOR_FOLDER, ModelRecord

logger = logging.getLogger(__name__)

_CLEAR_SHARE = 0.8
"""Share of the answers that are nearer to one model's, from which on that one is said to be served."""
_LEAST_EXAMPLES = 3
"""Fewer tell nothing."""


@dataclass(frozen=True, kw_only=True)
class _Asker:
    """A served model, and how it is asked about the examples of a data set."""

    model: ServedModel
    settings: TestSettings
    dataset_dir: Path
    family: Family
    processor: Processor
    record: ModelRecord

    def ask(self, prediction: Prediction) -> Prediction:
        """Return the prediction with the server's answer, or without one if the server refuses to give it."""
        image = read_image(self.dataset_dir / prediction.image)
        fitted = self.family.fitted_image(self.processor, image, self.record.image_fit)
        try:
            answer = self.model.ask(fitted, prediction.prompt, self.settings)
        except UnansweredError as refused:
            logger.warning(f"{prediction.example_id}: {refused.problem}")
            return prediction
        result = ModelResult(
            loss=None,
            answer=answer.text,
            answer_tokens=answer.tokens,
            ended_with_eos=answer.ended_with_eos,
            **sentence_scores(answer.text, prediction.reference),
        )
        return replace(prediction, served=result)


def evaluate_served(dataset_dir: Path, output_dir: Path, settings: TestSettings, seed: int) -> ServedAgreement:
    """Ask a server about every example of OUTPUT/evaluation, and write OUTPUT/evaluation-served.

    Several requests go at once, `settings.batch_size` at most. An interrupted evaluation resumes; a finished one is
    made anew, since the server may have changed.

    Raises:
        ArtifactMissingError: OUTPUT has no evaluation of its adapter, or the data set is not there.
        InputError: an image or a record cannot be read.
        UsageError: no address, or a server of several models.
        ResourceError: the server does not answer, or has no such model.
    """
    record = read_adapter_record(output_dir)
    run = read_evaluation(output_dir)
    family = family_of(record.family, record.name)
    processor = family.load_processor(output_dir / PROCESSOR_FOLDER)
    folder = output_dir / SERVED_FOLDER
    with locked(output_dir), connect(settings.server, settings.server_model, settings.server_timeout) as model:
        asker = _Asker(
            model=model,
            settings=settings,
            dataset_dir=dataset_dir,
            family=family,
            processor=processor,
            record=record,
        )
        jsonl = ResumableJsonl(
            kind=Prediction, final=folder / PREDICTIONS_FILE, fingerprint=_fingerprint(output_dir, model, settings)
        )
        predictions = _predictions(asker, run.predictions, jsonl)
        found = compare_with_models(predictions, model.address, model.name)
        summary = replace(
            run.summary, slices=aggregate(predictions, Bootstrap(settings.bootstrap_samples, seed)), served=found
        )
        write_json(folder / METRICS_FILE, summary)
        write_report(folder, dataset_dir, output_dir / CURVES_FILE, summary, predictions)
        jsonl.commit()
    logger.log(logging.INFO if found.serves == "adapter" else logging.WARNING, found.sentence)
    logger.info(f"look at: {folder / REPORT_FILE}")
    return found


def compare_with_models(predictions: Sequence[Prediction], address: str, model: str) -> ServedAgreement:
    """Tell whose answers a server gives: those of the tuned model, or of the base model."""
    told_apart = [
        (each.served.answer, each.tuned.answer, each.base.answer)
        for each in predictions
        if each.served is not None and each.tuned.answer != each.base.answer
    ]
    unanswered = sum(each.served is None for each in predictions)
    likeness = [(_likeness(served, tuned), _likeness(served, base)) for served, tuned, base in told_apart]
    to_tuned = sum(of_tuned > of_base for of_tuned, of_base in likeness)
    to_base = sum(of_tuned < of_base for of_tuned, of_base in likeness)
    serves = _whose_answers(to_tuned, to_base, len(told_apart))
    same_as_tuned = sum(served == tuned for served, tuned, _ in told_apart)
    return ServedAgreement(
        address=address,
        model=model,
        unanswered=unanswered,
        examples=len(told_apart),
        same_as_tuned=same_as_tuned,
        same_as_base=sum(served == base for served, _, base in told_apart),
        nearer_to_tuned=to_tuned,
        nearer_to_base=to_base,
        serves=serves,
        sentence=_sentence(serves, to_tuned, to_base, same_as_tuned, len(told_apart))
        + (f" {count(unanswered, 'requests')} had no answer, which count as empty ones." if unanswered else ""),
    )


def _likeness(one: str, other: str) -> float:
    """Return how alike two answers are, in [0, 100]: 100 where both are empty, too."""
    return 100.0 if one == other else chrf(one, other)


def _whose_answers(to_tuned: int, to_base: int, examples: int) -> Literal["adapter", "base model", "unclear"]:
    if examples < _LEAST_EXAMPLES:
        return "unclear"
    if to_tuned >= _CLEAR_SHARE * examples:
        return "adapter"
    return "base model" if to_base >= _CLEAR_SHARE * examples else "unclear"


def _sentence(serves: str, to_tuned: int, to_base: int, same: int, examples: int) -> str:
    numbers = (
        f"of {count(examples, 'answers')} to examples that tell the two apart, {to_tuned:,} are nearer to the tuned "
        f"model's ({same:,} of them word for word) and {to_base:,} to the base model's"
    )
    if examples < _LEAST_EXAMPLES:
        return f"The answers do not show whether the adapter is served: tuned and base model hardly differ ({numbers})."
    if serves == "adapter":
        return f"The server answers as the tuned model: {numbers}."
    if serves == "base model":
        return f"The adapter is not served, the server answers as the base model: {numbers}."
    return (
        f"The server answers neither as the tuned nor as the base model: {numbers}. Look at its prompt layout, its "
        "image size and its precision."
    )


def _predictions(asker: _Asker, examples: Sequence[Prediction], jsonl: ResumableJsonl[Prediction]) -> list[Prediction]:
    at_once = asker.settings.batch_size
    done = jsonl.resume(batch_sizes(len(examples), at_once))
    rest = examples[len(done) :]
    batches = [rest[first : first + at_once] for first in range(0, len(rest), at_once)]
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        for batch in progress_bar(batches, total=len(batches), title="asking the server", unit="batch"):
            answered = list(pool.map(asker.ask, batch))
            if not done and all(each.served is None for each in answered):
                raise ResourceError(
                    f"{asker.model.address} answers none of the first {count(len(batch), 'requests')}",
                    "see its words above, and look at its log",
                )
            jsonl.append(answered)
            done += answered
    return done


def _fingerprint(output_dir: Path, model: ServedModel, settings: TestSettings) -> str:
    """Return a digest of everything that the answers depend on, as far as it is known."""
    evaluated = sha256_of(output_dir / EVALUATION_FOLDER / PREDICTIONS_FILE)
    return hashlib.sha256(f"{evaluated} {model.address} {model.name} {settings}".encode()).hexdigest()
