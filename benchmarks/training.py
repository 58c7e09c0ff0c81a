"""Measure what each way of saving work is worth in LoRA training, beside how published recipes train.

    python -m benchmarks.training
    python -m benchmarks.training --model paligemma --tasks 1 --pictures 12
    python -m benchmarks.training --size full --model paligemma

Takes the same steps on the same examples in several ways, turn by turn, so that whatever else the machine does hits all
alike: "stock" as recipes with transformers and peft do (the frozen vision encoder within autograd, logits at every
token), "fair" with the encoder outside autograd, "skilled" with logits only where labels are as well; then what this
program does. Each is compared with those that recompute activations as it does, or do not as it does not. All ways must
learn the same. Prints examples a second, ratios of the time of a step (medians over the steps), arithmetic done, peak
memory, and the first and last loss. On a CPU seconds are those that the process was at work.

`--size small` is a model for CPUs: vision encoder, decoder and output layer have the shares of the forward pass that
they have in the full model (60, 33 and 7 % in Gemma 3 4B; 10, 71 and 19 % in PaliGemma 3B), matrices a tenth as wide.
`--size slice` has matrices of full width, a few layers and a part of the vocabulary, in the same shares. `--size full`
is Gemma 3 4B or PaliGemma 3B, for a CUDA card. Weights are random. In bfloat16, which is what a card takes, stock, fair
and skilled run under autocast with peft's own LoRA layers, as the Trainer of a recipe does. Reading and preparing
images is not timed: that favours the ways of recipes, which do it at every step.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import operator
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training_ways import (
    CONFIGS,
    TASKS,
    Figure,
    at_labels,
    compute_lora,
    encode,
    figures_of,
    from_features,
    from_fresh_features,
    from_fresh_features_at_labels,
    from_pixels,
    shared,
    trained_weights,
    tuned_model,
)
from config import NUM_EPOCHS
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
    by_recipe: bool = False
    """True for autocast where weights are bfloat16, and peft's own LoRA layers."""
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
    parser.add_argument("--size", choices=tuple(CONFIGS), default="small")
    parser.add_argument("--model", choices=tuple(CONFIGS["small"]), default="gemma3")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the frozen weights")
    parser.add_argument("--pictures", type=int, default=4, help="a step")
    parser.add_argument("--tasks", type=int, default=TASKS, help="examples a picture")
    parser.add_argument("--steps", type=int, default=6, help="of each way, after one that is not timed")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = CONFIGS[options.size][options.model]()
    family = family_of(config.model_type, options.model)
    peft_model = tuned_model(config, device, getattr(torch, options.dtype) if options.dtype else None)
    figures = figures_of(peft_model, family, config, options.pictures, device, options.tasks)
    ways, encoding = training_ways(), list[float]()
    for way in ways:
        way.weights.extend(weight.detach().clone() for weight in trained_weights(peft_model))
    optimizers = [torch.optim.AdamW(trained_weights(peft_model), lr=LEARNING_RATE) for _ in ways]
    for step in range(options.steps + 1):
        for way, optimizer in zip(ways, optimizers, strict=True):
            _take_step(way, optimizer, peft_model, family, figures, is_first=step == 0)
        start = clock(device)
        for figure in figures:
            encode(peft_model, family, figure.pixels)
        encoding += [clock(device) - start] if step else []
    sys.stdout.write(_table(ways, encoding, sum(len(figure.rows) for figure in figures), device))
    last = [way.losses[-1] for way in ways if way.losses]
    return int(max(last) - min(last) > 0.02 * max(last))


def training_ways() -> list[Way]:
    """Return the ways, from what recipes do to all that this program does, with and without checkpointing."""
    return [way for ways in zip(_ways(checkpointing=True), _ways(checkpointing=False), strict=True) for way in ways]


def _ways(*, checkpointing: bool) -> list[Way]:
    recipe, ours = partial(Way, checkpointing=checkpointing, by_recipe=True), partial(Way, checkpointing=checkpointing)
    return [
        # What recipes switch on for checkpointing hooks the frozen encoder into autograd.
        recipe(title="stock: transformers + peft", loss=from_pixels, encoder_in_autograd=checkpointing),
        recipe(title="fair: encoder outside autograd", loss=from_fresh_features),
        recipe(title="skilled: logits at labels too", loss=from_fresh_features_at_labels),
        recipe(title="fair + features kept", loss=from_features),
        ours(title="+ logits where labels are", loss=at_labels),
        ours(title="ours: + a picture is shared", loss=shared),
    ]


