"""Losses of single examples against what the model itself says of each alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

from figtune.batching.loss import completion_losses, per_example_loss
from figtune.batching.tokenization import tokenize_example
from figtune.models.family import TokenizedExample
from figtune.models.feature_cache import encode_image
from figtune.models.loading import LoadedModel, load_base_model, load_tuned_model
from figtune.models.records import BASE_FOLDER, AdapterMode
from tests.inference.trained_model import write_trained_model
from tests.models.tuned import pixels_of, plain_fields, plain_pixels
from tests.rows import each_row

CPU = torch.device("cpu")
PICTURES = [Image.new("RGB", (90, 60), color) for color in ("red", "green", "blue")]
TEXTS = [
    ("Describe this figure.", "A red rectangle."),
    ("Explain this figure. It shows much.", "The encoder feeds the decoder. Then it stops."),
    ("What?", "Blue"),
]


KINDS: list[tuple[str, AdapterMode]] = [
    ("tiny-gemma3", "lora"),
    ("tiny-gemma3", "projector"),
    ("tiny-paligemma", "lora"),
    ("tiny-paligemma", "projector"),
    ("tiny-smolvlm2", "lora"),
    ("tiny-gemma4", "lora"),
    ("tiny-gemma4", "projector"),
]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name, mode = request.param
    path: Path = tmp_path_factory.mktemp(name)
    write_trained_model(path, name=name, mode=mode)
    return path


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    return load_tuned_model(folder, CPU, "train")


def rows_of(loaded: LoadedModel) -> list[TokenizedExample]:
    family, processor = loaded.family, loaded.processor
    layout = family.image_layout(processor, PICTURES[0].size)
    return [tokenize_example(family, processor, prompt, text, layout, 64) for prompt, text in TEXTS]


def features_of(loaded: LoadedModel) -> list[dict[str, torch.Tensor]]:
    return [encode_image(loaded, picture).tensors for picture in PICTURES]


def own_loss(model: torch.nn.Module, loaded: LoadedModel, row: TokenizedExample, picture: Image.Image) -> float:
    """The loss that transformers computes itself from pixels and labels, one example at a time."""
    pixels = plain_pixels(loaded, pixels_of(loaded, [picture]))
    with torch.no_grad():
        return float(model(**plain_fields(loaded, [row]), **pixels).loss)


@contextmanager
def adapter_off(loaded: LoadedModel, *, off: bool) -> Iterator[None]:
    if off:
        with loaded.peft_model.disable_adapter():
            yield
    else:
        yield


@each_row("off", [False, True])
def test_each_loss_of_a_batch_is_the_models_own_loss_of_the_example_alone(loaded: LoadedModel, off: bool) -> None:
    with adapter_off(loaded, off=off):
        together = per_example_loss(loaded, rows_of(loaded), features_of(loaded))
        alone = [
            own_loss(loaded.peft_model, loaded, row, picture)
            for row, picture in zip(rows_of(loaded), PICTURES, strict=True)
        ]
        rotated = per_example_loss(loaded, rows_of(loaded), [*features_of(loaded)[1:], features_of(loaded)[0]])
    assert together == pytest.approx(alone, rel=1e-5)
    assert off or all(abs(one - other) > 1e-4 for one, other in zip(together, rotated, strict=True)), "pictures matter"


def test_the_adapter_switched_off_is_the_untouched_base_model(folder: Path, loaded: LoadedModel) -> None:
    base = load_base_model(folder / BASE_FOLDER, loaded.family, torch.float32, CPU, "sdpa")
    rows = rows_of(loaded)
    untouched = [own_loss(base, loaded, row, picture) for row, picture in zip(rows, PICTURES, strict=True)]
    tuned = per_example_loss(loaded, rows, features_of(loaded))
    with loaded.peft_model.disable_adapter():
        switched_off = per_example_loss(loaded, rows, features_of(loaded))
    assert switched_off == pytest.approx(untouched, rel=1e-5)
    # The projector of the tiny PaliGemma, whose vision features start small, changes less than LoRA does.
    assert all(one != pytest.approx(other, rel=1e-4) for one, other in zip(tuned, switched_off, strict=True))
    assert per_example_loss(loaded, rows, features_of(loaded)) == tuned, "switched on again"


@pytest.mark.parametrize("folder", [kind for kind in KINDS if kind[1] == "lora"], indirect=True, ids=str)
def test_completions_in_one_row_have_the_losses_that_each_has_alone(loaded: LoadedModel) -> None:
    family, processor = loaded.family, loaded.processor
    layout = family.image_layout(processor, PICTURES[0].size)
    texts = ("Blue", "The encoder feeds the decoder. Then it stops.", "A red rectangle.", "Blue")
    rows = [[tokenize_example(family, processor, prompt, text, layout, 64) for text in texts] for prompt, _ in TEXTS]
    features = features_of(loaded)
    together = completion_losses(loaded, rows, features)
    for losses, row, image in zip(together, rows, features, strict=True):
        alone = per_example_loss(loaded, row, [image] * len(row))
        assert losses == pytest.approx(alone, rel=1e-5)
        assert losses[0] == pytest.approx(losses[3], rel=1e-6), "its place among them does not matter"
