"""LoRA adapters in peft's format: matrices in decoder and vision encoder, and the projector trained fully."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import DUMMY_TARGET_MODULES
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from figtune.core.distributed import is_rank_zero
from figtune.models.families import family_of
from figtune.models.family import Family
from figtune.models.lora_targets import targets_of
from figtune.models.model_parts import ModelParts
from figtune.models.quiet import damage_explained, suppress_peft_deprecations
from figtune.models.records import AdapterRecord
from figtune.models.vision_tower import stored_weights

ADAPTER_FILE = "adapter_model.safetensors"


def adapter_config(adapter: AdapterRecord, family: Family, base: str, commit: str | None) -> LoraConfig:
    """Return peft's configuration.

    The projector is trained fully rather than through LoRA: it is small, and in Gemma 3 a bare parameter. In mode
    "full" peft has no part in what is trained; see `figtune.models.full_finetune`.

    Raises:
        UsageError: a target that does not exist, a part both frozen and trained, or nothing to train.
    """
    targets, parts = targets_of(adapter, family), family.parts
    # Full names of layers: both halves of a model call some of theirs alike, such as q_proj.
    chosen = ((parts.decoder_layers, targets.decoder), (parts.vision_layers, targets.vision))
    patterns = [layers.pattern(names) for layers, names in chosen if names]
    by_peft = targets.fully_trained_parts if adapter.mode != "full" else ()
    return LoraConfig(
        base_model_name_or_path=base,
        revision=commit,
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules="|".join(patterns) or DUMMY_TARGET_MODULES,
        modules_to_save=[parts.projector_name] if "projector" in by_peft else None,
        task_type="CAUSAL_LM",
    )


def meta_model(folder: Path, family: Family) -> PreTrainedModel:
    """Build the base model without its weights, on the meta device: to count and to configure, whatever its size."""
    problem = f"{folder} describes no model that can be built"
    with torch.device("meta"), damage_explained(problem, "download the model again"):
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call]
            family.without_unused_parts(AutoConfig.from_pretrained(folder, trust_remote_code=False))
        )
    model.requires_grad_(False)
    return model


def new_adapter(model: PreTrainedModel, family: Family, folder: Path, config: LoraConfig, seed: int) -> PeftModel:
    """Build an adapter that changes nothing yet, on a model on the meta device."""
    # peft would write the folder that the model came from.
    model.name_or_path = config.base_model_name_or_path
    with torch.random.fork_rng(devices=[]), suppress_peft_deprecations():
        torch.manual_seed(seed)
        peft_model = get_peft_model(model, config)
        for layer in peft_model.modules():
            if isinstance(layer, LoraLayer):
                _allocate(layer)
    if config.modules_to_save:
        trained = peft_model.get_base_model().get_submodule(family.parts.projector).modules_to_save["default"]
        stored = stored_weights(folder, family.parts.projector_name)
        weights = {name: weight.to(torch.float32) for name, weight in stored.items()}
        trained.load_state_dict(weights, assign=True)
        trained.requires_grad_(True)
    return peft_model


def _allocate(layer: LoraLayer) -> None:
    """Allocate real weights for the matrices that peft has put on the meta device with the rest."""
    layer.lora_A.to_empty(device="cpu")
    layer.lora_B.to_empty(device="cpu")
    layer.reset_lora_parameters("default", init_lora_weights=True)


def load_adapter(model: PreTrainedModel, folder: Path, *, trainable: bool) -> PeftModel:
    """Load an adapter onto its base model, every trained weight in float32: bfloat16 would lose small steps.

    Its weights are in main memory where the base model's are on the meta device.

    Raises:
        ResourceError: its files are damaged, or of another model.
    """
    remedy = "make it again with the same command and --force, or give another folder"
    with suppress_peft_deprecations(), damage_explained(f"the adapter in {folder} cannot be loaded", remedy):
        on_meta = any(parameter.is_meta for parameter in model.parameters())
        peft_model = PeftModel.from_pretrained(model, folder, is_trainable=trainable, low_cpu_mem_usage=on_meta)
        _load_exactly(peft_model, folder)
    hold_in_float32(peft_model)
    return peft_model


def _load_exactly(peft_model: PeftModel, folder: Path) -> None:
    """Take the adapter's weights from its file once more: peft rounds those of the projector to the base model's dtype,
    and leaves all on the meta device with the base model's.
    """
    parts = family_of(peft_model.config.model_type, peft_model.config.model_type).parts
    level = f".{parts.vision_encoder}.{parts.vision_layers.older_level}."
    stored = load_file(folder / ADAPTER_FILE)
    weights = {name.replace(level, f".{parts.vision_encoder}.", 1): weight for name, weight in stored.items()}
    for name, parameter in list(peft_model.named_parameters()):
        plain = name.replace(".modules_to_save.default.", ".").replace(".default.", ".")
        if plain in weights and plain != name:
            module, _, attribute = name.rpartition(".")
            weight = weights[plain] if parameter.is_meta else weights[plain].to(parameter.device)
            setattr(
                peft_model.get_submodule(module), attribute, nn.Parameter(weight, requires_grad=parameter.requires_grad)
            )


def hold_in_float32(peft_model: PeftModel) -> None:
    """Put every trained weight into float32, and let LoRA compute in the dtype of the layers beside it."""
    for parameter in peft_model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    for layer in peft_model.modules():
        if isinstance(layer, LoraLayer):
            layer.forward = partial(lora_forward, layer)


def lora_forward(layer: LoraLayer, x: Tensor) -> Tensor:
    """Return a linear layer's output with LoRA's added to it: float[..., out] of `x: float[..., in]`.

    In place of peft's own, which goes over float32 tensors of the output's size six times. The float32 matrices are
    cast to bfloat16 beside bfloat16 layers; the gradient of the cast is summed up in float32, so small steps are not
    lost. The scale is multiplied into the smaller matrix: the same to the bit where it is a power of two.

    Beside float16 layers LoRA stays in float32: gradients would leave the range of float16.
    """
    base: nn.Module = layer.get_base_layer()
    if layer.disable_adapters:
        untuned: Tensor = base(x)
        return untuned
    down, up, dropout = layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.lora_dropout["default"]
    scaled = up * layer.scaling["default"]
    if x.dtype == torch.bfloat16:
        # Rows on one axis, so that what is added to is no view of another tensor.
        rows = x.flatten(0, -2)
        summed: Tensor = base(rows).addmm_(F.linear(dropout(rows), down.bfloat16()), scaled.bfloat16().T)
        return summed.view(*x.shape[:-1], -1)
    result: Tensor = base(x)
    result += F.linear(F.linear(dropout(x.to(down.dtype)), down), scaled)
    return result


def save_adapter(peft_model: PeftModel, folder: Path) -> None:
    """Write an adapter in peft's format, without the card that peft writes: ours stands beside the folder.

    Rank 0 writes; where weights are spread over processes, all of them have to call this.
    """
    is_sharded = any(isinstance(weight, DTensor) for weight in peft_model.parameters())
    weights = _gathered(peft_model) if is_sharded else None
    if not is_rank_zero():
        return
    peft_model.create_or_update_model_card = lambda _: None
    # peft would otherwise ask the Hub whether the vocabulary has grown; it never does here.
    peft_model.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)
    model_type = peft_model.get_base_model().config.model_type
    _name_for_every_version(folder / ADAPTER_FILE, family_of(model_type, model_type).parts)


def _name_for_every_version(file: Path, parts: ModelParts) -> None:
    """Name LoRA matrices of the vision encoder as transformers 4 does, where it has a level more.

    peft loads such names under transformers 5 as well, while 4 and vLLM would skip those of 5 in silence.
    """
    encoder, older = f"base_model.model.{parts.vision_encoder}.", parts.vision_layers.older_level
    with safe_open(file, framework="pt") as tensors:
        if not older or not any(name.startswith(encoder) for name in tensors.keys()):  # noqa: SIM118 - not a mapping
            return
    renamed = {
        name.replace(encoder, f"{encoder}{older}.", 1) if name.startswith(encoder) else name: weight
        for name, weight in load_file(file).items()
    }
    save_file(renamed, file, metadata={"format": "pt"})


def _gathered(peft_model: PeftModel) -> dict[str, Tensor]:
    """Return the trained weights, unsharded, on rank 0; nothing on the others."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    weights: dict[str, Tensor] = get_model_state_dict(peft_model, options=options)  # type: ignore[assignment]
    return weights
