"""Stand-ins for the extraction of one paper that crash, hang or eat memory on request: by the name of the file."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from pathlib import Path

import figtune
from figtune.figures.commits import PaperJob, PaperResult
from figtune.figures.records import CROPS_FOLDER, TEXTS_FOLDER, PaperRecord
from figtune.pipeline.errors import InputError

LOG = "extracted.log"
"""Beside the content folder: a line for every paper extracted, by file."""


def extract_by_name(job: PaperJob) -> PaperResult:
    """Do what the file's stem says; where it says nothing special, leave a text and a crop made from the content."""
    with (job.content_dir.parent / LOG).open("a") as log:
        log.write(f"{job.source.file}\n")
    match job.source.path.stem:
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
            job.source.path.unlink()
            job.source.path.read_bytes()
        case "refused":
            raise InputError("refused.pdf is encrypted", "give a copy without a password")
        case "killed":
            _die_as_told(job)
        case "code":
            raise InputError(f"read by {figtune.__file__}", "")
        case "full":
            _write(job, b"half of it")
            with Path("/dev/full").open("wb") as full:
                full.write(b"x")
    _write(job, job.source.path.read_bytes())
    return _result(job)


def extract_slowly(job: PaperJob) -> PaperResult:
    """As above, taking its time, so that a run can be killed in the middle."""
    time.sleep(0.05)
    _write(job, job.source.path.read_bytes())
    return _result(job)


def extract_on_call(job: PaperJob) -> PaperResult:
    """As above, but a paper whose name says "slow" waits until there is a file `go` in the folder that its content
    names, where it says that it has begun."""
    folder = Path(job.source.path.read_text().splitlines()[0])
    if "slow" in job.source.path.stem:
        (folder / f"{job.source.path.stem}.begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
    _write(job, job.source.path.read_bytes())
    return _result(job)


def refuse_by_name(job: PaperJob) -> PaperResult:
    """Say what is wrong, with the file's name in it."""
    raise InputError(f"{job.source.path.name} is no PDF", "give a PDF")


def refuse_to_write(job: PaperJob) -> PaperResult:
    """A content folder that may not be written."""
    raise PermissionError(errno.EACCES, "Permission denied", str(job.content_dir))


def _die_as_told(job: PaperJob) -> None:
    """Die by SIGKILL as often as the file `deaths` beside the content folder says."""
    left = job.content_dir.parent / "deaths"
    deaths = int(left.read_text())
    left.write_text(str(max(0, deaths - 1)))
    if deaths:
        os.kill(os.getpid(), signal.SIGKILL)


def _write(job: PaperJob, content: bytes) -> None:
    text = job.content_dir / TEXTS_FOLDER / f"{job.source.paper_id}.json"
    crop = job.content_dir / CROPS_FOLDER / job.source.paper_id / f"{job.source.paper_id}-figure-1.png"
    for path in (text, crop):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content + str(job.dpi).encode())


def _result(job: PaperJob) -> PaperResult:
    paper = PaperRecord(
        paper_id=job.source.paper_id,
        file=job.source.file,
        sha256=job.source.sha256,
        pages=1,
        status="ok",
        reason="",
        title="",
        figures=0,
        tables=0,
    )
    return PaperResult(paper=paper, figures=())
