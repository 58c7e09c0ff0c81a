"""Papers that could not be read, told to the user."""

from __future__ import annotations

from pathlib import Path

from figtune.figures.records import PAPERS_FILE, PaperRecord
from figtune.pipeline.progress import say
from figtune.pipeline.records import read_records

_SHOWN = 5


def say_failures(content_dir: Path, made_by: str) -> None:
    """The first few with their reasons, and where to find the others."""
    papers = read_records(content_dir / PAPERS_FILE, PaperRecord, made_by)
    failed = [paper for paper in papers if paper.status == "failed"]
    for paper in failed[:_SHOWN]:
        say(f"failed: {paper.file!a}: {paper.reason}")
    if len(failed) > _SHOWN:
        say(f"failed: {len(failed) - _SHOWN} more, each with its reason in {content_dir / PAPERS_FILE}")
