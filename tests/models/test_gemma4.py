"""Gemma 4: variable image tokens by choice, its own layout, and attention that depends on the model's size."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoConfig, Gemma4Config, Gemma4Processor

from figtune.batching.tokenization import tokenize_example, tokenize_prompt
from figtune.core.errors import ResourceError, UsageError
from figtune.export.merge import export_merged
from figtune.models.availability import check_setup
from figtune.models.families import family_of
from figtune.models.family import FULL, SLIDING, Processor
from figtune.models.feature_cache import encode_image
from figtune.models.loading import load_tuned_model
from figtune.models.model_files import copy_processor
from figtune.models.precision import Precision
from figtune.models.records import ImageFit
from figtune.models.setup import set_up_model
from figtune.training.memory_estimate import describe_model
from tests.inference.trained_model import write_dataset, write_trained_model
from tests.models.tuned import (
    CAPTIONS,
    CPU,
    PROMPT,
    choice,
    moved_model,
    pixels_of,
    plain_fields,
    plain_pixels,
    rows_of,
)
from tests.rows import each_row

FAMILY = family_of("gemma4", "")
TURNS = (
    "{{- bos_token -}}{%- for message in messages -%}{{- '<|turn>' + message['role'] + '\\n' -}}"
    "{%- for item in message['content'] -%}{%- if item['type'] == 'text' -%}{{- item['text'] | trim -}}"
    "{%- elif item['type'] == 'image' -%}{{- '<|image|>' -}}{%- endif -%}{%- endfor -%}{{- '<turn|>\\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|turn>model\\n' -}}{%- endif -%}"
)
"""Layout of the instruction-tuned models E2B and E4B."""
SILENT = TURNS.replace("'<|turn>model\\n'", "'<|turn>model\\n<|channel>thought\\n<channel|>'")
"""Layout of larger ones, which are told by an empty channel not to think."""


@pytest.fixture
def processor(processors: dict[str, Processor]) -> Processor:
    return processors["gemma4"]


@each_row("template", [TURNS, SILENT, FAMILY.chat_template])
@each_row("size", [(120, 60), (60, 120), (1, 900)])
def test_a_prompt_is_what_the_models_template_and_processor_make(
    tiny_folders: dict[str, Path], template: str, size: tuple[int, int]
) -> None:
    processor: Any = FAMILY.load_processor(tiny_folders["gemma4"])
    tokenizer = processor.tokenizer
    markers = ["<|turn>", "<turn|>", "<|channel>", "<channel|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": markers})
    processor.chat_template = template
    content = [{"type": "image"}, {"type": "text", "text": PROMPT}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], chat_template=template, add_generation_prompt=True, tokenize=False
    )
    prepared = processor.image_processor([Image.new("RGB", size)], return_tensors="pt")
    # The library's own method asks for no more than these of its processor, which itself needs torchvision.
    block = Gemma4Processor.replace_image_token(tokenizer, prepared, 0)
    expanded = text.replace("<|image|>", block)
    layout = FAMILY.image_layout(processor, size)
    row = tokenize_prompt(FAMILY, processor, PROMPT, layout)
    assert list(row.input_ids) == tokenizer.encode(expanded, add_special_tokens=False)
    answered = tokenize_example(FAMILY, processor, PROMPT, "A mask.", layout, 200)
    end = "<eos>" if template == FAMILY.chat_template else "<turn|>"
    assert tokenizer.decode(answered.input_ids[row.prompt_length :]) == f"A mask.{end}"


def test_a_template_without_a_place_for_images_is_refused(processor: Any) -> None:
    blind = dataclasses.replace(processor, chat_template="{{ bos_token }}{{ messages[0]['role'] }}")
    with pytest.raises(ResourceError, match="no place for an image"):
        tokenize_prompt(FAMILY, blind, PROMPT, FAMILY.image_layout(processor, (10, 10)))


@pytest.mark.slow
@settings(max_examples=60)
@given(width=st.integers(1, 400), height=st.integers(1, 400), tokens=st.sampled_from((70, 140)))
def test_tokens_are_known_from_the_size_and_never_more_than_chosen(
    tiny_folders: dict[str, Path], width: int, height: int, tokens: int
) -> None:
    processor: Any = FAMILY.load_processor(tiny_folders["gemma4"])
    processor.image_processor.max_soft_tokens = tokens
    layout = FAMILY.image_layout(processor, (width, height))
    assert 0 < layout.tokens <= tokens
    fits: tuple[ImageFit, ImageFit] = ("squash", "letterbox")
    for fit in fits:
        places = FAMILY.image_inputs(processor, Image.new("RGB", (width, height)), fit)["image_position_ids"][0]
        patches = places[(places >= 0).all(-1)]
        assert len(patches) == 9 * layout.tokens
        assert (patches.max(0).values + 1).tolist() == [3 * side for side in reversed(layout.grid)]


@each_row("fit", ["squash", "letterbox"])
def test_patches_put_together_are_the_image(processor: Any, fit: ImageFit) -> None:
    image = Image.effect_mandelbrot((120, 84), (-2, -1.5, 1, 1.5), 40).convert("RGB")
    inputs = FAMILY.image_inputs(processor, image, fit)
    shown = torch.zeros(84, 120, 3)
    for patch, (x, y) in zip(inputs["pixel_values"][0], inputs["image_position_ids"][0].tolist(), strict=True):
        shown[4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = patch.reshape(4, 4, 3)
    torch.testing.assert_close(shown, torch.from_numpy(np.array(image)) / 255)


def test_the_largest_image_takes_all_tokens_of_each_choice(processor: Any) -> None:
    for tokens in FAMILY.image_token_choices:
        chosen = dataclasses.replace(processor, image_processor=type(processor.image_processor)(max_soft_tokens=tokens))
        assert FAMILY.image_layout(chosen, FAMILY.largest_image(chosen)).tokens == tokens


@pytest.mark.slow
def test_chosen_image_tokens_go_with_the_processor(tmp_path: Path) -> None:
    asked = choice("tiny-gemma4", image_tokens=140)
    set_up_model(tmp_path / "model", asked)
    loaded = load_tuned_model(tmp_path / "model", CPU, "setup")
    picture = Image.new("RGB", (120, 84), "white")
    image = encode_image(loaded, picture)
    assert loaded.processor.image_processor.max_soft_tokens == 140
    assert loaded.record.image_tokens == 140
    assert 70 < image.layout.tokens == len(image.tensors["features"]) <= 140
    copy_processor(tmp_path / "model" / "processor", tmp_path, FAMILY)
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["max_soft_tokens"] == 140


def test_chosen_image_tokens_are_set_where_the_hubs_files_have_them(
    tmp_path: Path, tiny_folders: dict[str, Path]
) -> None:
    """On the Hub they stand among those of the whole processor, beside a video's, which stay."""
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny_folders["gemma4"].iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    images = json.loads((base / "preprocessor_config.json").read_text())
    (base / "preprocessor_config.json").unlink()
    video = {"max_soft_tokens": 70, "video_processor_type": "Gemma4VideoProcessor"}
    (base / "processor_config.json").write_text(json.dumps({"image_processor": images, "video_processor": video}))
    set_up_model(tmp_path / "model", choice(str(base), image_tokens=280))
    content = json.loads((tmp_path / "model" / "processor" / "processor_config.json").read_text())
    assert content["image_processor"] == {**images, "max_soft_tokens": 280}
    assert content["video_processor"] == video
    assert FAMILY.load_processor(tmp_path / "model" / "processor").image_processor.max_soft_tokens == 280


