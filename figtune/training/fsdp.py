"""FSDP2: shard the weights over the processes of a run."""

from __future__ import annotations

import os
from pathlib import Path

from accelerate.utils.constants import FSDP_MODEL_NAME
from peft import PeftModel
from transformers import PreTrainedModel, Trainer

from figtune.core.errors import UsageError


def prepare_sharding(trainer: Trainer, tuned: PeftModel) -> bool:
    """Configure FSDP if the launcher was asked for it, before training starts.

    Returns:
        True if the weights will be sharded.

    Raises:
        UsageError: FSDP was asked for but is unavailable, or is version 1.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is None:
        if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
            raise UsageError(
                f"FSDP is unavailable on {trainer.args.device}: each process would hold all weights",
                "launch without FSDP, or on CUDA cards",
            )
        return False
    if plugin.fsdp_version != 2:
        raise UsageError("FSDP 1 is not supported", "launch with --fsdp_version 2")
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = _layers(tuned)
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


def _layers(tuned: PeftModel) -> list[str]:
    """Return the class names of the layers that FSDP wraps.

    The model also names those of a vision encoder that is unloaded while cached features replace it; accelerate fails
    on absent classes.
    """
    base: PreTrainedModel = tuned.get_base_model()
    present = {type(module).__name__ for module in base.modules()}
    return sorted(present & set(base._no_split_modules or ()))
