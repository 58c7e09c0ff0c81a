"""The families there are. A new one is a file beside gemma3.py, an entry here and one in support.py."""

from __future__ import annotations

from figtune.models.family import Family
from figtune.models.gemma3 import Gemma3
from figtune.models.paligemma import PaliGemma
from figtune.models.support import support_of

FAMILIES: tuple[Family, ...] = (Gemma3(), PaliGemma())


def family_of(model_type: str, name: str) -> Family:
    """The family of a model whose `config.json` says `model_type`.

    Raises:
        ResourceError: there is none for it.
    """
    support = support_of(model_type, name)
    return next(family for family in FAMILIES if family.support is support)
