"""Settings of generation and of the answers about single files; `config.py` holds their values."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from figtune.core.settings import check_setting
from figtune.extraction.settings import ExtractSettings


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Generation of an answer."""

    max_new_tokens: int
    """Maximum length of an answer, in tokens."""
    temperature: float
    """Sampling temperature; 0 decodes greedily."""
    top_p: float
    """Nucleus sampling: tokens are sampled from the most likely ones that have this probability together."""
    seed: int
    """Sampling seed; same seed, same answers."""

    def __post_init__(self) -> None:
        check_setting(self.max_new_tokens >= 1, "test.max_new_tokens", "1 or more")
        check_setting(0 <= self.temperature < inf, "test.temperature", "0 or more")
        check_setting(0 < self.top_p <= 1, "test.top_p", "above 0 and at most 1")


@dataclass(frozen=True)
class InferenceSettings:
    """Way in which the model is asked."""

    device: str
    """ "auto", "cpu" or "cuda"."""
    batch_size: int
    """Images of a folder per forward pass."""
    decoding: Decoding
    extract: ExtractSettings
    """Extraction of a paper."""
    strict: bool
    """Fail in the end if an image of a folder could not be read."""
    unquantized: bool = False
    """Load the base model whole, even after QLoRA."""
