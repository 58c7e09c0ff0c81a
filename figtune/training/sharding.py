"""Weights spread over the processes of a run by FSDP2, where a model is too large for one card."""

from __future__ import annotations

import os
from pathlib import Path

from accelerate.utils.constants import FSDP_MODEL_NAME
from peft import PeftModel
from transformers import PreTrainedModel, Trainer

from figtune.pipeline.errors import UsageError


def prepare_sharding(trainer: Trainer, tuned: PeftModel) -> bool:
    """Make ready for what the launcher was asked for, before training begins.

    Returns:
        Whether weights will be spread over the processes.

    Raises:
        UsageError: they were to be, but would not, or not by FSDP2.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is None:
        if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
            raise UsageError(
                f"FSDP was asked for, but is not to be had on {trainer.args.device}: each process would hold all "
                "weights",
                "launch without FSDP, or on CUDA cards",
            )
        return False
    if plugin.fsdp_version != 2:
        raise UsageError("FSDP 1 is not supported", "launch with --fsdp_version 2")
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = _layers(tuned)
    return True


def check_carries_on(checkpoint: Path, *, sharded: bool) -> None:
    """See that a run whose weights are `sharded` or not carries on from its like.

    Raises:
        UsageError: the checkpoint is of the other kind.
    """
    was_sharded = any(checkpoint.glob(f"{FSDP_MODEL_NAME}*"))
    if was_sharded != sharded:
        raise UsageError(
            f"{checkpoint} was written {'with' if was_sharded else 'without'} FSDP",
            f"launch {'with' if was_sharded else 'without'} it again, or remove {checkpoint.parent} to begin anew",
        )


def _layers(tuned: PeftModel) -> list[str]:
    """The classes of layers that are to be kept in one piece, as the model names them.

    It also names those of the vision encoder, which is not there where its features are kept; accelerate gives up on
    them.
    """
    base: PreTrainedModel = tuned.get_base_model()
    present = {type(module).__name__ for module in base.modules()}
    return sorted(present & set(base._no_split_modules or ()))
