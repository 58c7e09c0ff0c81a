"""The edge between the program and the shell: errors become one line and an exit code."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from figtune.pipeline.errors import ExitCode, FigtuneError, PartialError
from figtune.pipeline.progress import say
from figtune.pipeline.stages import Summary

_OUTSIDE_CAUSES = {
    errno.ENOSPC: "free some space, or give other folders with --work_dir and --output_dir",
    errno.EDQUOT: "free some space, or give other folders with --work_dir and --output_dir",
    errno.EACCES: "change its permissions, or give another path",
    errno.EPERM: "change its permissions, or give another path",
    errno.EROFS: "give other folders with --work_dir and --output_dir",
    errno.ENOTDIR: "give a path whose parents are folders",
    errno.EEXIST: "give a path that is no file",
}


def exit_code_of(action: Callable[[], None]) -> int:
    """Run a command's body; say what went wrong in one line, and return the exit code for it.

    An error that no user can cause is a fault of this program and keeps its traceback.
    """
    try:
        action()
    except FigtuneError as error:
        say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted: what is finished is kept; the same command carries on")
        return ExitCode.INTERRUPTED
    except OSError as error:
        if error.errno not in _OUTSIDE_CAUSES:
            return _unexpected()
        where = f": {error.filename}" if error.filename else ""
        say(f"error: {(error.strerror or 'input/output error').lower()}{where}; {_OUTSIDE_CAUSES[error.errno]}")
        return ExitCode.RESOURCE
    except Exception:  # noqa: BLE001 - the last line of defence: a fault of this program
        return _unexpected()
    return ExitCode.DONE


class Strictness(Protocol):
    """The part of the configuration that decides whether failed inputs matter."""

    @property
    def strict(self) -> bool:
        """Whether failed inputs end in an error."""


Settings = TypeVar("Settings", bound=Strictness)


def run_alone(run: Callable[[Settings], Summary], settings: Settings) -> None:
    """Run one stage and report on it."""
    report([run(settings)], strict=settings.strict)


def report(summaries: Sequence[Summary], *, strict: bool) -> None:
    """Say what each stage did, and which pages are worth opening.

    Raises:
        PartialError: `strict`, and some input failed.
    """
    for summary in summaries:
        say(_line(summary))
    for summary in summaries:
        for page in summary.stage.pages:
            say(f"look at: {summary.stage.folder / page}")
    failed = sum(summary.outcome.failed for summary in summaries if summary.outcome is not None)
    if strict and failed:
        raise PartialError(f"{failed} inputs failed", "see their reasons above, or leave out --strict")


def _line(summary: Summary) -> str:
    if summary.outcome is None:
        return f"{summary.stage.name:8} up to date        -> {summary.stage.folder}"
    counts = ", ".join(f"{count:,} {name}" for name, count in summary.outcome.counts.items())
    return f"{summary.stage.name:8} done in {summary.seconds:6.1f} s  -> {summary.stage.folder}: {counts}"


def _unexpected() -> int:
    traceback.print_exc(file=sys.stderr)
    say("error: this is a fault of the program, not of what you typed; please report it with the lines above")
    return ExitCode.UNEXPECTED
