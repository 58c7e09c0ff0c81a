"""Training an adapter on a prepared data set: examples and model in, a folder that can be tested and shared out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from transformers import TrainingArguments

from figtune.examples.records import Example
from figtune.models.callbacks import Keeper, Watch
from figtune.models.card import write_card
from figtune.models.checkpoints import Checkpoints, step_of
from figtune.models.features import prepared_features
from figtune.models.history import MINITRAIN, VAL, metrics_lines
from figtune.models.loading import LoadedModel, chosen_device, load_tuned_model
from figtune.models.noise import without_training_noise
from figtune.models.output import write_output
from figtune.models.recipe import Recipe, RunPlan, TrainingSummary, run_plan
from figtune.models.records import ADAPTER_FOLDER, CHECKPOINTS_FOLDER, FEATURES_FOLDER, MODEL_FILE, MetricsLine
from figtune.models.trainer import FigureTrainer
from figtune.models.training_data import Collator, ItemDataset, Items, TrainingExamples, read_examples, tokenised
from figtune.pipeline.errors import NothingProducedError, ResourceError
from figtune.pipeline.progress import say


def train(
    dataset_dir: Path, model_dir: Path, output_dir: Path, recipe: Recipe, *, device: str, dataset_by: str, model_by: str
) -> TrainingSummary:
    """Train the adapter of `model_dir` and write what came of it into `output_dir`.

    Writes `adapter/`, `processor/`, `model.json`, `metrics.jsonl`, `curves.png`, `README.md`; for a tiny model `base/`
    too. Carries on by itself from the newest complete checkpoint of the same data, model and recipe.

    Args:
        device: "auto", "cpu" or "cuda".
        dataset_by: the command that makes the data set, for errors.
        model_by: the command that sets the model up, for errors.

    Raises:
        ArtifactMissingError: data set or model are missing.
        InputError: a picture or a line of the data set cannot be read.
        NothingProducedError: no examples to train on, or a loss that diverges.
        ResourceError: the base model is not to be had, or memory is too small.
    """
    examples = read_examples(dataset_dir, dataset_by)
    loaded = load_tuned_model(model_dir, chosen_device(device), model_by, trainable=True, encoder=False)
    splits = {name: _items(loaded, split) for name, split in vars(examples).items()}
    if not splits["train"].items:
        raise NothingProducedError("no example leaves room for its completion", "raise --model.max_length")
    plan = _plan(recipe, len(splits["train"].items))
    features = prepared_features(model_dir / FEATURES_FOLDER, loaded, examples.images(dataset_dir))
    collator = Collator(pad_id=loaded.processor.tokenizer.pad_token_id, features=features)
    checkpoints = Checkpoints(
        folder=output_dir / CHECKPOINTS_FOLDER,
        run_id=_run_id(examples, model_dir, recipe),
        keep=recipe.save_total_limit,
    )
    start = checkpoints.newest()
    history = _run(loaded, recipe, plan, splits, collator, checkpoints, start)
    lines = metrics_lines(history, plan)
    summary = _summary(splits["train"], plan, lines, step_of(start) if start else 0)
    write_output(output_dir, model_dir, loaded, lines)
    write_card(output_dir, loaded.record, recipe, summary, examples, lines)
    checkpoints.remove()
    return summary


def _items(loaded: LoadedModel, examples: list[Example]) -> Items:
    return tokenised(loaded.family, loaded.processor, examples, loaded.record.max_length)


def _plan(recipe: Recipe, examples: int) -> RunPlan:
    per_step = recipe.batch_size * recipe.gradient_accumulation_steps
    return run_plan(examples, recipe.epochs, per_step, recipe.evaluations, recipe.warmup_fraction)


def _run_id(examples: TrainingExamples, model_dir: Path, recipe: Recipe) -> str:
    """What a checkpoint must have been made from to be carried on with."""
    digest = hashlib.sha256(msgspec.json.encode((examples, recipe)))
    for file in (model_dir / MODEL_FILE, *sorted((model_dir / ADAPTER_FOLDER).iterdir())):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _arguments(recipe: Recipe, plan: RunPlan, checkpoints: Path, device: torch.device) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=plan.steps,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.scheduler if recipe.scheduler != "constant" else "constant_with_warmup",
        warmup_steps=plan.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        activation_checkpointing=recipe.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if recipe.activation_checkpointing else None,
        seed=recipe.seed,
        data_seed=recipe.seed,
        logging_strategy="steps",
        logging_steps=plan.steps_between_logs,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=plan.steps_between_evaluations,
        eval_on_start=True,
        save_strategy="steps",
        save_steps=plan.steps_between_evaluations,
        save_total_limit=None,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
    )
    # With several cards in sight the Trainer would spread each batch over them through DataParallel.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _run(
    loaded: LoadedModel,
    recipe: Recipe,
    plan: RunPlan,
    splits: Mapping[str, Items],
    collator: Collator,
    checkpoints: Checkpoints,
    start: Path | None,
) -> list[dict[str, float]]:
    """All steps; the adapter inside `loaded` is trained afterwards. Returns what was logged."""
    if start is not None:
        say(f"train: carrying on from step {step_of(start)}")
    watch = Watch(plan)
    try:
        with without_training_noise():
            trainer = FigureTrainer(
                tuned=loaded.tuned,
                family=loaded.family,
                arguments=_arguments(recipe, plan, checkpoints.folder, loaded.device),
                train=ItemDataset(splits["train"].items),
                evaluated={name: ItemDataset(splits[name].items) for name in (VAL, MINITRAIN) if splits[name].items},
                collator=collator,
                callbacks=[watch, Keeper(checkpoints)],
            )
            trainer.train(resume_from_checkpoint=str(start) if start else None)
    except torch.OutOfMemoryError:
        raise ResourceError(
            "the card's memory is too small for this batch",
            "halve --train.batch_size and double --train.gradient_accumulation_steps, set "
            "--train.activation_checkpointing, or lower --model.max_length",
        ) from None
    finally:
        watch.close()
    return trainer.state.log_history


def _summary(items: Items, plan: RunPlan, lines: list[MetricsLine], resumed_from: int) -> TrainingSummary:
    watched = [line.minitrain_loss for line in lines if line.minitrain_loss is not None]
    losses = watched or [line.loss for line in lines if line.loss is not None]
    val = [line.val_loss for line in lines if line.val_loss is not None]
    return TrainingSummary(
        examples=plan.examples,
        truncated=items.truncated,
        left_out=items.left_out,
        steps=plan.steps,
        resumed_from=resumed_from,
        first_loss=losses[0],
        last_loss=losses[-1],
        val_loss=val[-1] if val else None,
    )
