"""Out of memory: recognize it, start again with less in a forward pass, or name the settings to change."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor

from figtune.core.errors import ResourceError
from figtune.models.loading import LoadedModel
from figtune.models.records import ModelRecord
from figtune.training.forward_pass import ForwardPass
from figtune.training.memory_budget import StepConfig, first_changes

logger = logging.getLogger(__name__)


def is_out_of_memory(failure: Exception) -> bool:
    """Return True for a library's error that means out of memory, on a card or in main memory."""
    if isinstance(failure, torch.OutOfMemoryError | MemoryError) or should_reduce_batch_size(failure):
        return True
    return "CUBLAS_STATUS_ALLOC_FAILED" in str(failure)


def oom_error(forward: ForwardPass, record: ModelRecord) -> ResourceError:
    """Return the error of a run that is out of memory; it names the settings to change, the cheapest first."""
    settings, batches_per_pass = forward.settings, forward.batches_per_pass
    config = StepConfig(adapter=record.adapter, max_length=record.max_length, train=settings)
    remedies = [f"give {change.flags}" for change in first_changes(config)]
    if settings.activation_checkpointing and not forward.recomputes:
        remedies.insert(0, "give --train.no_auto_checkpointing, so that activations are recomputed")
    if batches_per_pass > 1:
        remedies.insert(0, f"leave out --train.auto_batch, by which {batches_per_pass} batches go through together")
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


def trained_weights(loaded: LoadedModel) -> dict[str, Tensor]:
    """Return a copy of the trained weights on the CPU, from which a run starts again."""
    weights = loaded.peft_model.named_parameters()
    return {name: weight.detach().cpu().clone() for name, weight in weights if weight.requires_grad}


def restore_weights(loaded: LoadedModel, weights: Mapping[str, Tensor]) -> None:
    """Undo what steps have changed: set the trained weights to `weights`, and drop gradients."""
    loaded.peft_model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, weight in loaded.peft_model.named_parameters():
            if name in weights:
                weight.copy_(weights[name])


def log_smaller_pass(failed: ForwardPass, smaller: ForwardPass) -> None:
    """Log that a run goes on with `smaller` after `failed` was out of memory."""
    if smaller.recomputes != failed.recomputes:
        logger.info("train: out of memory with activations kept; going on with recomputing them")
        return
    if failed.batches_per_pass > 1:
        logger.info(
            f"train: out of memory with {failed.batches_per_pass} batches in a forward pass; "
            f"going on with {smaller.batches_per_pass}"
        )
        return
    settings = smaller.settings
    logger.info(
        f"train: out of memory with a batch of {failed.settings.batch_size}; starting again with "
        f"{settings.batch_size}, accumulated {settings.gradient_accumulation_steps} times: the same examples per step"
    )
