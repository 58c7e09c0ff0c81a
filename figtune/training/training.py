"""Training an adapter on a prepared data set: examples and model in, a folder that can be tested and shared out."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import torch

from figtune.batches.training_data import Collator, Items, TrainingExamples, read_examples, tokenised
from figtune.examples.records import Example
from figtune.models.features import prepared_features
from figtune.models.loading import LoadedModel, chosen_device, load_tuned_model
from figtune.models.ranks import is_first, process_count
from figtune.models.records import ADAPTER_FOLDER, CHECKPOINTS_FOLDER, FEATURES_FOLDER, MODEL_FILE, MetricsLine
from figtune.pipeline.crew import TORCHRUN
from figtune.pipeline.errors import NothingProducedError, UsageError
from figtune.pipeline.progress import say
from figtune.training.card import write_card
from figtune.training.checkpoints import Checkpoints
from figtune.training.history import best_step, metrics_lines
from figtune.training.memory_shortage import smaller_ones
from figtune.training.output import write_output
from figtune.training.recipe import Recipe, RunPlan, TrainingSummary, run_plan
from figtune.training.running import Course, Done, order_of, run
from figtune.training.watched import spread


def train(
    dataset_dir: Path,
    model_dir: Path,
    output_dir: Path,
    recipe: Recipe,
    *,
    trackers: tuple[str, ...],
    device: str,
    model_by: str,
    results_dir: Path | None = None,
) -> TrainingSummary:
    """Train the adapter of `model_dir` and write what came of it into `results_dir`.

    Writes `adapter/`, `processor/`, `model.json`, `metrics.jsonl`, `answers.jsonl`, `curves.png`, `README.md`; for a
    tiny model `base/` too. The adapter is the one that had the lowest loss on val. Carries on by itself from the newest
    complete checkpoint of the same data, model and recipe.

    Args:
        output_dir: has the checkpoints while the run lasts, and what TensorBoard shows.
        results_dir: where the results go; None for `output_dir`.
        trackers: where the run can be watched, see `figtune.training.trackers`.
        device: "auto", "cpu" or "cuda".
        model_by: the command that sets the model up, for errors.

    Raises:
        ArtifactMissingError: data set or model are missing.
        InputError: a picture or a line of the data set cannot be read.
        NothingProducedError: no examples to train on, or a loss that diverges.
        ResourceError: the base model or a tracker is not to be had, or memory is too small.
    """
    examples = read_examples(dataset_dir)
    _tell_of_devices(recipe, device)
    loaded = load_tuned_model(model_dir, chosen_device(device), model_by, trainable=True, encoder=False)
    splits = {name: _items(loaded, split) for name, split in vars(examples).items()}
    _check_some(splits["train"])
    features = prepared_features(model_dir / FEATURES_FOLDER, loaded, examples.images(dataset_dir))
    collator = Collator(family=loaded.family, pad_id=loaded.processor.tokenizer.pad_token_id, features=features)

    def course(recipe: Recipe) -> Course:
        return Course(
            loaded=loaded,
            recipe=recipe,
            plan=_plan(recipe, splits["train"]),
            splits=splits,
            watched=spread(examples.val or examples.minitrain, recipe.answers),
            collator=collator,
            checkpoints=_checkpoints(output_dir, _run_id(examples, model_dir, recipe), recipe),
            trackers=trackers,
            output_dir=output_dir,
        )

    done = run([course(each) for each in _recipes(recipe)])
    lines = metrics_lines(done.log_history, done.course.plan)
    summary = _summary(splits["train"], done, lines)
    if is_first():
        results = results_dir or output_dir
        write_output(results, model_dir, loaded.record, done.course.checkpoints.at(summary.kept_step), lines)
        write_card(results, loaded.record, done.course.recipe, summary, examples, lines)
        done.course.checkpoints.remove()
    return summary


def _checkpoints(output_dir: Path, run_id: str, recipe: Recipe) -> Checkpoints:
    return Checkpoints(folder=output_dir / CHECKPOINTS_FOLDER, run_id=run_id, keep=recipe.save_total_limit)


def _check_some(train: Items) -> None:
    if not train.items:
        raise NothingProducedError("no example leaves room for its completion", "raise --model.max_length")


def _tell_of_devices(recipe: Recipe, device: str) -> None:
    """Which of them are used, where there is more than one."""
    cards = torch.cuda.device_count() if device != "cpu" else 0
    if process_count() > 1:
        say(
            f"train: {process_count()} processes, in each of them batches of up to {recipe.batch_size} examples, "
            f"accumulated {recipe.gradient_accumulation_steps} times"
        )
    elif cards > 1:
        launch = TORCHRUN.format(count=cards, script="train_model.py")
        say(f"train: one of {cards} cards is used; use all with: {launch} and the same flags")


def _recipes(recipe: Recipe) -> list[Recipe]:
    """What is wanted, and what to take where memory is too small for it."""
    if not recipe.auto_batch:
        return [recipe]
    if process_count() > 1:
        raise UsageError(
            "--train.auto_batch works in one process: several cannot leave a step together",
            "leave it out, and give a smaller --train.batch_size with more --train.gradient_accumulation_steps",
        )
    return [recipe, *smaller_ones(recipe)]


def _items(loaded: LoadedModel, examples: list[Example]) -> Items:
    return tokenised(loaded.family, loaded.processor, examples, loaded.record.max_length)


def _plan(recipe: Recipe, items: Items) -> RunPlan:
    steps = order_of(items, recipe).steps
    return run_plan(len(items.items), recipe.epochs, steps, recipe.evaluations, recipe.warmup_fraction)


def _run_id(examples: TrainingExamples, model_dir: Path, recipe: Recipe) -> str:
    """What a checkpoint must have been made from to be carried on with, by as many processes or fewer or more.

    Two processes take in one step what one process accumulates in two.
    """
    batches = recipe.gradient_accumulation_steps * process_count()
    digest = hashlib.sha256(msgspec.json.encode((examples, replace(recipe, gradient_accumulation_steps=batches))))
    for file in (model_dir / MODEL_FILE, *sorted((model_dir / ADAPTER_FOLDER).iterdir())):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _summary(items: Items, done: Done, lines: list[MetricsLine]) -> TrainingSummary:
    best = best_step(done.log_history)
    kept = lines[-1].step if best is None else best
    at_kept = next(line for line in lines if line.step == kept)
    watched = [line.minitrain_loss for line in lines if line.minitrain_loss is not None]
    losses = [line.loss for line in lines if line.loss is not None]
    return TrainingSummary(
        examples=len(items.items),
        truncated=items.truncated,
        left_out=items.left_out,
        steps=lines[-1].step,
        planned_steps=done.course.plan.steps,
        kept_step=kept,
        resumed_from=done.resumed_from,
        first_loss=(watched or losses)[0],
        last_loss=losses[-1] if at_kept.minitrain_loss is None else at_kept.minitrain_loss,
        val_loss=at_kept.val_loss,
    )
