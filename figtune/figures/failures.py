"""Papers that could not be read, or not for certain all of them, told to the user."""

from __future__ import annotations

from pathlib import Path

from figtune.figures.records import PAPERS_FILE, PaperRecord
from figtune.pipeline.progress import say
from figtune.pipeline.records import read_records

_SHOWN = 5


def say_failures(content_dir: Path, made_by: str) -> None:
    """Tell the first few of each kind with their reasons, and where to find the others."""
    papers = read_records(content_dir / PAPERS_FILE, PaperRecord, made_by)
    for name, chosen in (
        ("failed", [paper for paper in papers if paper.status == "failed"]),
        ("repaired", [paper for paper in papers if paper.repaired]),
    ):
        for paper in chosen[:_SHOWN]:
            say(f"{name}: {paper.file!a}: {paper.reason}")
        if len(chosen) > _SHOWN:
            say(f"{name}: {len(chosen) - _SHOWN} more, each with its reason in {content_dir / PAPERS_FILE}")
