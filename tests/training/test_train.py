"""Training runs on a tiny model: what comes out, that it is always the same, and how a run ends badly."""

from __future__ import annotations

import dataclasses
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from figtune.core.errors import ArtifactMissingError, InputError, NothingProducedError
from figtune.core.jsonl import read_records, write_records
from figtune.models.feature_shards import FeatureShards
from figtune.models.loading import load_tuned_model
from figtune.models.records import LossPer, MetricsLine
from figtune.models.setup import set_up_model
from figtune.training.early_stopping import DivergenceCallback
from figtune.training.outputs import TrainingSummary
from tests.models.tuned import CPU, choice, pictures
from tests.processes import Launched
from tests.rows import each_row
from tests.training.runs import SETTINGS, TEXTS, example, run, run_until_killed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    asked = choice("tiny-gemma3")
    set_up_model(folder, dataclasses.replace(asked, adapter=dataclasses.replace(asked.adapter, dropout=0.1)))
    return folder


@pytest.fixture(scope="module")
def finished(dataset: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingSummary]:
    output = tmp_path_factory.mktemp("output")
    return output, run(dataset, model, output)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_writes_what_testing_needs_and_nothing_else(finished: tuple[Path, TrainingSummary]) -> None:
    output, _ = finished
    names = {path.name for path in output.iterdir()}
    assert names == {"adapter", "processor", "base", "model.json", "metrics.jsonl", "curves.png", "README.md"}
    load_tuned_model(output, CPU, "train")


def test_the_loss_falls_and_the_adapter_that_is_saved_has_it(
    finished: tuple[Path, TrainingSummary], model: Path
) -> None:
    output, summary = finished
    assert summary.last_loss < 0.8 * summary.first_loss
    before = load_file(model / "adapter" / "adapter_model.safetensors")
    after = load_file(output / "adapter" / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert all(weight.dtype == torch.float32 for weight in after.values())


def test_metrics_tell_the_run_step_by_step(finished: tuple[Path, TrainingSummary]) -> None:
    output, summary = finished
    lines = read_records(output / "metrics.jsonl", MetricsLine, "train")
    assert summary.steps == 12
    assert [line.step for line in lines] == list(range(13))
    assert [line.examples_seen for line in lines] == [2 * step for step in range(13)]
    assert [line.step for line in lines if line.val_loss is not None] == [0, 3, 6, 9, 12]
    assert lines[0].minitrain_loss == summary.first_loss
    assert (lines[-1].minitrain_loss, lines[-1].val_loss) == (summary.last_loss, summary.val_loss)
    rates = [line.learning_rate for line in lines[1:]]
    assert max(filter(None, rates)) == pytest.approx(SETTINGS.learning_rate)
    assert rates[-1] is not None
    assert rates[-1] < 0.1 * SETTINGS.learning_rate


def test_a_second_run_writes_the_same_bytes(
    finished: tuple[Path, TrainingSummary], dataset: Path, model: Path, tmp_path: Path
) -> None:
    run(dataset, model, tmp_path)
    assert contents(tmp_path) == contents(finished[0])


@each_row("loss_per", get_args(LossPer))
def test_accumulated_batches_are_one_big_batch(dataset: Path, model: Path, tmp_path: Path, loss_per: LossPer) -> None:
    steady = dataclasses.replace(SETTINGS, epochs=2, scheduler="constant", evaluations=1, loss_per=loss_per)
    no_dropout = tmp_path / "model"
    set_up_model(no_dropout, choice("tiny-gemma3"))
    losses = []
    for batch_size, accumulation in ((6, 1), (2, 3)):
        settings = dataclasses.replace(steady, batch_size=batch_size, gradient_accumulation_steps=accumulation)
        output = tmp_path / str(batch_size)
        run(dataset, no_dropout, output, settings)
        losses.append([line.loss for line in read_records(output / "metrics.jsonl", MetricsLine, "train")][1:])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_projector_learns_at_its_own_rate(dataset: Path, tmp_path: Path) -> None:
    set_up_model(tmp_path / "model", choice("tiny-gemma3"))
    settings = dataclasses.replace(SETTINGS, epochs=1, evaluations=1)
    adapters = {}
    for rate, own in ((5e-3, 0.0), (5e-3, 5e-3), (1e-12, 5e-3)):
        output = tmp_path / f"{rate} {own}"
        chosen = dataclasses.replace(settings, learning_rate=rate, projector_learning_rate=own)
        run(dataset, tmp_path / "model", output, chosen)
        adapters[rate, own] = load_file(output / "adapter" / "adapter_model.safetensors")
    start = load_file(tmp_path / "model" / "adapter" / "adapter_model.safetensors")
    assert_same(adapters[5e-3, 5e-3], adapters[5e-3, 0.0])
    moved = {
        name for name, weight in adapters[1e-12, 5e-3].items() if not torch.allclose(weight, start[name], atol=1e-9)
    }
    assert moved == {name for name in start if "lora" not in name}
    assert moved


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-5, atol=1e-7)


def test_activation_checkpointing_changes_nothing(
    finished: tuple[Path, TrainingSummary], dataset: Path, model: Path, tmp_path: Path
) -> None:
    run(dataset, model, tmp_path, dataclasses.replace(SETTINGS, activation_checkpointing=True))
    ours = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    theirs = load_file(finished[0] / "adapter" / "adapter_model.safetensors")
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-4, atol=1e-5)


