"""What to do where memory is too small for a step: which errors mean that, and what to change."""

from __future__ import annotations

import gc
from dataclasses import replace

import torch
from accelerate.utils.memory import should_reduce_batch_size

from figtune.pipeline.errors import ResourceError
from figtune.training.recipe import Recipe


def is_out_of_memory(failure: Exception) -> bool:
    """Whether the failure of a library means that memory ran out, on a card or beside it."""
    if isinstance(failure, torch.OutOfMemoryError | MemoryError) or should_reduce_batch_size(failure):
        return True
    return "CUBLAS_STATUS_ALLOC_FAILED" in str(failure)


def smaller_ones(recipe: Recipe) -> list[Recipe]:
    """All of them, from the largest to batches of a single example."""
    lower = smaller(recipe)
    return [] if lower is None else [lower, *smaller_ones(lower)]


def smaller(recipe: Recipe) -> Recipe | None:
    """The same number of examples per step in smaller batches; None where a batch is a single example.

    Halved where that goes; the gradients of as many examples are added up before each step as before.
    """
    lower = [size for size in range(1, recipe.batch_size // 2 + 1) if recipe.batch_size % size == 0]
    if not lower:
        return None
    times = recipe.batch_size // lower[-1]
    return replace(
        recipe,
        batch_size=lower[-1],
        max_batch_tokens=max(1, recipe.max_batch_tokens // times),
        gradient_accumulation_steps=recipe.gradient_accumulation_steps * times,
    )


def shortage(recipe: Recipe) -> ResourceError:
    """The error to end with, which says what to lower first."""
    remedies = []
    if lower := smaller(recipe):
        remedies.append(
            f"give --train.batch_size {lower.batch_size} --train.gradient_accumulation_steps "
            f"{lower.gradient_accumulation_steps}, or --train.auto_batch, for the same steps in less memory"
        )
        remedies.append(f"lower --train.max_batch_tokens, which is {recipe.max_batch_tokens}")
    if not recipe.activation_checkpointing:
        remedies.append("set --train.activation_checkpointing")
    remedies.append("lower --model.max_length")
    if recipe.optimizer == "adamw":
        remedies.append("set --train.optimizer adamw_8bit")
    remedies.append("choose a smaller model or --adapter.rank")
    return ResourceError(f"memory is too small for a batch of {recipe.batch_size}", "; or ".join(remedies))


def release_memory() -> None:
    """Give back what a failed step has left behind."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
