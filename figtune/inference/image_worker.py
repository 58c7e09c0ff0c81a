"""Uploaded pictures decoded in worker processes of bounded time and memory, apart from the page's own process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from figtune.pipeline.errors import InputError
from figtune.pipeline.images import read_image
from figtune.pipeline.workers import Failure, Guard, Limits

_WORKERS = 2
_LIMITS = Limits(seconds=10.0, megabytes=700)
_PATIENCE_SECONDS = 15.0
_LONGEST_SIDE = 2048
"""In pixels, as of crops; uploaded pictures are kept no larger, since no vision encoder sees more."""


@dataclass(frozen=True)
class _Picture:
    source: Path
    target: Path
    """PNG to write."""


class PictureReader:
    """Worker processes that decode uploads, one picture at a time each."""

    def __init__(self) -> None:
        self._idle: asyncio.Queue[Guard[_Picture, str]] = asyncio.Queue()
        for _ in range(_WORKERS):
            self._idle.put_nowait(Guard(write_png))

    async def convert(self, source: Path, target: Path) -> None:
        """Write the picture in `source` to `target` as a PNG of bounded size.

        Raises:
            InputError: it is no picture, or a broken one; it takes too much time or memory; or others are being read.
        """
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                guard = await self._idle.get()
        except TimeoutError:
            raise InputError("other pictures are being read", "try again in a moment") from None
        try:
            outcome = await anyio.to_thread.run_sync(guard.outcome, _Picture(source, target), _LIMITS)
        finally:
            self._idle.put_nowait(guard)
        if isinstance(outcome, Failure):
            raise InputError(f"{source.name} {outcome.reason}", "make it smaller")
        if outcome:
            raise InputError(outcome, "give a PNG or JPEG file that opens")


def write_png(picture: _Picture) -> str:
    """In the worker: decode, bound and write a picture; return what is wrong with it, or nothing."""
    try:
        decoded = read_image(picture.source)
        decoded.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        decoded.save(picture.target, "PNG", compress_level=1)
    except InputError as error:
        return error.problem.replace(str(picture.source), picture.source.name)
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises is this upload's alone
        return f"{picture.source.name} cannot be read: {type(error).__name__}"
    return ""