def test_a_killed_run_carries_on_to_the_same_bytes(
    finished: tuple[Path, TrainingSummary], dataset: Path, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    launched = Launched(1, run_until_killed, dataset, model, output, SETTINGS, 6, log=tmp_path / "log")
    checkpoints = output / "checkpoints"
    assert launched.codes() == [-signal.SIGKILL], launched.said()
    assert not (output / "adapter").exists()
    torn = checkpoints / "checkpoint-11"
    torn.mkdir()
    save_file({"torn": torch.zeros(1)}, torn / "adapter_model.safetensors")
    summary = run(dataset, model, output)
    assert summary.resumed_from == 6
    assert dataclasses.replace(summary, resumed_from=0) == finished[1]
    assert contents(output) == contents(finished[0])


def test_a_checkpoint_of_another_recipe_is_not_carried_on(
    dataset: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "checkpoints" / "checkpoint-6"
    foreign.mkdir(parents=True)
    (foreign / "complete").write_text("another run\n")
    capsys.readouterr()
    assert run(dataset, model, tmp_path, dataclasses.replace(SETTINGS, epochs=1)).resumed_from == 0
    assert "has checkpoints of other data, model or settings up to step 6, which" in capsys.readouterr().err
    assert not foreign.exists()


def test_each_picture_is_encoded_once(
    finished: tuple[Path, TrainingSummary], dataset: Path, model: Path, tmp_path: Path
) -> None:
    kept = sorted((model / "features").rglob("*.*"))
    assert len(kept) == 2, "a shard and its index"
    assert len(FeatureShards(kept[0].parent)) == len(pictures())
    stamps = [path.stat().st_mtime_ns for path in kept]
    run(dataset, model, tmp_path, dataclasses.replace(SETTINGS, epochs=1))
    assert [path.stat().st_mtime_ns for path in kept] == stamps


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's, in plain use
def test_the_card_says_how_to_load_and_its_code_works(
    finished: tuple[Path, TrainingSummary], monkeypatch: pytest.MonkeyPatch
) -> None:
    output, _ = finished
    card = (output / "README.md").read_text()
    assert "| train | 6 | 2 | 2 | caption 6 |" in card
    assert "A demo model" in card
    code = card.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(output)
    pictures()[0].save("figure.png")
    names: dict[str, object] = {}
    exec(code, names)
    loaded = load_tuned_model(output, CPU, "train")
    theirs, ours = names["model"].state_dict(), loaded.peft_model.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


@each_row(
    ("losses", "diverges"),
    [
        ([9.0, 7.0, 5.0, 4.0, 3.0] + [2.0] * 20, False),
        ([2.0, 9.0, 2.0, 8.0] * 10, False),
        ([0.1, 0.3] * 20, False),
        ([3.0] * 10 + [1.0] * 10 + [8.0] * 10, True),
    ],
)
def test_a_loss_that_rises_for_good_stops_the_run_with_advice(losses: list[float], diverges: bool) -> None:
    guard, state = DivergenceCallback(), TrainerState(max_steps=50)
    told = TrainingArguments(output_dir="unused"), state, TrainerControl()
    expected = pytest.raises(NothingProducedError, match=r"diverges.* by step 2\d; lower --train\.learning_rate")
    with expected if diverges else nullcontext():
        for loss in losses:
            state.global_step += 1
            guard.on_log(*told, logs={"loss": loss})


def test_weights_that_are_no_numbers_stop_the_run(dataset: Path, model: Path, tmp_path: Path) -> None:
    set_up_model(tmp_path / "model", choice("tiny-gemma3"))
    file = tmp_path / "model" / "adapter" / "adapter_model.safetensors"
    broken = {name: torch.full_like(weight, torch.nan) for name, weight in load_file(file).items()}
    save_file(broken, file, metadata={"format": "pt"})
    with pytest.raises(NothingProducedError, match="not finite after step 0"):
        run(dataset, tmp_path / "model", tmp_path / "output")


def test_nothing_to_train_on_is_said(dataset: Path, model: Path, tmp_path: Path) -> None:
    for name in ("train.jsonl", "val.jsonl", "minitrain.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(NothingProducedError, match="no examples to train on"):
        run(tmp_path, model, tmp_path / "output")


def test_a_data_set_that_is_not_there_names_the_command(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"make it with: python prepare_data\.py"):
        run(tmp_path, model, tmp_path / "output")


def test_prompts_that_leave_no_room_are_told_of(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("val.jsonl", "minitrain.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "images").mkdir()
    fine = example(tmp_path, 0, TEXTS[0])
    wordy = dataclasses.replace(fine, example_id="wordy", prompt="word " * 200)
    set_up_model(tmp_path / "model", choice("tiny-gemma3"))
    wordier = dataclasses.replace(wordy, example_id="wordier", prompt="word " * 300)
    write_records(tmp_path / "train.jsonl", [fine, wordy, wordier])
    summary = run(tmp_path, tmp_path / "model", tmp_path / "output", dataclasses.replace(SETTINGS, epochs=1))
    assert (summary.examples, summary.left_out) == (1, 2)
    assert summary.val_loss is None
    told = capsys.readouterr().err
    assert "wordy and 1 more left out: the prompt takes" in told
    assert "wordier" not in told
    write_records(tmp_path / "train.jsonl", [wordy])
    with pytest.raises(NothingProducedError, match=r"raise --model\.max_length"):
        run(tmp_path, tmp_path / "model", tmp_path / "output")


def test_a_picture_that_is_broken_is_named(dataset: Path, model: Path, tmp_path: Path) -> None:
    for name in ("val.jsonl", "minitrain.jsonl"):
        (tmp_path / name).touch()
    fine = example(tmp_path, 0, TEXTS[0])
    (tmp_path / fine.image).write_bytes(b"no picture")
    write_records(tmp_path / "train.jsonl", [dataclasses.replace(fine, image_sha256="0" * 64)])
    with pytest.raises(InputError, match=r"0\.png is no image, or a broken one"):
        run(tmp_path, model, tmp_path / "output")
