"""Features of the vision encoder, cached on disk: once a picture, and anew when anything that decides it changes."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from figtune.core.distributed import process_group
from figtune.core.errors import InputError, ResourceError
from figtune.core.io import sha256_of
from figtune.models import encoding, feature_cache
from figtune.models.encoding import encode_ahead
from figtune.models.family import FEATURES, Family, fit_to_size
from figtune.models.feature_cache import FeatureStore, encode_image, image_files
from figtune.models.feature_shards import FeatureShards, ShardWriter
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.records import ImageFit
from figtune.models.vision_tower import UnloadedVisionTower, vision_tower_digest
from tests.models.tuned import CPU, TINY_NAMES, moved_model, of_families, pictures, pixels_of
from tests.processes import Launched
from tests.rows import each_row

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module", params=[name for name in TINY_NAMES if name != "tiny-paligemma2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return moved_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def gemma3(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """For what is done with features, whichever family they are of."""
    return moved_model(tmp_path_factory.mktemp("model"), "tiny-gemma3")


@pytest.fixture
def blind(loaded: LoadedModel) -> LoadedModel:
    """The same model, its vision encoder left on the disk."""
    return load_tuned_model(loaded.base_dir.parent, CPU, "setup", encoder=False)


def changed_base(loaded: LoadedModel, folder: Path, name: str) -> Path:
    """A copy of the base model in which a weight is another."""
    shutil.copytree(loaded.base_dir, folder)
    weights = load_file(folder / WEIGHTS)
    (full_name,) = (each for each in weights if each.endswith(name))
    weights[full_name] = weights[full_name] + 1
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def prepared_features(root: Path, loaded: LoadedModel, files: dict[str, Path], rows: int | None = None) -> FeatureStore:
    store = feature_cache.prepared_features(root, loaded, image_files(loaded, files), rows)
    assert isinstance(store, FeatureStore)
    return store


def kept(store: FeatureStore, name: str) -> torch.Tensor:
    return store.tensors(name)[FEATURES]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return saved(tmp_path, pictures())


def saved(folder: Path, images: Sequence[Image.Image]) -> dict[str, Path]:
    """Pictures in files, by their sha256."""
    paths = {}
    for number, picture in enumerate(images):
        path = folder / f"{number}.png"
        picture.save(path)
        paths[sha256_of(path)] = path
    return paths


def test_kept_features_are_those_of_each_picture_alone(
    loaded: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    store = prepared_features(tmp_path / "kept", loaded, files)
    for image, name in zip(pixels_of(loaded), files, strict=True):
        alone = loaded.family.features(loaded.model, image.tensors)
        assert len(alone) == image.layout.tokens
        assert torch.equal(kept(store, name), alone)


@each_row("fit", get_args(ImageFit))
def test_an_image_fitted_for_a_server_is_read_as_it_was(loaded: LoadedModel, fit: ImageFit) -> None:
    family, processor = loaded.family, loaded.processor
    if (family.model_type, fit) == ("gemma4", "letterbox"):
        return  # With its borders an image may fill more squares: no size is read as the letterboxed one was.
    for picture in pictures():
        fitted = family.fitted_image(processor, picture, fit)
        assert family.image_layout(processor, fitted.size) == family.image_layout(processor, picture.size)
        read, expected = (family.image_inputs(processor, image, fit) for image in (fitted, picture))
        for name, tensor in expected.items():
            assert torch.equal(read[name], tensor), name


@each_row("rows", [2, 5, 40])
def test_features_of_a_batch_are_those_of_each_picture_alone(
    loaded: LoadedModel, files: dict[str, Path], tmp_path: Path, rows: int
) -> None:
    """To the last digits: kernels add up in another order. Sizes differ, and so do tiles and tokens."""
    source = image_files(loaded, files)
    alone = prepared_features(tmp_path / "alone", loaded, files)
    together = dict(
        pair
        for batch in encode_ahead(loaded, list(files), source.tensors, lambda name: source.layout(name).tokens, rows)
        for pair in batch
    )
    assert list(together) == list(files)
    for name in files:
        torch.testing.assert_close(together[name], kept(alone, name), rtol=1e-5, atol=1e-5)


@of_families("tiny-gemma3", "tiny-smolvlm2")
def test_rows_bound_what_goes_through_the_encoder_at_once(
    loaded: LoadedModel, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, seen = image_files(loaded, files), []
    family = type(loaded.family)
    features = family.features

    def noted(self: Family, model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        seen.append(len(next(iter(inputs.values()))))
        return features(self, model, inputs)

    monkeypatch.setattr(family, "features", noted)
    each = [len(next(iter(source.tensors(name).values()))) for name in files]
    assert [*encode_ahead(loaded, list(files), source.tensors, lambda name: source.layout(name).tokens)]
    assert seen == each
    seen.clear()
    assert [*encode_ahead(loaded, list(files), source.tensors, lambda name: source.layout(name).tokens, sum(each))]
    assert seen == [sum(each)]


@of_families("tiny-gemma3", "tiny-smolvlm2")
def test_a_batch_that_does_not_fit_is_taken_in_halves(
    loaded: LoadedModel, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = prepared_features(tmp_path / "alone", loaded, files)
    family, most = type(loaded.family), max(len(pixels.tensors["pixel_values"]) for pixels in pixels_of(loaded))
    features = family.features

    def small(self: Family, model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if len(inputs["pixel_values"]) > most:
            raise torch.OutOfMemoryError
        return features(self, model, inputs)

    monkeypatch.setattr(family, "features", small)
    store = prepared_features(tmp_path / "halves", loaded, files, rows=100)
    for name in files:
        torch.testing.assert_close(kept(store, name), kept(alone, name), rtol=1e-5, atol=1e-5)


def test_many_pictures_are_decoded_in_threads_each_as_alone(
    gemma3: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "_num_threads", lambda: 4)
    images = [Image.new("RGB", (40 + 3 * number, 70 - number), (number, 255 - number, 7)) for number in range(30)]
    files = saved(tmp_path, images)
    store = prepared_features(tmp_path / "kept", gemma3, files)
    for name, image in zip(files, images, strict=True):
        assert torch.equal(kept(store, name), encode_image(gemma3, image).tensors[FEATURES])


@each_row("rows", [None, 100])
def test_a_picture_that_cannot_be_read_ends_the_run_and_keeps_what_was_encoded(
    gemma3: LoadedModel, files: dict[str, Path], tmp_path: Path, rows: int | None
) -> None:
    last = sorted(files)[-1]
    whole = files[last].read_bytes()
    files[last].write_bytes(whole[: len(whole) // 2])  # its size is known
    with pytest.raises(InputError, match="no image, or a broken one"):
        prepared_features(tmp_path / "kept", gemma3, files, rows)
    (folder,) = (tmp_path / "kept").iterdir()
    assert len(FeatureShards(folder)) == 2
    files[last].write_bytes(whole)
    before = content(folder)
    store = prepared_features(tmp_path / "kept", gemma3, files)
    assert len(store.shards) == 3
    assert before.items() <= content(folder).items()


def test_a_second_run_writes_nothing_and_needs_no_right_to(
    gemma3: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    store = prepared_features(tmp_path / "kept", gemma3, files)
    before = content(store.shards.folder)
    assert len(before) == 2, "a shard and its index"
    stamps = [path.stat().st_mtime_ns for path in store.shards.folder.iterdir()]
    again = prepared_features(tmp_path / "kept", gemma3, files)
    assert content(store.shards.folder) == before
    assert [path.stat().st_mtime_ns for path in store.shards.folder.iterdir()] == stamps
    assert all(torch.equal(kept(again, name), kept(store, name)) for name in files)


def test_a_disk_without_room_is_told_before_it_is_full(
    gemma3: LoadedModel, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(ResourceError, match=r"the features of 3 images take .* GB, and the disk of .* has 0.0 GB free"):
        prepared_features(tmp_path / "kept", gemma3, files)
    assert not (tmp_path / "kept").exists()


@of_families("tiny-gemma3", "tiny-gemma4")
def test_another_fit_dtype_or_encoder_has_its_own_features(
    loaded: LoadedModel, blind: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    letterboxed = prepared_features(tmp_path, loaded, files)
    record = dataclasses.replace(loaded.record, image_fit="squash")
    squashed = prepared_features(tmp_path, dataclasses.replace(loaded, record=record), files)
    tower = loaded.model.get_submodule(loaded.family.parts.vision_encoder)
    matrix = next(each for each, weight in tower.named_parameters() if weight.ndim > 1 and "patch" in each)
    other = changed_base(loaded, tmp_path / "other", matrix)
    changed = prepared_features(tmp_path, dataclasses.replace(blind, base_dir=other), files)
    rough = prepared_features(tmp_path, dataclasses.replace(blind, dtype=torch.bfloat16), files)
    assert len({store.shards.folder for store in (letterboxed, squashed, changed, rough)}) == 4
    middle = list(files)[1]
    assert not torch.equal(kept(letterboxed, middle), kept(squashed, middle))
    assert not torch.equal(kept(letterboxed, middle), kept(changed, middle))
    assert kept(rough, middle).dtype == torch.bfloat16
    assert prepared_features(tmp_path, loaded, files).shards.folder == letterboxed.shards.folder


@of_families("tiny-gemma3", "tiny-smolvlm2")
def test_a_changed_decoder_leaves_the_features_valid(loaded: LoadedModel, tmp_path: Path) -> None:
    other = changed_base(loaded, tmp_path / "other", "model.norm.weight")
    assert vision_tower_digest(other, loaded.family.parts) == vision_tower_digest(loaded.base_dir, loaded.family.parts)


def test_the_encoder_is_loaded_only_while_features_are_missing(
    loaded: LoadedModel, blind: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    parts = blind.family.parts
    assert not any(parts.part_of(name) == "vision" for name, _ in blind.peft_model.named_parameters())
    store = prepared_features(tmp_path, blind, files)
    assert isinstance(blind.model.get_submodule(parts.vision_encoder), UnloadedVisionTower)
    for name, picture in zip(files, pictures(), strict=True):
        assert torch.equal(kept(store, name), encode_image(loaded, picture).tensors[FEATURES])
        assert torch.equal(kept(store, name), encode_image(blind, picture).tensors[FEATURES])
    with pytest.raises(RuntimeError, match="the vision encoder is not loaded"):
        loaded.family.features(blind.model, pixels_of(loaded)[0].tensors)


@pytest.mark.slow
def test_without_its_encoder_a_model_is_smaller_by_the_encoder_and_else_the_same(
    loaded: LoadedModel, blind: LoadedModel
) -> None:
    whole, rest = (dict(each.peft_model.named_parameters()) for each in (loaded, blind))
    parts = loaded.family.parts
    assert {name for name in whole if parts.part_of(name) != "vision"} == set(rest)
    assert all(
        torch.equal(rest[name], whole[name])
        for name in rest
        if "lora_" not in name and parts.part_of(name) != "projector"
    )
    assert blind.model.config.to_dict() == loaded.model.config.to_dict()


@of_families("tiny-gemma3")
def test_an_encoder_that_is_damaged_or_another_is_refused(
    blind: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(blind.base_dir, folder)
    weights = load_file(folder / WEIGHTS)
    vision = f".{blind.family.parts.vision_name}."
    kept = {name: tensor for name, tensor in weights.items() if vision not in f".{name}" or ".mlp." not in name}
    save_file(kept, folder / WEIGHTS)
    with pytest.raises(ResourceError, match="is not the one that its config"):
        prepared_features(tmp_path, dataclasses.replace(blind, base_dir=folder), files)
    (folder / WEIGHTS).write_bytes(b"torn")
    with pytest.raises(ResourceError, match="are damaged"):
        prepared_features(tmp_path, dataclasses.replace(blind, base_dir=folder), files)


def share_of_features(model: Path, root: Path, files: dict[str, Path]) -> int:
    """As one of several processes: keep a share of the features, then read all; say which ones were computed here."""
    computed: list[str] = []
    append = ShardWriter.append

    def noted(writer: ShardWriter, features: Sequence[tuple[str, torch.Tensor]]) -> None:
        computed.extend(name for name, _ in features)
        append(writer, features)

    with process_group(on_cpu=True), pytest.MonkeyPatch.context() as patched:
        patched.setattr(ShardWriter, "append", noted)
        loaded = load_tuned_model(model, CPU, "setup")
        store = prepared_features(root, loaded, files)
        sys.stderr.write(f"computed {' '.join(computed)}\n")
        assert all(torch.isfinite(kept(store, name)).all() for name in files)
    return 0


@pytest.mark.slow
def test_three_processes_each_compute_a_share_and_read_all(
    gemma3: LoadedModel, files: dict[str, Path], tmp_path: Path
) -> None:
    alone = prepared_features(tmp_path / "alone", gemma3, files)
    launched = Launched(3, share_of_features, gemma3.base_dir.parent, tmp_path / "shared", files, log=tmp_path / "log")
    assert launched.codes() == [0, 0, 0], launched.said()
    shares = [line.removeprefix("computed ") for line in launched.said().splitlines() if line.startswith("computed ")]
    assert sorted(shares) == sorted(files)
    folder = tmp_path / "shared" / alone.shards.folder.name
    assert len(list(folder.iterdir())) == 6
    shared = FeatureStore(images=image_files(gemma3, files), shards=FeatureShards(folder))
    assert all(torch.equal(kept(shared, name), kept(alone, name)) for name in files)


def test_letterboxing_keeps_proportions_and_fills_up_with_white() -> None:
    square = fit_to_size(Image.new("RGB", (200, 50), "red"), "letterbox", (100, 100))
    assert square.size == (100, 100)
    reds = [row for row in range(100) if square.getpixel((50, row)) == (255, 0, 0)]
    assert reds == list(range(reds[0], reds[0] + 25))
    assert abs(reds[0] + reds[-1] - 99) <= 1
    assert square.getpixel((50, 10)) == (255, 255, 255)


@each_row("size", [(2000, 1), (1, 2000)])
def test_the_thinnest_image_is_letterboxed(size: tuple[int, int]) -> None:
    assert fit_to_size(Image.new("RGB", size, "red"), "letterbox", (100, 100)).getpixel((50, 50)) == (255, 0, 0)


def test_squashing_leaves_the_image_to_the_processor() -> None:
    picture = Image.new("RGB", (200, 50), "red")
    assert fit_to_size(picture, "squash", (100, 100)) is picture
