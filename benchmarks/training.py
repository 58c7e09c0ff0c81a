"""Measure what each way of saving work is worth in LoRA training, beside how published recipes train.

    python -m benchmarks.training
    python -m benchmarks.training --size full --model paligemma

Takes the same steps on the same examples in several ways, turn by turn, so that whatever else the machine does hits all
alike: first as recipes with transformers and peft do (the frozen vision encoder within autograd, activation
checkpointing, logits at every token), then with the encoder outside autograd, then with what this program does, added
one by one. Prints examples a second, ratios, arithmetic done, peak memory, and the first and last loss: all ways
must learn the same. On a CPU seconds are those that the process was at work, so that a machine with more to do
measures the same.

`--size small` is a model for CPUs: the vision encoder, decoder and output layer of its Gemma 3 have the shares of the
forward pass that they have in Gemma 3 4B (60, 33 and 7 %). `--size full` is Gemma 3 4B or PaliGemma 3B with random
weights, for a CUDA card. Reading and preparing images is not timed: that favours the first two rows, which do it at
every step.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.full_size_model import SIZES
from benchmarks.training_ways import (
    SMALL,
    TASKS,
    Figure,
    at_labels,
    figures_of,
    from_features,
    from_fresh_features,
    from_pixels,
    shared,
    trained_weights,
    tuned_model,
)
from figtune.models.families import family_of
from figtune.models.family import Family

LEARNING_RATE = 1e-3
PEAK_TFLOPS = {
    "B200": 2250,
    "H200": 989,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "4090": 165,
    "3090": 71,
}
"""Dense bfloat16 by what is in a card's name, from the makers' data sheets; longer names before their beginnings."""
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to take a step, and what was measured of it."""

    title: str
    loss: Callable[[PeftModel, Family, Sequence[Figure]], Tensor]
    checkpointing: bool
    encoder_in_autograd: bool = False
    weights: list[Tensor] = field(default_factory=list)
    """Weights of its own adapter, while another way has its turn."""
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    """Bytes at the fullest moment."""
    added: list[int] = field(default_factory=list)
    """Part of them that was not there before the step."""
    flops: list[int] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 where a way does not learn what the others do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--model", choices=tuple(SIZES), default="gemma3")
    parser.add_argument("--pictures", type=int, default=4, help=f"a step, each with {TASKS} examples")
    parser.add_argument("--steps", type=int, default=6, help="of each way, after one that is not timed")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = SMALL[options.model]() if options.size == "small" else SIZES[options.model].config()
    family = family_of(config.model_type, options.model)
    tuned = tuned_model(config, device)
    figures = figures_of(tuned, family, config, options.pictures, device)
    ways = training_ways()
    for way in ways:
        way.weights.extend(weight.detach().clone() for weight in trained_weights(tuned))
    optimizers = [torch.optim.AdamW(trained_weights(tuned), lr=LEARNING_RATE) for _ in ways]
    for step in range(options.steps + 1):
        for way, optimizer in zip(ways, optimizers, strict=True):
            _take_step(way, optimizer, tuned, family, figures, is_first=step == 0)
    sys.stdout.write(_table(ways, len(figures) * TASKS, device))
    last = [way.losses[-1] for way in ways if way.losses]
    return int(max(last) - min(last) > 0.02 * max(last))


def training_ways() -> list[Way]:
    """Return the ways, from what recipes do to all that this program does."""
    return [
        Way(title="stock: transformers + peft", loss=from_pixels, checkpointing=True, encoder_in_autograd=True),
        Way(title="fair: encoder outside autograd", loss=from_fresh_features, checkpointing=True),
        Way(title="+ features kept on disk", loss=from_features, checkpointing=True),
        Way(title="+ logits where labels are", loss=at_labels, checkpointing=True),
        Way(title="+ a picture's examples share it", loss=shared, checkpointing=True),
        Way(title="+ no activation checkpointing", loss=shared, checkpointing=False),
    ]


