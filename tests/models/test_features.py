"""What the vision encoder sees, kept on disk: once a picture, and anew when anything that decides it changes."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from figtune.core.distributed import process_group
from figtune.core.errors import ResourceError
from figtune.models.encoder import AbsentEncoder, encoder_digest
from figtune.models.family import PROJECTOR
from figtune.models.features import FeatureStore, fitted, picture_features, prepared_features
from figtune.models.loading import LoadedModel, load_tuned_model
from tests.models.tuned import CPU, moved_model, pictures, pixels_of
from tests.processes import Launched

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module", params=["tiny-gemma3", "tiny-paligemma"])
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
    weights[name] = weights[name] + 1
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def kept(store: object) -> FeatureStore:
    assert isinstance(store, FeatureStore)
    return store


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
    store = kept(prepared_features(tmp_path / "kept", loaded, files))
    paths = {name: store.folder / f"{name}.safetensors" for name in files}
    whole = {name: path.read_bytes() for name, path in paths.items()}
    paths["b"].write_bytes(whole["b"][:50])
    paths["c"].unlink()
    before = paths["a"].stat().st_mtime_ns
    prepared_features(tmp_path / "kept", loaded, files)
    assert {name: path.read_bytes() for name, path in paths.items()} == whole
    assert paths["a"].stat().st_mtime_ns == before


def test_another_fit_dtype_or_encoder_has_its_own_features(
    loaded: LoadedModel, blind: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    letterboxed = kept(prepared_features(tmp_path, loaded, files))
    record = dataclasses.replace(loaded.record, image_fit="squash")
    squashed = kept(prepared_features(tmp_path, dataclasses.replace(loaded, record=record), files))
    other = changed_base(loaded, tmp_path / "other", "vision_tower.embeddings.patch_embedding.weight")
    changed = kept(prepared_features(tmp_path, dataclasses.replace(blind, base=other), files))
    rough = kept(prepared_features(tmp_path, dataclasses.replace(blind, dtype=torch.bfloat16), files))
    assert len({store.folder for store in (letterboxed, squashed, changed, rough)}) == 4
    assert not torch.equal(letterboxed["c"], squashed["c"])
    assert not torch.equal(letterboxed["c"], changed["c"])
    assert rough["c"].dtype == torch.bfloat16
    assert kept(prepared_features(tmp_path, loaded, files)).folder == letterboxed.folder


def test_a_changed_decoder_leaves_the_features_valid(loaded: LoadedModel, tmp_path: Path) -> None:
    other = changed_base(loaded, tmp_path / "other", "language_model.model.norm.weight")
    assert encoder_digest(other) == encoder_digest(loaded.base)


def test_the_encoder_is_loaded_only_while_features_are_missing(
    loaded: LoadedModel, blind: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    assert not any("vision_tower" in name for name, _ in blind.tuned.named_parameters())
    store = prepared_features(tmp_path, blind, files)
    assert isinstance(blind.model.model.vision_tower, AbsentEncoder)
    for name, picture in zip(files, pictures(), strict=True):
        assert torch.equal(store[name], picture_features(loaded, picture))
        assert torch.equal(store[name], picture_features(blind, picture))
    with pytest.raises(RuntimeError, match="the vision encoder is not loaded"):
        loaded.family.vision_features(blind.model, pixels_of(loaded))


def test_without_its_encoder_a_model_is_smaller_by_the_encoder_and_else_the_same(
    loaded: LoadedModel, blind: LoadedModel
) -> None:
    whole, rest = (dict(each.tuned.named_parameters()) for each in (loaded, blind))
    assert {name for name in whole if "vision_tower" not in name} == set(rest)
    assert all(torch.equal(rest[name], whole[name]) for name in rest if "lora_" not in name and PROJECTOR not in name)
    assert blind.model.config.to_dict() == loaded.model.config.to_dict()


def test_an_encoder_that_is_damaged_or_another_is_refused(
    blind: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(blind.base, folder)
    weights = load_file(folder / WEIGHTS)
    save_file({name: tensor for name, tensor in weights.items() if ".fc1." not in name}, folder / WEIGHTS)
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
        assert all(torch.isfinite(store[name]).all() for name in files)
    return 0


def test_three_processes_each_compute_a_share_and_read_all(
    loaded: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    alone = kept(prepared_features(tmp_path / "alone", loaded, files))
    launched = Launched(3, share_of_features, loaded.base.parent, tmp_path / "shared", files, log=tmp_path / "log")
    assert launched.codes() == [0, 0, 0], launched.said()
    shares = [line.removeprefix("computed ") for line in launched.said().splitlines() if line.startswith("computed ")]
    assert sorted(shares) == ["a", "b", "c"]
    shared = kept(FeatureStore(folder=tmp_path / "shared" / alone.folder.name))
    assert all(torch.equal(shared[name], alone[name]) for name in files)


def test_letterboxing_keeps_proportions_and_fills_up_with_white() -> None:
    square = fitted(Image.new("RGB", (200, 50), "red"), "letterbox", 100)
    assert square.size == (100, 100)
    reds = [row for row in range(100) if square.getpixel((50, row)) == (255, 0, 0)]
    assert reds == list(range(reds[0], reds[0] + 25))
    assert abs(reds[0] + reds[-1] - 99) <= 1
    assert square.getpixel((50, 10)) == (255, 255, 255)


def test_squashing_leaves_the_image_to_the_processor() -> None:
    picture = Image.new("RGB", (200, 50), "red")
    assert fitted(picture, "squash", 100) is picture
