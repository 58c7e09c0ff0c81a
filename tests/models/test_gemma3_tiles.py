"""Gemma 3 that reads wide and tall figures in tiles: as the library's pan and scan, and without them as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from figtune.batching.collator import training_batch
from figtune.batching.loss import CompletionLoss, per_example_loss
from figtune.batching.packing import SharedPrefixGroup, one_per_row
from figtune.batching.tokenization import tokenize_example, tokenize_prompt
from figtune.core.errors import UsageError
from figtune.core.io import sha256_of
from figtune.dataset.figure_words import ENCODERS
from figtune.inference.generate import generate_answers
from figtune.models.availability import check_setup
from figtune.models.families import family_of
from figtune.models.family import ImageInputs, TokenizedExample
from figtune.models.feature_cache import FeatureStore, concatenate, encode_image, image_files, prepared_features
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.model_files import copy_processor
from figtune.models.precision import Precision
from figtune.models.setup import set_up_model
from figtune.training.memory_estimate import describe_model
from tests.batching.test_tokenization import CHAT_TEMPLATE
from tests.inference.trained_model import greedy
from tests.models.tuned import CAPTIONS, CPU, PROMPT, choice, pixels_of, plain_fields
from tests.rows import each_row

FAMILY = family_of("gemma3", "")
TILES = 4
SIZES = ((900, 280), (300, 300), (280, 620))
"""Widths and heights: three tiles, none, two."""


ASKED = {"do_pan_and_scan": True, "pan_and_scan_max_num_crops": TILES}
"""Arguments of the processor of transformers, which takes tiles from no file."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiles")
    set_up_model(path, choice("tiny-gemma3", tiles=TILES, image_fit="squash"))
    return path


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    model = load_tuned_model(folder, CPU, "setup", trainable=True)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.peft_model.parameters():
            if parameter.requires_grad:
                parameter += 0.03 * torch.randn(parameter.shape, generator=generator)
    return model


def drawn(size: tuple[int, int]) -> Image.Image:
    """A picture in which no two places are alike."""
    return Image.effect_mandelbrot(size, (-2, -1.5, 1, 1.5), 60).convert("RGB")


def pictures() -> list[Image.Image]:
    return [drawn(size) for size in SIZES]


def rows_of(loaded: LoadedModel, captions: tuple[str, ...] = CAPTIONS) -> list[TokenizedExample]:
    return [
        tokenize_example(FAMILY, loaded.processor, PROMPT, caption, FAMILY.image_layout(loaded.processor, size), 128)
        for caption, size in zip(captions, SIZES, strict=True)
    ]


def loss_sum(loaded: LoadedModel, rows: list[list[SharedPrefixGroup]], images: list[ImageInputs]) -> torch.Tensor:
    batch = training_batch(rows, FAMILY, loaded.processor.tokenizer.pad_token_id)
    tensors = concatenate([image.tensors for image in images])
    return CompletionLoss(loaded.peft_model, FAMILY).loss_sum(batch, tensors)


def test_tokens_and_pixels_are_those_of_the_librarys_processor(loaded: LoadedModel) -> None:
    processor: Any = loaded.processor
    for picture, views in zip(pictures(), (4, 1, 3), strict=True):
        theirs = processor(
            text=f"<start_of_image>{PROMPT}\n", images=[[picture]], images_kwargs=ASKED, return_tensors="pt"
        )
        row = tokenize_prompt(FAMILY, processor, PROMPT, FAMILY.image_layout(processor, picture.size))
        assert list(row.input_ids) == theirs["input_ids"][0].tolist()
        types = FAMILY.token_inputs(torch.tensor([row.bidirectional]), torch.ones(1, len(row.input_ids)))
        assert types["token_type_ids"].tolist() == theirs["token_type_ids"].tolist()
        ours = FAMILY.image_inputs(processor, picture, "squash")["pixel_values"]
        assert len(ours) == views
        assert torch.equal(ours, theirs["pixel_values"])


