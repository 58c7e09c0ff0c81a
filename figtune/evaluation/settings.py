"""Settings of the evaluation; `config.py` holds their values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
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
    """Examples per forward pass: of the longest ones in evaluation, where more of the shorter ones go together."""
    bootstrap_samples: int
    """Bootstrap resamples (over papers) for the 95 % intervals."""
    server: str
    """Address of a server of the trained model that speaks the OpenAI protocol, such as http://127.0.0.1:8000: its
    answers are evaluated beside the last evaluation's, into OUTPUT/evaluation-served. Empty for none."""
    server_model: str
    """Name of the model at --test.server; empty takes the only one there."""
    server_timeout: float
    """Seconds that one answer of the server may take."""

    @property
    def unquantized(self) -> bool:
        """True to load the base model whole, even after QLoRA."""
        return self.base_weights == "full"

    @property
    def without_server(self) -> TestSettings:
        """Settings of the model's own evaluation, of which a server's changes nothing."""
        return replace(self, server="", server_model="", server_timeout=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting(self.batch_size >= 1, "test.batch_size", "1 or more")
        check_setting(self.bootstrap_samples >= 100, "test.bootstrap_samples", "100 or more")
        check_setting(0 < self.server_timeout < inf, "test.server_timeout", "above 0")
