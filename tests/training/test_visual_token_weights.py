"""Weights of target tokens by what the image tells: exact, kept whole or not at all, nothing at 0."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from figtune.batching.collator import Collator, training_batch
from figtune.batching.dataset import TokenizedSplit, read_examples, tokenize_split
from figtune.batching.loss import CompletionLoss
from figtune.batching.packing import SharedPrefixGroup, pack
from figtune.core.errors import UsageError
from figtune.core.image_decoding import read_image_size
from figtune.core.jsonl import read_records
from figtune.models.feature_cache import (
    ImageFiles,
    concatenate,
    encode_image,
    image_files,
    prepared_features,
    read_inputs,
)
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.records import LossPer, MetricsLine
from figtune.models.setup import set_up_model
from figtune.training.settings import TrainSettings
from figtune.training.visual_token_weights import FILE, VisualWeights
from tests.models.tuned import CPU, choice, logits_at_targets, of_families
from tests.rows import each_row
from tests.training.runs import SETTINGS, run

WEIGHT = 0.75
WEIGHTED = dataclasses.replace(SETTINGS, visual_weight=WEIGHT)


@pytest.fixture(scope="module", params=["tiny-gemma3", "tiny-paligemma", "tiny-gemma4"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    asked = choice(request.param)
    # Dropout must not blur the likelihoods.
    set_up_model(folder, dataclasses.replace(asked, adapter=dataclasses.replace(asked.adapter, dropout=0.5)))
    return folder


@dataclasses.dataclass(frozen=True)
class Start:
    """A run before its first step."""

    loaded: LoadedModel
    split: TokenizedSplit
    collator: Collator
    files: ImageFiles


@pytest.fixture(scope="module")
def start(dataset: Path, model: Path) -> Start:
    loaded = load_tuned_model(model, CPU, "setup", trainable=True, encoder=False)
    examples = read_examples(dataset)
    files = image_files(loaded, examples.images(dataset))
    split = tokenize_split(loaded.family, loaded.processor, examples.train, files, loaded.record.max_length)
    features = prepared_features(model / "features", loaded, files)
    pad_id = loaded.processor.tokenizer.pad_token_id
    collator = Collator(family=loaded.family, pad_id=pad_id, images=features, weighted=True)
    return Start(loaded, split, collator, files)


def weigh(start: Start, folder: Path, settings: TrainSettings = WEIGHTED, run_id: str = "run") -> TokenizedSplit:
    return VisualWeights(folder, run_id, start.files).apply_to(start.split, start.loaded, start.collator, settings)


def weights_of(split: TokenizedSplit) -> list[tuple[float, ...]]:
    return [tuple(each.example.target_weights or ()) for each in split.examples]


def likelihoods(start: Start, index: int, images: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return those of the target tokens of one example, alone in a batch."""
    group = SharedPrefixGroup(image_sha256="", examples=(start.split.examples[index].example,))
    batch = training_batch([[group]], start.loaded.family, start.collator.pad_id)
    start.loaded.peft_model.eval()
    with torch.no_grad():
        logits, labels = logits_at_targets(start.loaded, batch, images)
    return logits.softmax(1).gather(1, labels[:, None])[:, 0]


def test_a_weight_follows_from_the_likelihoods_with_the_right_and_a_grey_image(start: Start, tmp_path: Path) -> None:
    weights = weights_of(weigh(start, tmp_path))
    assert {weight for of_example in weights for weight in of_example} != {1 - WEIGHT}
    for index, of_example in enumerate(weights):
        inputs = read_inputs(start.collator.images, start.split.examples[index].image_sha256)
        right = likelihoods(start, index, inputs.tensors)
        size = read_image_size(start.files.files[start.split.examples[index].image_sha256])
        grey_inputs = encode_image(start.loaded, Image.new("RGB", size, (128, 128, 128)), "squash")
        assert grey_inputs.layout == inputs.layout
        grey = likelihoods(start, index, grey_inputs.tensors)
        expected = [1 - WEIGHT * min(1, float(ratio)) for ratio in grey / right]
        assert of_example == pytest.approx(expected, abs=1e-4)


