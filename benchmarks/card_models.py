"""Models of `benchmarks.card`: random weights drawn on the device, in memory or in a folder that the product loads."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import torch
from peft import PeftModel
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from benchmarks.card_results import Mode
from benchmarks.full_size_model import OFFLINE
from benchmarks.training_ways import random_model, tuned_model
from config import ADAPTER, MODEL
from figtune.core.io import atomic_write_dir
from figtune.models.families import family_of
from figtune.models.family import Family
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.settings import AdapterSettings, SetupSettings
from figtune.models.setup import set_up_model
from figtune.models.tiny import TINY_MODELS
from figtune.training.oom import release_memory

MODELS = tuple(OFFLINE)
MAX_LENGTH = 512
_FILE_SIZE = "1GB"
Held = TypeVar("Held")


def accept_older_transformers() -> None:
    """Give models the names by which transformers 5.23 checkpoints activations, where it is older."""
    for verb in ("enable", "disable"):
        if not hasattr(PreTrainedModel, f"activation_checkpointing_{verb}"):
            older = getattr(PreTrainedModel, f"gradient_checkpointing_{verb}")
            setattr(PreTrainedModel, f"activation_checkpointing_{verb}", older)


def adapter(mode: Mode) -> AdapterSettings:
    """Return the adapter that is trained: LoRA of rank 16 in the decoder, as `benchmarks.training` has it."""
    return replace(ADAPTER, mode=mode, rank=16, alpha=32, dropout=0.0, targets=("decoder",))


def described_model(folder: Path, model: str, size: str) -> Path:
    """Return the folder of a model's `config.json` and processor, written where it is not there yet; a tiny model has
    its weights too."""
    target = folder / "described" / model
    if target.is_dir():
        return target
    if size == "tiny":
        TINY_MODELS[f"tiny-{model}"](target)
        return target
    with atomic_write_dir(target) as temporary:
        OFFLINE[model].config().save_pretrained(temporary)
        OFFLINE[model].processor(folder).save_pretrained(temporary)
    return target


@dataclass(frozen=True, kw_only=True)
class ModelInMemory:
    """A model with LoRA in the decoder, that no file is behind."""

    peft_model: PeftModel
    family: Family
    config: PreTrainedConfig


@dataclass
class _Place(Generic[Held]):
    """Place for one object, made when it is asked for."""

    key: str = ""
    held: Held | None = None


class ModelStore:
    """Models of a folder, one in memory at a time. What could not be made is not tried again."""

    def __init__(self, folder: Path, size: str, device: torch.device) -> None:
        self.folder = folder
        self.device = device
        self._size = size
        self._memory: _Place[ModelInMemory] = _Place()
        self._loaded: _Place[LoadedModel] = _Place()
        self._failures: dict[str, str] = {}

    def in_memory(self, model: str) -> ModelInMemory:
        """Return a model that was drawn on the device."""

        def make() -> ModelInMemory:
            config = self._config(model)
            family = family_of(config.model_type, model)
            return ModelInMemory(peft_model=tuned_model(config, self.device), family=family, config=config)

        return self._held(self._memory, f"{model} in memory", make)

    def loaded(self, model: str, mode: Mode) -> LoadedModel:
        """Return a model that the product has loaded, with its vision encoder."""
        base = self._written(model)

        def make() -> LoadedModel:
            work = self.folder / "work" / f"{model}-{mode}"
            settings = replace(MODEL, name=str(base), max_length=MAX_LENGTH)
            set_up_model(work, SetupSettings(model=settings, adapter=adapter(mode), seed=0))
            return load_tuned_model(work, self.device, "this benchmark", trainable=True)

        return self._held(self._loaded, f"{model} from disk, {mode}", make)

    def release(self) -> None:
        """Drop what is in memory."""
        self._memory.key = self._loaded.key = ""
        self._memory.held = self._loaded.held = None
        gc.collect()
        release_memory()

    def _written(self, model: str) -> Path:
        """Return the folder of a model with its weights, drawn on the device and written where they are not there."""
        described, folder = described_model(self.folder, model, self._size), self.folder / "models" / model
        if self._size == "tiny" or folder.is_dir():
            return described if self._size == "tiny" else folder

        def write() -> Path:
            self.release()
            drawn = random_model(self._config(model), self.device)
            with atomic_write_dir(folder) as temporary:
                shutil.copytree(described, temporary, dirs_exist_ok=True)
                drawn.save_pretrained(temporary, max_shard_size=_FILE_SIZE)
            return folder

        return self._tried(f"{model} on disk", write)

    def _config(self, model: str) -> PreTrainedConfig:
        config: PreTrainedConfig = AutoConfig.from_pretrained(described_model(self.folder, model, self._size))
        return config

    def _held(self, place: _Place[Held], key: str, make: Callable[[], Held]) -> Held:
        if place.key != key or place.held is None:
            self.release()
            place.held = self._tried(key, make)
            place.key = key
        return place.held

    def _tried(self, key: str, make: Callable[[], Held]) -> Held:
        if key in self._failures:
            raise RuntimeError(f"no {key}: {self._failures[key]}")
        try:
            return make()
        except ImportError:
            raise
        except Exception as failure:
            self._failures[key] = f"{type(failure).__name__}: {failure}"
            raise