def test_a_model_that_takes_turns_reads_tiles_in_its_own(loaded: LoadedModel) -> None:
    processor = processor_of(loaded)
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]})
    processor.chat_template = CHAT_TEMPLATE
    content = [{"type": "image", "image": pictures()[0]}, {"type": "text", "text": PROMPT}]
    theirs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        add_generation_prompt=True,
        return_dict=True,
        processor_kwargs={"images_kwargs": ASKED},
    )
    row = tokenize_prompt(FAMILY, processor, PROMPT, FAMILY.image_layout(processor, SIZES[0]))
    assert list(row.input_ids) == list(theirs["input_ids"][0])


def test_the_text_around_tiles_takes_nothing_from_the_prompt(loaded: LoadedModel) -> None:
    lengths = {
        len(tokens.input_ids) - tokens.image_tokens
        for size in SIZES
        for tokens in [FAMILY.tokenize(loaded.processor, PROMPT, FAMILY.image_layout(loaded.processor, size))]
    }
    assert len(lengths) == 1


@settings(max_examples=60)
@given(width=st.integers(1, 1200), height=st.integers(1, 1200))
def test_tiles_are_known_from_the_size(loaded: LoadedModel, width: int, height: int) -> None:
    layout = FAMILY.image_layout(loaded.processor, (width, height))
    views = FAMILY.image_inputs(loaded.processor, Image.new("RGB", (width, height)), "squash")["pixel_values"]
    assert layout.tokens == 16 * len(views) <= 16 * (1 + TILES)


def test_letterboxed_tiles_put_together_are_the_image(loaded: LoadedModel) -> None:
    image = drawn((336, 112))
    processor = processor_of(loaded)
    processor.image_processor.pan_and_scan_min_crop_size = 112
    whole, *tiles = FAMILY.image_inputs(processor, image, "letterbox")["pixel_values"]
    pixels = torch.from_numpy(np.array(image)).movedim(-1, 0) / 255
    torch.testing.assert_close(torch.cat(tiles, dim=2), 2 * pixels - 1)
    assert (whole[:, 0] == 1).all(), "the whole has white borders"


def processor_of(loaded: LoadedModel) -> Any:
    """The processor once more, to be changed."""
    return FAMILY.load_processor(loaded.base_dir.parent / "processor")


def test_loss_from_kept_features_of_tiles_is_the_librarys_own_from_pixels(loaded: LoadedModel) -> None:
    loaded.peft_model.eval()
    for row, picture in zip(rows_of(loaded), pictures(), strict=True):
        fields = plain_fields(loaded, [row])
        pixels = FAMILY.image_inputs(loaded.processor, picture, "squash")
        theirs = loaded.peft_model(**fields, **pixels).loss
        ours = loss_sum(loaded, one_per_row([row]), [encode_image(loaded, picture)]) / row.num_target_tokens
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_features_and_pixels_padding_and_packing_change_no_loss(loaded: LoadedModel) -> None:
    rows, kept = rows_of(loaded), [encode_image(loaded, picture) for picture in pictures()]
    alone = torch.stack(
        [loss_sum(loaded, one_per_row([row]), [image]) for row, image in zip(rows, kept, strict=True)]
    ).sum()
    groups = [SharedPrefixGroup(image_sha256=str(index), examples=(row,)) for index, row in enumerate(rows)]
    for arranged in ([[group] for group in groups], [groups]):
        torch.testing.assert_close(loss_sum(loaded, arranged, kept), alone, rtol=1e-5, atol=1e-5)
    from_pixels = loss_sum(loaded, [groups], pixels_of(loaded, pictures()))
    torch.testing.assert_close(from_pixels, alone, rtol=1e-5, atol=1e-5)


def test_examples_of_a_figure_share_its_tiles(loaded: LoadedModel) -> None:
    layout, kept = FAMILY.image_layout(loaded.processor, SIZES[0]), encode_image(loaded, pictures()[0])
    rows = [tokenize_example(FAMILY, loaded.processor, PROMPT, caption, layout, 128) for caption in CAPTIONS]
    together = loss_sum(loaded, [[SharedPrefixGroup(image_sha256="", examples=tuple(rows))]], [kept])
    alone = torch.stack([loss_sum(loaded, one_per_row([row]), [kept]) for row in rows]).sum()
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_every_tile_counts(loaded: LoadedModel) -> None:
    row, kept = rows_of(loaded)[0], encode_image(loaded, pictures()[0]).tensors
    (before,) = per_example_loss(loaded, [row], [kept])
    for view in range(4):
        changed = kept["features"].clone()
        changed[16 * view : 16 * view + 16] += 1
        assert abs(per_example_loss(loaded, [row], [{"features": changed}])[0] - before) > 1e-5


