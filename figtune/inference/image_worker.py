"""Decode uploaded images in worker processes with limits of time and memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from figtune.core.errors import InputError
from figtune.core.images import read_image
from figtune.core.worker_pool import PersistentWorker, TaskFailure, TaskLimits

_WORKERS = 2
_LIMITS = TaskLimits(seconds=10.0, megabytes=700)
_PATIENCE_SECONDS = 15.0
_LONGEST_SIDE = 2048
"""Maximum longer side of a kept image, in pixels, as of crops; vision encoders take fewer."""


@dataclass(frozen=True)
class _Conversion:
    source: Path
    target: Path
    """PNG to write."""


class ImageReader:
    """A pool of worker processes, each decoding one image at a time."""

    def __init__(self) -> None:
        self._idle: asyncio.Queue[PersistentWorker[_Conversion, str]] = asyncio.Queue()
        for _ in range(_WORKERS):
            self._idle.put_nowait(PersistentWorker(write_png))

    async def convert(self, source: Path, target: Path) -> None:
        """Write the image in `source` to `target` as a PNG of bounded size.

        Raises:
            InputError: no image, a broken one, one that takes too much time or memory, or too many at a time.
        """
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                guard = await self._idle.get()
        except TimeoutError:
            raise InputError("other images are being decoded", "try again in a moment") from None
        try:
            outcome = await anyio.to_thread.run_sync(guard.run, _Conversion(source, target), _LIMITS)
        finally:
            self._idle.put_nowait(guard)
        if isinstance(outcome, TaskFailure):
            raise InputError(f"{source.name} {outcome.reason}", "make it smaller")
        if outcome:
            raise InputError(outcome, "give a PNG or JPEG file that opens")


def write_png(task: _Conversion) -> str:
    """Decode, shrink and write an image, in the worker; return the problem, or an empty text."""
    try:
        decoded = read_image(task.source)
        decoded.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        decoded.save(task.target, "PNG", compress_level=1)
    except InputError as error:
        return error.problem.replace(str(task.source), task.source.name)
    except Exception as error:  # noqa: BLE001 - any failure of a decoder concerns this upload only
        return f"{task.source.name} cannot be read: {type(error).__name__}"
    return ""
