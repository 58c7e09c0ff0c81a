"""Settings of the evaluation; `config.py` holds their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from figtune.core.settings import check_setting
from figtune.inference.settings import Decoding


@dataclass(frozen=True, kw_only=True)
class TestSettings(Decoding):
    """The evaluation, and answers about single images."""

    base_weights: Literal["trained", "full"]
    """Weights of the base model after QLoRA: "trained", the text decoder in 4 bits as in training, or "full", without
    quantization, as programs load it that are not told of the 4 bits. Other adapters know no difference."""
    batch_size: int
    """Examples per forward pass."""
    bootstrap_samples: int
    """Bootstrap resamples (over papers) for the 95 % intervals."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting(self.batch_size >= 1, "test.batch_size", "1 or more")
        check_setting(self.bootstrap_samples >= 100, "test.bootstrap_samples", "100 or more")
