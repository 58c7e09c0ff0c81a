"""Whether training will fit into memory, told before a model's weights are downloaded, and again before it begins."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from figtune.memory.budget import MemoryUse, StepSettings, advice, memory_lines, parsed_size, shortfall
from figtune.memory.estimate import Described, described, longest_load, memory_use
from figtune.models.choice import ModelChoice
from figtune.models.hub import find_model
from figtune.models.loading import base_folder, chosen_device
from figtune.models.precision import Precision, precision_of
from figtune.models.records import MODEL_FILE, AdapterRecord, ModelRecord
from figtune.models.support import TINY_TYPES, model_type_of
from figtune.pipeline.errors import ResourceError
from figtune.pipeline.progress import say
from figtune.pipeline.records import read_json
from figtune.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Room:
    """What training must fit into."""

    device: str
    """ "auto", "cpu" or "cuda"."""
    planned: int | None
    """Bytes that the user asked to plan for, be it another machine; None for what is here."""

    @classmethod
    def of(cls, device: str, memory: str | None) -> Room:
        """As the flags say it.

        Raises:
            UsageError: `memory` is no size.
        """
        return cls(device=device, planned=None if memory is None else parsed_size(memory))

    @property
    def size(self) -> int:
        """In bytes."""
        if self.planned is not None:
            return self.planned
        device = chosen_device(self.device)
        if device.type == "cuda":
            return torch.cuda.mem_get_info(device)[1]
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    @property
    def title(self) -> str:
        """For people."""
        if self.planned is not None:
            return "--memory"
        device = chosen_device(self.device)
        return torch.cuda.get_device_name(device) if device.type == "cuda" else "this machine"

    def precision(self, record: ModelRecord) -> Precision:
        """How the weights will be held. A card that is only planned for is taken to have bfloat16."""
        device = chosen_device(self.device)
        elsewhere = self.planned is not None and self.device == "auto" and device.type == "cpu"
        return precision_of(
            replace(record, dtype="bfloat16") if elsewhere and record.dtype == "auto" else record, device
        )


def foresee_model(choice: ModelChoice, settings: StepSettings, room: Room) -> None:
    """Print what training will take, from the model's description alone; its weights are not downloaded yet.

    Raises:
        ResourceError: it will not fit into what the user asked to plan for; or the model is not to be had.
    """
    if choice.name in TINY_TYPES:
        if room.planned is not None:
            say("memory: not estimated, since a demo model fits anywhere")
        return
    folder = find_model(choice.name, choice.revision, weights=False).folder
    record = ModelRecord(
        name=choice.name,
        base=str(folder),
        commit=None,
        family=model_type_of(folder, choice.name),
        tiny=False,
        dtype=choice.dtype,
        image_fit=choice.image_fit,
        max_length=choice.max_length,
        adapter=choice.adapter,
    )
    estimate = _estimate(folder, record, room)
    use = estimate(settings)
    for line in memory_lines(use):
        say(line)
    _judge(use, settings, room, estimate)


def foresee_training(model_dir: Path, recipe: Recipe, room: Room, made_by: str) -> None:
    """See that training fits, with the settings that it begins with.

    Args:
        made_by: the command that makes `model_dir`, for errors.

    Raises:
        ArtifactMissingError: there is no model in `model_dir`.
        ResourceError: it will not fit into what the user asked to plan for.
    """
    record = read_json(model_dir / MODEL_FILE, ModelRecord, made_by)
    if record.tiny:
        return
    settings = StepSettings(
        adapter=record.adapter,
        max_length=record.max_length,
        batch_size=recipe.batch_size,
        max_batch_tokens=recipe.max_batch_tokens,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        activation_checkpointing=recipe.activation_checkpointing,
        eight_bit_optimizer=recipe.optimizer == "adamw_8bit",
    )
    estimate = _estimate(base_folder(record, model_dir), record, room)
    _judge(estimate(settings), settings, room, estimate)


def _estimate(folder: Path, record: ModelRecord, room: Room) -> Callable[[StepSettings], MemoryUse]:
    """What training the model in `folder` takes, by settings."""

    @cache
    def model(adapter: AdapterRecord) -> Described:
        return described(folder, record.name, room.precision(replace(record, adapter=adapter)), adapter)

    @cache
    def use(settings: StepSettings) -> MemoryUse:
        chosen = model(settings.adapter)
        return memory_use(chosen, settings, longest_load(chosen, settings))

    return use


def _judge(use: MemoryUse, settings: StepSettings, room: Room, estimate: Callable[[StepSettings], MemoryUse]) -> None:
    """A shortage stops only who asked to plan for a size: the estimate is of the longest batch there can be."""
    problem = shortfall(use, room.size, room.title)
    if not problem:
        say(f"memory: at most {use.peak / 1e9:.1f} GB of {room.size / 1e9:.1f} GB ({room.title})")
        return
    remedy = advice(settings, room.size, estimate)
    if room.planned is not None:
        raise ResourceError(problem, remedy)
    say(f"memory may be too small: {problem}; {remedy}")
