"""The edge between the program and the shell: flags become settings, errors one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

from figtune.core.artifacts import Stage
from figtune.core.distributed import exit_code_suffix, grace_period_for_rank_zero
from figtune.core.errors import ExitCode, FigtuneError, PartialError, ResourceError, UsageError, shortage_behind
from figtune.core.log import configure_logging, escape_what_stdout_lacks, print_result
from figtune.core.number_format import count
from figtune.core.settings import RunSettings, read_settings, reset
from figtune.core.stages import StageSummary, plan
from figtune.core.upstream import log_differences

logger = logging.getLogger(__name__)

_OUTSIDE_CAUSES = {
    errno.EACCES: "change its permissions, or give another path",
    errno.EPERM: "change its permissions, or give another path",
    errno.EROFS: "give other folders with --work_dir and --output_dir",
    errno.ENOTDIR: "give a path whose parents are folders",
    errno.EEXIST: "give a path that is no file",
    errno.EISDIR: "a file belongs there: move the folder away",
    errno.ELOOP: "give a path without links that lead in circles",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EBUSY: "end what uses it, or give another path",
    errno.EIO: "check the disk, or give other folders with --work_dir and --output_dir",
}


def run_cli(action: Callable[[], None]) -> int:
    """Run a command's body; report an error in one line and return the exit code.

    An error that no user can cause is a fault of this program and keeps its traceback.
    """
    escape_what_stdout_lacks()
    configure_logging()
    try:
        action()
    except KeyboardInterrupt:
        logger.warning("interrupted: what is finished is kept; the same command carries on")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever reads stdout, `head` say, has seen enough; Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as failure:  # noqa: BLE001 - the last line of defence
        return _report(failure)
    return ExitCode.DONE


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, so that nothing of the run stays behind."""
    before = {number: signal.signal(number, _unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unwind(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the interface gives both
    raise SystemExit(128 + number)


Settings = TypeVar("Settings", bound=RunSettings)


def parse_settings(
    arguments: Sequence[str],
    program: str,
    description: str | None,
    defaults: Settings,
    presets: Mapping[str, Callable[[], Settings]],
    one_run_only: Collection[str],
) -> Settings:
    """Return the settings of a command line: the defaults, a preset or a settings file, changed by flags.

    Args:
        one_run_only: dotted names of settings that are not taken from a settings file.

    Raises:
        UsageError: unknown preset, or a settings file that cannot be used.
        SystemExit: 0 after `--help`, 2 on a flag or value that does not exist.
    """
    import tyro

    base = _base(arguments, defaults, presets, one_run_only)
    kind = type(defaults)
    return tyro.cli(kind, args=arguments, default=base, prog=program, description=description, use_underscores=True)


def _base(
    arguments: Sequence[str],
    defaults: Settings,
    presets: Mapping[str, Callable[[], Settings]],
    one_run_only: Collection[str],
) -> Settings:
    """Return the settings that the flags change."""
    first_look = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first_look.add_argument("--preset")
    first_look.add_argument("--config")
    try:
        chosen, _ = first_look.parse_known_args(arguments)
    except argparse.ArgumentError:
        return defaults
    if chosen.preset is not None and chosen.config is not None:
        raise UsageError("--preset and --config exclude each other", "give one of them, and single flags after it")
    if chosen.config is not None:
        return reset(read_settings(Path(chosen.config), defaults), defaults, one_run_only)
    if chosen.preset is None:
        return defaults
    if chosen.preset not in presets:
        raise UsageError(f'there is no preset "{chosen.preset}"', f"choose from: {', '.join(presets)}")
    return presets[chosen.preset]()


@dataclass(frozen=True)
class StageScript(Generic[Settings]):
    """Entry points of a stage script."""

    describe: Callable[[Settings], Stage]
    """Plan of the stage."""
    run: Callable[[Settings], StageSummary]
    """Make it, if it is not current."""
    check: Callable[[Settings], None] = lambda _: None
    """Raises what `run` would raise in the end and what can be known at once: hours of other stages may come first."""
    check_request: Callable[[Settings], None] = lambda _: None
    """Raises what is wrong with what was typed, whether the stage is current or not, before anything else is read."""


def run_stages(scripts: Sequence[StageScript[Settings]], settings: Settings) -> None:
    """Plan the stages, check those that are stale, then run them in order; or only print the plan.

    Raises:
        FigtuneError: what a stage raises; whatever its check can tell, before any stage has begun.
        PartialError: `settings.strict`, and some input of a stage failed, now or when it was last made.
    """
    configure_logging(quiet=settings.quiet, verbose=settings.verbose)
    for script in scripts:
        script.check_request(settings)
    stages = [script.describe(settings) for script in scripts]
    for stage in stages:
        _check_folder(stage.folder)
    planned = plan(stages, force=settings.force)
    log_differences(planned, settings)
    if settings.dry_run:
        for entry in planned:
            print_result(f"{entry.stage.name}: {entry.reason or 'up to date'}")
        return
    for script, entry in zip(scripts, planned, strict=True):
        if entry.reason is not None:
            script.check(settings)
    for script in scripts:
        summary = script.run(settings)
        logger.info(_line(summary))
        if settings.strict and summary.result.failed:
            raise PartialError(
                f"{summary.stage.name}: inputs that failed or are damaged: {summary.result.failed:,}",
                f"see why in {summary.stage.folder}, or leave out --strict",
            )
    for entry in planned:
        for page in entry.stage.html_pages:
            logger.info(f"look at: {entry.stage.folder / page}")


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made, since a file has its name or that of one above it.

    Raises:
        ResourceError: so it is.
    """
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if existing is not None and not existing.is_dir():
        raise ResourceError(f"not a directory: {existing}", "give other folders with --work_dir and --output_dir")


def _line(summary: StageSummary) -> str:
    if summary.reason is None:
        return f"{summary.stage.name:8} up to date        -> {summary.stage.folder}"
    counts = ", ".join(count(number, name) for name, number in summary.result.counts.items())
    # What is asked for rather than made lies in no folder.
    where = "" if summary.stage.always_run is not None else f"  -> {summary.stage.folder}"
    return f"{summary.stage.name:8} done in {summary.seconds:6.1f} s{where}: {counts}"


def _report(failure: Exception) -> int:
    """Say what went wrong; return the exit code for it."""
    known = shortage_behind(failure) or failure
    if isinstance(known, FigtuneError):
        logger.error(f"error: {known}{exit_code_suffix(known.exit_code)}")
        grace_period_for_rank_zero()
        return known.exit_code
    if isinstance(failure, OSError) and failure.errno in _OUTSIDE_CAUSES:
        where = f": {failure.filename}" if failure.filename else ""
        logger.error(
            f"error: {(failure.strerror or 'input/output error').lower()}{where}; {_OUTSIDE_CAUSES[failure.errno]}"
        )
        return ExitCode.RESOURCE
    traceback.print_exception(failure, file=sys.stderr)
    logger.error("error: this is a fault of the program, not of what you typed; please report it with the lines above")
    return ExitCode.UNEXPECTED
