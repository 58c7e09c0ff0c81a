"""Fully trained parts of a model behind the interface of an adapter: saved, loaded and switched off like one.

What is kept are the trained weights in float32 under the names that the base model gives them, so that plain
transformers reads them with `model.load_state_dict(load_file("adapter_model.safetensors"), strict=False)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from pathlib import Path

import torch
from peft import LoraConfig, PeftModelForCausalLM
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from figtune.core.errors import ResourceError
from figtune.models.model_parts import ModelParts
from figtune.models.quiet import damage_explained, suppress_peft_deprecations
from figtune.models.records import Part

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
_INSIDE = "base_model.model."
"""Name under which peft puts the base model."""


class FullFinetuneModel(PeftModelForCausalLM):  # type: ignore[misc]  # untyped in peft
    """A model with fully trained parts. peft adds nothing to it; the method names are those that its users call."""

    def __init__(
        self, model: PreTrainedModel, config: LoraConfig, parts: ModelParts, trained_parts: Sequence[Part]
    ) -> None:
        with suppress_peft_deprecations():
            super().__init__(model, config)
        self._parts = parts
        self._trained_parts = tuple(trained_parts)
        self._compute_dtype = torch.float32
        self._originals: dict[str, Tensor] = {}
        self.cache_casts = True
        """Keep the copies of weights that autocast makes until the end of a forward pass: False where FSDP frees the
        weights themselves after each layer."""

    @property
    def trained(self) -> dict[str, Parameter]:
        """Weights of the trained parts by the base model's names. A tied weight is among them once."""
        named = self.get_base_model().named_parameters()
        return {name: parameter for name, parameter in named if self._parts.part_of(name) in self._trained_parts}

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which a training step computes in the dtype of `make_trainable`."""
        if self._compute_dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.get_base_model().device.type, self._compute_dtype, cache_enabled=self.cache_casts)

    def make_trainable(self, dtype: torch.dtype) -> None:
        """Make the parts trainable, in float32: smaller steps than bfloat16 holds would be lost.

        Args:
            dtype: to compute in; where it is not float32, autocast makes copies of the weights for each forward pass.
        """
        for parameter in self.trained.values():
            parameter.data = parameter.data.to(torch.float32)
            parameter.requires_grad_(True)
        self._compute_dtype = dtype
        if dtype != torch.float32:
            model = self.get_base_model()
            # Answers and features are computed outside a training step, through these.
            for module in (model, model.get_submodule(self._parts.vision_encoder)):
                module.forward = self._cast(module.forward)

    def _cast(self, forward: Callable[..., object]) -> Callable[..., object]:
        @wraps(forward)
        def cast_forward(*arguments: object, **named: object) -> object:
            with self.autocast():
                return forward(*arguments, **named)

        return cast_forward

    def load_weights(self, folder: Path) -> None:
        """Take the trained weights of a folder, keeping the base model's for `disable_adapter`.

        Raises:
            ResourceError: the folder's weights are not those of this model.
        """
        self._originals = {name: parameter.data for name, parameter in self.trained.items()}
        kept = _read(folder, self.trained)
        for name, parameter in self.trained.items():
            parameter.data = kept[name].to(parameter.device, parameter.dtype)

    def load_adapter(self, model_id: str | Path, *_: object, **__: object) -> None:
        """Take the weights of a checkpoint, to the bit. The Trainer calls this when it resumes."""
        kept = _read(Path(model_id), self.trained)
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(kept[name])

    def save_pretrained(
        self, save_directory: str | Path, state_dict: Mapping[str, Tensor] | None = None, **_: object
    ) -> None:
        """Write the trained weights in float32, and which model they belong to.

        Args:
            state_dict: the weights by the names that they have in this module, where they are spread over processes.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        held: Mapping[str, Tensor] = self.trained
        if state_dict is not None:
            held = {name: state_dict[f"{_INSIDE}{name}"] for name in held}
        weights = {name: weight.detach().float().contiguous().cpu() for name, weight in held.items()}
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        config = self.peft_config["default"]
        origin = {"base_model_name_or_path": config.base_model_name_or_path, "revision": config.revision}
        (folder / CONFIG_FILE).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Use the base model's weights within the block.

        Raises:
            RuntimeError: the model is being trained, where its base weights are not kept beside the others.
        """
        if not self._originals:
            raise RuntimeError("the base model's weights are not kept while the model is trained")
        self._swap_weights()
        try:
            yield
        finally:
            self._swap_weights()

    def _swap_weights(self) -> None:
        trained = self.trained
        others = {name: parameter.data for name, parameter in trained.items()}
        for name, parameter in trained.items():
            parameter.data = self._originals[name]
        self._originals = others


def _read(folder: Path, wanted: dict[str, Parameter]) -> dict[str, Tensor]:
    with damage_explained(f"the weights in {folder} cannot be read", "train again with --force"):
        kept = load_file(folder / WEIGHTS_FILE)
    shapes = {name: tensor.shape for name, tensor in kept.items()}
    if shapes != {name: parameter.shape for name, parameter in wanted.items()}:
        raise ResourceError(f"the weights in {folder} are of another model", "train again with --force")
    return kept