def _take_step(
    way: Way,
    optimizer: torch.optim.Optimizer,
    peft_model: PeftModel,
    family: Family,
    figures: Sequence[Figure],
    *,
    is_first: bool,
) -> None:
    """One optimizer step from the way's own weights; the first is counted in operations rather than in seconds."""
    device = figures[0].features.device
    prepare_model(way, peft_model)
    counter = FlopCounterMode(display=False)
    forget_peak(device)
    before, start = peak_bytes(device), clock(device)
    try:
        if is_first:
            with counter:
                loss = optimizer_step(way, optimizer, peft_model, family, figures)
            way.flops.append(counter.get_total_flops())
        else:
            loss = optimizer_step(way, optimizer, peft_model, family, figures)
            way.seconds.append(clock(device) - start)
            way.peaks.append(peak_bytes(device))
            way.added.append(way.peaks[-1] - before)
        way.losses.append(loss)
    except torch.OutOfMemoryError:
        optimizer.zero_grad(set_to_none=True)
    way.weights[:] = [weight.detach().clone() for weight in trained_weights(peft_model)]


def optimizer_step(
    way: Way, optimizer: torch.optim.Optimizer, peft_model: PeftModel, family: Family, figures: Sequence[Figure]
) -> float:
    """Take one step; return its loss, in nats per target token."""
    dtype = peft_model.get_base_model().dtype
    with torch.autocast(figures[0].features.device.type, dtype, enabled=way.by_recipe and dtype == torch.bfloat16):
        loss = way.loss(peft_model, family, figures)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def prepare_model(way: Way, peft_model: PeftModel) -> None:
    """Give the model the way's weights, its checkpointing and its LoRA layers."""
    base = peft_model.get_base_model()
    # Each call of the next one would leave the hooks of the last.
    base.disable_input_require_grads()
    if way.checkpointing:
        # It also hooks the frozen encoder into autograd.
        base.activation_checkpointing_enable({"use_reentrant": False})
    else:
        base.activation_checkpointing_disable()
    if not way.encoder_in_autograd:
        base.disable_input_require_grads()
    compute_lora(peft_model, as_peft_does=way.by_recipe)
    with torch.no_grad():
        for weight, own in zip(trained_weights(peft_model), way.weights, strict=True):
            weight.copy_(own)


def clock(device: torch.device) -> float:
    """Return seconds."""
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


def _table(ways: Sequence[Way], encoding: Sequence[float], examples: int, device: torch.device) -> str:
    card = torch.cuda.get_device_name() if device.type == "cuda" else ""
    most = next((tflops for name, tflops in PEAK_TFLOPS.items() if name in card), None)
    lines = [
        f"{card or f'{torch.get_num_threads()} CPU threads'}, {examples} examples a step, torch {torch.__version__}"
        + (f", at most {most} TFLOP/s" if most else "")
    ]
    for checkpointing in (True, False):
        alike = [way for way in ways if way.checkpointing == checkpointing]
        lines.append(
            f"{'with' if checkpointing else 'without'} activation checkpointing".ljust(34)
            + f"{'examples/s':>11}{'x stock':>9}{'x fair':>8}{'x skilled':>11}{'TFLOP/step':>12}{'% of peak':>11}"
            + f"{'GB':>7}{'in step':>9}{'first loss':>12}{'last loss':>11}"
        )
        lines += [_line(way, way.seconds, alike, examples, most) for way in alike]
        each = [step + once / NUM_EPOCHS for step, once in zip(alike[-1].seconds, encoding, strict=False)]
        included = replace(alike[-1], title=f"ours, encoding in, {NUM_EPOCHS} epochs")
        lines.append(_line(included, each, alike, examples, most))
        if checkpointing:
            # What training does by default where memory takes it, beside what recipes do by default.
            kept = replace(ways[-1], title="ours, activations kept")
            lines.append(_line(kept, kept.seconds, alike, examples, most))
    lines.append("Operations count what checkpointing does again; without it, the share of the peak is the MFU.")
    return "\n".join(lines) + "\n"


def _line(way: Way, seconds: Sequence[float], alike: Sequence[Way], examples: int, most: int | None) -> str:
    """Format one way beside the first three of `alike`."""
    if not seconds:
        return f"{way.title:34}{'out of memory':>11}"
    median, tflops = statistics.median(seconds), way.flops[0] / 1e12
    beside = "".join(
        f"{_ratio(other.seconds, seconds):>{width}}" for other, width in zip(alike, (9, 8, 11), strict=False)
    )
    share = f"{100 * tflops / median / most:.0f}" if most else "-"
    return (
        f"{way.title:34}{examples / median:>11.2f}{beside}"
        f"{tflops:>12.3g}{share:>11}{statistics.median(way.peaks) / GB:>7.2f}"
        f"{statistics.median(way.added) / GB:>9.3f}{way.losses[0]:>12.4f}{way.losses[-1]:>11.4f}"
    )


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Return how many times as fast, step by step: what slows the machine down slows both."""
    return f"{statistics.median(map(operator.truediv, theirs, ours)):.2f}" if theirs else "-"


if __name__ == "__main__":
    sys.exit(main())
