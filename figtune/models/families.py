"""The families there are. A new one is a file beside gemma3.py and an entry here."""

from __future__ import annotations

from figtune.models.family import Family
from figtune.models.gemma3 import Gemma3
from figtune.models.paligemma import PaliGemma
from figtune.pipeline.errors import ResourceError

FAMILIES: tuple[Family, ...] = (Gemma3(), PaliGemma())


def family_of(model_type: str, name: str) -> Family:
    """The family of a model whose `config.json` says `model_type`.

    Raises:
        ResourceError: there is none for it.
    """
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    supported = "; ".join(f"{family.title} ({', '.join(family.examples)})" for family in FAMILIES)
    raise ResourceError(f'{name} is a "{model_type}" model, which is not supported', f"choose one of: {supported}")
