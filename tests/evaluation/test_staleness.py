"""An evaluation stands for the adapter that it was made from, and for no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from figtune.core.artifacts import Dependency, Stage
from figtune.core.errors import ArtifactMissingError
from figtune.core.stages import StageResult, run_if_stale
from figtune.evaluation.staleness import is_trained_on_another, read_evaluation, warn_if_stale
from figtune.inference.adapter_record import adapter_fingerprint
from figtune.metrics.records import EVALUATION_FOLDER, REPORT_FILE
from figtune.reports.evaluation import evaluation_page
from tests.metrics.sample_predictions import prediction
from tests.reports.sample_evaluations import summary_of, write_evaluation


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output folder with an adapter, and its evaluation with a report."""
    folder = tmp_path / "output"
    train(folder, b"first")
    predictions = [prediction(n) for n in range(6)]
    write_evaluation(folder, predictions, adapter=adapter_fingerprint(folder) or "")
    page = evaluation_page(summary_of(predictions), predictions, images=".", curves=None)
    (folder / EVALUATION_FOLDER / REPORT_FILE).write_text(page, encoding="utf-8")
    return folder


def train(folder: Path, weights: bytes) -> None:
    """Leave an adapter in a folder."""
    (folder / "adapter").mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text("{}")
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(weights)


def report(output: Path) -> str:
    return (output / EVALUATION_FOLDER / REPORT_FILE).read_text(encoding="utf-8")


def test_the_evaluation_of_the_adapter_that_is_there_is_read(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = report(output)
    warn_if_stale(output)
    assert (report(output), capsys.readouterr().err) == (before, "")
    assert len(read_evaluation(output).predictions) == 6


def test_after_training_anew_the_report_says_that_it_is_of_an_earlier_adapter(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(output, b"later")
    warn_if_stale(output)
    assert "is of an earlier adapter, and its report says so now; make it anew with:" in capsys.readouterr().err
    marked = report(output)
    assert marked.count("Not the adapter that lies here now") == 1
    assert f"python test_model.py --output_dir {output}" in marked
    warn_if_stale(output)
    assert report(output) == marked
    with pytest.raises(ArtifactMissingError, match="is the evaluation of another adapter"):
        read_evaluation(output)


def test_an_evaluation_of_before_adapters_were_noted_is_not_taken_for_this_ones(output: Path) -> None:
    write_evaluation(output, [prediction(n) for n in range(6)])
    with pytest.raises(ArtifactMissingError, match="is the evaluation of another adapter"):
        read_evaluation(output)


def test_an_output_without_an_evaluation_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path, b"first")
    warn_if_stale(tmp_path)
    assert capsys.readouterr().err == ""
    assert not (tmp_path / EVALUATION_FOLDER).exists()


def test_no_adapter_has_no_fingerprint(output: Path) -> None:
    assert adapter_fingerprint(output) is not None
    (output / "adapter" / "adapter_model.safetensors").unlink()
    assert adapter_fingerprint(output) is None


def test_a_data_set_that_was_prepared_anew_is_another_one(tmp_path: Path) -> None:
    dataset, output = tmp_path / "dataset", tmp_path / "output"
    need = Dependency(stage="prepare", folder=dataset, command="python prepare_data.py")

    def make(name: str, folder: Path, seed: int, *needs: Dependency) -> None:
        settings = {"prepare.split_seed": seed} if name == "prepare" else {}
        stage = Stage(
            name=name, version=1, folder=folder, command=name, settings=settings, needs=needs, outputs=("it",)
        )
        run_if_stale(stage, lambda _: StageResult(counts={}), lock_folders=(tmp_path,), force=False)

    assert not is_trained_on_another(dataset, output)
    make("prepare", dataset, 0)
    make("train", output, 0, need)
    assert not is_trained_on_another(dataset, output)
    make("prepare", dataset, 1)
    assert is_trained_on_another(dataset, output)