def test_batches_of_another_size_give_the_same_weights(start: Start, tmp_path: Path) -> None:
    one, other = (weigh(start, tmp_path / str(size), dataclasses.replace(WEIGHTED, batch_size=size)) for size in (1, 6))
    for of_one, of_other in zip(weights_of(one), weights_of(other), strict=True):
        assert of_one == pytest.approx(of_other, abs=1e-4)


@each_row(("loss_per", "power"), [("token", 0), ("square_root", 0.5), ("example", 1)])
def test_a_weighted_loss_is_the_weighted_mean_of_each_token_alone(
    start: Start, tmp_path: Path, loss_per: LossPer, power: float
) -> None:
    weighted = weigh(start, tmp_path)
    expected, count = 0.0, 0.0
    for index, each in enumerate(weighted.examples):
        images = start.collator.images.tensors(each.image_sha256)
        weights = torch.tensor(each.example.target_weights)
        scale = len(weights) ** power
        expected += float((weights * -likelihoods(start, index, images).log()).sum()) / scale
        count += float(weights.sum()) / scale
    groups = weighted.groups(((0, 1, 2), (3, 4, 5)) if start.loaded.family.model_type == "gemma3" else ((0,), (3,)))
    if len(groups[0].examples) == 1:
        groups = weighted.groups(tuple((index,) for index in range(len(weighted.examples))))
    for rows in (pack(groups), [[group] for group in groups]):
        batch = training_batch(rows, start.loaded.family, start.collator.pad_id, loss_per)
        images = concatenate([start.collator.images.tensors(group.image_sha256) for row in rows for group in row])
        loss = CompletionLoss(start.loaded.peft_model, start.loaded.family, weighted=True).eval()
        with torch.no_grad():
            found = float(loss.loss_sum(batch, images))
        assert found / float(batch.loss_count) == pytest.approx(expected / count, rel=1e-4)


@of_families("tiny-gemma3", fixture="model")
def test_likelihoods_are_measured_once_for_a_run_and_again_for_another_or_where_the_file_is_torn(
    start: Start, tmp_path: Path
) -> None:
    first = weights_of(weigh(start, tmp_path))
    file = tmp_path / FILE
    whole, stamp = file.read_bytes(), file.stat().st_mtime_ns
    assert weights_of(weigh(start, tmp_path)) == first
    assert file.stat().st_mtime_ns == stamp
    for damage in (whole[: len(whole) // 2], b""):
        file.write_bytes(damage)
        assert weights_of(weigh(start, tmp_path)) == first
        assert file.read_bytes() == whole
    weigh(start, tmp_path, run_id="another run")
    assert file.read_bytes() != whole


@of_families("tiny-gemma3", fixture="model")
def test_a_file_beside_it_is_of_the_whole_run(start: Start, tmp_path: Path) -> None:
    weigh(start, tmp_path)
    (ratios,) = load_file(tmp_path / FILE).values()
    assert len(ratios) == sum(each.example.num_target_tokens for each in start.split.examples)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert bool((ratios > 0).all())


@each_row("weight", [-0.1, 1.0, math.nan])
def test_a_weight_that_would_leave_nothing_is_refused(weight: float) -> None:
    with pytest.raises(UsageError, match=r"train\.visual_weight"):
        dataclasses.replace(SETTINGS, visual_weight=weight)


@pytest.mark.slow
def test_a_run_with_0_measures_nothing_and_one_with_more_learns_otherwise(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_model(tmp_path / "model", choice("tiny-gemma3"))
    losses, logged = [], []
    for weight in (0.0, 0.9):
        output = tmp_path / str(weight)
        run(dataset, tmp_path / "model", output, dataclasses.replace(SETTINGS, epochs=1, visual_weight=weight))
        losses.append([line.loss for line in read_records(output / "metrics.jsonl", MetricsLine, "train")])
        logged.append(capsys.readouterr().err)
        assert not (output / "checkpoints").exists()
    assert ["the images make" in each for each in logged] == [False, True]
    assert losses[0] != losses[1]
