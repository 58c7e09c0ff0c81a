"""The errors a user can cause: each carries its exit code and says what to type next.

Shortages of the machine (disk space, inodes, open files, memory) are turned into such errors. Libraries wrap the
system's error number: safetensors and tokenizers write "(os error 28)", pyarrow "[errno 28]", sqlite3 and torch words
of their own. Left alone they would look like faults of this program.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

_AGAIN = "and run the same command again, which keeps what is finished"
_NUMBERED = re.compile(r"os error (\d+)|\[errno (\d+)\]", re.IGNORECASE)
_SHORTAGES = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EFBIG, errno.ENOMEM)
_WORDS = {
    **{os.strerror(number).lower(): number for number in _SHORTAGES},
    "database or disk is full": errno.ENOSPC,
    # torch.save says where it stood when a write came back short, and not why.
    "pytorchstreamwriter failed writing": errno.ENOSPC,
    "inline_container.cc": errno.ENOSPC,
    "can't start new thread": errno.ENOMEM,
    "defaultcpuallocator": errno.ENOMEM,
}


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


_HARDLY_ANY, _LITTLE = 2, 0.01
"""Free inodes, and their share of all, below which a disk has run out of them."""


@contextmanager
def shortages_explained(folder: Path) -> Iterator[None]:
    """Turn an error that a shortage has caused into one that says what to free.

    Args:
        folder: where the block writes, for errors that name no file.

    Raises:
        ResourceError: in place of such an error; all others pass.
    """
    try:
        yield
    except Exception as failure:
        shortage = shortage_behind(failure, folder)
        if shortage is None or shortage is failure:
            raise
        raise shortage from failure


def shortage_behind(failure: BaseException, folder: Path | None = None) -> ResourceError | None:
    """Return what to tell the user where a shortage is the cause of `failure`, else None."""
    for cause in _causes(failure):
        if isinstance(cause, _ExplainedError):
            return cause
        number = _number_of(cause)
        if number is not None:
            filename = getattr(cause, "filename", None)
            return _explained(number, Path(os.fsdecode(filename)) if isinstance(filename, str | bytes) else folder)
    return None


class _ExplainedError(ResourceError):
    """A shortage that has been explained already."""


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and those that it was raised from or during."""
    seen: set[int] = set()
    while failure is not None and id(failure) not in seen:
        seen.add(id(failure))
        yield failure
        failure = failure.__cause__ or failure.__context__


def _number_of(failure: BaseException) -> int | None:
    if isinstance(failure, MemoryError):
        return errno.ENOMEM
    if isinstance(failure, OSError) and failure.errno is not None:
        return failure.errno if failure.errno in _SHORTAGES else None
    text = str(failure)
    if found := _NUMBERED.search(text):
        number = int(found[1] or found[2])
        return number if number in _SHORTAGES else None
    return next((number for words, number in _WORDS.items() if words in text.lower()), None)


def _explained(number: int, place: Path | None) -> _ExplainedError:
    where = "" if place is None else f" of {place}"
    if number == errno.ENOSPC and place is not None and _lacks_inodes(place):
        return _ExplainedError(
            f"the disk{where} is out of inodes: there is room left, but not for another file",
            f"remove files that are no longer needed there, {_AGAIN}",
        )
    if number == errno.ENOSPC:
        return _ExplainedError(
            f"the disk{where} is full", f"free some space there, or give other --work_dir and --output_dir, {_AGAIN}"
        )
    if number == errno.EDQUOT:
        return _ExplainedError(
            f"the disk quota{where} is used up", f"remove files of yours there, or have it raised, {_AGAIN}"
        )
    if number == errno.EFBIG:
        return _ExplainedError(
            f"the file {place or ''} would be larger than is allowed",
            f"raise the limit with `ulimit -f unlimited`, or give folders on another file system, {_AGAIN}",
        )
    if number == errno.EMFILE:
        return _ExplainedError("too many files are open", f"raise the limit with `ulimit -n 4096`, {_AGAIN}")
    if number == errno.ENFILE:
        return _ExplainedError("too many files are open on this machine", f"end other programs, {_AGAIN}")
    return _ExplainedError(
        "memory is too small",
        "end other programs, or lower --workers, --train.batch_size, --train.max_batch_tokens or --test.batch_size",
    )


def _lacks_inodes(place: Path) -> bool:
    """Return True if hardly an inode is free and more of the bytes are: what was half-written may be gone already."""
    existing = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
    disk = os.statvfs(existing)
    if not disk.f_files or not disk.f_blocks:
        return False
    free_inodes, free_blocks = disk.f_favail / disk.f_files, disk.f_bavail / disk.f_blocks
    return (disk.f_favail <= _HARDLY_ANY or free_inodes < _LITTLE) and free_inodes < free_blocks