def test_an_answer_in_a_batch_is_the_answer_alone(loaded: LoadedModel) -> None:
    images = [encode_image(loaded, picture) for picture in pictures()]
    together = generate_answers(loaded, [PROMPT] * 3, images, greedy(6))
    assert together == [generate_answers(loaded, [PROMPT], [image], greedy(6))[0] for image in images]


def test_features_of_tiles_are_kept_apart_from_those_without(loaded: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "wide.png"
    pictures()[0].save(file)
    set_up_model(tmp_path / "plain", choice("tiny-gemma3", image_fit="squash"))
    plain = load_tuned_model(tmp_path / "plain", CPU, "setup")
    name = sha256_of(file)
    stores = [prepared_features(tmp_path / "kept", each, image_files(each, {name: file})) for each in (loaded, plain)]
    assert all(isinstance(store, FeatureStore) for store in stores)
    kept = [store.tensors(name)["features"] for store in stores]
    assert [len(features) for features in kept] == [store.layout(name).tokens for store in stores] == [64, 16]
    assert torch.equal(kept[0][:16], kept[1])


def test_without_tiles_the_processors_files_are_as_they_were(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    set_up_model(tmp_path, choice("tiny-gemma3"))
    for file in (tmp_path / "processor").glob("*processor*.json"):
        assert file.read_bytes() == (tiny_folders["gemma3"] / file.name).read_bytes()
    processor = FAMILY.load_processor(tmp_path / "processor")
    assert {FAMILY.image_layout(processor, size).tokens for size in SIZES} == {16}


def test_a_base_that_cuts_tiles_unasked_cuts_none_where_none_were_chosen(
    tmp_path: Path, tiny_folders: dict[str, Path]
) -> None:
    base = shutil.copytree(tiny_folders["gemma3"], tmp_path / "base")
    copy_processor(tiny_folders["gemma3"], base, FAMILY, FAMILY.image_settings(0, TILES))
    assert FAMILY.load_processor(base).image_processor.do_pan_and_scan
    set_up_model(tmp_path / "work", choice(str(base)))
    processor = FAMILY.load_processor(tmp_path / "work" / "processor")
    assert {FAMILY.image_layout(processor, size).tokens for size in SIZES} == {16}
    precision = Precision(dtype=torch.float32, four_bit=False, note=None)
    assert describe_model(base, "tiny", precision, choice("tiny-gemma3").adapter).image.tokens == 16


def test_the_choice_stands_in_the_processors_files(folder: Path) -> None:
    content = json.loads((folder / "processor" / "processor_config.json").read_text())
    images = content.get("image_processor") or json.loads(
        (folder / "processor" / "preprocessor_config.json").read_text()
    )
    assert (images["do_pan_and_scan"], images["pan_and_scan_max_num_crops"]) == (True, TILES)


def test_memory_is_estimated_with_all_tiles(tiny_folders: dict[str, Path]) -> None:
    precision = Precision(dtype=torch.float32, four_bit=False, note=None)
    model = describe_model(tiny_folders["gemma3"], "tiny", precision, choice("tiny-gemma3").adapter, tiles=TILES)
    assert model.image.tokens == 16 * (1 + TILES)
    assert len(model.pixels["pixel_values"]) == 1 + TILES


@each_row("name", ["tiny-paligemma", "tiny-smolvlm2", "tiny-gemma4"])
def test_other_models_cut_no_tiles_by_choice(name: str) -> None:
    with pytest.raises(UsageError, match="does not cut images into tiles by choice"):
        check_setup(choice(name, tiles=2))


@pytest.mark.slow
@given(width=st.integers(256, 2048), height=st.integers(256, 2048))
def test_legibility_counts_the_tiles_that_are_cut(loaded: LoadedModel, width: int, height: int) -> None:
    processor = processor_of(loaded)
    tiles = FAMILY.image_layout(processor, (width, height)).tokens // 16 - 1
    assert ENCODERS["Gemma 3, 4 tiles"]((width, height)) == (
        (896 * max(1, tiles), 896) if width >= height else (896, 896 * max(1, tiles))
    )
