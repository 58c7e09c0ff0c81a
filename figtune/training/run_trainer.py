"""Run the Trainer: build it, start or resume it, and retry with a smaller batch when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import TrainerCallback, TrainingArguments

from figtune.batching.batch_sampler import BatchLimits, LengthGroupedSampler, eval_batches
from figtune.batching.collator import Collator
from figtune.batching.data_loader import BatchDataset
from figtune.batching.dataset import TokenizedSplit
from figtune.core.distributed import barrier, is_rank_zero, world_size
from figtune.dataset.records import Example
from figtune.models.loading import LoadedModel
from figtune.models.quiet import suppress_training_warnings
from figtune.models.records import ANSWERS_FILE
from figtune.training.callbacks import (
    CheckpointCallback,
    ProgressCallback,
    SampleGenerationCallback,
)
from figtune.training.checkpoints import Checkpoints, state_of, step_of
from figtune.training.early_stopping import DivergenceCallback, EarlyStopping
from figtune.training.forward_pass import ForwardPass
from figtune.training.fsdp import check_resume_compatible, shard_weights
from figtune.training.loggers import TENSORBOARD, TensorBoardCallback, other_trackers
from figtune.training.metrics_log import MINITRAIN, VAL, ThroughputMeter
from figtune.training.oom import (
    is_out_of_memory,
    log_smaller_pass,
    oom_error,
    release_memory,
    restore_weights,
    trained_weights,
)
from figtune.training.schedule import LR_SCHEDULERS, TrainingSchedule
from figtune.training.settings import TrainSettings
from figtune.training.trainer import FigureTrainer

logger = logging.getLogger(__name__)

_OPTIMIZERS = {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_bnb_8bit"}


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Inputs of one training run."""

    loaded: LoadedModel
    forward: ForwardPass
    schedule: TrainingSchedule
    splits: Mapping[str, TokenizedSplit]
    samples: list[Example]
    """Examples answered at each evaluation."""
    collator: Collator
    checkpoints: Checkpoints
    output_dir: Path

    @property
    def settings(self) -> TrainSettings:
        """Settings of the run."""
        return self.forward.settings


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run; its last step has a checkpoint."""

    context: RunContext
    """The context whose batch fitted into memory."""
    log_history: list[dict[str, float]]
    resumed_from: int
    """Step that the run was resumed from; 0 for a run from the beginning."""


def run_training(contexts: Sequence[RunContext]) -> RunResult:
    """Take all steps that are not done yet.

    Args:
        contexts: the chosen one, then those that take less memory, tried in turn when memory runs out. A run that was
            interrupted on one of them resumes there.

    Raises:
        NothingProducedError: the loss diverges or is not finite.
        ResourceError: memory is too small for a batch.
    """
    begun = (number for number, context in enumerate(contexts) if context.checkpoints.newest() is not None)
    remaining = list(contexts[next(begun, 0) :])
    untrained = trained_weights(contexts[0].loaded) if len(remaining) > 1 else {}
    while len(remaining) > 1:
        try:
            return _start_or_resume(remaining[0])
        except (RuntimeError, MemoryError) as failure:
            if not is_out_of_memory(failure):
                raise
        # Outside the handler: the exception no longer holds the failed step's tensors.
        release_memory()
        restore_weights(contexts[0].loaded, untrained)
        log_smaller_pass(remaining.pop(0).forward, remaining[0].forward)
    try:
        return _start_or_resume(remaining[0])
    except (RuntimeError, MemoryError) as failure:
        if is_out_of_memory(failure):
            raise oom_error(remaining[0].forward, remaining[0].loaded.record) from None
        raise


def batch_order(split: TokenizedSplit, settings: TrainSettings) -> LengthGroupedSampler:
    """Return the batches of each epoch, in order."""
    return LengthGroupedSampler(
        split.lengths(),
        batch_limits(settings),
        seed=settings.seed,
        epochs=settings.epochs,
        processes=world_size(),
        batches_per_step=settings.gradient_accumulation_steps * world_size(),
        question_share=settings.question_share,
    )


def _start_or_resume(context: RunContext) -> RunResult:
    """Train from the newest checkpoint, or from the beginning."""
    if is_rank_zero():
        context.checkpoints.tidy()
        if (other := context.checkpoints.of_another_run) is not None:
            logger.warning(
                f"train: begins anew; {other.parent} has checkpoints of other data, model or settings up to step "
                f"{step_of(other):,}, which the first one of this run replaces: to carry them on, interrupt and give "
                "the same flags as then"
            )
    barrier()
    start = context.checkpoints.newest()
    step = step_of(start) if start else 0
    if start is not None:
        state = state_of(start)
        stopped = EarlyStopping(context.settings.patience).should_stop(state.log_history)
        if stopped or state.global_step >= context.schedule.steps:
            return RunResult(context=context, log_history=state.log_history, resumed_from=step)
        logger.info(f"train: resuming from step {step}")
    return RunResult(context=context, log_history=_train_steps(context, start, step), resumed_from=step)


def _train_steps(context: RunContext, start: Path | None, step: int) -> list[dict[str, float]]:
    """Take the steps after `step`; return what was logged from the beginning of the run."""
    settings, splits = context.settings, context.splits
    progress = ProgressCallback(context.schedule)
    samples = SampleGenerationCallback(
        file=context.checkpoints.folder / ANSWERS_FILE,
        loaded=context.loaded,
        images=context.collator.images,
        examples=context.samples,
        batch_size=settings.batch_size,
        start=step if start else None,
    )
    callbacks: list[TrainerCallback] = [
        progress,
        DivergenceCallback(),
        EarlyStopping(settings.patience),
        CheckpointCallback(context.checkpoints),
        samples,
    ]
    tensorboard = None
    if TENSORBOARD in settings.trackers and is_rank_zero():
        tensorboard = TensorBoardCallback(context.output_dir, samples)
        callbacks.append(tensorboard)
    try:
        with suppress_training_warnings():
            trainer = FigureTrainer(
                peft_model=context.loaded.peft_model,
                arguments=_arguments(context, anew=start is None),
                train=BatchDataset(
                    splits["train"], batch_order(splits["train"], settings), context.forward.batches_per_pass
                ),
                evaluated={
                    name: [split.groups(batch) for batch in eval_batches(split.lengths(), batch_limits(settings))]
                    for name, split in splits.items()
                    if name in (VAL, MINITRAIN) and split.examples
                },
                collator=context.collator,
                callbacks=callbacks,
                throughput=ThroughputMeter(context.loaded.device, context.schedule, step),
                projector_learning_rate=settings.projector_learning_rate,
            )
            sharded = shard_weights(trainer, context.loaded)
            if sharded:
                samples.disable()
            if start is not None:
                check_resume_compatible(start, sharded=sharded)
            trainer.train(resume_from_checkpoint=str(start) if start else None)
    finally:
        progress.close()
        if tensorboard is not None:
            tensorboard.close()
    return trainer.state.log_history


def batch_limits(settings: TrainSettings) -> BatchLimits:
    """Return the upper bounds for one batch."""
    return BatchLimits(examples=settings.batch_size, tokens=settings.max_batch_tokens)


def _arguments(context: RunContext, *, anew: bool) -> TrainingArguments:
    settings, schedule, device = context.settings, context.schedule, context.loaded.device
    arguments = TrainingArguments(
        output_dir=str(context.checkpoints.folder),
        max_steps=schedule.steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps // context.forward.batches_per_pass,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=LR_SCHEDULERS[settings.scheduler],
        warmup_steps=schedule.warmup_steps,
        optim=_OPTIMIZERS[settings.optimizer],
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        activation_checkpointing=context.forward.recomputes,
        activation_checkpointing_kwargs={"use_reentrant": False} if context.forward.recomputes else None,
        seed=settings.seed,
        data_seed=settings.seed,
        logging_strategy="steps",
        logging_steps=schedule.steps_between_logs,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=schedule.steps_between_evaluations,
        # A resumed run has had its first evaluation.
        eval_on_start=anew,
        save_strategy="steps",
        save_steps=schedule.steps_between_evaluations,
        save_total_limit=None,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=other_trackers(settings.trackers),
        run_name=context.output_dir.resolve().name,
        use_cpu=device.type == "cpu",
        # Every trained parameter takes part in every step.
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=device.type == "cuda",
    )
    # With several visible cards the Trainer would wrap the model in DataParallel.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
