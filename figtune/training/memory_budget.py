"""Memory of a training run as a table, and the settings to change when it does not suffice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from figtune.core.errors import UsageError
from figtune.core.number_format import count, gigabytes
from figtune.models.records import AdapterRecord
from figtune.training.settings import TrainSettings

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_GB = 1e9

_LIBRARIES = 500_000_000
"""Bytes of libraries beside any tensor: a CUDA context with its kernels, or Python with torch on a CPU. Assumed."""
_FRAGMENTATION = 0.05
"""Share of activations and logits lost to fragmentation. Assumed."""
_SHORTEST = 128
"""Text tokens below which a shorter maximum length is not suggested."""


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    """Settings that determine the memory of a training step."""

    adapter: AdapterRecord
    max_length: int
    """Text tokens of prompt and completion together."""
    train: TrainSettings
    processes: int = 1
    """Processes that FSDP spreads the weights over."""


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """Size of the batch of one forward pass."""

    examples: int
    text_tokens: int
    """Text tokens of each example, prompt and completion together."""
    target_tokens: int
    """Target tokens of each example: its completion."""


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Peak memory of a process in training in bytes, by purpose; of weights and what goes with them its share."""

    processes: int = 1
    """Processes that FSDP spreads the weights over."""
    gathered: int = 0
    """Under FSDP: weights that a process holds whole beside its share, for as long as it computes with them."""
    batch: BatchShape
    """Batch at the peak."""
    vision_weights: int
    """0 for a frozen vision encoder: it is unloaded before training."""
    projector_weights: int
    text_weights: int
    """Text decoder with its LoRA matrices, quantised in qlora mode."""
    gradients: int
    optimizer: int
    activations: int
    """Activations of a batch of the longest examples."""
    logits: int
    encoding: int
    """Total while the frozen vision encoder encodes figures before training, one at a time; 0 if it is trained.
    More go through it together only where memory is free."""

    @property
    def overhead(self) -> int:
        """Libraries and fragmentation."""
        return _LIBRARIES + round(_FRAGMENTATION * (self.activations + self.logits))

    @property
    def training(self) -> int:
        """Total during training."""
        kept = self.vision_weights + self.projector_weights + self.text_weights + self.gradients + self.optimizer
        return kept + self.gathered + self.activations + self.logits + self.overhead

    @property
    def peak(self) -> int:
        """Memory that must be available."""
        return max(self.training, self.encoding)


@dataclass(frozen=True, kw_only=True)
class SettingChange:
    """A cheaper configuration, and the flags that set it."""

    flags: str
    config: StepConfig


def parse_size(text: str) -> int:
    """Parse a size in bytes: "16GB" and "24000 MB" are decimal, "16GiB" is binary.

    Raises:
        UsageError: it is not a size, or has no unit: nobody who writes 16 means 16 bytes.
    """
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
        raise UsageError(f'"{text}" has no unit', "give --memory such as 16GB, 16GiB or 24000MB")
    match = _SIZE.fullmatch(text.strip())
    if match is None or not (size := _bytes(*match.groups())):
        raise UsageError(f'"{text}" is not a memory size', "give --memory such as 16GB, 16GiB or 24000MB")
    return size


def _bytes(number: str, unit: str, binary: str) -> int:
    power = "KMGT".index(unit.upper()) + 1 if unit else 0
    factor: int = (1024 if binary else 1000) ** power
    return round(float(number) * factor)


def memory_lines(use: MemoryUse) -> list[str]:
    """Return the table that is printed, line by line."""
    rows = [
        ("vision encoder", use.vision_weights),
        ("projector", use.projector_weights),
        ("text decoder", use.text_weights),
        ("gradients", use.gradients),
        ("optimizer", use.optimizer),
        ("gathered layers", use.gathered),
        ("activations", use.activations),
        ("logits", use.logits),
        ("libraries, gaps", use.overhead),
    ]
    batch = count(use.batch.examples, "examples")
    title = "memory" if use.processes == 1 else f"memory, each of {use.processes}"
    lines = [f"{title:28}{'GB':>8}  (for {batch} of {count(use.batch.text_tokens, 'text tokens')})"]
    lines += [f"{name:28}{size / _GB:>8.2f}" for name, size in rows if size]
    lines.append(f"{'together':28}{use.training / _GB:>8.2f}")
    if use.encoding:
        lines.append(f"{'before, encoding figures':28}{use.encoding / _GB:>8.2f}")
    return lines


