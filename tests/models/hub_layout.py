"""Tiny base models in the layout of their repositories on the Hub, as transformers 4 wrote those."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file

from figtune.models.tiny import TINY_MODELS

TOKENIZER_MODEL = b"a stand-in for a sentencepiece model"
MODEL_TYPES = ("gemma3", "paligemma")

Json = dict[str, object]


def write_hub_base(folder: Path, model_type: str) -> None:
    """Write a tiny base model of the family with a linear RoPE factor (Gemma 3), old weight names and split files."""
    TINY_MODELS[f"tiny-{model_type}"](folder)
    _rename_weights(folder / "model.safetensors")
    config, processor = _read(folder / "config.json"), _read(folder / "processor_config.json")
    _write(folder / "config.json", _gemma3_config(config) if model_type == "gemma3" else _paligemma_config(config))
    image_processor = {**_dict(processor["image_processor"]), "processor_class": processor["processor_class"]}
    if model_type == "paligemma":
        (folder / "processor_config.json").unlink()
    else:
        _write(
            folder / "processor_config.json", {key: processor[key] for key in ("image_seq_length", "processor_class")}
        )
    _write(folder / "preprocessor_config.json", image_processor)
    _split_tokenizer(folder, _read(folder / "tokenizer_config.json"))


def _rename_weights(file: Path) -> None:
    """Give the vision encoder's weights the level that transformers 5 dropped."""
    renamed = {
        name.replace("vision_tower.", "vision_tower.vision_model."): weight for name, weight in load_file(file).items()
    }
    save_file(renamed, file, metadata={"format": "pt"})


def _gemma3_config(config: Json) -> Json:
    text = _old_dtype(_dict(config["text_config"]))
    for name in ("rope_parameters", "layer_types", "_sliding_window_pattern"):
        text.pop(name)
    text |= {
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "sliding_window_pattern": 2,
    }
    return _whole(config, text)


def _paligemma_config(config: Json) -> Json:
    text = _old_dtype(_dict(config["text_config"]))
    text.pop("rope_parameters")
    return _whole(config, text | {"rope_theta": 10000.0})


def _whole(config: Json, text: Json) -> Json:
    vision = _old_dtype(_dict(config["vision_config"]))
    return _old_dtype(config) | {"text_config": text, "vision_config": vision, "transformers_version": "4.50.0.dev0"}


def _old_dtype(config: Json) -> Json:
    return {key: value for key, value in config.items() if key != "dtype"} | {"torch_dtype": "float32"}


def _split_tokenizer(folder: Path, config: Json) -> None:
    """Write the files beside `tokenizer.json` that transformers 4 read; `tokenizer.model` holds no vocabulary."""
    markers = {name: config[name] for name in ("boi_token", "eoi_token", "image_token") if name in config}
    special = {name: config[name] for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    if "boi_token" not in markers:
        markers = {}
    _write(
        folder / "tokenizer_config.json",
        special
        | markers
        | ({"extra_special_tokens": markers} if markers else {"extra_special_tokens": {"image_token": "<image>"}})
        | {
            "add_bos_token": True,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": config["model_max_length"],
            "processor_class": config["processor_class"],
            "tokenizer_class": "GemmaTokenizer",
        },
    )
    _write(folder / "special_tokens_map.json", special | markers)
    (folder / "tokenizer.model").write_bytes(TOKENIZER_MODEL)


def _read(file: Path) -> Json:
    return _dict(json.loads(file.read_text(encoding="utf-8")))


def _dict(value: object) -> Json:
    assert isinstance(value, Mapping)
    return dict(value)


def _write(file: Path, content: Json) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
