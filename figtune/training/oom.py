"""Out-of-memory errors: recognition, and settings to change."""

from __future__ import annotations

import gc

import torch
from accelerate.utils.memory import should_reduce_batch_size

from figtune.core.errors import ResourceError
from figtune.models.records import ModelRecord
from figtune.training.forward_pass import ForwardPass
from figtune.training.memory_budget import StepConfig, first_changes


def is_out_of_memory(failure: Exception) -> bool:
    """Return True for a library's error that means out of memory, on a card or in main memory."""
    if isinstance(failure, torch.OutOfMemoryError | MemoryError) or should_reduce_batch_size(failure):
        return True
    return "CUBLAS_STATUS_ALLOC_FAILED" in str(failure)


def oom_error(forward: ForwardPass, record: ModelRecord) -> ResourceError:
    """Return the error of a run that is out of memory; it names the settings to change, the cheapest first."""
    settings, together = forward.settings, forward.together
    config = StepConfig(adapter=record.adapter, max_length=record.max_length, train=settings)
    remedies = [f"give {change.flags}" for change in first_changes(config)]
    if settings.activation_checkpointing and not forward.recomputes:
        remedies.insert(0, "give --train.no_auto_checkpointing, so that activations are recomputed")
    if together > 1:
        remedies.insert(0, f"leave out --train.auto_batch, by which {together} batches go through together")
    elif settings.batch_size > 1:
        remedies.append("give --train.auto_batch, which finds the batch that fits")
        remedies.append(f"lower --train.max_batch_tokens, which is {settings.max_batch_tokens}")
    remedies.append("choose a smaller model or --adapter.rank")
    return ResourceError(f"memory is too small for a batch of {settings.batch_size}", "; or ".join(remedies))


def release_memory() -> None:
    """Free what a failed step has left behind."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
