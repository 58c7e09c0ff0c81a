"""Several runs in one table: what is side by side can be compared, and what cannot is said to be so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from figtune.core.errors import ArtifactMissingError, InputError
from figtune.evaluation.staleness import read_evaluation
from figtune.inference.adapter_record import adapter_fingerprint
from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.compare import comparison_table as compared
from tests.conftest import ROOT
from tests.metrics.sample_predictions import prediction
from tests.reports.sample_evaluations import BOOTSTRAP, write_evaluation


def comparison(outputs: Sequence[Path], bootstrap: Bootstrap) -> str:
    return compared([read_evaluation(output) for output in outputs], bootstrap)


BETTER, WORSE = "A plot of accuracy over time.", "Nothing at all."


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """The second is better in every paper, on the same six."""
    first, second = tmp_path / "first", tmp_path / "second"
    write_evaluation(first, [prediction(n, tuned_loss=2.0, tuned_answer=WORSE) for n in range(6)])
    write_evaluation(second, [prediction(n, tuned_loss=1.5, tuned_answer=BETTER) for n in range(6)], "google/base")
    return first, second


def _cells(text: str, title: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(title))
    return line.removeprefix(title).split()


def test_tuned_and_base_models_stand_side_by_side(runs: tuple[Path, Path]) -> None:
    text = comparison(runs, BOOTSTRAP)
    assert text.splitlines()[0] == "Held-out papers: 6 examples from 6 papers"
    assert _cells(text, f"{runs[0]} ")[:3] == ["2.00", "[2.00", "2.00]"]
    assert _cells(text, f"{runs[1]} ")[:3] == ["1.50", "[1.50", "1.50]"]
    assert _cells(text, "base: base ")[0] == _cells(text, "base: google/base ")[0] == "3.00"


def test_the_paired_test_is_against_the_first(runs: tuple[Path, Path]) -> None:
    text = comparison(runs, BOOTSTRAP)
    assert f"{runs[1]} against {runs[0]}, paired sign-flip test over 6 papers (+ better, - worse):" in text
    drop = " ".join(_cells(text, "  drop of the loss"))
    assert drop == "+0.50 95 % interval +0.50 to +0.50, p = 0.031 better"
    assert _cells(text, "  chrF")[-1] == "better"
    back = comparison(runs[::-1], BOOTSTRAP)
    assert _cells(back, "  drop of the loss")[-1] == _cells(back, "  chrF")[-1] == "worse"


def test_other_examples_are_named_as_such(runs: tuple[Path, Path], tmp_path: Path) -> None:
    third = tmp_path / "third"
    write_evaluation(third, [prediction(n) for n in range(7)])
    text = comparison([*runs, third], BOOTSTRAP)
    assert text.count("another set of examples") == 2
    assert f"(another set of examples, not comparable with the other tables: {third})" in text
    assert f"{third} against" not in text
    assert f"{runs[1]} against" in text


def test_losses_over_other_tokens_are_not_tested(runs: tuple[Path, Path], tmp_path: Path) -> None:
    third = tmp_path / "third"
    write_evaluation(third, [prediction(n, tokens=12) for n in range(6)])
    text = comparison([runs[0], third], BOOTSTRAP)
    assert "losses and perplexities are not comparable" in text
    assert "drop of the loss" not in text
    assert "  chrF" in text


def test_a_run_without_an_evaluation_names_the_command(runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"make it with: python test_model\.py --output_dir .*nowhere"):
        comparison([runs[0], tmp_path / "nowhere"], BOOTSTRAP)


def test_an_evaluation_of_an_older_version_is_no_riddle(runs: tuple[Path, Path]) -> None:
    metrics = runs[0] / "evaluation" / "metrics.json"
    metrics.write_text(metrics.read_text(encoding="utf-8").replace('"schema": 2', '"schema": 1', 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"metrics\.json.*make it again with: python test_model\.py"):
        comparison(runs, BOOTSTRAP)


@pytest.mark.slow
def test_the_table_is_all_there_is_on_stdout_and_needs_no_torch(runs: tuple[Path, Path], tmp_path: Path) -> None:
    flags = ["--compare", *map(str, runs), "--test.bootstrap_samples", "100"]
    code = f"import sys, test_model; code = test_model.main({flags!r}); print(code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Held-out papers: 6 examples from 6 papers\n")
    assert done.stdout.splitlines()[-1] == "0 False"


def _write_adapter(output: Path, weights: bytes) -> None:
    (output / "adapter").mkdir(exist_ok=True)
    (output / "model.json").write_text("{}")
    (output / "adapter" / "adapter_model.safetensors").write_bytes(weights)


def test_an_evaluation_of_another_adapter_is_not_compared(runs: tuple[Path, Path]) -> None:
    _write_adapter(runs[1], b"first")
    fingerprint = adapter_fingerprint(runs[1])
    assert fingerprint is not None
    write_evaluation(runs[1], [prediction(n) for n in range(6)], adapter=fingerprint)
    assert "against" in comparison(runs, BOOTSTRAP)
    _write_adapter(runs[1], b"later")
    with pytest.raises(ArtifactMissingError, match=r"another adapter.*make it anew with: python test_model\.py"):
        comparison(runs, BOOTSTRAP)


def test_numbers_and_predictions_of_two_evaluations_are_not_mixed(runs: tuple[Path, Path]) -> None:
    predictions = runs[0] / "evaluation" / "predictions.jsonl"
    predictions.write_text("".join(predictions.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="not of one evaluation"):
        comparison(runs, BOOTSTRAP)
