"""Adapter and base model made one: a model that loads and serves without peft, checked against the adapter."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch.nn import functional as F
from transformers import AutoConfig, PreTrainedModel, ProcessorMixin

from figtune.core.errors import ResourceError
from figtune.core.io import atomic_write_dir
from figtune.core.log import log
from figtune.inference.adapter_record import read_adapter_record
from figtune.models.adapters import adapter_config, load_adapter
from figtune.models.damage import damage_explained
from figtune.models.families import family_of
from figtune.models.family import Family
from figtune.models.loading import base_folder, chosen_device, load_base_model, load_processor
from figtune.models.records import ADAPTER_FOLDER, PROCESSOR_FOLDER, ModelRecord
from figtune.models.targets import targets_of
from figtune.models.whole import WholeModel
from figtune.publishing.agreement import Agreement, agreement, checked_examples, logits_on
from figtune.publishing.merged_card import write_merged_card

_ONE_FILE = "1000GB"
"""Larger than any model here: the artifact's files are then known by name beforehand."""
_PROBES = 16
_LAYER_TOLERANCE = 1e-4
"""Of a merged layer's output in float32, relative to the largest number in it; measured: 1e-6."""


def merge(dataset_dir: Path, output_dir: Path, folder: Path, device_name: str) -> Agreement:
    """Write the merged model into `folder`, in bfloat16 and the Hub's layout, with its processor and a card.

    Each layer is merged in float32 and rounded once, into the base model's full weights also where training had them in
    4 bits. `folder` appears only after the model read back from the disk has agreed with the adapter. One model is in
    memory at a time, in the dtype that its weights are stored in.

    Args:
        dataset_dir: whose examples are tried.
        device_name: "auto", "cpu" or "cuda".

    Raises:
        ArtifactMissingError: no data set, or nothing trained.
        ResourceError: the base model is not to be had, memory is too small, or the models disagree.
    """
    record = read_adapter_record(output_dir)
    device, family = chosen_device(device_name), family_of(record.family, record.name)
    processor = load_processor(output_dir / PROCESSOR_FOLDER)
    examples = checked_examples(dataset_dir, family, processor, record)
    shutil.rmtree(folder, ignore_errors=True)
    with atomic_write_dir(folder) as temporary:
        tuned = over_full_weights(record, output_dir, family, device)
        expected = logits_on(tuned, examples)
        log(f"merge: adapter and {record.name}, layer by layer")
        _save(merged(tuned, torch.bfloat16), processor, family, temporary)
        del tuned
        gc.collect()
        again = load_base_model(temporary, family, torch.bfloat16, device, "sdpa")
        found = agreement(expected, logits_on(again, examples))
        _refuse_disagreement(found)
        write_merged_card(temporary, record, found)
    return found


@torch.no_grad()
def merged(tuned: PeftModel, dtype: torch.dtype) -> PreTrainedModel:
    """The base model with what was trained inside its own weights, in `dtype`. `tuned` is used up.

    Raises:
        ResourceError: a layer does not compute what it did with its LoRA matrices beside it.
    """
    if isinstance(tuned, WholeModel):
        model: PreTrainedModel = tuned.get_base_model()
    else:
        for name, layer in tuned.named_modules():
            if isinstance(layer, LoraLayer):
                _merge_layer(name, layer, dtype)
        model = tuned.unload()
    torch.nn.Module.to(model, dtype)
    return model


def _merge_layer(name: str, layer: LoraLayer, dtype: torch.dtype) -> None:
    base = layer.get_base_layer()
    weight = base.weight.float()
    summed = weight + layer.get_delta_weight("default").float()
    probes = torch.randn(_PROBES, base.in_features, generator=torch.Generator().manual_seed(0)).to(weight.device)
    beside = layer.lora_B["default"](layer.lora_A["default"](probes)) * layer.scaling["default"]
    wanted = F.linear(probes, weight) + beside
    error = float((F.linear(probes, summed) - wanted).abs().max() / wanted.abs().max())
    if not error < _LAYER_TOLERANCE:
        raise ResourceError(f"{name} cannot be merged: its output is off by {error:.1e}", "use the adapter as it is")
    base.weight.data = summed.to(dtype)


def over_full_weights(record: ModelRecord, output_dir: Path, family: Family, device: torch.device) -> PeftModel:
    """The adapter on the base model's full weights, in the dtype that these are stored in."""
    base = base_folder(record, output_dir)
    with damage_explained(f"{base} cannot be loaded", "download the model again"):
        stored = AutoConfig.from_pretrained(base, trust_remote_code=False).dtype or torch.float32
    model = load_base_model(base, family, stored, device, "sdpa")
    if record.adapter.mode != "full":
        return load_adapter(model, output_dir / ADAPTER_FOLDER, trainable=False).eval()
    config = adapter_config(record.adapter, record.base, record.commit)
    whole = WholeModel(model, config, targets_of(record.adapter).whole)
    whole.replace(output_dir / ADAPTER_FOLDER)
    return whole.eval()


def _save(model: PreTrainedModel, processor: ProcessorMixin, family: Family, folder: Path) -> None:
    model.save_pretrained(folder, max_shard_size=_ONE_FILE)
    if not getattr(processor, "chat_template", None):
        # Servers ask with conversations: this lays them out as the examples were in training.
        processor.chat_template = family.chat_template
    processor.save_pretrained(folder)


def _refuse_disagreement(found: Agreement) -> None:
    if not found.close:
        raise ResourceError(
            f"the merged model does not say what the adapter says: {found.sentence}",
            "use the adapter as it is, and report this with the lines above",
        )