def test_memory_is_estimated_for_the_chosen_image_tokens(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    adapter, precision = choice("tiny-gemma4").adapter, Precision(dtype=torch.float32, four_bit=False, note=None)
    for tokens, expected in ((0, 70), (1120, 1120)):
        model = describe_model(tiny_folders["gemma4"], "tiny", precision, adapter, tokens)
        assert (model.image.tokens, model.pixels["pixel_values"].shape[1]) == (expected, 9 * expected)


@each_row(("name", "advice"), [("tiny-gemma4", "0, 70, 140"), ("tiny-gemma3", "leave")])
def test_image_tokens_that_a_model_has_not_are_refused_before_anything_is_made(name: str, advice: str) -> None:
    with pytest.raises(UsageError, match="cannot read an image as 300 tokens") as refused:
        check_setup(choice(name, image_tokens=300))
    assert advice in str(refused.value.remedy)


@pytest.mark.slow
def test_the_library_computes_the_same_with_and_without_a_cache(tmp_path: Path) -> None:
    """Layers that reuse keys and values must find them whether or not a cache is there, checkpointed too."""
    loaded = moved_model(tmp_path, "tiny-gemma4")
    assert "reuse" in loaded.model.config.get_text_config().kv_sharing_modes
    fields = {**plain_fields(loaded, rows_of(loaded)), **plain_pixels(loaded, pixels_of(loaded))}
    with torch.no_grad():
        cached = loaded.model(**fields, use_cache=True).loss
        bare = loaded.model(**fields, use_cache=False).loss
    loaded.peft_model.train()
    loaded.model.activation_checkpointing_enable({"use_reentrant": False})
    checkpointed = loaded.model(**fields, use_cache=False).loss
    torch.testing.assert_close(bare, cached)
    torch.testing.assert_close(checkpointed.detach(), cached)


@pytest.mark.slow
def test_embeddings_of_each_layer_count(tmp_path: Path) -> None:
    loaded = moved_model(tmp_path, "tiny-gemma4")
    fields = {**plain_fields(loaded, rows_of(loaded, CAPTIONS[:1])), **plain_pixels(loaded, pixels_of(loaded)[:1])}
    with torch.no_grad():
        before = loaded.model(**fields).loss
        loaded.model.model.language_model.embed_tokens_per_layer.weight.mul_(2)
        assert (loaded.model(**fields).loss - before).abs() > 1e-3


@pytest.mark.slow
def test_audio_is_neither_loaded_nor_trained_and_stays_in_the_merged_model(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", test_papers=1)
    write_trained_model(tmp_path / "trained", name="tiny-gemma4")
    loaded = load_tuned_model(tmp_path / "trained", CPU, "train")
    assert not any("audio" in name for name, _ in loaded.model.named_parameters())
    export_merged(tmp_path / "dataset", tmp_path / "trained", tmp_path / "merged", "cpu")
    base = load_file(tmp_path / "trained" / "base" / "model.safetensors")
    audio = {name for name in base if "audio" in name}
    assert audio
    with safe_open(tmp_path / "merged" / "model.safetensors", framework="pt") as merged:
        assert set(merged.keys()) == set(base)
        assert all(torch.equal(merged.get_tensor(name), base[name].to(torch.bfloat16)) for name in audio)
    assert AutoConfig.from_pretrained(tmp_path / "merged").audio_config is not None


def test_a_decoder_of_some_layers_has_those_of_the_whole() -> None:
    """Memory is estimated from a few: with heads of their sizes, and keys and values to reuse where they do."""
    text = {"num_hidden_layers": 24, "num_kv_shared_layers": 12, "layer_types": [SLIDING, SLIDING, FULL] * 8}
    config = Gemma4Config(text_config=text, vision_config={})
    chosen = [0, 2, 11, 12, 13, 14, 23]
    decoder, few = config.get_text_config(), FAMILY.with_layers(config, chosen).get_text_config()
    assert few.layer_types == [decoder.layer_types[layer] for layer in chosen]
    assert [few.per_layer_config[index].head_dim for index in range(7)] == [
        decoder.per_layer_config[layer].head_dim for layer in chosen
    ]
    kinds = FAMILY.layer_kinds(decoder)
    assert FAMILY.layer_kinds(few) == tuple(kinds[layer] for layer in chosen)
