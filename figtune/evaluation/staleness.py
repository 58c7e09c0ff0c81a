"""Staleness of an evaluation: the adapter it was made from against the adapter in OUTPUT."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from figtune.core import commands
from figtune.core.artifacts import read_manifest
from figtune.core.errors import ArtifactMissingError, FigtuneError, InputError
from figtune.core.jsonl import read_json, read_records
from figtune.inference.adapter_record import adapter_fingerprint
from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.compare import EvaluatedRun, comparison_table
from figtune.metrics.records import (
    EVALUATION_FOLDER,
    METRICS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    EvaluationSummary,
    Prediction,
)
from figtune.reports.evaluation import mark_stale

logger = logging.getLogger(__name__)


def read_evaluation(output_dir: Path) -> EvaluatedRun:
    """Read the evaluation in an output folder, and check that it is of the adapter there.

    Raises:
        ArtifactMissingError: there is none, or it was made from another adapter; the remedy is the command.
        InputError: a file cannot be read, is of another version, or the two files are not of one evaluation.
    """
    folder, command = output_dir / EVALUATION_FOLDER, evaluation_command(output_dir)
    summary = read_json(folder / METRICS_FILE, EvaluationSummary, command)
    if _is_stale(summary, output_dir):
        raise ArtifactMissingError(
            f"{folder} is the evaluation of another adapter than the one in {output_dir} now",
            f"make it anew with: {command} and the flags that it was made with",
        )
    predictions = read_records(folder / PREDICTIONS_FILE, Prediction, command)
    if len(predictions) != sum(part.examples for part in summary.slices if part.by == "all"):
        raise InputError(
            f"{METRICS_FILE} and {PREDICTIONS_FILE} in {folder} are not of one evaluation",
            f"make it anew with: {command} and the flags that it was made with",
        )
    return EvaluatedRun(name=str(output_dir), summary=summary, predictions=predictions)


def compared_runs(outputs: Sequence[Path], bootstrap_samples: int, seed: int) -> str:
    """Return the evaluations of output folders side by side, as a table; raises as `read_evaluation` does."""
    return comparison_table([read_evaluation(output) for output in outputs], Bootstrap(bootstrap_samples, seed))


def warn_if_stale(output_dir: Path) -> None:
    """Warn, on the screen and on top of the report, if OUTPUT holds the evaluation of an earlier adapter.

    A metrics file that cannot be read is no reason to stop here; readers of it report the error.
    """
    folder, command = output_dir / EVALUATION_FOLDER, evaluation_command(output_dir)
    try:
        summary = read_json(folder / METRICS_FILE, EvaluationSummary, command)
    except FigtuneError:
        return
    if _is_stale(summary, output_dir):
        mark_stale(folder / REPORT_FILE, f"{command} and the same flags")
        logger.warning(
            f"{folder} is of an earlier adapter, and its report says so now; "
            f"make it anew with: {command} and the same flags"
        )


def is_trained_on_another(dataset_dir: Path, output_dir: Path) -> bool:
    """Return True if the model was trained on another data set than the one there now; False where nothing tells.

    Another one may hold out what the model was trained on.
    """
    trained = read_manifest(output_dir, commands.TRAIN)
    present = read_manifest(dataset_dir, commands.PREPARE)
    if trained is None or present is None:
        return False
    return trained.made_from.stages.get("prepare", present.fingerprint) != present.fingerprint


def evaluation_command(output_dir: Path) -> str:
    """Return the command that evaluates an output folder."""
    return f"{commands.TEST} --output_dir {output_dir}"


def _is_stale(summary: EvaluationSummary, output_dir: Path) -> bool:
    """Return True if OUTPUT holds another adapter; False if it holds none, as beside a copied evaluation."""
    present = adapter_fingerprint(output_dir)
    return present is not None and summary.adapter != present
