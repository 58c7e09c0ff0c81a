"""Merge of adapter and base model into one that loads and serves without peft, checked against the adapter."""

from __future__ import annotations

import gc
import json
import logging
import shutil
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch.nn import functional as F
from transformers import AutoConfig, PreTrainedModel

from figtune.core.errors import ResourceError
from figtune.core.io import atomic_write_dir, write_text
from figtune.core.settings import Device
from figtune.export.merge_check import MergeCheck, compare_logits, completion_logits, sample_examples
from figtune.inference.adapter_record import read_adapter_record
from figtune.models.families import family_of
from figtune.models.family import Family
from figtune.models.full_finetune import FullFinetuneModel
from figtune.models.loading import base_folder, load_base_model, resolve_device, with_adapter
from figtune.models.model_files import copy_processor
from figtune.models.quiet import damage_explained
from figtune.models.records import ADAPTER_FOLDER, CARD_FILE, PROCESSOR_FOLDER, ModelRecord
from figtune.models.usage_code import usage_code

logger = logging.getLogger(__name__)

_SINGLE_SHARD = "1000GB"
"""Shard size above any model, so that the file names of the artifact are known in advance."""
CONFIG_FILE = "config.json"
_GENERATION_FILE = "generation_config.json"
_DTYPE_NAMES = ("torch_dtype", "dtype")
"""Setting of transformers 4, and of 5."""
_PROBES = 16
_LAYER_TOLERANCE = 1e-4
"""Largest allowed error of a merged layer's float32 output, relative to its maximum; measured: 1e-6."""


def export_merged(dataset_dir: Path, output_dir: Path, folder: Path, device: Device) -> MergeCheck:
    """Write the merged model into `folder`, in bfloat16 and the Hub's layout, with its processor and a card.

    Each layer is merged in float32 and rounded once, into the unquantized base weights even after QLoRA. `folder`
    appears only after the model, read back from disk, agrees with the adapter. One model is in memory at a time, in its
    stored dtype.

    Raises:
        ArtifactMissingError: no data set, or nothing trained.
        ResourceError: the base model is unavailable, memory is too small, or the models disagree.
    """
    record = read_adapter_record(output_dir)
    family = family_of(record.family, record.name)
    processor = family.load_processor(output_dir / PROCESSOR_FOLDER)
    examples = sample_examples(dataset_dir, family, processor, record)
    shutil.rmtree(folder, ignore_errors=True)
    with atomic_write_dir(folder) as temporary:
        peft_model = load_unquantized(record, output_dir, family, resolve_device(device))
        expected = completion_logits(peft_model, examples)
        logger.info(f"merge: adapter and {record.name}, layer by layer")
        merge_weights(peft_model, torch.bfloat16).save_pretrained(temporary, max_shard_size=_SINGLE_SHARD)
        del peft_model
        base = base_folder(record, output_dir)
        copy_description(base, temporary, torch.bfloat16)
        copy_processor(output_dir / PROCESSOR_FOLDER, temporary, family)
        gc.collect()
        again = load_base_model(temporary, family, torch.bfloat16, resolve_device(device), "sdpa", unused_parts=True)
        found = compare_logits(expected, completion_logits(again, examples))
        _require_agreement(found)
        write_merged_card(temporary, record, found)
    return found


@torch.no_grad()
def merge_weights(peft_model: PeftModel, dtype: torch.dtype) -> PreTrainedModel:
    """Merge the trained weights into the base model, in `dtype`. `peft_model` is consumed.

    Raises:
        ResourceError: the output of a merged layer differs from that with its LoRA matrices.
    """
    if isinstance(peft_model, FullFinetuneModel):
        model: PreTrainedModel = peft_model.get_base_model()
    else:
        for name, layer in peft_model.named_modules():
            if isinstance(layer, LoraLayer):
                _merge_layer(name, layer, dtype)
        model = peft_model.unload()
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
        raise ResourceError(f"{name} cannot be merged: its output differs by {error:.1e}", "use the adapter as it is")
    base.weight.data = summed.to(dtype)


