"""Stage scripts in one process, or in each of those that a launcher has started. Importing this imports no torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from figtune.models.records import MODEL_FILE, ModelRecord
from figtune.pipeline import scripts
from figtune.pipeline.command import RunSettings, StageScript, run_stages
from figtune.pipeline.crew import Crew, check_launch, launched_processes
from figtune.pipeline.errors import FigtuneError
from figtune.pipeline.records import read_json


class LaunchSettings(RunSettings, Protocol):
    """The part of the configuration that says where to run, too."""

    @property
    def device(self) -> str:
        """ "auto", "cpu" or "cuda"."""


Settings = TypeVar("Settings", bound=LaunchSettings)


def run_together(stages: Sequence[StageScript[Settings]], settings: Settings) -> None:
    """Run the stages, once all processes of the launcher have met.

    Raises:
        FigtuneError: what a stage raises; there are more processes than cards; another process has ended.
    """
    if launched_processes() == 1:
        run_stages(stages, settings)
        return
    from figtune.models.ranks import together

    with together(on_cpu=settings.device == "cpu"):
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
        from figtune.models.loading import chosen_device

        chosen_device(device)


def check_base(folder: Path, name: str) -> None:
    """See that the base model of a configured model is still to be had, if it is the one that the settings name.

    Args:
        folder: has `model.json`, if the model has been set up.

    Raises:
        ResourceError: it is not to be had.
    """
    try:
        record = read_json(folder / MODEL_FILE, ModelRecord, scripts.SETUP)
    except FigtuneError:
        return
    if not record.tiny and record.name == name:
        from figtune.models.hub import check_model

        check_model(record.base, record.commit)


def crew() -> Crew | None:
    """The processes that have met, for a stage that they can share; None for the only one."""
    if launched_processes() == 1:
        return None
    from figtune.models import ranks

    return ranks.crew()
