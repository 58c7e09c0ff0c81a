"""Setting a model up: the same bytes every time, from a folder as from a reserved name, refusing what does not fit."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from figtune.batching.tokenization import tokenize_example
from figtune.core.errors import ArtifactMissingError, ResourceError, UsageError
from figtune.core.jsonl import read_json
from figtune.models.families import FAMILIES, family_of, family_of_folder
from figtune.models.family import Family
from figtune.models.loading import load_base_model, load_tuned_model
from figtune.models.records import ModelRecord
from figtune.models.setup import set_up_model
from figtune.models.tiny import TINY_MODELS
from tests.models.tuned import CPU, TINY_NAMES, choice
from tests.rows import each_row


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@each_row("name", TINY_NAMES)
def test_setting_up_twice_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    set_up_model(tmp_path / "first", choice(name))
    set_up_model(tmp_path / "second", choice(name))
    first = contents(tmp_path / "first")
    assert first == contents(tmp_path / "second")
    assert {name.split("/")[0] for name in first} == {
        "adapter",
        "base",
        "model.json",
        "parameters.json",
        "processor",
    }


@pytest.mark.slow
def test_a_local_folder_is_used_where_it_lies(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    set_up_model(tmp_path, choice(str(tiny_folders["gemma3"])))
    record = read_json(tmp_path / "model.json", ModelRecord, "setup")
    assert record.base == str(tiny_folders["gemma3"])
    assert (record.family, record.tiny, record.commit) == ("gemma3", False, None)
    assert not (tmp_path / "base").exists()
    load_tuned_model(tmp_path, CPU, "setup")


def test_a_model_of_another_kind_is_refused_with_those_supported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava"}))
    with pytest.raises(ResourceError, match=r'is a "llava" model.*Gemma 3 \(google/gemma-3-4b-pt.*PaliGemma'):
        set_up_model(tmp_path / "model", choice(str(tmp_path)))


@each_row("text", ["", "{", "[]", "{}"])
def test_a_broken_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ResourceError, match=r"config\.json of .* cannot be read"):
        set_up_model(tmp_path / "model", choice(str(tmp_path)))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"holds no model: there is no config\.json"):
        set_up_model(tmp_path / "model", choice(str(tmp_path)))


def test_pickled_weights_are_refused(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_folders["gemma3"], folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ResourceError, match="no weights in the safetensors format"):
        set_up_model(tmp_path / "model", choice(str(folder)))


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    folder = tmp_path / "with code"
    shutil.copytree(tiny_folders["gemma3"], folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.C", "AutoModelForImageTextToText": "evil.M"}
    (folder / "config.json").write_text(json.dumps(config))
    set_up_model(tmp_path / "model", choice(str(folder)))
    load_tuned_model(tmp_path / "model", CPU, "setup")
    assert not (tmp_path / "ran").exists()


def test_truncated_weights_are_refused(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    set_up_model(tmp_path, choice("tiny-gemma3"))
    weights = tmp_path / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ResourceError, match="cannot be loaded"):
        load_tuned_model(tmp_path, CPU, "setup")


@each_row("family", FAMILIES)
def test_a_folder_without_a_processor_is_refused(tmp_path: Path, family: Family) -> None:
    with pytest.raises(ResourceError, match="no processor that can be read"):
        family.load_processor(tmp_path)


def test_gemma3_in_float16_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Gemma 3 overflows in float16"):
        set_up_model(tmp_path, choice("tiny-gemma3", dtype="float16"))
    set_up_model(tmp_path, choice("tiny-paligemma", dtype="float16"))


@each_row("kernel", ["flash_attention_2", "flash_attention_3", "kernels-community/flash-attn"])
def test_flash_attention_kernels_are_refused(tiny_folders: dict[str, Path], kernel: str) -> None:
    with pytest.raises(UsageError, match="FlashAttention kernels ignore"):
        load_base_model(tiny_folders["gemma3"], family_of("gemma3", ""), torch.float32, CPU, kernel)


def test_a_model_that_was_never_set_up_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"make it with: python setup_model\.py"):
        load_tuned_model(tmp_path, CPU, "python setup_model.py")


def test_a_model_kept_in_bfloat16_begins_with_a_float32_adapter(tmp_path: Path) -> None:
    folder = tmp_path / "rough"
    TINY_MODELS["tiny-gemma3"](folder)
    family = family_of_folder(folder, "")
    load_base_model(folder, family, torch.bfloat16, CPU, "sdpa").save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    set_up_model(tmp_path / "model", choice(str(folder)))
    weights = load_file(tmp_path / "model" / "adapter" / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


@pytest.mark.slow
@each_row("name", TINY_NAMES)
def test_tiny_models_begin_near_uniform_guesses(tiny_folders: dict[str, Path], name: str) -> None:
    folder = tiny_folders[name.removeprefix("tiny-")]
    family = family_of_folder(folder, name)
    processor = family.load_processor(folder)
    model = load_base_model(folder, family, torch.float32, CPU, "sdpa")
    text = "The plot shows how the accuracy of the method grows over time, and that of the baseline does not."
    image = Image.effect_noise((112, 112), 64).convert("RGB")
    layout = family.image_layout(processor, image.size)
    row = tokenize_example(family, processor, "Write the caption of this figure.", text, layout, 256)
    ids, prefix, count = torch.tensor([row.input_ids]), torch.tensor([row.bidirectional]), row.num_target_tokens
    mask = torch.ones_like(ids)
    with torch.no_grad():
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            **family.token_inputs(prefix, mask),
            **family.pixel_inputs(family.image_inputs(processor, image, "squash")),
        ).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[-count - 1 : -1], ids[0, -count:])
    uniform = math.log(logits.shape[-1])
    assert uniform - 1 < float(loss) < uniform + 3