def load_unquantized(record: ModelRecord, output_dir: Path, family: Family, device: torch.device) -> PeftModel:
    """Load the adapter onto the unquantized base model, in its stored dtype."""
    base = base_folder(record, output_dir)
    with damage_explained(f"{base} cannot be loaded", "download the model again"):
        stored = AutoConfig.from_pretrained(base, trust_remote_code=False).dtype or torch.float32
    model = load_base_model(base, family, stored, device, "sdpa", unused_parts=True)
    return with_adapter(model, family, record, output_dir / ADAPTER_FOLDER).eval()


def copy_description(base: Path, folder: Path, dtype: torch.dtype) -> None:
    """Copy the configuration of the base model, with another dtype.

    Written anew by one version of transformers, the configuration can lose settings in another, such as the factor of
    the rotary position embedding, without an error.
    """
    with damage_explained(f"{base} cannot be read", "download the model again"):
        config = json.loads((base / CONFIG_FILE).read_text(encoding="utf-8"))
    _set_dtype(config, str(dtype).removeprefix("torch."))
    if not any(name in config for name in _DTYPE_NAMES):
        config["torch_dtype"] = str(dtype).removeprefix("torch.")
    write_text(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")
    if (base / _GENERATION_FILE).is_file():
        shutil.copyfile(base / _GENERATION_FILE, folder / _GENERATION_FILE)


def _set_dtype(config: dict[str, object], dtype: str) -> None:
    """Set the dtype wherever the configuration or one of its parts states one."""
    for name, value in config.items():
        if name in _DTYPE_NAMES:
            config[name] = dtype
        elif isinstance(value, dict):
            _set_dtype(value, dtype)


def _require_agreement(found: MergeCheck) -> None:
    if not found.passes:
        raise ResourceError(
            f"the merged model disagrees with the adapter: {found.sentence}",
            "use the adapter as it is, and report this with the lines above",
        )


def serving_commands(folder: Path | str) -> tuple[str, ...]:
    """Return commands that serve a merged model at /v1/chat/completions."""
    return (f"vllm serve {folder}", f"transformers serve {folder}")


def write_merged_card(folder: Path, record: ModelRecord, agreement: MergeCheck) -> None:
    """Write `README.md` beside the weights, with the front matter that the Hub reads."""
    base = f"base_model: {record.base}\nbase_model_relation: finetune\n" if record.commit else ""
    quantised = (
        "\n\nThe adapter was trained over a text decoder in 4 bits and is merged into the full weights, which are more "
        "exact than what it was trained over, though not the same."
        if record.adapter.mode == "qlora"
        else ""
    )
    family = family_of(record.family, record.name)
    packages = family.processor_packages
    settings = json.dumps(family.image_settings(0, record.tiles))
    tiles = (
        f"\n\nFigures were read in up to {record.tiles} tiles: tell the processor so in each call (in vLLM with "
        f"--mm-processor-kwargs, which was not tried): `{settings}`."
        if record.tiles
        else ""
    )
    needed = f"; its processor needs `pip install {' '.join(packages)}`" if packages else ""
    commands = "\n".join(serving_commands("."))
    write_text(
        folder / CARD_FILE,
        f"""---
{base}library_name: transformers
pipeline_tag: image-text-to-text
---

# {record.title}, fine-tuned and merged

Base model and adapter in one, in bfloat16. Merged in float32 and rounded once; read back from the disk, the merged
model was compared with the adapter on the base model: {agreement.sentence}.{quantised}

## Loading

In this folder{needed}:

```python
{usage_code(record, merged=True)}
```

## Serving

In this folder, either of:

```bash
{commands}
```

Both answer at `/v1/chat/completions`. Ask as in training: one message with one picture and one prompt, at
temperature 0. The prompts stand in the data set that the adapter was trained on. `python test_model.py --test.server
http://127.0.0.1:8000` tells whether a server answers as the model that was evaluated.{tiles}
""",
    )
