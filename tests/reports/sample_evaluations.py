"""Evaluations made up for tests, as `test` leaves them on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from figtune.core.jsonl import write_json, write_records
from figtune.metrics.aggregate import aggregate
from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.radiology_facts import fact_scores
from figtune.metrics.records import (
    EVALUATION_FOLDER,
    METRICS_FILE,
    PREDICTIONS_FILE,
    EvaluationSummary,
    Prediction,
    Source,
)
from figtune.metrics.short_answers import short_scores
from figtune.metrics.verdict import summarize

BOOTSTRAP = Bootstrap(samples=50, seed=0)


def summary_of(
    predictions: Sequence[Prediction], source: Source = "papers", base_model: str = "base", adapter: str = ""
) -> EvaluationSummary:
    """Return the evaluation of them."""
    slices, short = aggregate(predictions, BOOTSTRAP), short_scores(predictions, BOOTSTRAP)
    return EvaluationSummary(
        base_model=base_model,
        demo=False,
        adapter=adapter,
        source=source,
        verdict=summarize(slices, short, demo=False, source=source),
        left_out=0,
        not_finite=(),
        slices=slices,
        facts=() if source == "papers" else fact_scores(predictions, BOOTSTRAP),
        short=short,
    )


def write_evaluation(
    output_dir: Path, predictions: Sequence[Prediction], base_model: str = "base", adapter: str = ""
) -> None:
    """Into an output folder."""
    folder = output_dir / EVALUATION_FOLDER
    write_records(folder / PREDICTIONS_FILE, predictions)
    write_json(folder / METRICS_FILE, summary_of(predictions, base_model=base_model, adapter=adapter))
