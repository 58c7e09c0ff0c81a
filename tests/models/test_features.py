"""What the vision encoder sees, kept on disk: once a picture, and anew when anything that decides it changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from figtune.models.features import prepared_features
from figtune.models.loading import LoadedModel
from tests.models.tuned import moved_model, pictures, pixels_of


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return moved_model(tmp_path_factory.mktemp("model"), "tiny-gemma3")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {}
    for name, picture in zip("abc", pictures(), strict=True):
        paths[name] = tmp_path / f"{name}.png"
        picture.save(paths[name])
    return paths


def test_kept_features_are_those_of_each_picture_alone(
    loaded: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    store = prepared_features(tmp_path / "kept", loaded, files)
    pixels = pixels_of(loaded)
    for index, name in enumerate(files):
        alone = loaded.family.vision_features(loaded.model, pixels[index : index + 1])[0]
        assert torch.equal(store[name], alone)


def test_an_interrupted_run_computes_only_what_is_missing_or_torn(
    loaded: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    store = prepared_features(tmp_path / "kept", loaded, files)
    kept = {name: store.folder / f"{name}.safetensors" for name in files}
    whole = {name: path.read_bytes() for name, path in kept.items()}
    kept["b"].write_bytes(whole["b"][:50])
    kept["c"].unlink()
    before = kept["a"].stat().st_mtime_ns
    prepared_features(tmp_path / "kept", loaded, files)
    assert {name: path.read_bytes() for name, path in kept.items()} == whole
    assert kept["a"].stat().st_mtime_ns == before


def test_another_fit_or_another_encoder_has_its_own_features(
    loaded: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    letterboxed = prepared_features(tmp_path, loaded, files)
    record = dataclasses.replace(loaded.record, image_fit="squash")
    squashed = prepared_features(tmp_path, dataclasses.replace(loaded, record=record), files)
    weight = loaded.model.model.vision_tower.embeddings.patch_embedding.weight
    old = weight.detach().clone()
    with torch.no_grad():
        weight[0] += 1
    try:
        changed = prepared_features(tmp_path, loaded, files)
    finally:
        with torch.no_grad():
            weight.copy_(old)
    assert len({letterboxed.folder, squashed.folder, changed.folder}) == 3
    assert not torch.equal(letterboxed["c"], squashed["c"])
    assert not torch.equal(letterboxed["c"], changed["c"])
    assert prepared_features(tmp_path, loaded, files).folder == letterboxed.folder
