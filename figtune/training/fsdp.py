"""FSDP2: shard the weights over the processes of a run, before any process has all of them."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from accelerate.utils.constants import FSDP_MODEL_NAME
from torch import nn
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from transformers import Trainer

from figtune.core.errors import UsageError
from figtune.models.full_finetune import FullFinetuneModel
from figtune.models.loading import LoadedModel
from figtune.models.sharding import load_shards


def is_sharding_requested() -> bool:
    """Return True if the launcher was asked for FSDP: the model is then loaded without its weights."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def shard_weights(trainer: Trainer, loaded: LoadedModel) -> bool:
    """Shard the model of a trainer and load its weights if the launcher was asked for FSDP, before training starts.

    Returns:
        True if the weights are sharded.

    Raises:
        UsageError: FSDP was asked for but is unavailable, or is version 1.
        ResourceError: the weights cannot be read.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is None:
        if is_sharding_requested():
            raise UsageError(
                f"FSDP is unavailable on {trainer.args.device}: each process would hold all weights",
                "launch without FSDP, or on CUDA cards",
            )
        return False
    if plugin.fsdp_version != 2:
        raise UsageError("FSDP 1 is not supported", "launch with --fsdp_version 2")
    settings = {
        "offload_policy": plugin.cpu_offload,
        "mp_policy": plugin.mixed_precision_policy or MixedPrecisionPolicy(),
    }
    root: nn.Module = trainer.model  # type: ignore[assignment]  # the Trainer may have none
    gathered_one_by_one = loaded.model._no_split_modules or ()
    for layer in [module for module in loaded.model.modules() if type(module).__name__ in gathered_one_by_one]:
        fully_shard(layer, reshard_after_forward=plugin.reshard_after_forward, **settings)
    # Embeddings, head and projector: together in one unit, since the head may be the table of the embeddings.
    fully_shard(root, **settings)
    if isinstance(loaded.peft_model, FullFinetuneModel):
        loaded.peft_model.cache_casts = False
    device = torch.device("cpu") if isinstance(plugin.cpu_offload, CPUOffloadPolicy) else loaded.device
    load_shards(root, loaded.model, loaded.base_dir, loaded.family.parts, device)
    return True


def check_resume_compatible(checkpoint: Path, *, sharded: bool) -> None:
    """Check that a sharded run resumes from a sharded checkpoint, and an unsharded one from an unsharded.

    Raises:
        UsageError: it does not.
    """
    was_sharded = any(checkpoint.glob(f"{FSDP_MODEL_NAME}*"))
    if was_sharded != sharded:
        raise UsageError(
            f"{checkpoint} was written {'with' if was_sharded else 'without'} FSDP",
            f"launch {'with' if was_sharded else 'without'} it again, or remove {checkpoint.parent} to begin anew",
        )
