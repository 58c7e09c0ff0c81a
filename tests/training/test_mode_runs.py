"""Every mode from setup through training to the evaluation, on tiny models, as the stages do it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from figtune.batching.loss import per_example_loss
from figtune.batching.tokenization import tokenize_example
from figtune.core.image_decoding import read_image
from figtune.core.jsonl import read_records, write_records
from figtune.dataset.records import examples_file
from figtune.evaluation.evaluate import evaluate
from figtune.metrics.records import Prediction
from figtune.models.feature_cache import encode_image
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.lora_targets import trains_vision
from figtune.models.records import AdapterMode, MetricsLine, Part
from figtune.models.setup import set_up_model
from figtune.models.vision_tower import UnloadedVisionTower
from figtune.training.callbacks import CheckpointCallback
from tests.evaluation.test_evaluate import TRIAL
from tests.models.tuned import CPU, choice
from tests.training.runs import SETTINGS, TEXTS, example, run, write_examples

pytestmark = pytest.mark.slow

MODES: dict[str, tuple[AdapterMode, tuple[str, ...], tuple[Part, ...]]] = {
    "vision": ("lora", ("decoder+vision",), ()),
    "qlora": ("qlora", ("decoder",), ()),
    "projector": ("projector", ("decoder",), ("vision", "text")),
    "full": ("full", ("decoder",), ()),
    "text": ("full", ("decoder",), ("vision", "projector")),
}
RECIPE_HERE = dataclasses.replace(SETTINGS, epochs=2, evaluations=2, activation_checkpointing=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_examples(folder)
    write_records(folder / examples_file("test"), [example(folder, 2, TEXTS[1])])
    return folder


def set_up(folder: Path, name: str, case: str) -> None:
    mode, targets, freeze = MODES[case]
    asked = choice(name, targets)
    set_up_model(
        folder, dataclasses.replace(asked, adapter=dataclasses.replace(asked.adapter, mode=mode, freeze=freeze))
    )


def with_encoder(*given: Any, **named: Any) -> LoadedModel:
    return load_tuned_model(*given, **{**named, "encoder": True})


def example_losses(loaded: LoadedModel, dataset: Path, each: Prediction) -> list[float]:
    image = encode_image(loaded, read_image(dataset / each.image))
    family, limit = loaded.family, loaded.record.max_length
    row = tokenize_example(family, loaded.processor, each.prompt, each.reference, image.layout, limit)
    tuned = per_example_loss(loaded, [row], [image.tensors])
    with loaded.peft_model.disable_adapter():
        return [*tuned, *per_example_loss(loaded, [row], [image.tensors])]


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("vision", "tiny-gemma3"),
        ("vision", "tiny-paligemma2"),
        ("qlora", "tiny-paligemma2"),
        ("projector", "tiny-gemma3"),
        ("full", "tiny-paligemma2"),
        ("text", "tiny-gemma3"),
        ("vision", "tiny-smolvlm2"),
        ("qlora", "tiny-smolvlm2"),
        ("projector", "tiny-smolvlm2"),
        ("full", "tiny-smolvlm2"),
        ("vision", "tiny-gemma4"),
        ("qlora", "tiny-gemma4"),
        ("projector", "tiny-gemma4"),
        ("full", "tiny-gemma4"),
    ],
)
def test_a_mode_trains_and_is_evaluated_against_its_base(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, case: str
) -> None:
    model, output = tmp_path / "model", tmp_path / "output"
    set_up(model, name, case)
    had_encoder: set[bool] = set()
    on_save = CheckpointCallback.on_save

    def looked_at(self: CheckpointCallback, *given: Any, **named: Any) -> None:
        modules = named["model"].modules()
        had_encoder.add(not any(isinstance(module, UnloadedVisionTower) for module in modules))
        on_save(self, *given, **named)

    monkeypatch.setattr(CheckpointCallback, "on_save", looked_at)
    summary = run(dataset, model, output, RECIPE_HERE)
    assert summary.last_loss < summary.first_loss
    loaded = load_tuned_model(output, CPU, "train")
    kept = trains_vision(loaded.record.adapter) or loaded.record.adapter.mode == "full"
    assert had_encoder == {kept}
    assert (model / "features").exists() is not trains_vision(loaded.record.adapter)

    evaluate(dataset, output, model / "features", TRIAL, seed=0, device="cpu")
    predictions = read_records(output / "evaluation" / "predictions.jsonl", Prediction, "test")
    assert len(predictions) == 3
    for each in predictions:
        assert [each.tuned.loss, each.base.loss] == pytest.approx(example_losses(loaded, dataset, each), abs=2e-4)
        assert each.tuned.loss != each.base.loss
    # The base model's losses are those of the first evaluation, before a step was made.
    lines = read_records(output / "metrics.jsonl", MetricsLine, "train")
    minitrain = [each for each in predictions if each.split == "minitrain"]
    total = sum(each.base.loss * each.tokens for each in minitrain if each.base.loss is not None)
    assert lines[0].minitrain_loss == pytest.approx(total / sum(each.tokens for each in minitrain), abs=1e-3)


def test_losses_are_the_same_with_kept_features_and_with_pixels(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(tmp_path / "model", "tiny-gemma3", "qlora")
    losses = []
    for pixels in (False, True):
        monkeypatch.setattr(LoadedModel, "trains_vision", pixels)
        if pixels:
            monkeypatch.setattr("figtune.training.train.load_tuned_model", with_encoder)
        output = tmp_path / str(pixels)
        run(dataset, tmp_path / "model", output, RECIPE_HERE)
        losses.append([line.loss for line in read_records(output / "metrics.jsonl", MetricsLine, "train")][1:])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_whole_model_that_was_interrupted_ends_as_if_it_had_not_been(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    set_up(model, "tiny-gemma3", "text")
    run(dataset, model, tmp_path / "whole", RECIPE_HERE)
    on_save = CheckpointCallback.on_save

    def interrupted(self: CheckpointCallback, *given: Any, **named: Any) -> None:
        on_save(self, *given, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(CheckpointCallback, "on_save", interrupted)
        run(dataset, model, tmp_path / "parts", RECIPE_HERE)
    assert run(dataset, model, tmp_path / "parts", RECIPE_HERE).resumed_from > 0
    whole, parts = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert {weight.dtype for weight in whole.values()} == {torch.float32}
