"""Runs that keep their best and end in time, that adapt to memory, and that can be watched."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import Gemma3TextModel

from figtune.core.errors import NothingProducedError, ResourceError, UsageError
from figtune.core.jsonl import read_records
from figtune.models.records import AnswerLine, MetricsLine
from figtune.models.setup import set_up_model
from figtune.training.checkpoints import Checkpoints
from figtune.training.forward_pass import smaller_batch_configs
from figtune.training.loggers import check_trackers
from figtune.training.memory_check import MemoryBudget
from figtune.training.metrics_log import best_step, evaluations_since_best
from figtune.training.outputs import TrainingSummary
from tests.models.tuned import choice
from tests.processes import Launched
from tests.rows import each_row
from tests.training.runs import SETTINGS, run, run_until_killed

pytestmark = pytest.mark.slow

OVERFITTING = dataclasses.replace(
    SETTINGS, learning_rate=2e-2, epochs=10, evaluations=10, patience=1, save_total_limit=1
)
"""The loss on val falls for some evaluations, and rises then."""


@pytest.fixture(scope="module")
def stopped(dataset: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingSummary]:
    output = tmp_path_factory.mktemp("output")
    return output, run(dataset, model, output, OVERFITTING)


def metrics(output: Path) -> list[MetricsLine]:
    return read_records(output / "metrics.jsonl", MetricsLine, "train")


def contents(output: Path) -> dict[str, bytes]:
    """Return the files of a run; TensorBoard's hold times."""
    files = [path for path in output.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


def test_a_run_whose_loss_on_val_rises_ends_and_keeps_its_best(stopped: tuple[Path, TrainingSummary]) -> None:
    output, summary = stopped
    val = {line.step: line.val_loss for line in metrics(output) if line.val_loss is not None and line.step > 0}
    best = min(val, key=lambda step: val[step])
    assert summary.kept_step == best
    assert summary.val_loss == val[best]
    assert summary.steps == max(val) < summary.planned_steps
    assert len([step for step in val if step > best]) == 1
    card = (output / "README.md").read_text()
    assert f"{summary.steps} optimizer steps of {summary.planned_steps} planned" in card
    assert f"The adapter is that of step {best}, the best on val." in card


def test_the_adapter_is_that_of_the_best_checkpoint(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: tuple[Path, TrainingSummary]
) -> None:
    monkeypatch.setattr(Checkpoints, "remove", lambda self: None)
    summary = run(dataset, model, tmp_path, OVERFITTING)
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {f"checkpoint-{summary.kept_step}", f"checkpoint-{summary.steps}"}
    name = "adapter_model.safetensors"
    trained = (tmp_path / "adapter" / name).read_bytes()
    assert trained == (tmp_path / "checkpoints" / f"checkpoint-{summary.kept_step}" / name).read_bytes()
    assert trained != (tmp_path / "checkpoints" / f"checkpoint-{summary.steps}" / name).read_bytes()
    assert trained == (stopped[0] / "adapter" / name).read_bytes()


def test_a_run_killed_after_its_best_step_ends_as_if_it_had_not_been(
    dataset: Path, model: Path, tmp_path: Path, stopped: tuple[Path, TrainingSummary]
) -> None:
    best = stopped[1].kept_step
    output = tmp_path / "output"
    launched = Launched(1, run_until_killed, dataset, model, output, OVERFITTING, best, log=tmp_path / "log")
    assert launched.codes() == [-signal.SIGKILL], launched.said()
    summary = run(dataset, model, output, OVERFITTING)
    assert summary.resumed_from == best
    assert contents(output) == contents(stopped[0])


def test_a_run_that_had_ended_but_not_written_its_output_takes_no_more_steps(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: tuple[Path, TrainingSummary]
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("figtune.training.train.write_output", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(dataset, model, tmp_path, OVERFITTING)
    assert run(dataset, model, tmp_path, OVERFITTING).resumed_from == stopped[1].steps
    assert contents(tmp_path) == contents(stopped[0])


@each_row(
    ("losses", "best", "since"),
    [({}, None, 0), ({0: 1.0}, None, 0), ({0: 1.0, 4: 2.0, 8: 3.0}, 4, 1), ({4: 2.0, 8: 2.0, 12: 1.0}, 12, 0)],
)
def test_the_start_is_no_candidate_and_the_first_of_equals_wins(
    losses: dict[int, float], best: int | None, since: int
) -> None:
    history = [{"step": float(step), "eval_val_loss": loss} for step, loss in losses.items()]
    assert best_step([*history, {"step": 3.0, "loss": 0.0}]) == best
    assert evaluations_since_best(history * 2) == since


def test_answers_and_tensorboard_show_the_whole_run_once_although_it_was_interrupted(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(
        OVERFITTING,
        patience=0,
        epochs=2,
        evaluations=2,
        answers=1,
        save_total_limit=2,
        trackers=("tensorboard",),
    )
    with monkeypatch.context() as broken:
        broken.setattr("figtune.training.train.write_output", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(dataset, model, tmp_path, settings)
    newest = max(
        (tmp_path / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.removeprefix("checkpoint-"))
    )
    (newest / "complete").unlink()
    assert run(dataset, model, tmp_path, settings).resumed_from == 3
    lines = read_records(tmp_path / "answers.jsonl", AnswerLine, "train")
    assert [line.step for line in lines] == [0, 3, 6]
    assert {line.reference for line in lines} == {"The encoder reads the image."}
    assert len({line.answer for line in lines}) == 3
    shown = EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    losses = [(event.step, event.value) for event in shown.Scalars("train/loss")]
    assert losses == [(line.step, pytest.approx(line.loss, rel=1e-5)) for line in metrics(tmp_path)[1:]]
    assert {"train/tokens_per_second", "train/examples_per_second", "train/memory_gb"} <= set(shown.Tags()["scalars"])
    (answers,) = (tag for tag in shown.Tags()["tensors"] if tag.startswith("answers/"))
    assert [event.step for event in shown.Tensors(answers)] == [line.step for line in lines]


def test_a_tracker_nobody_knows_or_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("SWANLAB_MODE", raising=False)
    check_trackers(("tensorboard",))
    assert "WANDB_MODE" not in os.environ
    with pytest.raises(UsageError, match=r"no tracker tensorbord; choose .*tensorboard.*wandb"):
        check_trackers(("tensorbord",))
    with pytest.raises(ResourceError, match=r"swanlab cannot be used: .*pip install swanlab"):
        check_trackers(("swanlab",))
    assert os.environ["SWANLAB_MODE"] == "offline"
    monkeypatch.delenv("SWANLAB_MODE")


def failing_above(tokens: int, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """Let training steps on larger batches fail in the decoder."""
    forward = Gemma3TextModel.forward

    def limited(self: Gemma3TextModel, *args: object, **kwargs: object) -> object:
        embeddings = kwargs["inputs_embeds"]
        assert isinstance(embeddings, torch.Tensor)
        # The estimate takes its steps on the meta device.
        if embeddings[..., 0].numel() > tokens and self.training and not embeddings.is_meta:
            raise failure
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(Gemma3TextModel, "forward", limited)


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
WANTED = dataclasses.replace(SETTINGS, epochs=2, batch_size=6, evaluations=2)
"""Batches of 170 tokens."""
SMALLER = smaller_batch_configs(WANTED)[0]
"""Batches of about half as many."""


def test_a_batch_that_memory_cannot_hold_is_made_smaller_with_the_result_of_the_smaller_one(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # With room for no more than one batch in a forward pass.
    scarce = MemoryBudget(device="cpu", requested=1)
    run(dataset, model, tmp_path / "smaller", dataclasses.replace(SMALLER, auto_batch=True), scarce)
    failing_above(120, monkeypatch, OUT_OF_MEMORY)
    run(dataset, model, tmp_path / "adapted", dataclasses.replace(WANTED, auto_batch=True))
    told = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert len(told) == 1
    assert "a batch of 6; starting again with 3, accumulated 2 times" in told[0]
    assert contents(tmp_path / "adapted") == contents(tmp_path / "smaller")


def test_an_adapted_run_that_is_interrupted_carries_on_with_its_smaller_batch(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(WANTED, auto_batch=True)
    with monkeypatch.context() as broken:
        failing_above(120, broken, OUT_OF_MEMORY)
        broken.setattr("figtune.training.train.write_output", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(dataset, model, tmp_path, settings)
    summary = run(dataset, model, tmp_path, settings)
    assert summary.resumed_from == summary.steps
    assert "| batch size | 3 |" in (tmp_path / "README.md").read_text()


def test_memory_that_runs_out_says_what_to_lower(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_above(120, monkeypatch, OUT_OF_MEMORY)
    with pytest.raises(
        ResourceError,
        match=r"--train\.batch_size 3 --train\.gradient_accumulation_steps 2; .*max_batch_tokens, which is 4096",
    ):
        run(dataset, model, tmp_path / "plain", WANTED)
    failing_above(0, monkeypatch, OUT_OF_MEMORY)
    with pytest.raises(ResourceError, match=r"too small for a batch of 1; give --train\.activation_checkpointing"):
        run(dataset, model, tmp_path / "adapted", dataclasses.replace(WANTED, auto_batch=True))


def test_another_failure_is_not_taken_for_too_little_memory(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_above(0, monkeypatch, RuntimeError("size mismatch"))
    with pytest.raises(RuntimeError, match="size mismatch"):
        run(dataset, model, tmp_path, dataclasses.replace(WANTED, auto_batch=True))


def test_smaller_batches_make_the_same_steps() -> None:
    for size in (1, 2, 6, 7, 12):
        settings = dataclasses.replace(SETTINGS, batch_size=size, gradient_accumulation_steps=3)
        sizes = [size, *(lower.batch_size for lower in smaller_batch_configs(settings))]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] == 1
        assert {lower.batch_size * lower.gradient_accumulation_steps for lower in smaller_batch_configs(settings)} <= {
            3 * size
        }


def test_the_8_bit_optimizer_learns_carries_on_and_remembers_less(dataset: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    # Weights of fewer than 4,096 numbers are left in 32 bits by bitsandbytes.
    set_up_model(model, choice("tiny-gemma3", targets=("decoder",), rank=64))
    settings = dataclasses.replace(SETTINGS, epochs=2, evaluations=2, optimizer="adamw_8bit")
    summary = run(dataset, model, tmp_path / "whole", settings)
    assert summary.last_loss < 0.9 * summary.first_loss
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr("figtune.training.train.write_output", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(dataset, model, tmp_path / "killed", settings)
    newest = tmp_path / "killed" / "checkpoints" / "checkpoint-6"
    states = torch.load(newest / "optimizer.pt", weights_only=True)["state"].values()
    remembered = [state["__bnb_optimizer_quant_state__"]["state1"] for state in states]
    assert {tensor.dtype for tensor in remembered if tensor.numel() >= 4096} == {torch.uint8}
    (newest / "complete").unlink()
    assert run(dataset, model, tmp_path / "killed", settings).resumed_from == 3
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_gradient_that_is_no_number_stops_the_run(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = torch.nn.functional.cross_entropy

    def steep(logits: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
        loss = forward(logits, targets, reduction=reduction)
        # Its value is 0, the slope of its root infinite.
        return loss + torch.sqrt((logits - logits.detach()).abs().sum())

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", steep)
    with pytest.raises(NothingProducedError, match=r"gradient is not finite after step 0; lower --train"):
        run(dataset, model, tmp_path, SETTINGS)
