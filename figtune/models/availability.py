"""Checks of what a stage with a model needs, before any stage begins. Importing this imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from figtune.core import commands
from figtune.core.distributed import check_launch
from figtune.core.errors import FigtuneError
from figtune.core.io import sha256_of
from figtune.core.jsonl import read_json
from figtune.core.settings import Device
from figtune.models.families import TINY_TYPES, family_of, model_type_of
from figtune.models.lora_targets import targets_of
from figtune.models.records import MODEL_FILE, ModelRecord
from figtune.models.settings import ModelSettings, SetupSettings

_WEIGHTS = ".safetensors"


def check_launch_and_device(script: str, device: Device) -> None:
    """See that the launcher of `script` started what it was asked for, and that the device is there.

    Raises:
        UsageError: see `check_launch`.
        ResourceError: there is no CUDA device.
    """
    check_launch(os.environ, script)
    check_device(device)


def check_device(device: Device) -> None:
    """See that a device that was asked for is there.

    Raises:
        ResourceError: there is no CUDA device.
    """
    if device == "cuda":
        from figtune.models.loading import resolve_device

        resolve_device(device)


def check_base(folder: Path, name: str) -> None:
    """See that the base model of a configured model is available still, if it is the one that the settings name.

    Args:
        folder: has `model.json`, if the model has been set up.

    Raises:
        ResourceError: it is unavailable.
    """
    try:
        record = read_json(folder / MODEL_FILE, ModelRecord, commands.SETUP)
    except FigtuneError:
        return
    if not record.tiny and record.name == name:
        from figtune.models.model_files import check_model

        check_model(record.base, record.commit)


def check_setup(settings: SetupSettings) -> None:
    """Refuse what cannot be trained, as far as settings and what lies on this machine tell.

    Asks no network and imports no torch: it is meant to run before the first stage does.

    Raises:
        UsageError: targets, frozen parts, a dtype or image tokens that contradict each other or the model.
        ResourceError: the model is of no supported family.
    """
    targets_of(settings.adapter)
    model_type = _model_type(settings.model)
    if model_type is not None:
        family = family_of(model_type, settings.model.name)
        targets_of(settings.adapter, family)
        family.check_dtype(settings.model.dtype)
        family.image_settings(settings.model.image_tokens, settings.model.tiles)


def _model_type(model: ModelSettings) -> str | None:
    """Return the `model_type` of a model on this machine; None where it is not here yet."""
    if model.name in TINY_TYPES:
        return TINY_TYPES[model.name]
    folder = Path(model.name).expanduser()
    if not folder.is_dir():
        folder_of_cache = _cached(model)
        return None if folder_of_cache is None else model_type_of(folder_of_cache, model.name)
    return model_type_of(folder, model.name) if (folder / "config.json").is_file() else None


def _cached(model: ModelSettings) -> Path | None:
    """Return where an earlier download of a Hub repository lies."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model.name, "config.json", revision=model.revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def local_model_fingerprint(name: str) -> dict[str, str]:
    """Return a cheap fingerprint of a local model folder: sha256 of small files, size of weights. Empty otherwise.

    A Hub repository is identified by its name and revision, and setup records which commit that was.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jinja", ".model", _WEIGHTS))
    return {path.name: f"{path.stat().st_size} bytes" if path.suffix == _WEIGHTS else sha256_of(path) for path in files}
