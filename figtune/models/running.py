"""The steps of a run: the Trainer built and started, and again with a smaller batch where memory is too small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerState, TrainingArguments

from figtune.examples.records import Example
from figtune.models.bundles import Bundle
from figtune.models.callbacks import Keeper, Patience, Watch
from figtune.models.checkpoints import Checkpoints, state_of, step_of
from figtune.models.history import MINITRAIN, VAL
from figtune.models.loading import LoadedModel
from figtune.models.memory_shortage import is_out_of_memory, release_memory, shortage, smaller
from figtune.models.noise import without_training_noise
from figtune.models.order import Limits, Order, steady_batches
from figtune.models.pace import Pace
from figtune.models.ranks import is_first, process_count
from figtune.models.recipe import Recipe, RunPlan
from figtune.models.records import ANSWERS_FILE
from figtune.models.trackers import TENSORBOARD, Board, other_trackers
from figtune.models.trainer import FigureTrainer
from figtune.models.training_data import BatchDataset, Collator, Items
from figtune.models.watched import Answers
from figtune.pipeline.progress import say

_OPTIMIZERS = {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_bnb_8bit"}
_SCHEDULERS = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True, kw_only=True)
class Course:
    """Everything that a run goes by."""

    loaded: LoadedModel
    recipe: Recipe
    plan: RunPlan
    splits: Mapping[str, Items]
    watched: list[Example]
    """Answered at each evaluation."""
    collator: Collator
    checkpoints: Checkpoints
    trackers: tuple[str, ...]
    output_dir: Path


def run(course: Course) -> list[dict[str, float]]:
    """All steps that are not done yet; the last one has a checkpoint afterwards. Returns what was logged.

    Raises:
        NothingProducedError: a loss that diverges or is no number.
        ResourceError: memory is too small for a batch.
    """
    recipe = course.recipe
    adapts = recipe.auto_batch and process_count() == 1
    untrained = _trained_weights(course.loaded) if adapts else {}
    while True:
        start = course.checkpoints.newest()
        if start is not None and _is_over(course, state_of(start)):
            return state_of(start).log_history
        try:
            return _attempt(course, recipe, start)
        except RuntimeError as failure:
            if not is_out_of_memory(failure):
                raise
            lower = smaller(recipe) if adapts else None
            if lower is None:
                raise shortage(recipe) from None
        # Only here, where nothing holds the failed step's tensors any more.
        release_memory()
        _restore(course.loaded, untrained)
        say(
            f"train: memory is too small for a batch of {recipe.batch_size}; going on with {lower.batch_size}, "
            f"accumulated {lower.gradient_accumulation_steps} times: as many examples per step"
        )
        recipe = lower


def _is_over(course: Course, state: TrainerState) -> bool:
    return state.global_step >= course.plan.steps or Patience(course.recipe.patience).is_over(state.log_history)


def _trained_weights(loaded: LoadedModel) -> dict[str, Tensor]:
    weights = loaded.tuned.named_parameters()
    return {name: weight.detach().cpu().clone() for name, weight in weights if weight.requires_grad}


def _restore(loaded: LoadedModel, weights: Mapping[str, Tensor]) -> None:
    loaded.tuned.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, weight in loaded.tuned.named_parameters():
            if name in weights:
                weight.copy_(weights[name])


def _attempt(course: Course, recipe: Recipe, start: Path | None) -> list[dict[str, float]]:
    """Train from the checkpoint `start`, or from the beginning."""
    if start is not None:
        say(f"train: carrying on from step {step_of(start)}")
    watch = Watch(course.plan)
    answers = _answers(course, recipe, start)
    board = Board(course.output_dir, answers) if TENSORBOARD in course.trackers and is_first() else None
    callbacks: list[TrainerCallback] = [watch, Patience(recipe.patience), Keeper(course.checkpoints), answers]
    splits = course.splits
    try:
        with without_training_noise():
            trainer = FigureTrainer(
                tuned=course.loaded.tuned,
                arguments=_arguments(course, recipe, anew=start is None),
                train=BatchDataset(splits["train"], order_of(splits["train"], recipe, course.plan.steps_per_epoch)),
                evaluated={name: _evaluated(splits[name], recipe) for name in (VAL, MINITRAIN) if splits[name].items},
                collator=course.collator,
                callbacks=[*callbacks, *([board] if board else [])],
                pace=Pace(course.loaded.device, course.plan, step_of(start) if start else 0),
            )
            trainer.train(resume_from_checkpoint=str(start) if start else None)
    finally:
        watch.close()
        if board is not None:
            board.close()
    return trainer.state.log_history


def _answers(course: Course, recipe: Recipe, start: Path | None) -> Answers:
    return Answers(
        file=course.output_dir / ANSWERS_FILE,
        loaded=course.loaded,
        features=course.collator.features,
        examples=course.watched,
        batch_size=recipe.batch_size,
        start=step_of(start) if start else None,
    )


def order_of(items: Items, recipe: Recipe, least_steps: int) -> Order:
    """Which examples are read when."""
    return Order(
        items.extents(),
        _limits(recipe),
        seed=recipe.seed,
        epochs=recipe.epochs,
        batches_per_step=recipe.gradient_accumulation_steps * process_count(),
        least_steps=least_steps,
    )


def _evaluated(items: Items, recipe: Recipe) -> list[list[Bundle]]:
    return [items.bundles(batch) for batch in steady_batches(items.extents(), _limits(recipe))]


def _limits(recipe: Recipe) -> Limits:
    return Limits(examples=recipe.batch_size, tokens=recipe.max_batch_tokens)


def _arguments(course: Course, recipe: Recipe, *, anew: bool) -> TrainingArguments:
    plan, device = course.plan, course.loaded.device
    arguments = TrainingArguments(
        output_dir=str(course.checkpoints.folder),
        max_steps=plan.steps,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=_SCHEDULERS[recipe.scheduler],
        warmup_steps=plan.warmup_steps,
        optim=_OPTIMIZERS[recipe.optimizer],
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
        # A run that carries on has its first evaluation behind it.
        eval_on_start=anew,
        save_strategy="steps",
        save_steps=plan.steps_between_evaluations,
        save_total_limit=None,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=other_trackers(course.trackers),
        run_name=course.output_dir.resolve().name,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
    )
    # With several cards in sight the Trainer would spread each batch over them through DataParallel.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
