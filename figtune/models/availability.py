"""Checks of what a stage with a model needs, before any stage begins. Importing this imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from figtune.core import commands
from figtune.core.distributed import check_launch
from figtune.core.errors import FigtuneError
from figtune.core.jsonl import read_json
from figtune.models.records import MODEL_FILE, ModelRecord


def check_launch_and_device(script: str, device: str) -> None:
    """See that the launcher of `script` started what it was asked for, and that the device is there.

    Raises:
        UsageError: see `check_launch`.
        ResourceError: there is no CUDA device.
    """
    check_launch(os.environ, script)
    check_device(device)


def check_device(device: str) -> None:
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
