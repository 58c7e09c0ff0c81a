"""Forward passes as large as memory allows: activations kept in place of recomputed, batches of a step joined."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil

from figtune.batching.batch_sampler import LengthGroupedSampler, padded_tokens, passes_of
from figtune.batching.dataset import TokenizedSplit
from figtune.core.distributed import broadcast, gather, world_size
from figtune.core.number_format import gigabytes
from figtune.models.loading import LoadedModel
from figtune.models.precision import precision_of
from figtune.training.fsdp import is_sharding_requested
from figtune.training.memory_budget import BatchShape, smaller_batches
from figtune.training.memory_estimate import describe_model, memory_use
from figtune.training.settings import TrainSettings

logger = logging.getLogger(__name__)

_SHARE_FOR_A_PASS = 0.9
"""Share of free memory that training may take where passes are made larger: what libraries take is assumed."""
_SHARE_FOR_ACTIVATIONS = {"cuda": 0.9, "cpu": 0.5}
"""Share of free memory below which activations are kept unasked: whoever takes too much main memory is killed."""


@dataclass(frozen=True, kw_only=True)
class ForwardPass:
    """Size of the forward passes. The steps are the same with any, so a run may be resumed with another."""

    settings: TrainSettings
    """Requested settings, possibly with smaller batches."""
    batches_per_pass: int
    """Batches of a step that go through in one forward pass: a divisor of the accumulation."""
    recomputes: bool
    """Recompute activations in the backward pass."""


def forward_passes(
    settings: TrainSettings, loaded: LoadedModel, split: TokenizedSplit, order: LengthGroupedSampler, available: int
) -> list[ForwardPass]:
    """Return the forward passes that memory is thought to suffice for, then those that take less.

    Several processes have the first alone: they cannot leave a step together.

    Args:
        order: batches with these settings.
        available: bytes that were free before the model was loaded; the least of all processes counts.
    """
    recomputes, batches_per_pass = settings.activation_checkpointing, 1
    if recomputes and settings.auto_checkpointing and not is_sharding_requested():
        recomputes = not activations_fit(loaded, split, order, settings, available)
    if settings.auto_batch:
        as_chosen = replace(settings, activation_checkpointing=recomputes)
        batches_per_pass = batches_that_fit(peak_by_batches(loaded, split, order, as_chosen), available)
    passes = [ForwardPass(settings=settings, batches_per_pass=batches_per_pass, recomputes=recomputes)]
    if world_size() > 1:
        return passes
    if recomputes != settings.activation_checkpointing:
        passes.append(replace(passes[0], recomputes=True))
    if settings.auto_batch:
        fewer = (
            number
            for number in range(batches_per_pass - 1, 0, -1)
            if settings.gradient_accumulation_steps % number == 0
        )
        passes += [replace(passes[-1], batches_per_pass=number) for number in fewer]
        passes += [replace(passes[-1], settings=smaller) for smaller in smaller_batch_configs(settings)]
    return passes


def peak_by_batches(
    loaded: LoadedModel, split: TokenizedSplit, order: LengthGroupedSampler, settings: TrainSettings
) -> dict[int, int]:
    """Estimate peak memory, in bytes, by the number of a step's batches in one forward pass: each divisor of them."""
    peak, accumulated = _peak_of_passes(loaded, split, order), settings.gradient_accumulation_steps
    return {number: peak(settings, number) for number in range(1, accumulated + 1) if accumulated % number == 0}


def activations_fit(
    loaded: LoadedModel, split: TokenizedSplit, order: LengthGroupedSampler, settings: TrainSettings, available: int
) -> bool:
    """Return True where memory suffices to keep the activations of each batch, in all processes; log it if so.

    Args:
        available: bytes that were free before the model was loaded; the least of all processes counts.
    """
    peak = _peak_of_passes(loaded, split, order)(replace(settings, activation_checkpointing=False), 1)
    fits = all(gather([peak <= _SHARE_FOR_ACTIVATIONS[loaded.device.type] * available]))
    if fits:
        logger.info(
            f"train: activations are kept: at most {gigabytes(peak)} by estimate, and {gigabytes(available)} are free"
        )
    return fits


def _peak_of_passes(
    loaded: LoadedModel, split: TokenizedSplit, order: LengthGroupedSampler
) -> Callable[[TrainSettings, int], int]:
    """Return the estimator of peak memory, in bytes, of so many batches in one forward pass."""
    record, lengths, batches = loaded.record, split.lengths(), order.batches(0)
    precision = precision_of(record, loaded.device)
    model = describe_model(loaded.base_dir, record.name, precision, record.adapter, record.image_tokens, record.tiles)
    text = max(len(each.example.input_ids) - each.example.image.tokens for each in split.examples)
    largest = max(padded_tokens(lengths, batch) for batch in batches)

    def peak(settings: TrainSettings, batches_per_pass: int) -> int:
        # Other epochs mix other batches: as if the largest ones met.
        passes = (padded_tokens(lengths, each) for each in passes_of(batches, batches_per_pass))
        tokens = max(batches_per_pass * largest, *passes)
        examples = ceil(tokens / (model.image.tokens + text))
        shape = BatchShape(examples=examples, text_tokens=text, target_tokens=max(1, text - 1))
        return memory_use(model, settings, shape).peak

    return peak


def batches_that_fit(peaks: Mapping[int, int], available: int) -> int:
    """Return the number of batches in one forward pass, the same in all processes, and log it with the reason.

    Args:
        available: bytes that were free before the model was loaded; the least of all processes counts.
    """
    fitting = [number for number, peak in peaks.items() if number == 1 or peak <= _SHARE_FOR_A_PASS * available]
    gathered = gather([max(fitting)])
    batches_per_pass = broadcast(lambda: min(gathered))
    more = next((number for number in peaks if number > batches_per_pass), None)
    logger.info(
        f"train: {batches_per_pass} of the {max(peaks)} batches of a step in each forward pass: at most "
        f"{gigabytes(peaks[batches_per_pass])} by estimate, and {gigabytes(available)} are free"
        + (f"; {more} would take {gigabytes(peaks[more])}" if more else "")
    )
    return batches_per_pass


def smaller_batch_configs(settings: TrainSettings) -> list[TrainSettings]:
    """Return settings with smaller batches and the same examples per step, down to a single example per batch."""
    return [
        replace(smaller, max_batch_tokens=max(1, settings.max_batch_tokens * smaller.batch_size // settings.batch_size))
        for smaller in smaller_batches(settings)
    ]
