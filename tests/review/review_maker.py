"""A small data set prepared for reviews, and its session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.decisions import AppliedDecisions, read_decisions
from figtune.extraction.records import FigureRecord
from figtune.review.session import ReviewSession
from tests.dataset.content_maker import CHOICES, figure, write_content

SETTINGS = replace(CHOICES, tasks=("caption", "explain"), val_fraction=0.0, test_fraction=0.0)


def figures() -> list[FigureRecord]:
    """Three figures, and one that extraction is not sure of."""
    return [figure("ada"), figure("bell"), figure("curie"), replace(figure("darwin"), confidence=0.1)]


def prepare(
    folder: Path, made: Sequence[FigureRecord] | None = None, min_quality: float = 0.0, dataset: str = "dataset"
) -> None:
    """Write content, and prepare it with the decisions that there are."""
    write_content(folder / "content", made or figures())
    decisions = AppliedDecisions(read_decisions(folder / "decisions.jsonl"))
    settings = replace(SETTINGS, min_quality=min_quality)
    prepare_examples(folder / "content", folder / dataset, settings, decisions)


def session(folder: Path) -> ReviewSession:
    """Open the session on what was prepared."""
    return ReviewSession(folder / "dataset", folder / "content", None, folder / "decisions.jsonl")
