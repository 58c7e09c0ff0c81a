"""Papers that could not be read, or not for certain all of them, told to the user."""

from __future__ import annotations

from pathlib import Path

from figtune.core.jsonl import read_records
from figtune.core.log import log
from figtune.extraction.records import PAPERS_FILE, PaperRecord

_SHOWN = 5


def log_failures(content_dir: Path, made_by: str) -> None:
    """Tell the first few of each kind with their reasons, and where to find the others."""
    papers = read_records(content_dir / PAPERS_FILE, PaperRecord, made_by)
    for name, chosen in (
        ("failed", [paper for paper in papers if paper.status == "failed"]),
        ("repaired", [paper for paper in papers if paper.repaired]),
        ("unclear", [paper for paper in papers if paper.unclear and not paper.repaired]),
    ):
        for paper in chosen[:_SHOWN]:
            log(f"{name}: {paper.file!a}: {paper.reason}")
        if len(chosen) > _SHOWN:
            log(f"{name}: {len(chosen) - _SHOWN} more, each with its reason in {content_dir / PAPERS_FILE}")
