"""The errors a user can cause. Each carries its exit code and says what to type next."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the process."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    BAD_INPUT = 3
    ARTIFACT_MISSING = 4
    NOTHING_PRODUCED = 5
    RESOURCE = 6
    PARTIAL = 7
    INTERRUPTED = 130


class FigtuneError(Exception):
    """Something the user can put right.

    Args:
        problem: what is wrong and where, without a full stop.
        remedy: what to type or change next, without a full stop.
    """

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


class UsageError(FigtuneError):
    """A flag, a setting or a configuration file that does not make sense."""

    exit_code = ExitCode.USAGE


class InputError(FigtuneError):
    """A file or folder given by the user that cannot be used."""

    exit_code = ExitCode.BAD_INPUT


class ArtifactMissingError(FigtuneError):
    """A stage needs what another stage has not made yet; the remedy names its command."""

    exit_code = ExitCode.ARTIFACT_MISSING


class NothingProducedError(FigtuneError):
    """The stage ran over its whole input and nothing usable came out."""

    exit_code = ExitCode.NOTHING_PRODUCED


class ResourceError(FigtuneError):
    """A package, a model, an access right, memory, disk or a lock that is unavailable."""

    exit_code = ExitCode.RESOURCE


class PartialError(FigtuneError):
    """Some input failed and the user asked for all of it (`--strict`)."""

    exit_code = ExitCode.PARTIAL
