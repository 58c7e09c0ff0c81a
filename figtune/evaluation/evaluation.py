"""Base against tuned model, from the data set to `predictions.jsonl`, `metrics.json` and `report.html`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from figtune.core import commands
from figtune.core.distributed import broadcast, gather, is_rank_zero, shard, world_size
from figtune.core.errors import ResourceError
from figtune.core.io import sha256_of, write_text
from figtune.core.jsonl import write_json
from figtune.core.log import log, progress_bar
from figtune.dataset.records import CUSTOM_TASK, MINITRAIN_FILE
from figtune.dataset.shards import digest_of_examples
from figtune.evaluation.evaluated import Evaluated, evaluated_examples, pictures, with_room
from figtune.evaluation.guesses import TrainingGuesses
from figtune.evaluation.predictions import Predictor, grey_features
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.resumable_jsonl import ResumableJsonl
from figtune.inference.settings import Decoding
from figtune.metrics.facts import agreement
from figtune.metrics.intervals import Bootstrap
from figtune.metrics.records import (
    EVALUATION_FOLDER,
    EVALUATION_VERSION,
    METRICS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    EvaluationSummary,
    Prediction,
    Source,
)
from figtune.metrics.slices import measure, not_finite
from figtune.metrics.verdict import judge
from figtune.models.families import family_of
from figtune.models.features import prepared_features
from figtune.models.loading import LoadedModel, chosen_device, load_processor, load_tuned_model
from figtune.models.records import ADAPTER_FOLDER, CURVES_FILE, MODEL_FILE, PROCESSOR_FOLDER, ModelRecord
from figtune.reports.evaluation import evaluation_page, relative_url


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How the models are tried."""

    device: str
    """ "auto", "cpu" or "cuda"."""
    batch_size: int
    """Examples per forward pass."""
    decoding: Decoding
    """How answers are made."""
    bootstrap: Bootstrap


def evaluate(dataset_dir: Path, output_dir: Path, features_dir: Path, trial: Trial) -> EvaluationSummary:
    """Try base and tuned model on the held-out examples and on some of those trained on.

    An interrupted evaluation is carried on where it was. Writes into OUTPUT/evaluation. Several processes predict a
    batch each at a time, the same batches that one process makes; the first one gathers and writes.

    Args:
        features_dir: where the features of pictures are kept, shared with training.

    Raises:
        ArtifactMissingError: no data set, or no trained adapter.
        InputError: a line or a picture cannot be read, or the adapter is of another base model.
        NothingProducedError: there are no examples, or none whose prompt leaves room for an answer.
        ResourceError: the base model is not to be had, or memory is too small.
    """
    record = read_adapter_record(output_dir)
    examples = evaluated_examples(dataset_dir)
    processor = load_processor(output_dir / PROCESSOR_FOLDER)
    items = with_room(examples, family_of(record.family, record.name), processor, record.max_length)
    if items[0].split != "test":
        log("no example is held out for the test: only some that were trained on are evaluated")
    folder = output_dir / EVALUATION_FOLDER
    journal = ResumableJsonl(
        kind=Prediction, final=folder / PREDICTIONS_FILE, fingerprint=_identity(dataset_dir, output_dir, trial)
    )
    predictions = _predictions(journal, items, dataset_dir, output_dir, features_dir, trial)

    def summed_up() -> EvaluationSummary:
        summary = _summary(record, predictions, len(examples) - len(items), trial.bootstrap)
        write_json(folder / METRICS_FILE, summary)
        _write_report(folder, dataset_dir, output_dir / CURVES_FILE, summary, predictions)
        # Last, since a run that ends before this line finds its predictions again.
        journal.commit()
        return summary

    return broadcast(summed_up)