def _take_step(
    way: Way,
    optimizer: torch.optim.Optimizer,
    tuned: PeftModel,
    family: Family,
    figures: Sequence[Figure],
    *,
    is_first: bool,
) -> None:
    """One optimizer step from the way's own weights; the first is counted in operations rather than in seconds."""
    device = figures[0].features.device
    prepare_model(way, tuned)
    counter = FlopCounterMode(display=False)
    forget_peak(device)
    before, start = peak_bytes(device), clock(device)
    try:
        if is_first:
            with counter:
                loss = optimizer_step(way, optimizer, tuned, family, figures)
            way.flops.append(counter.get_total_flops())
        else:
            loss = optimizer_step(way, optimizer, tuned, family, figures)
            way.seconds.append(clock(device) - start)
            way.peaks.append(peak_bytes(device))
            way.added.append(way.peaks[-1] - before)
        way.losses.append(loss)
    except torch.OutOfMemoryError:
        optimizer.zero_grad(set_to_none=True)
    way.weights[:] = [weight.detach().clone() for weight in trained_weights(tuned)]


def optimizer_step(
    way: Way, optimizer: torch.optim.Optimizer, tuned: PeftModel, family: Family, figures: Sequence[Figure]
) -> float:
    """Take one step; return its loss, in nats per target token."""
    loss = way.loss(tuned, family, figures)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def prepare_model(way: Way, tuned: PeftModel) -> None:
    """Give the model the way's weights and its checkpointing."""
    base = tuned.get_base_model()
    if way.checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
    else:
        base.activation_checkpointing_disable()
    # What recipes switch on for checkpointing: it hooks the frozen encoder into autograd too.
    if way.encoder_in_autograd:
        base.enable_input_require_grads()
    else:
        base.disable_input_require_grads()
    with torch.no_grad():
        for weight, own in zip(trained_weights(tuned), way.weights, strict=True):
            weight.copy_(own)


def clock(device: torch.device) -> float:
    """Seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def forget_peak(device: torch.device) -> None:
    """Start measuring the peak of memory anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int:
    """Bytes: on the card, or of the whole process; 0 where nobody says."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform != "linux":
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _table(ways: Sequence[Way], examples: int, device: torch.device) -> str:
    card = torch.cuda.get_device_name() if device.type == "cuda" else ""
    most = next((tflops for name, tflops in PEAK_TFLOPS.items() if name in card), None)
    lines = [
        f"{card or f'{torch.get_num_threads()} CPU threads'}, {examples} examples a step, torch {torch.__version__}"
        + (f", at most {most} TFLOP/s" if most else ""),
        f"{'':34}{'examples/s':>11}{'x stock':>9}{'x fair':>8}{'TFLOP/step':>12}{'% of peak':>11}{'GB':>7}"
        f"{'in step':>9}{'first loss':>12}{'last loss':>11}",
    ]
    stock, fair = (_seconds(way) for way in ways[:2])
    for way in ways:
        seconds = _seconds(way)
        if seconds is None:
            lines.append(f"{way.title:34}{'out of memory':>11}")
            continue
        tflops = way.flops[0] / 1e12
        share = f"{100 * tflops / seconds / most:.0f}" if most else "-"
        lines.append(
            f"{way.title:34}{examples / seconds:>11.2f}{_ratio(stock, seconds):>9}{_ratio(fair, seconds):>8}"
            f"{tflops:>12.3g}{share:>11}{statistics.median(way.peaks) / GB:>7.2f}"
            f"{statistics.median(way.added) / GB:>9.3f}{way.losses[0]:>12.4f}{way.losses[-1]:>11.4f}"
        )
    lines.append("Operations count what checkpointing does again; without it, the share of the peak is the MFU.")
    return "\n".join(lines) + "\n"


def _seconds(way: Way) -> float | None:
    return statistics.median(way.seconds) if way.seconds else None


def _ratio(of: float | None, seconds: float) -> str:
    return f"{of / seconds:.2f}" if of is not None else "-"


if __name__ == "__main__":
    sys.exit(main())
