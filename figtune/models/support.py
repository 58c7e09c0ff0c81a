"""Which models there are and what must not be asked of them: known from their `config.json`, without loading them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from figtune.core.errors import ResourceError, UsageError
from figtune.models.records import Dtype


@dataclass(frozen=True, kw_only=True)
class Support:
    """What is known of a model family before any of its weights are at hand."""

    model_type: str
    """As in the model's `config.json`."""
    title: str
    """For people."""
    examples: tuple[str, ...]
    """Hub ids of models of this family."""
    refused_dtypes: tuple[Dtype, ...]
    """In which the model overflows."""


GEMMA3 = Support(
    model_type="gemma3",
    title="Gemma 3",
    examples=("google/gemma-3-4b-pt", "google/gemma-3-12b-pt", "google/gemma-3-27b-pt", "google/gemma-3-4b-it"),
    refused_dtypes=("float16",),
)
PALIGEMMA = Support(
    model_type="paligemma",
    title="PaliGemma",
    examples=("google/paligemma-3b-pt-224", "google/paligemma2-3b-pt-448"),
    refused_dtypes=(),
)
SUPPORTED: tuple[Support, ...] = (GEMMA3, PALIGEMMA)
TINY_TYPES = {"tiny-gemma3": "gemma3", "tiny-paligemma": "paligemma", "tiny-paligemma2": "paligemma"}
"""Families of the models that are built on the spot."""


def support_of(model_type: str, name: str) -> Support:
    """What is known of a model whose `config.json` says `model_type`.

    Raises:
        ResourceError: it is of no family here; the remedy names those there are.
    """
    for support in SUPPORTED:
        if support.model_type == model_type:
            return support
    supported = "; ".join(f"{support.title} ({', '.join(support.examples)})" for support in SUPPORTED)
    raise ResourceError(f'{name} is a "{model_type}" model, which is not supported', f"choose one of: {supported}")


def refuse_overflow(support: Support, dtype: Dtype) -> None:
    """Let no dtype through that the family overflows in.

    Raises:
        UsageError: it does.
    """
    if dtype in support.refused_dtypes:
        raise UsageError(
            f"{support.title} overflows in {dtype}: its losses become NaN and its answers empty",
            "choose --model.dtype bfloat16 or float32",
        )


def model_type_of(folder: Path, name: str) -> str:
    """What the `config.json` in a model's folder says it is.

    Raises:
        ResourceError: it cannot be read.
    """
    try:
        return str(json.loads((folder / "config.json").read_bytes())["model_type"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ResourceError(f"the config.json of {name} cannot be read", "download the model again") from None
