"""The steps of a run: the Trainer built and started, and again with a smaller batch where memory is too small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerState, TrainingArguments

from figtune.batches.bundles import Bundle
from figtune.batches.order import Limits, Order, steady_batches
from figtune.batches.training_data import BatchDataset, Collator, Items
from figtune.examples.records import Example
from figtune.models.loading import LoadedModel
from figtune.models.noise import without_training_noise
from figtune.models.ranks import is_first, process_count, wait
from figtune.models.records import ANSWERS_FILE
from figtune.pipeline.progress import say
from figtune.training.callbacks import Keeper, Patience, Watch
from figtune.training.checkpoints import Checkpoints, state_of, step_of
from figtune.training.history import MINITRAIN, VAL
from figtune.training.memory_shortage import is_out_of_memory, release_memory, shortage
from figtune.training.pace import Pace
from figtune.training.recipe import Recipe, RunPlan
from figtune.training.sharding import check_carries_on, prepare_sharding
from figtune.training.trackers import TENSORBOARD, Board, other_trackers
from figtune.training.trainer import FigureTrainer
from figtune.training.watched import Answers

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


@dataclass(frozen=True, kw_only=True)
class Done:
    """A run at its end; its last step has a checkpoint."""

    course: Course
    """The one that memory was large enough for."""
    log_history: list[dict[str, float]]
    resumed_from: int
    """The step that it carried on from; 0 for the beginning."""


def run(courses: Sequence[Course]) -> Done:
    """All steps that are not done yet.

    Args:
        courses: the one that is wanted, then those to be taken one after another where memory is too small. A run that
            was interrupted on one of them carries on there.

    Raises:
        NothingProducedError: a loss that diverges or is no number.
        ResourceError: memory is too small for a batch.
    """
    begun = (number for number, course in enumerate(courses) if course.checkpoints.newest() is not None)
    remaining = list(courses[next(begun, 0) :])
    untrained = _trained_weights(courses[0].loaded) if len(remaining) > 1 else {}
    while len(remaining) > 1:
        try:
            return _attempt(remaining[0])
        except (RuntimeError, MemoryError) as failure:
            if not is_out_of_memory(failure):
                raise
        # Only here, where nothing holds the failed step's tensors any more.
        release_memory()
        _restore(courses[0].loaded, untrained)
        _tell_of_smaller(remaining.pop(0).recipe, remaining[0].recipe)
    try:
        return _attempt(remaining[0])
    except (RuntimeError, MemoryError) as failure:
        if is_out_of_memory(failure):
            raise shortage(remaining[0].recipe) from None
        raise


def _tell_of_smaller(too_large: Recipe, taken: Recipe) -> None:
    say(
        f"train: memory is too small for a batch of {too_large.batch_size}; beginning again with {taken.batch_size}, "
        f"accumulated {taken.gradient_accumulation_steps} times: as many examples per step"
    )


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


def _attempt(course: Course) -> Done:
    """Train from the newest checkpoint, or from the beginning."""
    if is_first():
        course.checkpoints.tidy()
    wait()
    start = course.checkpoints.newest()
    step = step_of(start) if start else 0
    if start is not None and _is_over(course, state_of(start)):
        return Done(course=course, log_history=state_of(start).log_history, resumed_from=step)
    if start is not None:
        say(f"train: carrying on from step {step}")
    return Done(course=course, log_history=_trained(course, start, step), resumed_from=step)


def _trained(course: Course, start: Path | None, step: int) -> list[dict[str, float]]:
    """Take the steps after `step`. Returns what was logged from the beginning of the run."""
    recipe, splits = course.recipe, course.splits
    watch = Watch(course.plan)
    answers = _answers(course, start)
    board = Board(course.output_dir, answers) if TENSORBOARD in course.trackers and is_first() else None
    callbacks: list[TrainerCallback] = [watch, Patience(recipe.patience), Keeper(course.checkpoints), answers]
    try:
        with without_training_noise():
            trainer = FigureTrainer(
                tuned=course.loaded.tuned,
                arguments=_arguments(course, anew=start is None),
                train=BatchDataset(splits["train"], order_of(splits["train"], recipe)),
                evaluated={name: _evaluated(splits[name], recipe) for name in (VAL, MINITRAIN) if splits[name].items},
                collator=course.collator,
                callbacks=[*callbacks, *([board] if board else [])],
                pace=Pace(course.loaded.device, course.plan, step),
            )
            sharded = prepare_sharding(trainer, course.loaded.tuned)
            if sharded:
                answers.leave_out()
            if start is not None:
                check_carries_on(start, sharded=sharded)
            trainer.train(resume_from_checkpoint=str(start) if start else None)
    finally:
        watch.close()
        if board is not None:
            board.close()
    return trainer.state.log_history


def _answers(course: Course, start: Path | None) -> Answers:
    return Answers(
        file=course.checkpoints.folder / ANSWERS_FILE,
        loaded=course.loaded,
        features=course.collator.features,
        examples=course.watched,
        batch_size=course.recipe.batch_size,
        start=step_of(start) if start else None,
    )


def order_of(items: Items, recipe: Recipe) -> Order:
    """Which examples are read when."""
    return Order(
        items.extents(),
        _limits(recipe),
        seed=recipe.seed,
        epochs=recipe.epochs,
        processes=process_count(),
        batches_per_step=recipe.gradient_accumulation_steps * process_count(),
    )


def _evaluated(items: Items, recipe: Recipe) -> list[list[Bundle]]:
    return [items.bundles(batch) for batch in steady_batches(items.extents(), _limits(recipe))]


def _limits(recipe: Recipe) -> Limits:
    return Limits(examples=recipe.batch_size, tokens=recipe.max_batch_tokens)


def _arguments(course: Course, *, anew: bool) -> TrainingArguments:
    recipe, plan, device = course.recipe, course.plan, course.loaded.device
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
        # All that is trained takes part in every step.
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=device.type == "cuda",
    )
    # With several cards in sight the Trainer would spread each batch over them through DataParallel.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
