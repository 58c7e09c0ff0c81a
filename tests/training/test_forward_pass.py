"""Forward passes chosen by memory: whatever is chosen, the steps are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers import Gemma3TextModel

from figtune.batching.batch_sampler import padded_tokens, passes_of
from figtune.batching.collator import Collator, split_model_inputs
from figtune.batching.data_loader import BatchDataset
from figtune.batching.dataset import TokenizedSplit, tokenize_split
from figtune.core.distributed import process_group, rank
from figtune.core.errors import ResourceError
from figtune.core.jsonl import read_records
from figtune.core.log import configure_logging
from figtune.dataset.records import Example, examples_file
from figtune.models.feature_cache import image_files
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.records import LossPer
from figtune.training.forward_pass import batches_that_fit, peak_by_batches
from figtune.training.memory_check import MemoryBudget
from figtune.training.run_trainer import batch_order
from figtune.training.settings import TrainSettings
from tests.models.tuned import CPU
from tests.processes import Launched
from tests.rows import each_row
from tests.training.runs import SETTINGS, losses, run
from tests.training.test_run_trainer import OUT_OF_MEMORY, failing_above

STEPPED = replace(SETTINGS, batch_size=1, gradient_accumulation_steps=4, epochs=3, evaluations=3)
"""Six examples: steps of four batches and of two."""
AUTO = replace(STEPPED, auto_batch=True)
RECOMPUTING = replace(STEPPED, activation_checkpointing=True)
PLENTY, SCARCE = (MemoryBudget(device="cpu", requested=size) for size in (10**12, 1))


@pytest.fixture(scope="module")
def loaded(model: Path) -> LoadedModel:
    return load_tuned_model(model, CPU, "setup", trainable=True)


@pytest.fixture(scope="module")
def split(loaded: LoadedModel, dataset: Path) -> TokenizedSplit:
    examples = read_records(dataset / examples_file("train"), Example, "prepare")
    files = image_files(loaded, {each.image_sha256: dataset / each.image for each in examples})
    return tokenize_split(loaded.family, loaded.processor, examples, files, 128)


@pytest.fixture(scope="module")
def plain(dataset: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("plain")
    run(dataset, model, output, STEPPED)
    return output


def assert_same_run(output: Path, expected: Path) -> None:
    """Losses and norms of gradients are equal; weights to a fortieth of the learning rate, since AdamW divides small
    gradients by their own size, and with them what rounding leaves.
    """
    assert losses(output) == pytest.approx(losses(expected), rel=1e-5)
    weights, others = (load_file(each / "adapter" / "adapter_model.safetensors") for each in (output, expected))
    for name, weight in weights.items():
        assert_close(weight, others[name], rtol=1e-3, atol=STEPPED.learning_rate / 40)


@each_row("together", [1, 2, 3, 5])
def test_passes_hold_the_batches_in_their_order(together: int) -> None:
    batches = [((number,), (number + 100,)) for number in range(7)]
    passes = passes_of(batches, together)
    assert [group for each in passes for group in each] == [group for batch in batches for group in batch]
    assert [len(each) for each in passes[:-1]] == [2 * together] * (len(passes) - 1)


def test_padded_tokens_are_those_of_the_tensors(loaded: LoadedModel, split: TokenizedSplit, dataset: Path) -> None:
    examples = read_records(dataset / examples_file("train"), Example, "prepare")
    images = image_files(loaded, {each.image_sha256: dataset / each.image for each in examples})
    collator = Collator(family=loaded.family, pad_id=0, images=images)
    settings = replace(STEPPED, batch_size=3)
    for together in (1, 2):
        passes = BatchDataset(split, batch_order(split, settings), together)
        batches = passes_of(batch_order(split, settings).batches(0), together)
        for index, batch in enumerate(batches):
            tensors, _ = split_model_inputs(collator(passes[index]))
            assert tensors.input_ids.numel() == padded_tokens(split.lengths(), batch)


@pytest.mark.slow
def test_as_many_batches_go_together_as_the_estimate_leaves_room_for(
    loaded: LoadedModel, split: TokenizedSplit, capsys: pytest.CaptureFixture[str]
) -> None:
    peaks = peak_by_batches(loaded, split, batch_order(split, AUTO), AUTO)
    assert list(peaks) == [1, 2, 4]
    assert peaks[1] < peaks[2] < peaks[4]
    for number, peak in peaks.items():
        assert batches_that_fit(peaks, round(peak / 0.9) + 1) == number
    assert batches_that_fit(peaks, 1) == 1
    said = capsys.readouterr().err.splitlines()
    assert "train: 1 of the 4 batches of a step in each forward pass: at most 0.5 GB by estimate" in said[0]
    assert "; 2 would take 0.5 GB" in said[0]
    assert "train: 4 of the 4 batches" in said[2]
    assert "would take" not in said[2]


@pytest.mark.slow
def test_activations_are_kept_where_they_fit(
    dataset: Path, model: Path, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, settings, budget, kept in (
        ("kept", RECOMPUTING, PLENTY, True),
        ("recomputed", RECOMPUTING, SCARCE, False),
        ("always", replace(RECOMPUTING, auto_checkpointing=False), PLENTY, False),
        ("both", replace(RECOMPUTING, auto_batch=True), PLENTY, True),
    ):
        run(dataset, model, tmp_path / name, settings, budget)
        said = capsys.readouterr().err
        assert ("train: activations are kept: at most 0.5 GB by estimate, and 1,000.0 GB are free" in said) == kept
        assert ("train: 4 of the 4 batches" in said) == settings.auto_batch
        assert_same_run(tmp_path / name, plain)


@pytest.mark.slow
def test_memory_that_runs_out_nevertheless_has_activations_recomputed(
    dataset: Path,
    model: Path,
    plain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    forward, after = Gemma3TextModel.forward, 10

    def limited(self: Gemma3TextModel, *args: object, **kwargs: object) -> object:
        nonlocal after
        if self.training and not self.is_activation_checkpointing and not args and not kwargs["inputs_embeds"].is_meta:  # type: ignore[attr-defined]
            after -= 1
            if after < 0:
                raise OUT_OF_MEMORY
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(Gemma3TextModel, "forward", limited)
    run(dataset, model, tmp_path / "alone", RECOMPUTING, PLENTY)
    said = capsys.readouterr().err
    assert "train: out of memory with activations kept; going on with recomputing them" in said
    assert "train: resuming from step" in said
    assert_same_run(tmp_path / "alone", plain)
    after = 0
    monkeypatch.setattr("figtune.training.forward_pass.world_size", lambda: 2)
    with pytest.raises(ResourceError, match=r"give --train.no_auto_checkpointing, so that activations are recomputed"):
        run(dataset, model, tmp_path / "of two", RECOMPUTING, PLENTY)


@pytest.mark.slow
@each_row("loss_per", ["token", "example"])
def test_larger_passes_take_the_same_steps(
    dataset: Path, model: Path, tmp_path: Path, loss_per: LossPer, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dataset, model, tmp_path / "apart", replace(STEPPED, loss_per=loss_per))
    run(dataset, model, tmp_path / "together", replace(AUTO, loss_per=loss_per), PLENTY)
    assert "train: 4 of the 4 batches of a step" in capsys.readouterr().err
    assert_same_run(tmp_path / "together", tmp_path / "apart")


@pytest.mark.slow
def test_memory_that_runs_out_nevertheless_has_fewer_go_together(
    dataset: Path,
    model: Path,
    plain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing_above(120, monkeypatch, OUT_OF_MEMORY)  # between two and four examples
    run(dataset, model, tmp_path, AUTO, PLENTY)
    said = capsys.readouterr().err
    assert "out of memory with 4 batches in a forward pass; going on with 2" in said
    assert_same_run(tmp_path, plain)


@pytest.mark.slow
@each_row(("settings", "order"), product((AUTO, RECOMPUTING), ((PLENTY, SCARCE), (SCARCE, PLENTY))))
def test_a_run_is_carried_on_with_passes_of_another_size(
    dataset: Path,
    model: Path,
    plain: Path,
    tmp_path: Path,
    settings: TrainSettings,
    order: Sequence[MemoryBudget],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as broken:
        after = TrainerSteps(3)
        broken.setattr("figtune.training.callbacks.ProgressCallback.on_step_end", after)
        with pytest.raises(KeyboardInterrupt):
            run(dataset, model, tmp_path, settings, order[0])
    summary = run(dataset, model, tmp_path, settings, order[1])
    assert summary.resumed_from == 2
    assert_same_run(tmp_path, plain)


class TrainerSteps:
    """Ends a run within a step."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self, *_: object, **__: object) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_processes_agree_on_the_least_and_take_the_same_steps(
    dataset: Path, model: Path, plain: Path, tmp_path: Path
) -> None:
    two = Launched(2, meet_and_train, dataset, model, tmp_path, log=tmp_path / "log")
    assert two.codes() == [0, 0], two.said()
    assert "train: 1 of the 2 batches of a step" in two.said()
    assert_same_run(tmp_path, plain)
    (tmp_path / "more").mkdir()
    two = Launched(2, meet_and_train, dataset, model, tmp_path / "more", True, log=tmp_path / "log")
    assert two.codes() == [0, 0], two.said()
    assert "train: 2 of the 2 batches of a step" in two.said()
    assert_same_run(tmp_path / "more", plain)


def meet_and_train(dataset: Path, model: Path, output: Path, alike: bool = False) -> int:
    """As one of two processes, the second of which has little memory unless they are alike."""
    budget = PLENTY if alike or not rank() else SCARCE
    configure_logging()
    with process_group(on_cpu=True):
        run(dataset, model, output, replace(AUTO, gradient_accumulation_steps=2), budget)
    return 0


@pytest.mark.slow
def test_processes_that_run_out_of_memory_say_to_leave_it_out(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_above(120, monkeypatch, OUT_OF_MEMORY)
    monkeypatch.setattr("figtune.training.forward_pass.world_size", lambda: 2)
    with pytest.raises(ResourceError, match=r"leave out --train.auto_batch, by which 4 batches go through together"):
        run(dataset, model, tmp_path, AUTO, PLENTY)
