"""What can be asked for after training: a merged model, and a copy of the results on the Hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from figtune.core import commands
from figtune.core.artifacts import Dependency, Stage
from figtune.core.cli import RunSettings, StageScript
from figtune.core.errors import UsageError
from figtune.core.log import log
from figtune.core.stages import StageResult, StageSummary, run_if_stale
from figtune.models.records import MERGE_VERSION, MERGED_CONTENTS, MERGED_FOLDER, TRAINED_MODEL


class FinishSettings(RunSettings, Protocol):
    """The part of the configuration that this reads."""

    @property
    def output_dir(self) -> Path:
        """Where training has left the adapter."""

    @property
    def work_dir(self) -> Path:
        """Whose lock is held for the while."""

    @property
    def dataset_dir(self) -> Path:
        """Whose examples the merged model is tried on."""

    @property
    def device(self) -> str:
        """Where the models run."""

    @property
    def merge(self) -> bool:
        """Make a merged model."""

    @property
    def push_to_hub(self) -> str | None:
        """The repository for what training has left."""

    @property
    def push_public(self) -> bool:
        """Whether a repository that is not there yet is created for everybody to see."""


Settings = TypeVar("Settings", bound=FinishSettings)


def after_training(settings: Settings) -> list[StageScript[Settings]]:
    """The stages that the settings ask for: each reads what training has left in OUTPUT, and trains nothing.

    Raises:
        UsageError: they are asked for in each of several processes.
    """
    asked: list[StageScript[Settings]] = []
    if settings.merge:
        asked.append(StageScript(describe=_merge_stage, run=_run_merge))
    if settings.push_to_hub is not None:
        asked.append(StageScript(describe=_push_stage, run=_run_push, check=_check_push))
    if asked and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "one process is enough for --merge and --push_to_hub",
            f"leave them out here, and run `{commands.TRAIN}` with them afterwards, without a launcher",
        )
    return asked


def _needs(settings: FinishSettings) -> tuple[Dependency, ...]:
    return (Dependency(stage="train", folder=settings.output_dir, command=commands.TRAIN, reads=TRAINED_MODEL),)


def _merge_stage(settings: FinishSettings) -> Stage:
    return Stage(
        name="merge",
        version=MERGE_VERSION,
        folder=settings.output_dir / MERGED_FOLDER,
        command=f"{commands.TRAIN} --merge",
        settings={},
        needs=_needs(settings),
        outputs=MERGED_CONTENTS,
        apart=settings.output_dir / ".partial-merged",
    )


def _run_merge(settings: FinishSettings) -> StageSummary:
    from figtune.publishing.merged_card import serving_commands

    stage = _merge_stage(settings)
    summary = _made(settings, stage, partial(_merge, settings))
    log(f"serve it with one of: {'; '.join(serving_commands(stage.folder))}")
    return summary


def _merge(settings: FinishSettings, folder: Path) -> StageResult:
    from figtune.publishing.merging import merge

    agreement = merge(settings.dataset_dir, settings.output_dir, folder, settings.device)
    log(f"merge: the merged model agrees with the adapter: {agreement.sentence}")
    return StageResult(counts={"examples compared": agreement.examples, "tokens compared": agreement.tokens})


def _push_stage(settings: FinishSettings) -> Stage:
    return Stage(
        name="push",
        version=1,
        folder=settings.output_dir,
        command=f"{commands.TRAIN} --push_to_hub {settings.push_to_hub}",
        settings={},
        needs=_needs(settings),
        outputs=(),
        always_run="asked for with --push_to_hub",
    )


def _check_push(settings: FinishSettings) -> None:
    """See that the account of the token may be asked, before hours of training."""
    from figtune.publishing.pushing import Upload, check_access

    check_access(Upload(repository=settings.push_to_hub or "", public=settings.push_public))


def _run_push(settings: FinishSettings) -> StageSummary:
    return _made(settings, _push_stage(settings), partial(_push, settings))


def _push(settings: FinishSettings, _: Path) -> StageResult:
    from figtune.publishing.pushing import Upload, push_adapter, push_merged

    upload = Upload(repository=settings.push_to_hub or "", public=settings.push_public)
    files = push_adapter(settings.output_dir, upload)
    if settings.merge:
        files += push_merged(settings.output_dir / MERGED_FOLDER, settings.output_dir, upload)
    return StageResult(counts={"files": files})


def _made(settings: FinishSettings, stage: Stage, produce: Callable[[Path], StageResult]) -> StageSummary:
    return run_if_stale(stage, produce, lock_folders=(settings.work_dir, settings.output_dir), force=settings.force)
