"""One image, one answer; and everything that can be wrong with the image, the prompt or the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from figtune.models.answering import answer
from figtune.models.features import picture_features
from figtune.models.generation import generate_answers
from figtune.models.loading import load_tuned_model
from figtune.pipeline.errors import ArtifactMissingError, InputError, UsageError
from tests.models.trained import greedy, write_trained_model


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    write_trained_model(folder)
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "figure.png"
    Image.new("RGB", (70, 40), "orange").save(path)
    return path


def ask(output: Path, image: Path, prompt: str = "Describe this figure.") -> str:
    return answer(output, image, prompt, device="cpu", decoding=greedy(5))


def test_an_image_gets_the_tuned_models_answer(output: Path, image: Path) -> None:
    loaded = load_tuned_model(output, torch.device("cpu"), "train")
    features = picture_features(loaded, Image.open(image))[None]
    expected = generate_answers(loaded, ["Describe this figure."], features, greedy(5))[0].text
    assert ask(output, image) == expected != ""


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "a.tiff"), ("I;16", "a.png"), ("P", "a.gif"), ("RGBA", "a.png")])
def test_images_of_every_mode_are_answered(output: Path, tmp_path: Path, mode: str, name: str) -> None:
    Image.new(mode, (50, 50)).save(tmp_path / name)
    assert ask(output, tmp_path / name)


def test_nothing_trained_yet_names_the_command(tmp_path: Path, image: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"make it with: python train_model\.py"):
        ask(tmp_path / "nowhere", image)


def test_an_image_that_is_not_there_is_named(output: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png"):
        ask(output, tmp_path / "gone.png")


def test_an_image_that_is_none_is_named(output: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match=r"text\.png is no image"):
        ask(output, tmp_path / "text.png")


def test_a_prompt_longer_than_the_model_reads_is_refused(output: Path, image: Path) -> None:
    with pytest.raises(InputError, match=r"the prompt takes \d+ text tokens, and the model was trained on at most 128"):
        ask(output, image, "many words " * 100)


def test_an_empty_prompt_is_refused(output: Path, image: Path) -> None:
    with pytest.raises(UsageError, match="the prompt is empty"):
        ask(output, image, "  ")