def _summary(
    record: ModelRecord, predictions: Sequence[Prediction], left_out: int, bootstrap: Bootstrap
) -> EvaluationSummary:
    source = source_of(predictions)
    slices = measure(predictions, bootstrap)
    return EvaluationSummary(
        base_model=record.name,
        demo=record.tiny,
        source=source,
        verdict=judge(slices, demo=record.tiny, source=source),
        left_out=left_out,
        not_finite=tuple(sorted(each.example_id for each in predictions if not_finite(each))),
        slices=slices,
        facts=() if source == "papers" else agreement(predictions, bootstrap),
    )


def _predictions(
    journal: ResumableJsonl[Prediction],
    items: Sequence[Evaluated],
    dataset_dir: Path,
    output_dir: Path,
    features_dir: Path,
    trial: Trial,
) -> list[Prediction]:
    """All of them in the first process, none in the others."""
    done = journal.resume(len(items), trial.batch_size) if is_rank_zero() else []
    if rest := items[broadcast(lambda: len(done)) :]:
        loaded = load_tuned_model(output_dir, chosen_device(trial.device), commands.TRAIN, encoder=False)
        predictor = _predictor(loaded, rest, dataset_dir, features_dir, trial.decoding)
        coming = _coming(predictor, rest, journal, trial.batch_size)
        done += progress_bar(coming, total=len(rest), title="evaluating", unit="example")
    return done


def _predictor(
    loaded: LoadedModel, items: Sequence[Evaluated], dataset_dir: Path, features_dir: Path, decoding: Decoding
) -> Predictor:
    return Predictor(
        loaded=loaded,
        features=prepared_features(features_dir, loaded, pictures(items, dataset_dir)),
        grey=grey_features(loaded),
        decoding=decoding,
        guesses=TrainingGuesses.of(dataset_dir).to,
    )


def _coming(
    predictor: Predictor, items: Sequence[Evaluated], journal: ResumableJsonl[Prediction], batch_size: int
) -> Iterator[Prediction]:
    """What all processes predict, in the first one. Each batch is on the disk before the next one begins."""
    batches = [items[first : first + batch_size] for first in range(0, len(items), batch_size)]
    for turn in range(0, len(batches), world_size()):
        mine = shard(batches[turn : turn + world_size()])
        found = gather([prediction for batch in mine for prediction in _predicted(predictor, batch)])
        if is_rank_zero():
            journal.append(found)
        yield from found


def _predicted(predictor: Predictor, batch: Sequence[Evaluated]) -> list[Prediction]:
    try:
        return predictor.predictions(batch)
    except torch.OutOfMemoryError:
        raise ResourceError(
            f"{len(batch)} examples at a time are too many for the card's memory", "halve --test.batch_size"
        ) from None


def _identity(dataset_dir: Path, output_dir: Path, trial: Trial) -> str:
    """Of everything that decides what is predicted."""
    adapter = sorted((output_dir / ADAPTER_FOLDER).iterdir())
    digest = hashlib.sha256(f"{EVALUATION_VERSION} {trial.batch_size} {trial.decoding}".encode())
    for file in (output_dir / MODEL_FILE, *adapter):
        digest.update(sha256_of(file).encode())
    for examples in (
        digest_of_examples(dataset_dir, "test"),
        sha256_of(dataset_dir / MINITRAIN_FILE),
        digest_of_examples(dataset_dir, "train"),
    ):
        digest.update(examples.encode())
    return digest.hexdigest()


def source_of(predictions: Sequence[Prediction]) -> Source:
    """What the examples are, as far as the predictions tell."""
    if any(each.task != CUSTOM_TASK for each in predictions):
        return "papers"
    groups, images = ({each.group for each in predictions}, {each.image for each in predictions})
    return "images" if len(groups) == len(images) else "groups"


def _write_report(
    folder: Path, dataset_dir: Path, curves: Path, summary: EvaluationSummary, predictions: Sequence[Prediction]
) -> None:
    page = evaluation_page(
        summary,
        predictions,
        images=relative_url(dataset_dir, folder),
        curves=relative_url(curves, folder) if curves.is_file() else None,
    )
    write_text(folder / REPORT_FILE, page)
