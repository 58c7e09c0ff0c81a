"""A fitted projector: the ridge regression that the module says, of the size it says, or a refusal."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from config import ADAPTER, TRAIN, Config
from figtune.batching.dataset import TokenizedSplit, read_examples, tokenize_split
from figtune.core.errors import UsageError
from figtune.core.jsonl import write_records
from figtune.dataset.records import examples_file
from figtune.models.family import FEATURES
from figtune.models.feature_cache import ImageSource, image_files, prepared_features
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.setup import set_up_model
from figtune.training.projector_fit import SIZE, fit_projector
from figtune.training.settings import TrainSettings
from tests.models.tuned import CPU, TINY_NAMES, choice
from tests.rows import each_row
from tests.training.runs import SETTINGS, TEXTS, example, run, write_examples

FITTED = dataclasses.replace(SETTINGS, fit_projector=True)


@dataclasses.dataclass(frozen=True)
class Start:
    """A model before its first step, and what it is to learn."""

    loaded: LoadedModel
    split: TokenizedSplit
    features: ImageSource

    def matrix(self) -> torch.Tensor:
        """Return the projector's, as it is now: float32[V, D]."""
        return self.loaded.family.projector_matrix(self.loaded.model).detach().clone()

    def inputs(self, image: str) -> torch.Tensor:
        """Return what the projector multiplies for an image: float64[T, V]."""
        family, model = self.loaded.family, self.loaded.model
        return family.projector_inputs(model, self.features.tensors(image)[FEATURES]).detach().double()


def start_of(folder: Path, name: str = "tiny-gemma3", targets: tuple[str, ...] = ("decoder", "projector")) -> Start:
    dataset, model = folder / "dataset", folder / "model"
    dataset.mkdir()
    write_examples(dataset)
    # Two examples of the first picture, one of the others.
    texts = (*enumerate(TEXTS), (0, "A short one."))
    write_records(dataset / examples_file("train"), [example(dataset, index, text) for index, text in texts])
    set_up_model(model, choice(name, targets))
    loaded = load_tuned_model(model, CPU, "setup", trainable=True, encoder=False)
    examples = read_examples(dataset)
    files = image_files(loaded, examples.images(dataset))
    split = tokenize_split(loaded.family, loaded.processor, examples.train, files, loaded.record.max_length)
    return Start(loaded, split, prepared_features(model / "features", loaded, files))


def words_of(start: Start, text: str) -> torch.Tensor:
    """Return the embeddings of a text's tokens: float64[N, D]."""
    ids = start.loaded.processor.tokenizer.encode(text, add_special_tokens=False)
    embedded: torch.Tensor = start.loaded.model.get_input_embeddings()(torch.tensor(ids))
    return embedded.detach().double()


@each_row("name", list(TINY_NAMES))
def test_image_tokens_are_regressed_to_the_words_about_their_image(tmp_path: Path, name: str) -> None:
    start = start_of(tmp_path, name)
    before = start.matrix()
    fit_projector(start.loaded, start.split, start.features)
    added = (start.matrix() - before).double()

    images = list(dict.fromkeys(each.image_sha256 for each in start.split.examples))
    texts = [(TEXTS[0], "A short one."), (TEXTS[1],), (TEXTS[2],)]
    lead = start.loaded.family.completion_lead
    of_texts = [[words_of(start, f"{lead}{text}") for text in of_image] for of_image in texts]
    means = torch.stack([torch.stack([words.mean(0) for words in each]).mean(0) for each in of_texts])
    inputs = [start.inputs(image) for image in images]
    wanted = torch.cat([(means[at] - means.mean(0)).expand(len(inputs[at]), -1) for at in range(len(images))])
    stacked = torch.cat(inputs)
    centred, goal = stacked - stacked.mean(0), wanted - wanted.mean(0)
    # As least squares: a row for each input says that its weight is 0.
    root = math.sqrt(float(centred.square().sum()) / len(images))
    rows = torch.cat([centred, root * torch.eye(centred.shape[1], dtype=torch.float64)])
    solved = torch.linalg.lstsq(rows, torch.cat([goal, torch.zeros(len(rows) - len(goal), goal.shape[1])])).solution
    size = torch.stack([words.square().mean() for each in of_texts for words in each]).mean().sqrt()
    expected = solved * SIZE * size / (centred @ solved).square().mean().sqrt()
    assert_close(added, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_images_come_to_mean_what_is_said_about_them(tmp_path: Path) -> None:
    start = start_of(tmp_path)
    before = start.matrix().double()
    fit_projector(start.loaded, start.split, start.features)
    added = start.matrix().double() - before
    images = list(dict.fromkeys(each.image_sha256 for each in start.split.examples))
    shown = torch.stack([(start.inputs(image) @ added).mean(0) for image in images])
    said = torch.stack([words_of(start, text).mean(0) for text in TEXTS])
    likeness = torch.nn.functional.cosine_similarity(
        (shown - shown.mean(0))[:, None], (said - said.mean(0))[None], dim=2
    )
    assert likeness.argmax(dim=1).tolist() == [0, 1, 2]


def test_a_run_starts_from_the_fit(tmp_path: Path) -> None:
    start = start_of(tmp_path)
    still = dataclasses.replace(FITTED, learning_rate=1e-12, epochs=1, evaluations=1)
    run(tmp_path / "dataset", tmp_path / "model", tmp_path / "output", still)
    fit_projector(start.loaded, start.split, start.features)
    trained = load_tuned_model(tmp_path / "output", CPU, "train")
    assert_close(trained.family.projector_matrix(trained.model).detach(), start.matrix(), rtol=0, atol=1e-9)


def test_where_all_images_have_the_same_targets_nothing_changes_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = start_of(tmp_path)
    one = start.split.examples[0].example
    same = [dataclasses.replace(each, example=one) for each in start.split.examples]
    before = start.matrix()
    fit_projector(start.loaded, dataclasses.replace(start.split, examples=same), start.features)
    assert torch.equal(start.matrix(), before)
    assert "changes nothing: all images have the same targets" in capsys.readouterr().err


def test_a_frozen_projector_is_refused(tmp_path: Path) -> None:
    start = start_of(tmp_path, targets=("decoder",))
    with pytest.raises(UsageError, match=r"frozen; add projector to --adapter\.targets"):
        fit_projector(start.loaded, start.split, start.features)


def test_a_frozen_projector_is_refused_before_anything_begins() -> None:
    train = dataclasses.replace(TRAIN, fit_projector=True)
    with pytest.raises(UsageError, match=r"--train\.fit_projector must be given with projector among"):
        Config(train=train, adapter=dataclasses.replace(ADAPTER, targets=("decoder",)))
    Config(train=train, adapter=dataclasses.replace(ADAPTER, targets=("decoder", "projector")))
    Config(train=train, adapter=dataclasses.replace(ADAPTER, mode="projector"))


@each_row(
    ("name", "settings"),
    [("visual_weight", dataclasses.replace(SETTINGS, visual_weight=0.5)), ("fit_projector", FITTED)],
)
def test_weights_that_are_spread_over_processes_cannot_be_looked_at(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, settings: TrainSettings
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match=rf"no process has the whole model for --train\.{name}; launch without it"):
        run(dataset, model, tmp_path, settings)
