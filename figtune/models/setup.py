"""Set a model up: fetch its base, start its adapter, and describe both in files that training and evaluation read."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from peft import PeftModel

from figtune.core.io import atomic_write_dir
from figtune.core.jsonl import write_json
from figtune.models.availability import check_setup
from figtune.models.families import family_of_folder
from figtune.models.family import Family
from figtune.models.full_finetune import FullFinetuneModel
from figtune.models.lora import adapter_config, meta_model, new_adapter, save_adapter
from figtune.models.lora_targets import targets_of
from figtune.models.model_files import ModelFolder, copy_processor, find_model
from figtune.models.model_parts import ModelParts
from figtune.models.records import (
    ADAPTER_FOLDER,
    BASE_FOLDER,
    MODEL_FILE,
    PARAMETERS_FILE,
    PROCESSOR_FOLDER,
    AdapterRecord,
    ModelRecord,
    ParameterTable,
    Part,
    PartCount,
)
from figtune.models.settings import ModelSettings, SetupSettings
from figtune.models.tiny import TINY_MODELS

logger = logging.getLogger(__name__)

_TITLES: dict[Part, str] = {"vision": "vision encoder", "projector": "projector", "text": "text decoder"}
_ROWS = (*_TITLES.values(), "LoRA in the vision encoder", "LoRA in the text decoder")


def set_up_model(model_dir: Path, settings: SetupSettings) -> ParameterTable:
    """Write `adapter/`, `processor/`, `model.json`, `parameters.json` into `model_dir`; for a tiny model `base/` too.

    The base model's files are fetched, but its weights are not loaded.

    Raises:
        ResourceError: the model is unavailable or not supported.
        UsageError: a dtype, image tokens or an adapter that do not suit it.
    """
    check_setup(settings)
    model, adapter = settings.model, settings.adapter
    tiny = model.name in TINY_MODELS
    found = _build(model_dir, model.name) if tiny else _fetch(model, adapter)
    family = family_of_folder(found.folder, model.name)
    record = _record(model, adapter, family, found, tiny=tiny)
    table = _start_adapter(model_dir, found.folder, family, record, settings.seed)
    with atomic_write_dir(model_dir / PROCESSOR_FOLDER) as folder:
        own = family.load_processor(found.folder)
        copy_processor(found.folder, folder, family, family.image_settings(model.image_tokens, model.tiles, own))
    for line in format_table(table):
        logger.info(line)
    write_json(model_dir / PARAMETERS_FILE, table)
    write_json(model_dir / MODEL_FILE, record)
    return table


def _build(model_dir: Path, name: str) -> ModelFolder:
    logger.info(f"model {name}: building it; it is a demo model that knows nothing yet")
    TINY_MODELS[name](model_dir / BASE_FOLDER)
    return ModelFolder(folder=model_dir / BASE_FOLDER, commit=None)


def _fetch(model: ModelSettings, adapter: AdapterRecord) -> ModelFolder:
    """The description first: a model that is not supported is refused before its gigabytes are downloaded."""
    description = find_model(model.name, model.revision, weights=False)
    family = family_of_folder(description.folder, model.name)
    targets_of(adapter, family)
    family.check_dtype(model.dtype)
    family.image_settings(model.image_tokens, model.tiles)
    found = find_model(model.name, description.commit or model.revision, weights=True)
    at = f" at {found.commit[:8]}" if found.commit else ""
    logger.info(f"model {model.name}{at}: {family.display_name}, in {found.folder}")
    return found


def _record(
    model: ModelSettings, adapter: AdapterRecord, family: Family, found: ModelFolder, *, tiny: bool
) -> ModelRecord:
    local = BASE_FOLDER if tiny else str(found.folder)
    return ModelRecord(
        name=model.name,
        base=model.name if found.commit else local,
        commit=found.commit,
        family=family.model_type,
        tiny=tiny,
        dtype=model.dtype,
        image_fit=model.image_fit,
        image_tokens=model.image_tokens,
        tiles=model.tiles,
        max_length=model.max_length,
        adapter=adapter,
    )


def _start_adapter(model_dir: Path, base: Path, family: Family, record: ModelRecord, seed: int) -> ParameterTable:
    config = adapter_config(record.adapter, family, record.base, record.commit)
    model = meta_model(base, family)
    with atomic_write_dir(model_dir / ADAPTER_FOLDER) as folder:
        if record.adapter.mode == "full":
            # The folder stays empty: training starts from the base model's own weights.
            full = FullFinetuneModel(model, config, family.parts, targets_of(record.adapter).fully_trained_parts)
            full.make_trainable(torch.float32)
            return parameter_table(full, family.parts)
        peft_model = new_adapter(model, family, base, config, seed)
        save_adapter(peft_model, folder)
    return parameter_table(peft_model, family.parts)


def parameter_table(peft_model: PeftModel, parts: ModelParts) -> ParameterTable:
    """Count the parameters of each part. A projector that is trained stands for the frozen one that it replaces."""
    trained = dict.fromkeys(_ROWS, 0)
    frozen = dict.fromkeys(_ROWS, 0)
    for name, parameter in peft_model.named_parameters():
        part = parts.part_of(name)
        if ".original_module." in name or part is None:
            continue
        title = _TITLES[part]
        counts = trained if parameter.requires_grad else frozen
        counts[f"LoRA in the {title}" if "lora_" in name else title] += parameter.numel()
    rows = tuple(
        PartCount(part=row, trained=trained[row], frozen=frozen[row]) for row in _ROWS if trained[row] or frozen[row]
    )
    count = sum(trained.values())
    return ParameterTable(parts=rows, trained=count, total=count + sum(frozen.values()))


def format_table(table: ParameterTable) -> list[str]:
    """Return the table as text, a line each."""
    lines = [f"{'part':28}{'trained':>16}{'frozen':>18}"]
    lines += [f"{part.part:28}{part.trained:>16,}{part.frozen:>18,}" for part in table.parts]
    share = table.trained / table.total
    lines.append(f"{'together':28}{table.trained:>16,}{table.total - table.trained:>18,}  ({share:.2%} is trained)")
    return lines
