"""Tiny base models in the layout of their repositories on the Hub, as transformers 4 wrote those."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file

from figtune.models.tiny import TINY_MODELS

MODEL_TYPES = ("gemma3", "paligemma")

Json = dict[str, object]

_LAYERS = 6
_NEVER_MERGED = -1e6
_PIECE_KINDS = {"<unk>": 2, "<pad>": 3, "<eos>": 3, "<bos>": 3, "<mask>": 4, "\n": 4, "\n\n": 4}
"""Unknown, control and user-defined pieces; others are normal ones, or bytes."""


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
    """Write the files beside `tokenizer.json` that transformers 4 and llama.cpp read."""
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
    tokenizer = _read(folder / "tokenizer.json")
    (folder / "tokenizer.model").write_bytes(_sentencepiece_model(_dict(tokenizer["model"])))
    vocabulary = _dict(_dict(tokenizer["model"])["vocab"])
    added = [_dict(token) for token in _list(tokenizer["added_tokens"])]
    _write(
        folder / "added_tokens.json",
        {str(token["content"]): token["id"] for token in added if token["content"] not in vocabulary},
    )


def write_gguf_base(folder: Path) -> None:
    """Write a tiny Gemma 3 that llama.cpp computes too: it takes every sixth layer for one of full attention."""
    write_hub_base(folder, "gemma3")
    weights = load_file(folder / "model.safetensors")
    for name, weight in list(weights.items()):
        for layer in range(2, _LAYERS):
            if (marker := f"language_model.model.layers.{layer % 2}.") in name:
                weights[name.replace(marker, f"language_model.model.layers.{layer}.")] = weight.clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = _read(folder / "config.json")
    text = _dict(config["text_config"]) | {"num_hidden_layers": _LAYERS, "sliding_window_pattern": _LAYERS}
    _write(folder / "config.json", config | {"text_config": text})
    image_tokens = {"image_seq_length": config["mm_tokens_per_image"]}
    _write(folder / "preprocessor_config.json", _read(folder / "preprocessor_config.json") | image_tokens)


def _sentencepiece_model(model: Json) -> bytes:
    """Return the vocabulary of a BPE tokenizer as a sentencepiece model, a protocol buffer.

    Fields: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
    """
    scores: dict[str, float] = {}
    for rank, pair in enumerate(_list(model["merges"])):
        scores.setdefault("".join(map(str, _list(pair))), -float(rank))
    vocabulary = sorted(_dict(model["vocab"]).items(), key=lambda entry: int(str(entry[1])))
    pieces = b"".join(_field(1, _piece(text, scores.get(text, _NEVER_MERGED))) for text, _ in vocabulary)
    bpe = _number(3, 2) + _number(4, len(vocabulary)) + _number(35, 1)
    ids = _number(40, 3) + _number(41, 2) + _number(42, 1) + _number(43, 0)
    normalizer = _field(1, b"identity") + _number(3, 0) + _number(4, 0) + _number(5, 1)
    return pieces + _field(2, bpe + ids) + _field(3, normalizer)


def _piece(text: str, score: float) -> bytes:
    kind = 6 if text.startswith("<0x") else _PIECE_KINDS.get(text, 1)
    return _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + _number(3, kind)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes((*written, value))


def _read(file: Path) -> Json:
    return _dict(json.loads(file.read_text(encoding="utf-8")))


def _dict(value: object) -> Json:
    assert isinstance(value, Mapping)
    return dict(value)


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _write(file: Path, content: Json) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
