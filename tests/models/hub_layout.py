"""Tiny base models in the layout of their repositories on the Hub, as transformers 4 wrote those."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file

from figtune.models.hub_layout import Json, read_object, write_object
from figtune.models.tiny import TINY_MODELS

MODEL_TYPES = ("gemma3", "paligemma")

_LAYERS = 6
_NEVER_MERGED = -1e6
_PIECE_KINDS = {"<unk>": 2, "<pad>": 3, "<eos>": 3, "<bos>": 3, "<mask>": 4, "\n": 4, "\n\n": 4}
"""Unknown, control and user-defined pieces; others are normal ones, or bytes."""


def write_hub_base(folder: Path, model_type: str) -> None:
    """Write a tiny base model with what the real ones have besides: a linear RoPE factor, `tokenizer.model`."""
    TINY_MODELS[f"tiny-{model_type}"](folder)
    if model_type == "gemma3":
        config = read_object(folder / "config.json")
        scaling: Json = {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
        write_object(folder / "config.json", config | {"text_config": _dict(config["text_config"]) | scaling})
    tokenizer = read_object(folder / "tokenizer.json")
    (folder / "tokenizer.model").write_bytes(_sentencepiece_model(_dict(tokenizer["model"])))
    vocabulary = _dict(_dict(tokenizer["model"])["vocab"])
    added = [_dict(token) for token in _list(tokenizer["added_tokens"])]
    write_object(
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
    config = read_object(folder / "config.json")
    text = _dict(config["text_config"]) | {"num_hidden_layers": _LAYERS, "sliding_window_pattern": _LAYERS}
    write_object(folder / "config.json", config | {"text_config": text})
    image_tokens = {"image_seq_length": config["mm_tokens_per_image"]}
    write_object(folder / "preprocessor_config.json", read_object(folder / "preprocessor_config.json") | image_tokens)


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


def _dict(value: object) -> Json:
    assert isinstance(value, Mapping)
    return dict(value)


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
