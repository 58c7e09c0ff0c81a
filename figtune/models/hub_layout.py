"""Tiny models in the layout of repositories on the Hub, as transformers 4 wrote those: 4 and 5 read them alike.

Written by transformers 5 alone, weights of the vision encoder, rotary positions and tokenizer are lost to 4, the first
two without an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file

from figtune.core.io import write_text

Json = dict[str, object]

_MARKERS = ("boi_token", "eoi_token", "image_token")
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")
_PROCESSOR = ("image_seq_length", "image_seq_len", "processor_class")
"""Settings of `processor_config.json`; those of the image processor have a file of their own."""


def write_hub_layout(folder: Path) -> None:
    """Rewrite the folder of a model that transformers 5 saved, in place."""
    config = read_object(folder / "config.json")
    _rename_weights(folder / "model.safetensors")
    text, vision = (_old_dtype(_object(config[part])) for part in ("text_config", "vision_config"))
    parts: Json = {"text_config": _old_rope(text), "vision_config": vision}
    write_object(folder / "config.json", _old_dtype(config) | parts | {"transformers_version": "4.50.0.dev0"})
    _split_processor(folder)
    _split_tokenizer(folder)


def read_object(file: Path) -> Json:
    """Read a JSON object."""
    return _object(json.loads(file.read_text(encoding="utf-8")))


def write_object(file: Path, content: Json) -> None:
    """Write a JSON object."""
    write_text(file, json.dumps(content, indent=2) + "\n")


def _rename_weights(file: Path) -> None:
    """Give the vision encoder's weights the level that transformers 5 dropped."""
    renamed = {
        name.replace("vision_tower.", "vision_tower.vision_model."): weight for name, weight in load_file(file).items()
    }
    save_file(renamed, file, metadata={"format": "pt"})


def _old_rope(text: Json) -> Json:
    """Return a decoder's settings with rotary positions and kinds of layers as older configurations have them."""
    rope = _object(text.pop("rope_parameters"))
    if "full_attention" not in rope:
        return text | {"rope_theta": rope["rope_theta"]}
    kinds = text.pop("layer_types")
    assert isinstance(kinds, list)
    text.pop("_sliding_window_pattern", None)
    return text | {
        "rope_theta": _object(rope["full_attention"])["rope_theta"],
        "rope_local_base_freq": _object(rope["sliding_attention"])["rope_theta"],
        "sliding_window_pattern": kinds.index("full_attention") + 1,
    }


def _old_dtype(config: Json) -> Json:
    return {key: value for key, value in config.items() if key != "dtype"} | {"torch_dtype": "float32"}


def _split_processor(folder: Path) -> None:
    processor = read_object(folder / "processor_config.json")
    if "image_processor" not in processor:
        return
    images = _object(processor.pop("image_processor")) | {"processor_class": processor["processor_class"]}
    write_object(folder / "preprocessor_config.json", images)
    write_object(folder / "processor_config.json", {key: processor[key] for key in _PROCESSOR if key in processor})


def _split_tokenizer(folder: Path) -> None:
    """Write the files beside `tokenizer.json` without what transformers 4 refuses."""
    config = read_object(folder / "tokenizer_config.json")
    markers = {name: config[name] for name in _MARKERS if name in config}
    special = {name: config[name] for name in _SPECIAL}
    kept = {key: config[key] for key in ("model_max_length", "processor_class", "tokenizer_class") if key in config}
    settings = {"add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False}
    write_object(
        folder / "tokenizer_config.json", special | markers | {"extra_special_tokens": markers} | settings | kept
    )
    write_object(folder / "special_tokens_map.json", special | markers)


def _object(value: object) -> Json:
    assert isinstance(value, Mapping)
    return dict(value)
