"""Setting a model up: its base fetched, its adapter begun, both described in files that training and testing read."""

from __future__ import annotations

from pathlib import Path

import torch

from figtune.core.io import atomic_write_dir
from figtune.core.jsonl import write_json
from figtune.core.log import log
from figtune.models.adapters import adapter_config, model_outline, new_adapter, save_adapter
from figtune.models.choice import ModelChoice, check_choice
from figtune.models.families import family_of
from figtune.models.hub import ModelFolder, find_model
from figtune.models.loading import family_of_folder
from figtune.models.parameters import parameter_table, table_lines
from figtune.models.processor_files import copy_processor
from figtune.models.records import (
    ADAPTER_FOLDER,
    BASE_FOLDER,
    MODEL_FILE,
    PARAMETERS_FILE,
    PROCESSOR_FOLDER,
    ModelRecord,
    ParameterTable,
)
from figtune.models.support import refuse_overflow
from figtune.models.targets import targets_of
from figtune.models.tiny import TINY_MODELS
from figtune.models.whole import WholeModel


def set_up_model(model_dir: Path, choice: ModelChoice) -> ParameterTable:
    """Write `adapter/`, `processor/`, `model.json`, `parameters.json` into `model_dir`; for a tiny model `base/` too.

    The base model's files are fetched, but its weights are not loaded.

    Raises:
        ResourceError: the model is not to be had or not supported.
        UsageError: a dtype or an adapter that does not suit it.
    """
    check_choice(choice)
    tiny = choice.name in TINY_MODELS
    found = _build(model_dir, choice.name) if tiny else _fetch(choice)
    record = _record(choice, found, tiny=tiny)
    table = _begin_adapter(model_dir, found.folder, record, choice.seed)
    with atomic_write_dir(model_dir / PROCESSOR_FOLDER) as folder:
        copy_processor(found.folder, folder, family_of(record.family, record.name))
    for line in table_lines(table):
        log(line)
    write_json(model_dir / PARAMETERS_FILE, table)
    write_json(model_dir / MODEL_FILE, record)
    return table


def _build(model_dir: Path, name: str) -> ModelFolder:
    log(f"model {name}: building it; it is a demo model that knows nothing yet")
    TINY_MODELS[name](model_dir / BASE_FOLDER)
    return ModelFolder(folder=model_dir / BASE_FOLDER, commit=None)


def _fetch(choice: ModelChoice) -> ModelFolder:
    """The description first: a model that is not supported is refused before its gigabytes are downloaded."""
    description = find_model(choice.name, choice.revision, weights=False)
    family = family_of_folder(description.folder, choice.name)
    refuse_overflow(family.support, choice.dtype)
    found = find_model(choice.name, description.commit or choice.revision, weights=True)
    at = f" at {found.commit[:8]}" if found.commit else ""
    log(f"model {choice.name}{at}: {family.title}, in {found.folder}")
    return found


def _record(choice: ModelChoice, found: ModelFolder, *, tiny: bool) -> ModelRecord:
    family = family_of_folder(found.folder, choice.name)
    local = BASE_FOLDER if tiny else str(found.folder)
    return ModelRecord(
        name=choice.name,
        base=choice.name if found.commit else local,
        commit=found.commit,
        family=family.support.model_type,
        tiny=tiny,
        dtype=choice.dtype,
        image_fit=choice.image_fit,
        max_length=choice.max_length,
        adapter=choice.adapter,
    )


def _begin_adapter(model_dir: Path, base: Path, record: ModelRecord, seed: int) -> ParameterTable:
    config = adapter_config(record.adapter, record.base, record.commit)
    outline = model_outline(base)
    with atomic_write_dir(model_dir / ADAPTER_FOLDER) as folder:
        if record.adapter.mode == "full":
            # The folder stays empty: training begins with the base model's own weights.
            whole = WholeModel(outline, config, targets_of(record.adapter).whole)
            whole.begin(torch.float32)
            return parameter_table(whole)
        tuned = new_adapter(outline, base, config, seed)
        save_adapter(tuned, folder)
    return parameter_table(tuned)
