"""The registry of model families. A new one is a file beside gemma3.py and an entry here."""

from __future__ import annotations

import json
from pathlib import Path

from figtune.core.errors import ResourceError
from figtune.models.family import Family
from figtune.models.gemma3 import Gemma3
from figtune.models.gemma4 import Gemma4
from figtune.models.paligemma import PaliGemma
from figtune.models.smolvlm import SmolVLM2

FAMILIES: tuple[Family, ...] = (Gemma3(), PaliGemma(), SmolVLM2(), Gemma4())
TINY_TYPES = {
    "tiny-gemma3": "gemma3",
    "tiny-paligemma": "paligemma",
    "tiny-paligemma2": "paligemma",
    "tiny-smolvlm2": "smolvlm",
    "tiny-gemma4": "gemma4",
    "tiny-gemma4-31b": "gemma4",
}
"""Reserved names of the models that are built on the spot, and their `model_type`."""


def family_of(model_type: str, name: str) -> Family:
    """Return the family of a model whose `config.json` says `model_type`.

    Raises:
        ResourceError: it is of no family here; the remedy names those there are.
    """
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    supported = "; ".join(f"{family.display_name} ({', '.join(family.examples)})" for family in FAMILIES)
    raise ResourceError(f'{name} is a "{model_type}" model, which is not supported', f"choose one of: {supported}")


def model_type_of(folder: Path, name: str) -> str:
    """Return the `model_type` that the `config.json` in a model's folder states.

    Raises:
        ResourceError: it cannot be read.
    """
    try:
        return str(json.loads((folder / "config.json").read_bytes())["model_type"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ResourceError(f"the config.json of {name} cannot be read", "download the model again") from None


def family_of_folder(folder: Path, name: str) -> Family:
    """Return the family of the model in a folder, from its own configuration.

    Raises:
        ResourceError: it is not supported, or its configuration cannot be read.
    """
    return family_of(model_type_of(folder, name), name)
