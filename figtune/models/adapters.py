"""What is trained: LoRA matrices in decoder and vision encoder, and the projector, in peft's format."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import DUMMY_TARGET_MODULES
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from figtune.core.errors import ResourceError
from figtune.models.damage import damage_explained
from figtune.models.family import PROJECTOR
from figtune.models.noise import without_peft_deprecations
from figtune.models.ranks import is_rank_zero
from figtune.models.records import AdapterRecord
from figtune.models.targets import targets_of

_DOWNLOAD = "download the model again"
WEIGHTS_FILE = "adapter_model.safetensors"
_ENCODER_LEVEL = ("base_model.model.model.vision_tower.", "vision_model.")
"""Prefix of the vision encoder's weights, and the level that follows it in transformers 4 and in vLLM."""
_DECODER = r"(.*language_model\.layers\.\d+\.(self_attn|mlp)\.({names}))"
_VISION = r"(.*vision_tower\.(vision_model\.)?encoder\.layers\.\d+\.(self_attn|mlp)\.({names}))"
"""Names of linear layers in full, in transformers 5 and 4. Both halves of a model name some alike, such as q_proj."""


def adapter_config(adapter: AdapterRecord, base: str, commit: str | None) -> LoraConfig:
    """peft's configuration.

    The projector is trained whole rather than through LoRA: it is small, and in Gemma 3 a bare parameter. In mode
    "full" peft has no part in what is trained; see `figtune.models.whole`.

    Raises:
        UsageError: a target that does not exist, a part both frozen and trained, or nothing to train.
    """
    targets = targets_of(adapter)
    places = ((_DECODER, targets.decoder), (_VISION, targets.vision))
    patterns = [pattern.format(names="|".join(names)) for pattern, names in places if names]
    by_peft = targets.whole if adapter.mode != "full" else ()
    return LoraConfig(
        base_model_name_or_path=base,
        revision=commit,
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules="|".join(patterns) or DUMMY_TARGET_MODULES,
        modules_to_save=[PROJECTOR] if "projector" in by_peft else None,
        task_type="CAUSAL_LM",
    )


def model_outline(folder: Path) -> PreTrainedModel:
    """The base model without its weights, on the meta device: to count and to configure, whatever its size."""
    with torch.device("meta"), damage_explained(f"{folder} describes no model that can be built", _DOWNLOAD):
        outline: PreTrainedModel = AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call]
            AutoConfig.from_pretrained(folder, trust_remote_code=False)
        )
    outline.requires_grad_(False)
    return outline


def new_adapter(outline: PreTrainedModel, folder: Path, config: LoraConfig, seed: int) -> PeftModel:
    """An adapter that changes nothing yet, on a model that has only its outline.

    Args:
        folder: of the base model, whose projector the adapter's starts from.
    """
    # peft would write the folder that the outline came from.
    outline.name_or_path = config.base_model_name_or_path
    with torch.random.fork_rng(devices=[]), without_peft_deprecations():
        torch.manual_seed(seed)
        tuned = get_peft_model(outline, config)
        for layer in tuned.modules():
            if isinstance(layer, LoraLayer):
                _begin(layer)
    if config.modules_to_save:
        projector = getattr(tuned.get_base_model().model, PROJECTOR)
        trained = projector.modules_to_save["default"]
        trained.load_state_dict(_projector_weights(folder), assign=True)
        trained.requires_grad_(True)
    return tuned


def _begin(layer: LoraLayer) -> None:
    """Real weights for the matrices that peft has laid out on the meta device with the rest."""
    layer.lora_A.to_empty(device="cpu")
    layer.lora_B.to_empty(device="cpu")
    layer.reset_lora_parameters("default", init_lora_weights=True)


def _projector_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The projector's weights in float32, read without the others.

    Raises:
        ResourceError: the files are damaged, or hold no projector.
    """
    weights = {}
    with damage_explained(f"the weights in {folder} are damaged", _DOWNLOAD):
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    if f"{PROJECTOR}." in name:
                        weights[name.rpartition(f"{PROJECTOR}.")[2]] = tensors.get_tensor(name).to(torch.float32)
    if not weights:
        raise ResourceError(f"{folder} has no weights of a {PROJECTOR}", _DOWNLOAD)
    return weights


def load_adapter(model: PreTrainedModel, folder: Path, *, trainable: bool) -> PeftModel:
    """An adapter on its base model, every trained weight in float32: smaller steps than bfloat16 holds are lost.

    Raises:
        ResourceError: its files are damaged, or of another model.
    """
    remedy = "make it again with the same command and --force, or give another folder"
    with without_peft_deprecations(), damage_explained(f"the adapter in {folder} cannot be loaded", remedy):
        tuned = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return tuned


def save_adapter(tuned: PeftModel, folder: Path) -> None:
    """In peft's format, without the card that peft writes: ours stands beside the folder.

    The first process writes; where weights are spread over processes, all of them have to call this.
    """
    weights = _gathered(tuned) if isinstance(tuned, FSDPModule) else None
    if not is_rank_zero():
        return
    # peft would otherwise ask the Hub whether the vocabulary has grown; it never does here.
    tuned.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)
    _name_for_every_version(folder / WEIGHTS_FILE)
    (folder / "README.md").unlink(missing_ok=True)


def _name_for_every_version(file: Path) -> None:
    """Name LoRA matrices of the vision encoder as transformers 4 does.

    peft loads such names under transformers 5 as well, while 4 would skip those of 5 in silence.
    """
    prefix, level = _ENCODER_LEVEL
    with safe_open(file, framework="pt") as tensors:
        if not any(name.startswith(prefix) for name in tensors.keys()):  # noqa: SIM118 - not a mapping
            return
    renamed = {
        name.replace(prefix, f"{prefix}{level}", 1) if name.startswith(prefix) else name: weight
        for name, weight in load_file(file).items()
    }
    save_file(renamed, file, metadata={"format": "pt"})


def _gathered(tuned: PeftModel) -> dict[str, torch.Tensor]:
    """The trained weights, whole, in the first process; nothing in the others."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    weights: dict[str, torch.Tensor] = get_model_state_dict(tuned, options=options)  # type: ignore[assignment]
    return weights
