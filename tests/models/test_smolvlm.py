"""SmolVLM2, whose images have as many tiles as their shapes ask for, and what Gemma 4 shares with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image

from figtune.core.errors import ResourceError
from figtune.models.families import family_of
from figtune.models.loading import load_tuned_model
from figtune.models.records import ImageFit
from figtune.models.setup import set_up_model
from figtune.training.callbacks import CheckpointCallback
from tests.models.tuned import CPU, choice, features_of, moved_model
from tests.rows import each_row
from tests.training.runs import SETTINGS, run, write_examples

NAME = "tiny-smolvlm2"


@pytest.mark.slow
def test_images_of_one_batch_have_different_numbers_of_tokens(tmp_path: Path) -> None:
    loaded = moved_model(tmp_path, NAME)
    tokens = [image.layout.tokens for image in features_of(loaded)]
    assert tokens == [12, 20, 20]
    assert [len(image.tensors["features"]) for image in features_of(loaded)] == tokens


@each_row("fit", ["squash", "letterbox"])
def test_tiles_put_together_are_the_image(tmp_path: Path, fit: ImageFit) -> None:
    """Each tile shows its own part: a quarter of four colours comes out even, the view of the whole does not."""
    set_up_model(tmp_path, choice(NAME))
    loaded = load_tuned_model(tmp_path, CPU, "setup")
    image = Image.new("RGB", (112, 112))
    for index, color in enumerate(("red", "lime", "blue", "white")):
        image.paste(color, (56 * (index % 2), 56 * (index // 2), 56 * (index % 2) + 56, 56 * (index // 2) + 56))
    *tiles, whole = loaded.family.image_inputs(loaded.processor, image, fit)["pixel_values"]
    values = torch.tensor([(1, -1, -1), (-1, 1, -1), (-1, -1, 1), (1, 1, 1)], dtype=torch.float32)
    for tile, value in zip(tiles, values, strict=True):
        torch.testing.assert_close(tile, value[:, None, None].expand(tile.shape))
    assert whole.std() > 0.5


@pytest.mark.slow
@each_row("name", [NAME, "tiny-gemma4"])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    dataset, model = tmp_path / "dataset", tmp_path / "model"
    dataset.mkdir()
    write_examples(dataset)
    set_up_model(model, choice(name))
    settings = dataclasses.replace(SETTINGS, epochs=2)
    run(dataset, model, tmp_path / "unbroken", settings)
    with monkeypatch.context() as broken:
        broken.setattr(CheckpointCallback, "on_save", interrupted_after(CheckpointCallback.on_save))
        with pytest.raises(InterruptedError):
            run(dataset, model, tmp_path / "resumed", settings)
    assert run(dataset, model, tmp_path / "resumed", settings).resumed_from > 0
    files = [tmp_path / each / "adapter" / "adapter_model.safetensors" for each in ("unbroken", "resumed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def interrupted_after(save: object) -> object:
    def on_save(*given: object, **named: object) -> None:
        save(*given, **named)  # type: ignore[operator]
        raise InterruptedError

    return on_save


def test_an_image_processor_that_does_not_split_is_refused(tmp_path: Path) -> None:
    set_up_model(tmp_path, choice(NAME))
    file = tmp_path / "processor" / "preprocessor_config.json"
    file.write_text(file.read_text().replace('"do_image_splitting": true', '"do_image_splitting": false'))
    with pytest.raises(ResourceError, match="does not split images"):
        family_of("smolvlm", "").load_processor(tmp_path / "processor")
