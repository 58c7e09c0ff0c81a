"""Running stages: what to do and why, one after another, each under the lock of its work folder."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from figtune.core import artifacts
from figtune.core.artifacts import Provenance, Stage
from figtune.core.distributed import broadcast, is_rank_zero, world_size
from figtune.core.errors import NothingProducedError, ResourceError, UsageError, shortages_explained
from figtune.core.io import remove_partial_files
from figtune.core.jsonl import read_json

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """Result of a stage."""

    counts: Mapping[str, int]
    failed: int = 0
    """Inputs that could not be used, or not for certain all of them, each recorded with its reason."""


@dataclass(frozen=True, kw_only=True)
class StageSummary:
    """Summary of a stage that was run or found current."""

    stage: Stage
    reason: str | None
    """Reason for running; None where its artifact was current."""
    result: StageResult
    """This time, or when its artifact was made."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """A stage, why it would run (None where nothing is to do), and the fingerprint of its artifact then."""

    stage: Stage
    reason: str | None
    fingerprint: str


def plan(stages: Sequence[Stage], *, force: bool) -> list[PlannedStage]:
    """Return the plan of running `stages` in this order.

    Needs that an earlier stage of the list makes are taken as made; all others must be on disk.

    Raises:
        ArtifactMissingError: a need is neither on disk nor made by an earlier stage.
    """
    planned: list[PlannedStage] = []
    fingerprints: dict[str, str] = {}
    for stage in stages:
        origin = _origin(stage, fingerprints)
        fingerprints[stage.name] = identity = artifacts.fingerprint(stage, origin)
        reason = artifacts.stale_reason(stage, origin, force=force)
        planned.append(PlannedStage(stage=stage, reason=reason, fingerprint=identity))
    return planned


def run_if_stale(
    stage: Stage,
    produce: Callable[[Path], StageResult],
    *,
    lock_folders: Sequence[Path],
    force: bool,
    shared: bool = False,
) -> StageSummary:
    """Run `produce` if the stage's artifact is not current, then declare it finished.

    An artifact that is built apart replaces the earlier one when it is whole; until then that one stays as it is.

    Args:
        shared: all processes of a launcher may run `produce` together. Rank 0 decides, locks and writes; the others
            follow it.

    Raises:
        ArtifactMissingError: something the stage needs is not there, or not as it was made.
        ResourceError: another run holds a lock, or the machine lacks room, open files or memory.
        UsageError: several processes were launched for a stage that cannot be shared.
    """
    if world_size() > 1 and not shared:
        raise UsageError(
            f"{stage.name} runs in one process, but {world_size()} were launched",
            f"run {stage.command} without a launcher; only training and evaluation take one",
        )
    if stage.always_run is not None:
        return _timed(stage, stage.always_run, produce)
    with locked(*lock_folders) if is_rank_zero() else nullcontext():
        origin, reason = broadcast(lambda: _begun(stage, force=force))
        if reason is None:
            logger.debug(f"{stage.name}: the manifest in {stage.folder} is current")
            manifest = read_json(stage.folder / artifacts.MANIFEST_FILE, artifacts.Manifest, stage.command)
            recorded = StageResult(counts=manifest.counts, failed=manifest.failed)
            return StageSummary(stage=stage, reason=None, result=recorded, seconds=0.0)
        with (
            _cleared_on_failure(stage) if is_rank_zero() else nullcontext(),
            shortages_explained(stage.folder),
        ):
            summary = _timed(stage, reason, produce)
            if is_rank_zero():
                artifacts.write_manifest(stage, origin, summary.result.counts, summary.result.failed)
                logger.debug(f"{stage.name}: wrote the manifest in {stage.folder}")
    return summary


def _begun(stage: Stage, *, force: bool) -> tuple[Provenance, str | None]:
    """Return what the stage is made from, and why it has to run.

    If it has to, what it reads is checked, and an artifact that grows in place is no longer declared finished.
    """
    origin = _origin(stage, {})
    reason = artifacts.stale_reason(stage, origin, force=force)
    if reason is None:
        return origin, None
    for need in stage.needs:
        artifacts.check_need(stage, need)
    stage.folder.mkdir(parents=True, exist_ok=True)
    remove_partial_files(stage.folder, stage.outputs)
    if stage.staging_folder is None:
        artifacts.invalidate(stage)
    else:
        shutil.rmtree(stage.staging_folder, ignore_errors=True)
        stage.staging_folder.mkdir(parents=True)
    return origin, reason


@contextmanager
def _cleared_on_failure(stage: Stage) -> Iterator[None]:
    """Remove what was built apart when the block fails; where nothing usable came out, it says why and stays."""
    try:
        yield
    except NothingProducedError:
        if stage.staging_folder is not None:
            with suppress(OSError):
                stage.staging_folder.rmdir()
        raise
    except BaseException:
        if stage.staging_folder is not None:
            shutil.rmtree(stage.staging_folder, ignore_errors=True)
        raise


def _timed(stage: Stage, reason: str, produce: Callable[[Path], StageResult]) -> StageSummary:
    logger.info(f"{stage.name}: {reason}")
    started = time.monotonic()
    result = produce(stage.build_folder)
    return StageSummary(stage=stage, reason=reason, result=result, seconds=time.monotonic() - started)


def _origin(stage: Stage, planned: Mapping[str, str]) -> Provenance:
    """Return the provenance of `stage`: fingerprints of its dependencies as planned, or else as they are on disk."""
    upstream = {
        need.stage: planned.get(need.stage) or artifacts.fingerprint_on_disk(stage, need) for need in stage.needs
    }
    return artifacts.provenance(stage, upstream)


@contextmanager
def locked(*folders: Path) -> Iterator[None]:
    """Hold the locks of folders: two runs must not write the same artifacts.

    Raises:
        ResourceError: another process holds one of them.
    """
    with ExitStack() as held:
        # A folder that is given twice, under two names perhaps, is locked once: a second lock would wait for the first.
        for folder in dict.fromkeys(folder.resolve() for folder in folders):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(folder / LOCK_FILE, timeout=0))
                logger.debug(f"locked {folder}")
            except Timeout:
                raise ResourceError(
                    f"another run is at work in {folder}",
                    "wait for it to end, or give another folder with --work_dir or --output_dir",
                ) from None
        yield
