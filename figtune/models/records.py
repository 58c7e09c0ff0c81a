"""Records of setup and training: base model, adapter, parameter table, logged metrics.

`model.json` stands in the work folder's model and again beside the trained adapter, so that the latter is enough
to test with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

AdapterMode = Literal["lora", "qlora", "projector", "full"]
Part = Literal["vision", "projector", "text"]
"""Vision encoder, projector and text decoder."""
Dtype = Literal["auto", "bfloat16", "float32", "float16"]
LossPer = Literal["token", "square_root", "example"]
"""Unit over which the loss of an optimizer step is averaged."""
ImageFit = Literal["letterbox", "squash"]
Quantization = Literal["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m"]
"""Quantization of a text model in a GGUF file, by llama.cpp's names."""

SETUP_VERSION = 5
TRAINING_VERSION = 3
MERGE_VERSION = 4
"""Bumped by hand when a rule of setup, training or merging changes: models are made anew then."""

MODEL_FILE = "model.json"
PARAMETERS_FILE = "parameters.json"
METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.png"
ANSWERS_FILE = "answers.jsonl"
CARD_FILE = "README.md"
ADAPTER_FOLDER = "adapter"
PROCESSOR_FOLDER = "processor"
BASE_FOLDER = "base"
FEATURES_FOLDER = "features"
CHECKPOINTS_FOLDER = "checkpoints"
MERGED_FOLDER = "merged"
TENSORBOARD_FOLDER = "tensorboard"

CHAT_TEMPLATE_FILE = "chat_template.jinja"
PROCESSOR_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    CHAT_TEMPLATE_FILE,
)
"""Files of tokenizer and image processor in the Hub's layout; each model has some of them."""

MODEL_CONTENTS = (MODEL_FILE, PARAMETERS_FILE, ADAPTER_FOLDER, PROCESSOR_FOLDER, BASE_FOLDER)
"""Outputs of setup. The folder of cached features beside them grows later."""
OUTPUT_CONTENTS = (
    MODEL_FILE,
    ADAPTER_FOLDER,
    PROCESSOR_FOLDER,
    BASE_FOLDER,
    METRICS_FILE,
    ANSWERS_FILE,
    CURVES_FILE,
    CARD_FILE,
)
"""Outputs of training. Checkpoints lie beside them during the run, and TensorBoard's files."""
TRAINED_MODEL = (MODEL_FILE, ADAPTER_FOLDER, PROCESSOR_FOLDER, BASE_FOLDER)
"""Outputs that are loaded for answering."""
GGUF_FOLDER = "gguf"
GGUF_VERSION = 1
GGUF_TEXT_FILE = "text.gguf"
GGUF_PROJECTOR_FILE = "mmproj.gguf"
GGUF_MODELFILE = "Modelfile"
GGUF_CONTENTS = (GGUF_TEXT_FILE, GGUF_PROJECTOR_FILE, GGUF_MODELFILE, CARD_FILE)
"""Outputs of the conversion for llama.cpp and Ollama."""
MERGED_CONTENTS = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    *PROCESSOR_FILES,
    CARD_FILE,
)
"""Outputs of merging, in the Hub's layout."""


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """`model.json`: the model as it was set up. It is read long after the settings have changed, and so does not depend
    on them; a new field needs a default, since earlier files lack it."""

    schema: Literal[1] = 1
    name: str
    """Name as the user gave it: a Hub id, a folder, or the name of a tiny model."""
    base: str
    """Source of the base model: a Hub id, an absolute folder, or "base", a folder beside this file."""
    commit: str | None
    """Commit of the Hub repository."""
    family: str
    """The `model_type` of its configuration."""
    tiny: bool
    """Made on the spot with random weights: for demos and tests."""
    dtype: Dtype
    """dtype of the frozen weights; "auto" follows the device. Trained weights are always float32."""
    image_fit: ImageFit
    image_tokens: int = 0
    """Most tokens of an image, in families where that can be chosen; 0 for the base model's own number."""
    tiles: int = 0
    """Most tiles of a wide or tall image beside the whole, in families that cut tiles by choice."""
    max_length: int
    """Text tokens of prompt and completion together."""
    adapter: AdapterRecord

    @property
    def title(self) -> str:
        """Name for people, without the path of a folder on this machine."""
        return self.name if self.commit is not None or self.tiny else Path(self.name).name


@dataclass(frozen=True, kw_only=True)
class AdapterRecord:
    """Choice of the weights that are trained. `AdapterSettings` are these fields and their checks.

    It stands in `model.json`: a new field needs a default, since earlier files lack it.
    """

    mode: AdapterMode
    """LoRA matrices ("qlora": on a text decoder kept in 4 bits), only the projector between vision encoder and text
    decoder, or every weight ("full")."""
    rank: int
    """LoRA rank."""
    alpha: int
    """LoRA scale: updates count alpha / rank."""
    dropout: float
    """Dropout before the LoRA matrices."""
    targets: tuple[str, ...]
    """Parts that LoRA matrices go into: "decoder", "projector" (trained whole), "vision" (linear layers of the
    encoder), joined with + or spaces, or names of linear layers of the decoder such as q_proj v_proj. Only lora and
    qlora read it."""
    freeze: tuple[Part, ...] = ()
    """Parts that are not trained: "vision" encoder, "projector", "text" decoder. Needed with --adapter.mode full, where
    every other part is trained; elsewhere it forbids what the targets must not name."""


@dataclass(frozen=True, kw_only=True)
class PartCount:
    """Numbers (scalars) in one part of the model."""

    part: str
    """vision encoder, projector, text decoder, or LoRA in one of them."""
    trained: int
    frozen: int


@dataclass(frozen=True, kw_only=True)
class ParameterTable:
    """`parameters.json`"""

    schema: Literal[1] = 1
    parts: tuple[PartCount, ...]
    trained: int
    total: int


@dataclass(frozen=True, kw_only=True)
class MetricsLine:
    """One line of `metrics.jsonl`; a value is None where the line is not about it."""

    schema: Literal[1] = 1
    step: int
    """Optimizer steps done."""
    epoch: float
    examples_seen: int
    loss: float | None
    """Mean over the learned tokens since the line before."""
    learning_rate: float | None
    gradient_norm: float | None
    val_loss: float | None
    minitrain_loss: float | None


@dataclass(frozen=True, kw_only=True)
class AnswerLine:
    """One line of `answers.jsonl`: what the model said about an example while it was trained."""

    schema: Literal[1] = 1
    step: int
    """Optimizer steps done."""
    example_id: str
    prompt: str
    reference: str
    answer: str
