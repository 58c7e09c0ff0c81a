"""Parts of a model: its vision encoder, projector and text decoder, and the layers that LoRA adapts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from figtune.models.records import Part


@dataclass(frozen=True, kw_only=True)
class LoraLayers:
    """Linear layers of one part that LoRA can adapt."""

    path: str
    """Path of the list of layers, its last components; each layer has `self_attn` and `mlp`."""
    names: tuple[str, ...]
    """Names of the linear layers in them, in the order of the model."""
    older_level: str = ""
    """Name of a level that transformers 4 has after the path's first component: adapters load in both."""

    def pattern(self, names: Sequence[str]) -> str:
        """Return a regular expression of the full names of some of the linear layers, for peft."""
        first, *others = self.path.split(".")
        older = rf"({self.older_level}\.)?" if self.older_level else ""
        path = rf"{first}\.{older}" + r"\.".join(others)
        return rf"(.*{path}\.\d+\.(self_attn|mlp)\.({'|'.join(map(re.escape, names))}))"


@dataclass(frozen=True, kw_only=True)
class ModelParts:
    """Places of the three parts of a model: paths below the class that transformers loads."""

    vision_encoder: str
    projector: str
    text_decoder: str
    vision_layers: LoraLayers
    decoder_layers: LoraLayers
    unused: tuple[str, ...] = ()
    """Names of modules that no example goes through, such as an audio encoder: never trained."""
    outside_layers: tuple[str, ...] = ()
    """Paths of linear layers of the text decoder outside its list of layers: QLoRA leaves them in full precision."""

    @property
    def vision_name(self) -> str:
        """Name of the vision encoder's module, the last component of its path."""
        return self.vision_encoder.rpartition(".")[2]

    @property
    def projector_name(self) -> str:
        """Name of the projector's module, the last component of its path."""
        return self.projector.rpartition(".")[2]

    def part_of(self, weight: str) -> Part | None:
        """Return the part that a weight belongs to, by its full name; None where no example goes through it.

        The output layer is the text decoder's.
        """
        components = weight.split(".")
        if not set(self.unused).isdisjoint(components):
            return None
        if self.vision_name in components:
            return "vision"
        return "projector" if self.projector_name in components else "text"


DECODER_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Linear layers of a decoder block, the same names in Llama, Gemma, Gemma 2 and Gemma 3."""
SIGLIP_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
"""Linear layers of a SigLIP block."""
SIGLIP_GEMMA_PARTS = ModelParts(
    vision_encoder="model.vision_tower",
    projector="model.multi_modal_projector",
    text_decoder="model.language_model",
    vision_layers=LoraLayers(path="vision_tower.encoder.layers", names=SIGLIP_LAYERS, older_level="vision_model"),
    decoder_layers=LoraLayers(path="language_model.layers", names=DECODER_LAYERS),
)
"""Parts of Gemma 3 and PaliGemma."""
