"""Settings of the stages after training; `config.py` holds their values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from figtune.core.settings import RunSettings, check_pair
from figtune.models.records import Quantization


@dataclass(frozen=True, kw_only=True)
class ExportSettings(RunSettings):
    """Post-training export: merge the adapter, convert it for llama.cpp, upload it to the Hub."""

    merge: bool
    """After training, merge base model and adapter into one, in bfloat16, that loads and serves without peft."""
    gguf: Path | None
    """After merging, which this asks for too, write GGUF files for llama.cpp and Ollama into OUTPUT/gguf: a folder of
    llama.cpp, whose converter is run; its server, built there or on the PATH, is asked to check them."""
    gguf_quantization: Quantization
    """Quantization of the text model's GGUF file; below 8 bits it needs llama-quantize, built there or on the PATH."""
    push_to_hub: str | None
    """After training, upload what it has left to this repository of the Hub, USER/NAME; a merged model to
    USER/NAME-merged."""
    push_public: bool
    """A repository that --push_to_hub creates is for everybody to see, not private."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pair(self.push_to_hub is not None or not self.push_public, "push_public", "together with --push_to_hub")
