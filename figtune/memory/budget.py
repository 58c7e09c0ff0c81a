"""How much memory a training run takes, whether that is there, and which setting to change where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from figtune.models.records import AdapterRecord
from figtune.pipeline.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_GB = 1e9

_LIBRARIES = 500_000_000
"""Bytes that libraries take beside any tensor: a CUDA context with its kernels, or Python with torch on a CPU."""
_FRAGMENTATION = 0.05
"""Share of what comes and goes within a step that lies between blocks, unused."""
_SHORTEST = 128
"""Text tokens: shorter examples are not worth the advice."""


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """The settings that decide how much memory a training step takes."""

    adapter: AdapterRecord
    max_length: int
    """Text tokens of prompt and completion together."""
    batch_size: int
    max_batch_tokens: int
    """Of all examples of a batch together, image tokens included; an example alone may have more."""
    gradient_accumulation_steps: int
    activation_checkpointing: bool
    eight_bit_optimizer: bool
    """Two bytes for each trained number in place of eight."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one forward pass reads."""

    examples: int
    text_tokens: int
    """Of each example, prompt and completion together."""
    learned_tokens: int
    """Of each example, the completion alone."""


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Bytes at the fullest moment of training, by what they are taken for."""

    load: Load
    """The batch at that moment."""
    vision_weights: int
    """0 where the encoder is frozen: it has gone when training begins."""
    projector_weights: int
    text_weights: int
    """Of the text decoder, LoRA included, and quantised where the mode is."""
    gradients: int
    optimizer: int
    activations: int
    """Of the longest examples, all in one batch."""
    logits: int
    encoding: int
    """All that is taken while the frozen encoder looks at figures, one by one, before training; 0 if it is trained."""

    @property
    def overhead(self) -> int:
        """Libraries, and memory between blocks."""
        return _LIBRARIES + round(_FRAGMENTATION * (self.activations + self.logits))

    @property
    def training(self) -> int:
        """All that is taken while training."""
        kept = self.vision_weights + self.projector_weights + self.text_weights + self.gradients + self.optimizer
        return kept + self.activations + self.logits + self.overhead

    @property
    def peak(self) -> int:
        """What must be there."""
        return max(self.training, self.encoding)


@dataclass(frozen=True, kw_only=True)
class Change:
    """Other settings, and the flags that set them."""

    flags: str
    settings: StepSettings


def parsed_size(text: str) -> int:
    """Bytes: "16GB" and "24000 MB" are decimal, "16GiB" is binary.

    Raises:
        UsageError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or not (size := _bytes(*match.groups())):
        raise UsageError(f'"{text}" is no amount of memory', "give --memory such as 16GB, 16GiB or 24000MB")
    return size


def _bytes(number: str, unit: str, binary: str) -> int:
    power = "KMGT".index(unit.upper()) + 1 if unit else 0
    factor: int = (1024 if binary else 1000) ** power
    return round(float(number) * factor)


def memory_lines(use: MemoryUse) -> list[str]:
    """The table for people, a line each."""
    rows = [
        ("vision encoder", use.vision_weights),
        ("projector", use.projector_weights),
        ("text decoder", use.text_weights),
        ("gradients", use.gradients),
        ("optimizer", use.optimizer),
        ("activations", use.activations),
        ("logits", use.logits),
        ("libraries, gaps", use.overhead),
    ]
    count = f"{use.load.examples} example{'s' if use.load.examples > 1 else ''}"
    lines = [f"{'memory':28}{'GB':>8}  (for {count} of {use.load.text_tokens} text tokens)"]
    lines += [f"{name:28}{size / _GB:>8.2f}" for name, size in rows if size]
    lines.append(f"{'together':28}{use.training / _GB:>8.2f}")
    if use.encoding:
        lines.append(f"{'before, encoding figures':28}{use.encoding / _GB:>8.2f}")
    return lines


def shortfall(use: MemoryUse, available: int, where: str) -> str:
    """What is wrong, as a sentence without a full stop; empty where the memory is enough."""
    if use.peak <= available:
        return ""
    return f"training takes up to {use.peak / _GB:.1f} GB, and {where} has {available / _GB:.1f} GB"


def advice(settings: StepSettings, available: int, estimate: Callable[[StepSettings], MemoryUse]) -> str:
    """What to type so that it fits: the change that costs least, alone if that is enough, else with those before it."""
    for change in _alone(settings):
        if estimate(change.settings).peak <= available:
            return f"give {change.flags}"
    flags: list[str] = []
    least = settings
    for step in _CHANGES:
        changes = list(step(least))
        for change in changes:
            if estimate(change.settings).peak <= available:
                return f"give {' '.join([*flags, change.flags])}"
        if changes:
            flags.append(changes[-1].flags)
            least = changes[-1].settings
    least_peak = estimate(least).peak
    return f"choose a smaller model with --model.name: this one takes {least_peak / _GB:.1f} GB however it is set"


def _alone(settings: StepSettings) -> Iterator[Change]:
    for step in _CHANGES:
        yield from step(settings)


def _checkpointing(settings: StepSettings) -> Iterator[Change]:
    """Costs a third more time."""
    if not settings.activation_checkpointing:
        yield Change(
            flags="--train.activation_checkpointing", settings=replace(settings, activation_checkpointing=True)
        )


def _smaller_batches(settings: StepSettings) -> Iterator[Change]:
    """As many examples a step, in more passes: only time is lost."""
    batch_size = settings.batch_size
    while batch_size > 1:
        batch_size = batch_size // 2
        passes = settings.gradient_accumulation_steps * settings.batch_size // batch_size
        yield Change(
            flags=f"--train.batch_size {batch_size} --train.gradient_accumulation_steps {passes}",
            settings=replace(settings, batch_size=batch_size, gradient_accumulation_steps=passes),
        )


def _compact_optimizer(settings: StepSettings) -> Iterator[Change]:
    """Costs nothing to speak of, and saves little unless whole parts are trained."""
    if settings.adapter.mode == "full" and not settings.eight_bit_optimizer:
        yield Change(flags="--train.optimizer adamw_8bit", settings=replace(settings, eight_bit_optimizer=True))


def _quantised(settings: StepSettings) -> Iterator[Change]:
    """Costs a little of what is learned."""
    if settings.adapter.mode in ("lora", "full"):
        yield Change(
            flags="--adapter.mode qlora", settings=replace(settings, adapter=replace(settings.adapter, mode="qlora"))
        )


def _shorter(settings: StepSettings) -> Iterator[Change]:
    """Cuts long completions."""
    length = settings.max_length // 2
    while length >= _SHORTEST:
        yield Change(flags=f"--model.max_length {length}", settings=replace(settings, max_length=length))
        length //= 2


_CHANGES: tuple[Callable[[StepSettings], Iterator[Change]], ...] = (
    _checkpointing,
    _smaller_batches,
    _compact_optimizer,
    _quantised,
    _shorter,
)
"""In the order of what they cost."""
