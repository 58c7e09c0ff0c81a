"""Artifacts that a run reads and does not make: how what they were made from differs from what is asked for now.

A step that is run alone takes what lies on the disk, whatever the flags of the earlier steps are now. That must not
pass in silence: who types `--steps train --prepare.tasks caption` expects to train on captions.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from figtune.core import commands
from figtune.core.artifacts import Manifest, Stage, changed_settings, read_manifest, shortened
from figtune.core.errors import InputError, UsageError
from figtune.core.settings import RunSettings, Value, flatten, read_settings, with_values
from figtune.core.stages import PlannedStage

logger = logging.getLogger(__name__)

Settings = TypeVar("Settings", bound=RunSettings)

RESULT_SETTINGS_FILE = "config.json"
"""Settings that a result was made with, beside it."""
_LEFT_OUT: Mapping[str, Mapping[str, Value]] = {"prepare": {"data.source": ""}}
"""Settings that the manifest of a stage leaves out where they have this value."""


@dataclass(frozen=True, kw_only=True)
class _Upstream:
    """An artifact on the disk that is read, directly or through another one."""

    stage: str
    folder: Path
    manifest: Manifest

    @property
    def settings(self) -> dict[str, Value]:
        """Settings that it was made with."""
        return {**_LEFT_OUT.get(self.stage, {}), **self.manifest.made_from.settings}


def log_differences(planned: Sequence[PlannedStage], settings: RunSettings) -> None:
    """Log for each artifact that is read and not made: that it has other settings, or was made from an earlier one."""
    made = {each.stage.name: each.fingerprint for each in planned}
    seen = {upstream.stage: upstream for each in planned for upstream in _upstream(each.stage, made, settings)}
    for upstream in seen.values():
        remedy = f"make it anew with: {commands.OF_STAGE[upstream.stage]} and the same flags"
        if earlier := list(_earlier(upstream, made, settings)):
            logger.warning(f"{upstream.folder} was made from an earlier {' and '.join(earlier)}; {remedy}")
        elif changes := _changes(upstream, flatten(settings)):
            logger.info(f"{upstream.folder} is used as it was made, with other settings: {changes}; {remedy}")


def with_upstream_settings(settings: Settings, stage: Stage) -> Settings:
    """Return the settings that an artifact of `stage` is made with: those of what it reads, as that was made.

    Where an earlier version wrote values that are none any more, those given stay.
    """
    given = flatten(settings)
    recorded = {
        name: value
        for upstream in reversed(list(_upstream(stage, (), settings)))
        for name, value in upstream.settings.items()
        if name in given and name not in stage.settings and changed_settings({name: given[name]}, {name: value})
    }
    try:
        return with_values(settings, recorded)
    except (msgspec.ValidationError, UsageError):
        return settings


def settings_of_result(folder: Path, given: Settings) -> Settings:
    """Return the settings that the result in a folder was made with; those given where it tells none that are any."""
    try:
        return read_settings(folder / RESULT_SETTINGS_FILE, given)
    except (InputError, UsageError):
        return given


def _changes(upstream: _Upstream, given: Mapping[str, Value]) -> str:
    """Return the settings of which other values are given now; empty where there are none."""
    recorded = {name: value for name, value in upstream.settings.items() if name in given}
    return shortened(changed_settings(recorded, {name: given[name] for name in recorded}))


def _earlier(upstream: _Upstream, made: Mapping[str, str], settings: RunSettings) -> Iterator[str]:
    """Yield the folders of what it was made from where another artifact lies there by now, or will when this run ends.

    Args:
        made: fingerprints of the artifacts that this run makes.
    """
    for name, identity in upstream.manifest.made_from.stages.items():
        present = read_manifest(settings.folders[name], commands.OF_STAGE[name])
        now = made.get(name) or (present.fingerprint if present is not None else identity)
        if now != identity:
            yield str(settings.folders[name])


def _upstream(stage: Stage, made: Collection[str], settings: RunSettings) -> Iterator[_Upstream]:
    """Yield what a stage reads and `made` does not name, nearest first."""
    waiting = [need.stage for need in stage.needs]
    for name in waiting:
        if name in made or name not in settings.folders:
            continue
        folder = settings.folders[name]
        if (manifest := read_manifest(folder, commands.OF_STAGE[name])) is not None:
            yield _Upstream(stage=name, folder=folder, manifest=manifest)
            waiting.extend(above for above in manifest.made_from.stages if above not in waiting)