def shortfall_message(use: MemoryUse, available: int, where: str) -> str:
    """Return the shortfall as a clause; empty if the memory suffices."""
    if use.peak <= available:
        return ""
    return f"training takes up to {gigabytes(use.peak)}, more than {gigabytes(available)} ({where})"


def suggest_settings(config: StepConfig, available: int, estimate: Callable[[StepConfig], MemoryUse]) -> str:
    """Return what to type so that training fits: the cheapest sufficient change, else it with all cheaper ones."""
    for changes in _CHANGES:
        for change in changes(config):
            if estimate(change.config).peak <= available:
                return f"give {change.flags}"
    flags: list[str] = []
    least = config
    for changes in _CHANGES:
        found = list(changes(least))
        for change in found:
            if estimate(change.config).peak <= available:
                return f"give {' '.join([*flags, change.flags])}"
        if found:
            flags.append(found[-1].flags)
            least = found[-1].config
    least_peak = estimate(least).peak
    return f"choose a smaller model with --model.name: this one takes {gigabytes(least_peak)} however it is set"


def first_changes(config: StepConfig) -> list[SettingChange]:
    """Return the first change of each kind, the cheapest kind first."""
    firsts = (next(changes(config), None) for changes in _CHANGES)
    return [change for change in firsts if change is not None]


def smaller_batches(settings: TrainSettings) -> Iterator[TrainSettings]:
    """Yield settings with ever smaller batches and the same examples per step: only time is lost."""
    for size in range(settings.batch_size // 2, 0, -1):
        if settings.batch_size % size:
            continue
        passes = settings.gradient_accumulation_steps * settings.batch_size // size
        yield replace(settings, batch_size=size, gradient_accumulation_steps=passes)


def _checkpointing(config: StepConfig) -> Iterator[SettingChange]:
    """Yield the change to recomputed activations, which costs a third more time."""
    if not config.train.activation_checkpointing:
        train = replace(config.train, activation_checkpointing=True)
        yield SettingChange(flags="--train.activation_checkpointing", config=replace(config, train=train))


def _smaller_batches(config: StepConfig) -> Iterator[SettingChange]:
    """Yield changes to smaller batches, which cost time only."""
    for train in smaller_batches(config.train):
        flags = (
            f"--train.batch_size {train.batch_size} "
            f"--train.gradient_accumulation_steps {train.gradient_accumulation_steps}"
        )
        yield SettingChange(flags=flags, config=replace(config, train=train))


def _compact_optimizer(config: StepConfig) -> Iterator[SettingChange]:
    """Yield the change to an optimizer in 8 bits, which costs next to nothing, and saves little unless whole parts are
    trained."""
    if config.adapter.mode == "full" and config.train.optimizer == "adamw":
        train = replace(config.train, optimizer="adamw_8bit")
        yield SettingChange(flags="--train.optimizer adamw_8bit", config=replace(config, train=train))


def _quantized(config: StepConfig) -> Iterator[SettingChange]:
    """Yield the change to weights in 4 bits, which costs a little accuracy. FSDP spreads none of them."""
    if config.adapter.mode in ("lora", "full") and config.processes == 1:
        adapter = replace(config.adapter, mode="qlora")
        yield SettingChange(flags="--adapter.mode qlora", config=replace(config, adapter=adapter))


def _shorter(config: StepConfig) -> Iterator[SettingChange]:
    """Yield changes to shorter texts, which cut long completions."""
    length = config.max_length // 2
    while length >= _SHORTEST:
        yield SettingChange(flags=f"--model.max_length {length}", config=replace(config, max_length=length))
        length //= 2


_CHANGES: tuple[Callable[[StepConfig], Iterator[SettingChange]], ...] = (
    _checkpointing,
    _smaller_batches,
    _compact_optimizer,
    _quantized,
    _shorter,
)
"""Kinds of changes, the cheapest first."""
