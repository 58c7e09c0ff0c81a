"""Evaluation of base and tuned model: writes `predictions.jsonl`, `metrics.json` and `report.html`."""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path

import torch

from figtune.batching.tokenization import tokenize_prompt
from figtune.core import commands
from figtune.core.distributed import broadcast, gather, is_rank_zero, shard, world_size
from figtune.core.errors import ResourceError
from figtune.core.io import sha256_of, write_text
from figtune.core.jsonl import ResumableJsonl, write_json
from figtune.core.log import progress_bar
from figtune.core.number_format import count
from figtune.core.settings import Device
from figtune.dataset.records import CUSTOM_TASK, MINITRAIN_FILE
from figtune.dataset.shards import digest_of_examples
from figtune.evaluation.baselines import BaselineAnswers
from figtune.evaluation.eval_items import EvalItem, fitting, image_paths, read_eval_items
from figtune.evaluation.predictor import Predictor
from figtune.evaluation.settings import TestSettings
from figtune.evaluation.staleness import is_trained_on_another
from figtune.inference.adapter_record import adapter_fingerprint, read_adapter_record
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
from figtune.models.family import text_ids
from figtune.models.feature_cache import ImageFiles, grey_images, prepared_features
from figtune.models.loading import load_tuned_model, resolve_device
from figtune.models.precision import precision_of
from figtune.models.records import CURVES_FILE, PROCESSOR_FOLDER, ModelRecord
from figtune.reports.evaluation import evaluation_page, relative_url

logger = logging.getLogger(__name__)


def evaluate(
    dataset_dir: Path, output_dir: Path, features_dir: Path, settings: TestSettings, seed: int, device: Device
) -> EvaluationSummary:
    """Evaluate base and tuned model on test and minitrain examples, and write OUTPUT/evaluation.

    An interrupted evaluation resumes. Several processes predict one batch each at a time, the same batches as one
    process; rank 0 gathers and writes.

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
    files = ImageFiles(family=family, processor=processor, fit=record.image_fit, files=image_paths(items, dataset_dir))
    batches = token_batches([_length(item, files, settings.max_new_tokens) for item in items], settings.batch_size)
    jsonl = ResumableJsonl(
        kind=Prediction,
        final=folder / PREDICTIONS_FILE,
        fingerprint=_fingerprint(dataset_dir, output_dir, settings, batches),
    )
    predictions = _predictions(
        jsonl, items, batches, lambda: _predictor(output_dir, dataset_dir, features_dir, files, settings, device)
    )
    adapter = adapter_fingerprint(output_dir) or ""

    def write_summary() -> EvaluationSummary:
        bootstrap = Bootstrap(settings.bootstrap_samples, seed)
        weights = precision_of(record, resolve_device(device), unquantized=settings.unquantized).description
        another = is_trained_on_another(dataset_dir, output_dir)
        summary = _summary(record, adapter, weights, predictions, len(examples) - len(items), bootstrap, another)
        write_json(folder / METRICS_FILE, summary)
        write_report(folder, dataset_dir, output_dir / CURVES_FILE, summary, predictions)
        # Last: a run that ends before this line finds its predictions again.
        jsonl.commit(predictions)
        logger.info(" ".join(filter(None, (summary.verdict.headline, summary.verdict.sentence))))
        return summary

    return broadcast(write_summary)


def _summary(
    record: ModelRecord,
    adapter: str,
    base_weights: str,
    predictions: Sequence[Prediction],
    left_out: int,
    bootstrap: Bootstrap,
    trained_on_another: bool,
) -> EvaluationSummary:
    source = infer_source(predictions)
    slices, short = aggregate(predictions, bootstrap), short_scores(predictions, bootstrap)
    return EvaluationSummary(
        base_model=record.title,
        demo=record.tiny,
        adapter=adapter,
        base_weights=base_weights,
        source=source,
        verdict=summarize(slices, short, demo=record.tiny, source=source, trained_on_another=trained_on_another),
        left_out=left_out,
        not_finite=tuple(sorted(each.example_id for each in predictions if has_nonfinite_loss(each))),
        slices=slices,
        facts=() if source == "papers" else fact_scores(predictions, bootstrap),
        short=short,
    )


def _predictions(
    jsonl: ResumableJsonl[Prediction],
    items: Sequence[EvalItem],
    batches: Sequence[Sequence[int]],
    load: Callable[[], Predictor],
) -> list[Prediction]:
    """Return the predictions of all items in their order on rank 0, none on other ranks.

    Args:
        batches: places of the items, batch by batch.
        load: loads the models, unless all is done.
    """
    done = jsonl.resume(map(len, batches)) if is_rank_zero() else []
    before = broadcast(lambda: len(done))
    ends = list(accumulate(map(len, batches)))
    if rest := batches[bisect_right(ends, before) :]:
        chosen = [[items[place] for place in batch] for batch in rest]
        coming = _iter_predictions(load(), chosen, jsonl)
        done += progress_bar(coming, total=len(items) - before, title="evaluating", unit="example")
    by_place = dict(zip(chain.from_iterable(batches), done, strict=is_rank_zero()))
    return [by_place[place] for place in sorted(by_place)]


def token_batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return places of examples in batches, the longest first, each of as many tokens as `size` of the longest have.

    Padding counts: the shorter its examples, the more of them a batch has.

    Args:
        lengths: tokens of each example, those that are generated included.
    """
    budget = size * max(lengths)
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > budget:
            batches.append([])
        batches[-1].append(place)
    return batches


def _length(item: EvalItem, files: ImageFiles, max_new_tokens: int) -> int:
    """Return the most tokens of an item's rows: image and prompt, and the answer or the completion after them."""
    examples = (item.example, *filter(None, (item.mismatched,)))
    layouts = {files.layout(example.image_sha256) for example in examples}
    prompts = (tokenize_prompt(files.family, files.processor, item.example.prompt, layout) for layout in layouts)
    completion = len(text_ids(files.processor, item.example.completion))
    return max(len(prompt.input_ids) for prompt in prompts) + max(max_new_tokens, completion)


def _predictor(
    output_dir: Path, dataset_dir: Path, features_dir: Path, files: ImageFiles, settings: TestSettings, device: Device
) -> Predictor:
    on = resolve_device(device)
    loaded = load_tuned_model(output_dir, on, commands.TRAIN, encoder=False, unquantized=settings.unquantized)
    return Predictor(
        loaded=loaded,
        images=prepared_features(features_dir, loaded, files),
        greys=grey_images(loaded, files, files.files),
        decoding=settings,
        baseline_answers=BaselineAnswers.from_dataset(dataset_dir).answer,
    )


def _iter_predictions(
    predictor: Predictor, batches: Sequence[Sequence[EvalItem]], jsonl: ResumableJsonl[Prediction]
) -> Iterator[Prediction]:
    """Yield the predictions of all processes on rank 0; each batch is on disk before the next one starts."""
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


def _fingerprint(dataset_dir: Path, output_dir: Path, settings: TestSettings, batches: Sequence[Sequence[int]]) -> str:
    """Return a digest of everything that the predictions depend on."""
    parts = (
        *(EVALUATION_VERSION, batches, settings.unquantized, settings.without_server, adapter_fingerprint(output_dir)),
        *(digest_of_examples(dataset_dir, "test"), digest_of_examples(dataset_dir, "train")),
        sha256_of(dataset_dir / MINITRAIN_FILE),
    )
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


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
