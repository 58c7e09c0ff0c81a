"""Evaluation of base and tuned model: writes `predictions.jsonl`, `metrics.json` and `report.html`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from figtune.core import commands
from figtune.core.distributed import broadcast, gather, is_rank_zero, shard, world_size
from figtune.core.errors import ResourceError
from figtune.core.io import sha256_of, write_text
from figtune.core.jsonl import write_json
from figtune.core.log import progress_bar
from figtune.core.number_format import count
from figtune.dataset.records import CUSTOM_TASK, MINITRAIN_FILE
from figtune.dataset.shards import digest_of_examples
from figtune.evaluation.baseline_answers import BaselineAnswers
from figtune.evaluation.eval_items import EvalItem, fitting, image_paths, read_eval_items
from figtune.evaluation.predictor import Predictor
from figtune.evaluation.settings import TestSettings
from figtune.inference.adapter_record import adapter_fingerprint, read_adapter_record
from figtune.inference.resumable_jsonl import ResumableJsonl
from figtune.inference.settings import Decoding
from figtune.metrics.aggregate import aggregate, has_nonfinite_loss
from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.radiology_facts import fact_scores
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
from figtune.metrics.short_answers import short_scores
from figtune.metrics.verdict import summarize
from figtune.models.families import family_of
from figtune.models.feature_cache import image_files, prepared_features
from figtune.models.loading import LoadedModel, load_tuned_model, resolve_device
from figtune.models.precision import precision_of
from figtune.models.records import ADAPTER_FOLDER, CURVES_FILE, MODEL_FILE, PROCESSOR_FOLDER, ModelRecord
from figtune.reports.evaluation import evaluation_page, relative_url

logger = logging.getLogger(__name__)


def evaluate(
    dataset_dir: Path, output_dir: Path, features_dir: Path, settings: TestSettings, seed: int, device: str
) -> EvaluationSummary:
    """Evaluate base and tuned model on test and minitrain examples, and write OUTPUT/evaluation.

    An interrupted evaluation resumes. Several processes predict one batch each at a time, the same batches as one
    process; rank 0 gathers and writes.

    Args:
        features_dir: cache of vision features, shared with training.
        seed: of the bootstrap.
        device: "auto", "cpu" or "cuda".

    Raises:
        ArtifactMissingError: no data set, or no trained adapter.
        InputError: a line or an image cannot be read, or the adapter is of another base model.
        NothingProducedError: there are no examples, or none whose prompt leaves room for an answer.
        ResourceError: the base model is unavailable, or memory is too small.
    """
    record = read_adapter_record(output_dir)
    examples = read_eval_items(dataset_dir)
    family = family_of(record.family, record.name)
    processor = family.load_processor(output_dir / PROCESSOR_FOLDER)
    items = fitting(examples, family, processor, record.max_length)
    if items[0].split != "test":
        logger.warning("no example is held out for the test: only some that were trained on are evaluated")
    folder = output_dir / EVALUATION_FOLDER
    jsonl = ResumableJsonl(
        kind=Prediction, final=folder / PREDICTIONS_FILE, fingerprint=_fingerprint(dataset_dir, output_dir, settings)
    )
    predictions = _predictions(jsonl, items, dataset_dir, output_dir, features_dir, settings, resolve_device(device))
    adapter = adapter_fingerprint(output_dir) or ""

    def summed_up() -> EvaluationSummary:
        bootstrap = Bootstrap(settings.bootstrap_samples, seed)
        weights = precision_of(record, resolve_device(device), unquantized=settings.unquantized).description
        summary = _summary(record, adapter, weights, predictions, len(examples) - len(items), bootstrap)
        write_json(folder / METRICS_FILE, summary)
        write_report(folder, dataset_dir, output_dir / CURVES_FILE, summary, predictions)
        # Last: a run that ends before this line finds its predictions again.
        jsonl.commit()
        logger.info(" ".join(filter(None, (summary.verdict.headline, summary.verdict.sentence))))
        return summary

    return broadcast(summed_up)


def _summary(
    record: ModelRecord,
    adapter: str,
    base_weights: str,
    predictions: Sequence[Prediction],
    left_out: int,
    bootstrap: Bootstrap,
) -> EvaluationSummary:
    source = infer_source(predictions)
    slices, short = aggregate(predictions, bootstrap), short_scores(predictions, bootstrap)
    return EvaluationSummary(
        base_model=record.title,
        demo=record.tiny,
        adapter=adapter,
        base_weights=base_weights,
        source=source,
        verdict=summarize(slices, short, demo=record.tiny, source=source),
        left_out=left_out,
        not_finite=tuple(sorted(each.example_id for each in predictions if has_nonfinite_loss(each))),
        slices=slices,
        facts=() if source == "papers" else fact_scores(predictions, bootstrap),
        short=short,
    )


def _predictions(
    jsonl: ResumableJsonl[Prediction],
    items: Sequence[EvalItem],
    dataset_dir: Path,
    output_dir: Path,
    features_dir: Path,
    settings: TestSettings,
    device: torch.device,
) -> list[Prediction]:
    """Return all predictions on rank 0, none on other ranks."""
    done = jsonl.resume(len(items), settings.batch_size) if is_rank_zero() else []
    if rest := items[broadcast(lambda: len(done)) :]:
        loaded = load_tuned_model(output_dir, device, commands.TRAIN, encoder=False, unquantized=settings.unquantized)
        predictor = _predictor(loaded, rest, dataset_dir, features_dir, settings)
        coming = _iter_predictions(predictor, rest, jsonl, settings.batch_size)
        done += progress_bar(coming, total=len(rest), title="evaluating", unit="example")
    return done


def _predictor(
    loaded: LoadedModel, items: Sequence[EvalItem], dataset_dir: Path, features_dir: Path, decoding: Decoding
) -> Predictor:
    files = image_files(loaded, image_paths(items, dataset_dir))
    return Predictor(
        loaded=loaded,
        images=prepared_features(features_dir, loaded, files),
        decoding=decoding,
        baseline_answers=BaselineAnswers.from_dataset(dataset_dir).answer,
    )


def _iter_predictions(
    predictor: Predictor, items: Sequence[EvalItem], jsonl: ResumableJsonl[Prediction], batch_size: int
) -> Iterator[Prediction]:
    """Yield the predictions of all processes on rank 0; each batch is on disk before the next one starts."""
    batches = [items[first : first + batch_size] for first in range(0, len(items), batch_size)]
    for turn in range(0, len(batches), world_size()):
        mine = shard(batches[turn : turn + world_size()])
        found = gather([prediction for batch in mine for prediction in _predict_batch(predictor, batch)])
        if is_rank_zero():
            jsonl.append(found)
        yield from found


def _predict_batch(predictor: Predictor, batch: Sequence[EvalItem]) -> list[Prediction]:
    try:
        return predictor.predict(batch)
    except torch.OutOfMemoryError:
        raise ResourceError(
            f"a batch of {count(len(batch), 'examples')} does not fit into the card's memory", "halve --test.batch_size"
        ) from None


def _fingerprint(dataset_dir: Path, output_dir: Path, settings: TestSettings) -> str:
    """Return a digest of everything that the predictions depend on."""
    adapter = sorted((output_dir / ADAPTER_FOLDER).iterdir())
    digest = hashlib.sha256(
        f"{EVALUATION_VERSION} {settings.batch_size} {settings.unquantized} {settings.without_server}".encode()
    )
    for file in (output_dir / MODEL_FILE, *adapter):
        digest.update(sha256_of(file).encode())
    for examples in (
        digest_of_examples(dataset_dir, "test"),
        sha256_of(dataset_dir / MINITRAIN_FILE),
        digest_of_examples(dataset_dir, "train"),
    ):
        digest.update(examples.encode())
    return digest.hexdigest()


def infer_source(predictions: Sequence[Prediction]) -> Source:
    """Infer the source of the examples from their tasks, groups and images."""
    if any(each.task != CUSTOM_TASK for each in predictions):
        return "papers"
    groups, images = ({each.group for each in predictions}, {each.image for each in predictions})
    return "images" if len(groups) == len(images) else "groups"


def write_report(
    folder: Path, dataset_dir: Path, curves: Path, summary: EvaluationSummary, predictions: Sequence[Prediction]
) -> None:
    """Write `report.html` into the folder of an evaluation."""
    page = evaluation_page(
        summary,
        predictions,
        images=relative_url(dataset_dir, folder),
        curves=relative_url(curves, folder) if curves.is_file() else None,
    )
    write_text(folder / REPORT_FILE, page)
