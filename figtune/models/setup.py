"""Set a model up: fetch its base, start its adapter, and describe both in files that training and evaluation read."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from peft import PeftModel

from figtune.core.io import atomic_write_dir
from figtune.core.jsonl import write_json
from figtune.models.choice import ModelChoice, check_choice
from figtune.models.families import family_of_folder
from figtune.models.family import Family
from figtune.models.full_finetune import FullFinetuneModel
from figtune.models.lora import adapter_config, meta_model, new_adapter, save_adapter
from figtune.models.model_files import ModelFolder, find_model
from figtune.models.model_parts import ModelParts
from figtune.models.processor_files import copy_processor
from figtune.models.records import (
    ADAPTER_FOLDER,
    BASE_FOLDER,
    MODEL_FILE,
    PARAMETERS_FILE,
    PROCESSOR_FOLDER,
    ModelRecord,
    ParameterTable,
    Part,
    PartCount,
)
from figtune.models.targets import targets_of
from figtune.models.tiny import TINY_MODELS

logger = logging.getLogger(__name__)

_TITLES: dict[Part, str] = {"vision": "vision encoder", "projector": "projector", "text": "text decoder"}
_ROWS = (*_TITLES.values(), "LoRA in the vision encoder", "LoRA in the text decoder")


def set_up_model(model_dir: Path, choice: ModelChoice) -> ParameterTable:
    """Write `adapter/`, `processor/`, `model.json`, `parameters.json` into `model_dir`; for a tiny model `base/` too.

    The base model's files are fetched, but its weights are not loaded.

    Raises:
        ResourceError: the model is not to be had or not supported.
        UsageError: a dtype, image tokens or an adapter that do not suit it.
    """
    check_choice(choice)
    tiny = choice.name in TINY_MODELS
    found = _build(model_dir, choice.name) if tiny else _fetch(choice)
    family = family_of_folder(found.folder, choice.name)
    record = _record(choice, family, found, tiny=tiny)
    table = _start_adapter(model_dir, found.folder, family, record, choice.seed)
    with atomic_write_dir(model_dir / PROCESSOR_FOLDER) as folder:
        copy_processor(found.folder, folder, family, family.image_settings(choice.image_tokens, choice.tiles))
    for line in format_table(table):
        logger.info(line)
    write_json(model_dir / PARAMETERS_FILE, table)
    write_json(model_dir / MODEL_FILE, record)
    return table


def _build(model_dir: Path, name: str) -> ModelFolder:
    logger.info(f"model {name}: building it; it is a demo model that knows nothing yet")
    TINY_MODELS[name](model_dir / BASE_FOLDER)
    return ModelFolder(folder=model_dir / BASE_FOLDER, commit=None)


def _fetch(choice: ModelChoice) -> ModelFolder:
    """The description first: a model that is not supported is refused before its gigabytes are downloaded."""
    description = find_model(choice.name, choice.revision, weights=False)
    family = family_of_folder(description.folder, choice.name)
    targets_of(choice.adapter, family)
    family.check_dtype(choice.dtype)
    family.image_settings(choice.image_tokens, choice.tiles)
    found = find_model(choice.name, description.commit or choice.revision, weights=True)
    at = f" at {found.commit[:8]}" if found.commit else ""
    logger.info(f"model {choice.name}{at}: {family.display_name}, in {found.folder}")
    return found


def _record(choice: ModelChoice, family: Family, found: ModelFolder, *, tiny: bool) -> ModelRecord:
    local = BASE_FOLDER if tiny else str(found.folder)
    return ModelRecord(
        name=choice.name,
        base=choice.name if found.commit else local,
        commit=found.commit,
        family=family.model_type,
        tiny=tiny,
        dtype=choice.dtype,
        image_fit=choice.image_fit,
        image_tokens=choice.image_tokens,
        tiles=choice.tiles,
        max_length=choice.max_length,
        adapter=choice.adapter,
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
        tuned = new_adapter(model, family, base, config, seed)
        save_adapter(tuned, folder)
    return parameter_table(tuned, family.parts)


def parameter_table(tuned: PeftModel, parts: ModelParts) -> ParameterTable:
    """Count the parameters of each part. A projector that is trained stands for the frozen one that it replaces."""
    trained = dict.fromkeys(_ROWS, 0)
    frozen = dict.fromkeys(_ROWS, 0)
    for name, parameter in tuned.named_parameters():
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
