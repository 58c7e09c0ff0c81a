"""Train an adapter on a prepared data set: examples and model in, a folder that can be evaluated and shared out."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import msgspec
import torch

from figtune.batching.collator import Collator
from figtune.batching.dataset import DatasetSplits, TokenizedSplit, log_question_share, read_examples, tokenize_split
from figtune.core.distributed import TORCHRUN, is_rank_zero, world_size
from figtune.core.errors import NothingProducedError, UsageError
from figtune.core.settings import Device
from figtune.models.feature_cache import ImageFiles, ImageSource, image_files, prepared_features
from figtune.models.loading import LoadedModel, load_tuned_model, resolve_device
from figtune.models.records import ADAPTER_FOLDER, CHECKPOINTS_FOLDER, FEATURES_FOLDER, MODEL_FILE, MetricsLine
from figtune.training.callbacks import evenly_spaced
from figtune.training.checkpoints import Checkpoints
from figtune.training.forward_pass import ForwardPass, forward_passes
from figtune.training.fsdp import is_sharding_requested
from figtune.training.memory_check import MemoryBudget
from figtune.training.metrics_log import best_step, metrics_lines
from figtune.training.model_card import write_card
from figtune.training.outputs import TrainingSummary, write_output
from figtune.training.projector_fit import fit_projector
from figtune.training.run_trainer import RunContext, RunResult, batch_order, run_training
from figtune.training.schedule import training_schedule
from figtune.training.settings import TrainSettings
from figtune.training.visual_token_weights import VisualWeights

logger = logging.getLogger(__name__)


def train(
    dataset_dir: Path,
    model_dir: Path,
    output_dir: Path,
    settings: TrainSettings,
    *,
    device: Device,
    model_by: str,
    results_dir: Path | None = None,
    budget: MemoryBudget | None = None,
) -> TrainingSummary:
    """Train the adapter of `model_dir` and write the results into `results_dir`.

    Writes `adapter/`, `processor/`, `model.json`, `metrics.jsonl`, `answers.jsonl`, `curves.png`, `README.md`; for a
    tiny model `base/` too. The adapter is the one with the lowest loss on val. Resumes from the newest complete
    checkpoint of the same data, model and settings.

    Args:
        output_dir: folder of the checkpoints and of TensorBoard's files.
        results_dir: folder of the results; None for `output_dir`.
        budget: memory that larger forward passes must fit into; None for what is free.

    Raises:
        ArtifactMissingError: data set or model are missing.
        InputError: an image or a line of the data set cannot be read.
        NothingProducedError: no examples to train on, or a loss that diverges.
        UsageError: settings that do not go with the model or with FSDP.
        ResourceError: the base model or a tracker is unavailable, or memory is too small.
    """
    examples = read_examples(dataset_dir)
    _check_sharding(settings)
    _log_devices(settings, device)
    # Before the model takes its part of it.
    available = (budget or MemoryBudget.of(device, None)).size
    on, sharded = resolve_device(device), is_sharding_requested()
    loaded = load_tuned_model(model_dir, on, model_by, trainable=True, encoder=False, sharded=sharded)
    files = image_files(loaded, examples.images(dataset_dir))
    splits = _tokenize_splits(loaded, examples, files)
    collator = _collator(loaded, prepared_features(model_dir / FEATURES_FOLDER, loaded, files), settings)
    folder = output_dir / CHECKPOINTS_FOLDER
    weights = VisualWeights(folder, _run_id(examples, model_dir, settings), files)
    splits["train"] = _look_at_images(splits["train"], loaded, collator, weights, settings)

    def context(forward: ForwardPass) -> RunContext:
        chosen = forward.settings
        run_id, order = _run_id(examples, model_dir, chosen), batch_order(splits["train"], chosen)
        return RunContext(
            loaded=loaded,
            forward=forward,
            schedule=training_schedule(order.examples, order.steps, chosen),
            splits=splits,
            samples=evenly_spaced(examples.val or examples.minitrain, chosen.answers),
            collator=collator,
            checkpoints=Checkpoints(folder=folder, run_id=run_id, keep=chosen.save_total_limit),
            output_dir=output_dir,
        )

    passes = forward_passes(settings, loaded, splits["train"], batch_order(splits["train"], settings), available)
    result = run_training([context(each) for each in passes])
    return _write_results(result, examples, model_dir, results_dir or output_dir)


def _look_at_images(
    split: TokenizedSplit, loaded: LoadedModel, collator: Collator, weights: VisualWeights, settings: TrainSettings
) -> TokenizedSplit:
    """Do what is asked for before the first step: fit the projector, weigh the target tokens. Return the examples."""
    log_question_share(split, settings.question_share)
    if settings.fit_projector:
        fit_projector(loaded, split, collator.images)
    return weights.apply_to(split, loaded, collator, settings)


def _write_results(result: RunResult, examples: DatasetSplits, model_dir: Path, results: Path) -> TrainingSummary:
    """Write the results of a run and remove its checkpoints; return its summary."""
    context = result.context
    lines = metrics_lines(result.log_history, context.schedule)
    summary = _summary(context.splits["train"], result, lines)
    if is_rank_zero():
        record, checkpoints = context.loaded.record, context.checkpoints
        write_output(results, model_dir, record, checkpoints.at(summary.kept_step), lines)
        write_card(results, record, context.settings, summary, examples, lines)
        checkpoints.remove()
    return summary


def _collator(loaded: LoadedModel, images: ImageSource, settings: TrainSettings) -> Collator:
    return Collator(
        family=loaded.family,
        pad_id=loaded.processor.tokenizer.pad_token_id,
        images=images,
        loss_per=settings.loss_per,
        weighted=settings.loss_per != "token" or settings.visual_weight > 0,
    )


def _tokenize_splits(loaded: LoadedModel, examples: DatasetSplits, images: ImageFiles) -> dict[str, TokenizedSplit]:
    """Tokenize each split.

    Raises:
        NothingProducedError: no example is left to train on.
    """
    splits = {
        name: tokenize_split(loaded.family, loaded.processor, split, images, loaded.record.max_length)
        for name, split in vars(examples).items()
    }
    if not splits["train"].examples:
        raise NothingProducedError("no example leaves room for its completion", "raise --model.max_length")
    return splits


def _log_devices(settings: TrainSettings, device: Device) -> None:
    """Log the number of processes, or that only one of several cards is used."""
    cards = torch.cuda.device_count() if device != "cpu" else 0
    if world_size() > 1:
        logger.info(
            f"train: {world_size()} processes, in each of them batches of up to {settings.batch_size} examples, "
            f"accumulated {settings.gradient_accumulation_steps} times"
        )
    elif cards > 1:
        launch = TORCHRUN.format(count=cards, script="train_model.py")
        logger.info(f"train: one of {cards} cards is used; use all with: {launch} and the same flags")


def _check_sharding(settings: TrainSettings) -> None:
    """Refuse what looks at the model before the first step, where FSDP has not loaded its weights yet.

    Raises:
        UsageError: it is asked for.
    """
    if not is_sharding_requested():
        return
    if asked := [name for name in ("visual_weight", "fit_projector") if getattr(settings, name)]:
        flags = " and ".join(f"--train.{name}" for name in asked)
        raise UsageError(
            f"with FSDP no process has the whole model for {flags}", "launch without it, or leave the flag out"
        )


def _run_id(examples: DatasetSplits, model_dir: Path, settings: TrainSettings) -> str:
    """Return the identity of a run: a checkpoint with another one cannot be resumed from.

    It holds for any number of processes and forward passes: two processes take in one step what one accumulates in two
    passes, or takes in one.
    """
    accumulated = settings.gradient_accumulation_steps * world_size()
    identity = replace(
        settings,
        gradient_accumulation_steps=accumulated,
        activation_checkpointing=False,
        auto_checkpointing=False,
        auto_batch=False,
        trackers=(),
    )
    digest = hashlib.sha256(msgspec.json.encode((examples, identity)))
    for file in (model_dir / MODEL_FILE, *sorted((model_dir / ADAPTER_FOLDER).iterdir())):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _summary(split: TokenizedSplit, result: RunResult, lines: list[MetricsLine]) -> TrainingSummary:
    best = best_step(result.log_history)
    kept = lines[-1].step if best is None else best
    at_kept = next(line for line in lines if line.step == kept)
    minitrain = [line.minitrain_loss for line in lines if line.minitrain_loss is not None]
    losses = [line.loss for line in lines if line.loss is not None]
    return TrainingSummary(
        examples=len(split.examples),
        truncated=split.truncated,
        left_out=split.left_out,
        steps=lines[-1].step,
        planned_steps=result.context.schedule.steps,
        kept_step=kept,
        resumed_from=result.resumed_from,
        first_loss=(minitrain or losses)[0],
        last_loss=losses[-1] if at_kept.minitrain_loss is None else at_kept.minitrain_loss,
        val_loss=at_kept.val_loss,
    )
