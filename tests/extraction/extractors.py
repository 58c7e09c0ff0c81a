"""Stand-ins for the extraction of one paper that crash, hang or eat memory on request: by the name of the file."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from pathlib import Path

import figtune
from figtune.core.errors import InputError
from figtune.extraction.paper_cache import ExtractionTask, PaperResult
from figtune.extraction.records import CROPS_FOLDER, TEXTS_FOLDER, PaperRecord

LOG = "extracted.log"
"""Beside the content folder: a line for every paper extracted, by file."""


def extract_by_name(task: ExtractionTask) -> PaperResult:
    """Do what the file's stem says; where it says nothing special, leave a text and a crop made from the content."""
    with (task.content_dir.parent / LOG).open("a") as log:
        log.write(f"{task.source.file}\n")
    match task.source.path.stem:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "loop":
            while True:
                pass
        case "sleep":
            time.sleep(1000)
        case "bomb":
            hoard = []
            while True:
                hoard.append(bytes(range(256)) * 40_000)
        case "fault":
            raise ValueError("a case nobody thought of")
        case "gone":
            task.source.path.unlink()
            task.source.path.read_bytes()
        case "refused":
            raise InputError("refused.pdf is encrypted", "give a copy without a password")
        case "killed":
            _die_as_told(task)
        case "code":
            raise InputError(f"read by {figtune.__file__}", "")
        case "full":
            _write(task, b"half of it")
            with Path("/dev/full").open("wb") as full:
                full.write(b"x")
    _write(task, task.source.path.read_bytes())
    return _result(task)


def extract_slowly(task: ExtractionTask) -> PaperResult:
    """As above, taking its time, so that a run can be killed in the middle."""
    time.sleep(0.05)
    _write(task, task.source.path.read_bytes())
    return _result(task)


def extract_on_call(task: ExtractionTask) -> PaperResult:
    """As above, but a paper whose name says "slow" waits until there is a file `go` in the folder that its content
    names, where it says that it has begun."""
    folder = Path(task.source.path.read_text().splitlines()[0])
    if "slow" in task.source.path.stem:
        (folder / f"{task.source.path.stem}.begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
    _write(task, task.source.path.read_bytes())
    return _result(task)


def refuse_by_name(task: ExtractionTask) -> PaperResult:
    """Say what is wrong, with the file's name in it."""
    raise InputError(f"{task.source.path.name} is no PDF", "give a PDF")


def refuse_to_write(task: ExtractionTask) -> PaperResult:
    """A content folder that may not be written."""
    raise PermissionError(errno.EACCES, "Permission denied", str(task.content_dir))


def _die_as_told(task: ExtractionTask) -> None:
    """Die by SIGKILL as often as the file `deaths` beside the content folder says."""
    left = task.content_dir.parent / "deaths"
    deaths = int(left.read_text())
    left.write_text(str(max(0, deaths - 1)))
    if deaths:
        os.kill(os.getpid(), signal.SIGKILL)


def _write(task: ExtractionTask, content: bytes) -> None:
    text = task.content_dir / TEXTS_FOLDER / f"{task.source.paper_id}.json"
    crop = task.content_dir / CROPS_FOLDER / task.source.paper_id / f"{task.source.paper_id}-figure-1.png"
    for path in (text, crop):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content + str(task.settings.dpi).encode())


def _result(task: ExtractionTask) -> PaperResult:
    paper = PaperRecord(
        paper_id=task.source.paper_id,
        file=task.source.file,
        sha256=task.source.sha256,
        pages=1,
        status="ok",
        reason="",
        title="",
        figures=0,
        tables=0,
    )
    return PaperResult(paper=paper, figures=())
