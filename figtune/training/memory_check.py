"""Check that training fits into memory: before a model's weights are downloaded, and again before training starts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import psutil
import torch

from figtune.core.distributed import world_size
from figtune.core.errors import ResourceError
from figtune.core.jsonl import read_json
from figtune.core.number_format import gigabytes
from figtune.core.settings import Device
from figtune.models.families import TINY_TYPES, model_type_of
from figtune.models.loading import base_folder, resolve_device
from figtune.models.model_files import find_model
from figtune.models.precision import Precision, precision_of
from figtune.models.records import MODEL_FILE, AdapterRecord, ModelRecord
from figtune.models.settings import ModelSettings
from figtune.training.fsdp import is_sharding_requested
from figtune.training.memory_budget import (
    MemoryUse,
    StepConfig,
    memory_lines,
    parse_size,
    shortfall_message,
    suggest_settings,
)
from figtune.training.memory_estimate import ModelSpec, describe_model, memory_use, worst_case_batch
from figtune.training.settings import TrainSettings

logger = logging.getLogger(__name__)

_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True, kw_only=True)
class MemoryBudget:
    """Memory that training must fit into."""

    device: Device
    requested: int | None
    """Bytes given with --memory, possibly of another machine; None for the free memory of this one."""

    @classmethod
    def of(cls, device: Device, memory: str | None) -> MemoryBudget:
        """Build the budget from the flags.

        Raises:
            UsageError: `memory` is not a memory size.
        """
        return cls(device=device, requested=None if memory is None else parse_size(memory))

    @property
    def size(self) -> int:
        """Budget in bytes."""
        if self.requested is not None:
            return self.requested
        device = resolve_device(self.device)
        return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()

    @property
    def title(self) -> str:
        """Name of the budget in messages."""
        if self.requested is not None:
            return "--memory"
        device = resolve_device(self.device)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "this machine"
        return f"free on {name}"

    def precision(self, record: ModelRecord) -> Precision:
        """Return the precision of the weights. A card that is only planned for is assumed to support bfloat16."""
        device = resolve_device(self.device)
        planned_card = self.requested is not None and self.device == "auto" and device.type == "cpu"
        return precision_of(
            replace(record, dtype="bfloat16") if planned_card and record.dtype == "auto" else record, device
        )


def free_memory(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int:
    """Return the bytes of main memory that this process can take without swapping, within the limits of its container.

    Args:
        cgroups: root of the control groups' file system.
        own: file that names the groups of this process, a line each.
    """
    free = [psutil.virtual_memory().available]
    for line in own.read_text().splitlines() if own.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            names, root = ("memory.max", "memory.current", "inactive_file"), cgroups
        elif "memory" in controllers.split(","):
            names, root = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"), cgroups / "memory"
        else:
            continue
        group = root / path.strip("/")
        # A container sees its own group at the root, though the line may name it as the host does.
        free += [_free_in_group(folder, *names) for folder in (group, *group.parents) if folder.is_relative_to(root)]
    return max(0, min(free))


def _free_in_group(folder: Path, limit: str, usage: str, cached: str) -> int:
    """Return what is left below a group's limit, files in the cache counted as free; a huge number without a limit."""
    files = [folder / name for name in (limit, usage, "memory.stat")]
    if not all(file.is_file() for file in files):
        return sys.maxsize
    most, taken, statistics = (file.read_text().strip() for file in files)
    if most == "max":
        return sys.maxsize
    counts = dict(line.split(" ", 1) for line in statistics.splitlines())
    return int(most) - int(taken) + int(counts.get(cached, 0))


def check_setup_memory(model: ModelSettings, step: StepConfig, budget: MemoryBudget) -> None:
    """Print the estimate from the model's config alone; its weights are not downloaded yet.

    Raises:
        ResourceError: it does not fit into --memory; or the model is unavailable.
    """
    if model.name in TINY_TYPES:
        if budget.requested is not None:
            logger.info("memory: not estimated, since a demo model fits anywhere")
        return
    folder = find_model(model.name, model.revision, weights=False).folder
    family = model_type_of(folder, model.name)
    record = model.record(step.adapter, base=str(folder), commit=None, family=family)
    estimate = _estimate(folder, record, budget)
    use = estimate(step)
    for line in memory_lines(use):
        logger.info(line)
    _judge(use, step, budget, estimate)


def check_training_memory(model_dir: Path, settings: TrainSettings, budget: MemoryBudget, made_by: str) -> None:
    """Check that training fits with its initial settings.

    Raises:
        ArtifactMissingError: there is no model in `model_dir`.
        ResourceError: it does not fit into --memory.
    """
    record = read_json(model_dir / MODEL_FILE, ModelRecord, made_by)
    if record.tiny:
        return
    processes = world_size() if is_sharding_requested() else 1
    step = StepConfig(adapter=record.adapter, max_length=record.max_length, train=settings, processes=processes)
    estimate = _estimate(base_folder(record, model_dir), record, budget)
    if processes > 1:
        for line in memory_lines(estimate(step)):
            logger.info(line)
    _judge(estimate(step), step, budget, estimate)


def _estimate(folder: Path, record: ModelRecord, budget: MemoryBudget) -> Callable[[StepConfig], MemoryUse]:
    """Return the estimator of the model in `folder`, cached by settings."""

    @cache
    def model(adapter: AdapterRecord) -> ModelSpec:
        precision = budget.precision(replace(record, adapter=adapter))
        return describe_model(folder, record.name, precision, adapter, record.image_tokens, record.tiles)

    @cache
    def use(step: StepConfig) -> MemoryUse:
        spec = model(step.adapter)
        return memory_use(spec, step.train, worst_case_batch(spec, step), step.processes)

    return use


def _judge(use: MemoryUse, step: StepConfig, budget: MemoryBudget, estimate: Callable[[StepConfig], MemoryUse]) -> None:
    """Raise only for a budget given with --memory: the estimate is of the worst-case batch, so otherwise it warns."""
    problem = shortfall_message(use, budget.size, budget.title)
    if not problem:
        logger.info(f"memory: at most {gigabytes(use.peak)} of {gigabytes(budget.size)} ({budget.title})")
        return
    remedy = suggest_settings(step, budget.size, estimate)
    if budget.requested is not None:
        raise ResourceError(problem, remedy)
    logger.warning(f"memory may be too small: {problem}; {remedy}")
