"""Stage scripts in one process, or in each of those that a launcher has started. Importing this imports no torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from figtune.pipeline.command import RunSettings, StageScript, run_stages
from figtune.pipeline.crew import Crew, check_launch, launched_processes


class LaunchSettings(RunSettings, Protocol):
    """The part of the configuration that says where to run, too."""

    @property
    def device(self) -> str:
        """ "auto", "cpu" or "cuda"."""


Settings = TypeVar("Settings", bound=LaunchSettings)


def run_together(scripts: Sequence[StageScript[Settings]], settings: Settings) -> None:
    """Run the scripts, once all processes of the launcher have met.

    Raises:
        FigtuneError: what a stage raises; there are more processes than cards; another process has ended.
    """
    if launched_processes() == 1:
        run_stages(scripts, settings)
        return
    from figtune.models.ranks import together

    with together(on_cpu=settings.device == "cpu"):
        run_stages(scripts, settings)


def launch_check(script: str) -> Callable[[object], None]:
    """For a stage, see `check_launch`."""
    return lambda _: check_launch(os.environ, script)


def crew() -> Crew | None:
    """The processes that have met, for a stage that they can share; None for the only one."""
    if launched_processes() == 1:
        return None
    from figtune.models import ranks

    return ranks.crew()
