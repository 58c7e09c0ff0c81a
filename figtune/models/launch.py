"""Stage scripts in one process, or in each of those that a launcher has started. Importing this imports no torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from figtune.core import commands
from figtune.core.cli import RunSettings, StageScript, run_stages
from figtune.core.distributed import DistributedContext, check_launch, launched_world_size
from figtune.core.errors import FigtuneError
from figtune.core.jsonl import read_json
from figtune.models.records import MODEL_FILE, ModelRecord


class LaunchSettings(RunSettings, Protocol):
    """The part of the configuration that says where to run, too."""

    @property
    def device(self) -> str:
        """ "auto", "cpu" or "cuda"."""


Settings = TypeVar("Settings", bound=LaunchSettings)


def run_distributed(stages: Sequence[StageScript[Settings]], settings: Settings) -> None:
    """Run the stages, once all processes of the launcher have met.

    Raises:
        FigtuneError: what a stage raises; there are more processes than cards; another process has ended.
    """
    if launched_world_size() == 1:
        run_stages(stages, settings)
        return
    from figtune.models.ranks import process_group

    with process_group(on_cpu=settings.device == "cpu"):
        run_stages(stages, settings)


def launch_check(script: str) -> Callable[[LaunchSettings], None]:
    """Return a check of the launcher and of the device, for a stage that models run in."""

    def check(settings: LaunchSettings) -> None:
        check_launch(os.environ, script)
        check_device(settings.device)

    return check


def check_device(device: str) -> None:
    """See that a device that was asked for is there.

    Raises:
        ResourceError: there is no CUDA device.
    """
    if device == "cuda":
        from figtune.models.loading import resolve_device

        resolve_device(device)


def check_base(folder: Path, name: str) -> None:
    """See that the base model of a configured model is still to be had, if it is the one that the settings name.

    Args:
        folder: has `model.json`, if the model has been set up.

    Raises:
        ResourceError: it is not to be had.
    """
    try:
        record = read_json(folder / MODEL_FILE, ModelRecord, commands.SETUP)
    except FigtuneError:
        return
    if not record.tiny and record.name == name:
        from figtune.models.model_files import check_model

        check_model(record.base, record.commit)


def current() -> DistributedContext | None:
    """The processes that have met, for a stage that they can share; None for the only one."""
    if launched_world_size() == 1:
        return None
    from figtune.models import ranks

    return ranks.current()
