"""Features of the vision encoder, cached on disk: once a picture, and anew when anything that decides it changes."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from figtune.core.distributed import process_group
from figtune.core.errors import ResourceError
from figtune.models import feature_cache
from figtune.models.family import FEATURES, fit_to_square
from figtune.models.feature_cache import FeatureStore, encode_image, image_files
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.records import ImageFit
from figtune.models.vision_tower import UnloadedVisionTower, vision_tower_digest
from tests.models.tuned import CPU, TINY_NAMES, moved_model, pictures, pixels_of
from tests.processes import Launched

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module", params=[name for name in TINY_NAMES if name != "tiny-paligemma2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return moved_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture
def blind(loaded: LoadedModel) -> LoadedModel:
    """The same model, its vision encoder left on the disk."""
    return load_tuned_model(loaded.base.parent, CPU, "setup", encoder=False)


def changed_base(loaded: LoadedModel, folder: Path, name: str) -> Path:
    """A copy of the base model in which a weight is another."""
    shutil.copytree(loaded.base, folder)
    weights = load_file(folder / WEIGHTS)
    (full_name,) = (each for each in weights if each.endswith(name))
    weights[full_name] = weights[full_name] + 1
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def prepared_features(root: Path, loaded: LoadedModel, files: dict[str, Path]) -> FeatureStore:
    store = feature_cache.prepared_features(root, loaded, image_files(loaded, files))
    assert isinstance(store, FeatureStore)
    return store


def kept(store: FeatureStore, name: str) -> torch.Tensor:
    return store.tensors(name)[FEATURES]


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
    for image, name in zip(pixels_of(loaded), files, strict=True):
        alone = loaded.family.features(loaded.model, image.tensors)
        assert len(alone) == image.layout.tokens
        assert torch.equal(kept(store, name), alone)


@pytest.mark.parametrize("fit", get_args(ImageFit))
def test_an_image_fitted_for_a_server_is_read_as_it_was(loaded: LoadedModel, fit: ImageFit) -> None:
    family, processor = loaded.family, loaded.processor
    if (family.model_type, fit) == ("gemma4", "letterbox"):
        pytest.skip("with its borders an image may fill more squares: no size is read as the letterboxed one was")
    for picture in pictures():
        fitted = family.fitted_image(processor, picture, fit)
        assert family.image_layout(processor, fitted.size) == family.image_layout(processor, picture.size)
        read, expected = (family.image_inputs(processor, image, fit) for image in (fitted, picture))
        for name, tensor in expected.items():
            assert torch.equal(read[name], tensor), name


def test_an_interrupted_run_computes_only_what_is_missing_or_torn(
    loaded: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    store = prepared_features(tmp_path / "kept", loaded, files)
    paths = {name: store.folder / f"{name}.safetensors" for name in files}
    whole = {name: path.read_bytes() for name, path in paths.items()}
    paths["b"].write_bytes(whole["b"][:50])
    paths["c"].unlink()
    before = paths["a"].stat().st_mtime_ns
    prepared_features(tmp_path / "kept", loaded, files)
    assert {name: path.read_bytes() for name, path in paths.items()} == whole
    paths["c"].unlink()
    os.mkfifo(paths["c"])  # it would be waited for
    prepared_features(tmp_path / "kept", loaded, files)
    assert {name: path.read_bytes() for name, path in paths.items()} == whole
    assert paths["a"].stat().st_mtime_ns == before


def test_another_fit_dtype_or_encoder_has_its_own_features(
    loaded: LoadedModel, blind: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    letterboxed = prepared_features(tmp_path, loaded, files)
    record = dataclasses.replace(loaded.record, image_fit="squash")
    squashed = prepared_features(tmp_path, dataclasses.replace(loaded, record=record), files)
    tower = loaded.model.get_submodule(loaded.family.parts.vision_encoder)
    matrix = next(each for each, weight in tower.named_parameters() if weight.ndim > 1 and "patch" in each)
    other = changed_base(loaded, tmp_path / "other", matrix)
    changed = prepared_features(tmp_path, dataclasses.replace(blind, base=other), files)
    rough = prepared_features(tmp_path, dataclasses.replace(blind, dtype=torch.bfloat16), files)
    assert len({store.folder for store in (letterboxed, squashed, changed, rough)}) == 4
    assert not torch.equal(kept(letterboxed, "b"), kept(squashed, "b"))
    assert not torch.equal(kept(letterboxed, "b"), kept(changed, "b"))
    assert kept(rough, "b").dtype == torch.bfloat16
    assert prepared_features(tmp_path, loaded, files).folder == letterboxed.folder


def test_a_changed_decoder_leaves_the_features_valid(loaded: LoadedModel, tmp_path: Path) -> None:
    other = changed_base(loaded, tmp_path / "other", "model.norm.weight")
    assert vision_tower_digest(other, loaded.family.parts) == vision_tower_digest(loaded.base, loaded.family.parts)


def test_the_encoder_is_loaded_only_while_features_are_missing(
    loaded: LoadedModel, blind: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    parts = blind.family.parts
    assert not any(parts.part_of(name) == "vision" for name, _ in blind.tuned.named_parameters())
    store = prepared_features(tmp_path, blind, files)
    assert isinstance(blind.model.get_submodule(parts.vision_encoder), UnloadedVisionTower)
    for name, picture in zip(files, pictures(), strict=True):
        assert torch.equal(kept(store, name), encode_image(loaded, picture).tensors[FEATURES])
        assert torch.equal(kept(store, name), encode_image(blind, picture).tensors[FEATURES])
    with pytest.raises(RuntimeError, match="the vision encoder is not loaded"):
        loaded.family.features(blind.model, pixels_of(loaded)[0].tensors)


def test_without_its_encoder_a_model_is_smaller_by_the_encoder_and_else_the_same(
    loaded: LoadedModel, blind: LoadedModel
) -> None:
    whole, rest = (dict(each.tuned.named_parameters()) for each in (loaded, blind))
    parts = loaded.family.parts
    assert {name for name in whole if parts.part_of(name) != "vision"} == set(rest)
    assert all(
        torch.equal(rest[name], whole[name])
        for name in rest
        if "lora_" not in name and parts.part_of(name) != "projector"
    )
    assert blind.model.config.to_dict() == loaded.model.config.to_dict()


def test_an_encoder_that_is_damaged_or_another_is_refused(
    blind: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(blind.base, folder)
    weights = load_file(folder / WEIGHTS)
    vision = f".{blind.family.parts.vision_name}."
    kept = {name: tensor for name, tensor in weights.items() if vision not in f".{name}" or ".mlp." not in name}
    save_file(kept, folder / WEIGHTS)
    with pytest.raises(ResourceError, match="is not the one that its config"):
        prepared_features(tmp_path, dataclasses.replace(blind, base=folder), files)
    (folder / WEIGHTS).write_bytes(b"torn")
    with pytest.raises(ResourceError, match="are damaged"):
        prepared_features(tmp_path, dataclasses.replace(blind, base=folder), files)


def share_of_features(model: Path, root: Path, files: dict[str, Path]) -> int:
    """As one of several processes: keep a share of the features, then read all; say which ones were computed here."""
    computed: list[str] = []
    add = FeatureStore.add

    def noted(store: FeatureStore, name: str, features: torch.Tensor) -> None:
        computed.append(name)
        add(store, name, features)

    with process_group(on_cpu=True), pytest.MonkeyPatch.context() as patched:
        patched.setattr(FeatureStore, "add", noted)
        loaded = load_tuned_model(model, CPU, "setup")
        store = prepared_features(root, loaded, files)
        sys.stderr.write("computed " + "".join(computed) + "\n")
        assert all(torch.isfinite(kept(store, name)).all() for name in files)
    return 0


@pytest.mark.slow
def test_three_processes_each_compute_a_share_and_read_all(
    loaded: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    alone = prepared_features(tmp_path / "alone", loaded, files)
    launched = Launched(3, share_of_features, loaded.base.parent, tmp_path / "shared", files, log=tmp_path / "log")
    assert launched.codes() == [0, 0, 0], launched.said()
    shares = [line.removeprefix("computed ") for line in launched.said().splitlines() if line.startswith("computed ")]
    assert sorted(shares) == ["a", "b", "c"]
    shared = FeatureStore(folder=tmp_path / "shared" / alone.folder.name, images=image_files(loaded, files))
    assert all(torch.equal(kept(shared, name), kept(alone, name)) for name in files)


def test_letterboxing_keeps_proportions_and_fills_up_with_white() -> None:
    square = fit_to_square(Image.new("RGB", (200, 50), "red"), "letterbox", 100)
    assert square.size == (100, 100)
    reds = [row for row in range(100) if square.getpixel((50, row)) == (255, 0, 0)]
    assert reds == list(range(reds[0], reds[0] + 25))
    assert abs(reds[0] + reds[-1] - 99) <= 1
    assert square.getpixel((50, 10)) == (255, 255, 255)


@pytest.mark.parametrize("size", [(2000, 1), (1, 2000)])
def test_the_thinnest_image_is_letterboxed(size: tuple[int, int]) -> None:
    assert fit_to_square(Image.new("RGB", size, "red"), "letterbox", 100).getpixel((50, 50)) == (255, 0, 0)


def test_squashing_leaves_the_image_to_the_processor() -> None:
    picture = Image.new("RGB", (200, 50), "red")
    assert fit_to_square(picture, "squash", 100) is picture
