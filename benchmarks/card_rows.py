"""Rows of `benchmarks.card`: what is measured, in order, and how."""

from __future__ import annotations

import importlib.util
import random
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch
from peft import PeftModel
from PIL import Image, ImageDraw
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.card_device import wall_clock
from benchmarks.card_models import MAX_LENGTH, ModelStore
from benchmarks.card_results import Measured, Mode, Row
from benchmarks.training import (
    LEARNING_RATE,
    Way,
    clock,
    forget_peak,
    optimizer_step,
    peak_bytes,
    prepare_model,
    training_ways,
)
from benchmarks.training_ways import (
    LONGEST,
    SHORTEST,
    TASKS,
    Figure,
    at_labels,
    figures_of,
    shared,
    trained_weights,
)
from config import TEST, TRAIN
from figtune.batching.collator import Collator
from figtune.batching.dataset import SplitExample, TokenizedSplit, compact
from figtune.batching.tokenization import tokenize_example
from figtune.core.io import sha256_of
from figtune.inference.generate import generate_answers
from figtune.models.family import Family
from figtune.models.feature_cache import ImageSource, image_files, prepared_features, read_inputs
from figtune.models.loading import LoadedModel
from figtune.training.checkpoints import Checkpoints
from figtune.training.forward_pass import ForwardPass
from figtune.training.run_trainer import RunContext, batch_order, run_training
from figtune.training.schedule import training_schedule
from figtune.training.settings import TrainSettings

PROMPT = "Describe this figure."
_ENDS = ("stock", "fair:", "ours")
"""Beginnings of the titles of ways that are measured at every batch size; others at the largest and the default one."""
SENTENCE = "The encoder reads the image, and the decoder predicts what it shows. "


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Amounts of work of one size."""

    warm_up: int
    """Steps that are not timed."""
    steps: int
    seconds: float
    """Seconds after which no further step is begun."""
    images: int
    new_tokens: int
    epochs: int
    """Epochs of a run of the Trainer, over three examples an image."""
    matrix: int
    """Side of the matrices that are multiplied."""


AMOUNTS = {
    "full": Amounts(warm_up=2, steps=6, seconds=2.0, images=96, new_tokens=128, epochs=1, matrix=8192),
    "tiny": Amounts(warm_up=1, steps=2, seconds=1.0, images=4, new_tokens=4, epochs=2, matrix=256),
}
LEAST_STEPS = 2
ENCODED_BEFORE, CHECKPOINTING_ARGUMENT = (5, 18), (5, 23)
"""Versions of transformers from which on `generate` takes encoded images, the Trainer `activation_checkpointing`."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row and what measures it."""

    row: Row
    measure: Callable[[], Measured]
    needs: tuple[str, ...] = ()
    """Libraries without which it is skipped."""
    transformers: tuple[int, int] = (5, 17)
    """Oldest version of transformers that it runs with."""

    def missing(self) -> str:
        """Return the reason for which it cannot be measured here; empty if it can."""
        absent = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if absent:
            return f"{' and '.join(absent)} not installed"
        installed = version("transformers")
        is_older = tuple(int(part) for part in installed.split(".")[:2]) < self.transformers
        return f"needs transformers {'.'.join(map(str, self.transformers))}, not {installed}" if is_older else ""


def jobs(store: ModelStore, models: Sequence[str], batches: Sequence[int], amounts: Amounts) -> list[Job]:
    """Return the rows in the order in which they are measured, of each model the longest first."""
    found = []
    for model in models:
        largest_first = sorted(batches, reverse=True)
        for batch in largest_first:
            every = batch in (largest_first[0], TRAIN.batch_size)
            ways = [way for way in training_ways() if every or way.title.startswith(_ENDS)]
            found += [_in_memory(store, model, batch, way, amounts) for way in ways]
        found.append(_loading(store, model))
        found.append(_encoding(store, model, amounts))
        found += [_generation(store, model, batch, amounts) for batch in (TEST.batch_size, 1)]
        found += [_run(store, model, settings, amounts) for settings in (TRAIN, _one_pass(TRAIN))]
        ours = [way for way in training_ways() if way.loss is shared]
        found += [_quantized(store, model, batch, way, amounts) for batch in largest_first for way in ours]
    return found


def _training_row(model: str, mode: Mode, batch: int, way: Way) -> Row:
    checkpointing = "" if way.checkpointing else ", without checkpointing"
    return Row(
        name=f"{model} {mode}, batch {batch}, {way.title}{checkpointing}",
        kind="training",
        model=model,
        mode=mode,
        batch=batch,
        title=way.title,
        checkpointing=way.checkpointing,
        estimated=way.loss in (at_labels, shared),
    )


def _in_memory(store: ModelStore, model: str, batch: int, way: Way, amounts: Amounts) -> Job:
    def measure() -> Measured:
        held = store.in_memory(model)
        figures = figures_of(held.peft_model, held.family, held.config, -(-batch // TASKS), store.device)
        measured = _steps(way, held.peft_model, held.family, _first_examples(figures, batch), amounts)
        encoder = held.peft_model.get_base_model().get_submodule(held.family.parts.vision_encoder)
        return replace(measured, encoder=sum(weight.nbytes for weight in encoder.parameters()))

    return Job(row=_training_row(model, "lora", batch, way), measure=measure)


def _quantized(store: ModelStore, model: str, batch: int, way: Way, amounts: Amounts) -> Job:
    def measure() -> Measured:
        loaded = store.loaded(model, "qlora")
        parts, config = loaded.family.parts, loaded.model.config
        encoder = loaded.model.get_submodule(parts.vision_encoder)
        figures = figures_of(loaded.peft_model, loaded.family, config, -(-batch // TASKS), store.device)
        size = sum(weight.nbytes for weight in encoder.parameters())
        measured = _steps(way, loaded.peft_model.train(), loaded.family, _first_examples(figures, batch), amounts)
        return replace(measured, encoder=size)

    return Job(row=_training_row(model, "qlora", batch, way), measure=measure, needs=("bitsandbytes",))


def _first_examples(figures: Sequence[Figure], count: int) -> list[Figure]:
    """Return as many examples, each figure's together as training has them."""
    taken = []
    for figure in figures:
        rows = figure.rows[:count]
        count -= len(rows)
        taken.append(replace(figure, rows=rows))
    return taken


def _steps(way: Way, peft_model: PeftModel, family: Family, figures: Sequence[Figure], amounts: Amounts) -> Measured:
    """Take steps in one way, timed after the first ones; the model has its weights back in the end."""
    device = figures[0].features.device
    untrained = [weight.detach().clone() for weight in trained_weights(peft_model)]
    way.weights[:] = untrained
    prepare_model(way, peft_model)
    optimizer = torch.optim.AdamW(trained_weights(peft_model), lr=LEARNING_RATE)
    try:
        losses = [optimizer_step(way, optimizer, peft_model, family, figures) for _ in range(amounts.warm_up)]
        _forget_peak(device)
        seconds: list[float] = []
        while len(seconds) < LEAST_STEPS or (len(seconds) < amounts.steps and sum(seconds) < amounts.seconds):
            start = clock(device)
            optimizer_step(way, optimizer, peft_model, family, figures)
            seconds.append(clock(device) - start)
        peak = peak_bytes(device)
        reserved = torch.cuda.max_memory_reserved() if device.type == "cuda" else None
        operations = _operations(way, optimizer, peft_model, family, figures)
    finally:
        optimizer.zero_grad(set_to_none=True)
        prepare_model(replace(way, weights=untrained), peft_model)
    rows = [row for figure in figures for row in figure.rows]
    step = statistics.median(seconds)
    return Measured(
        per_second=len(rows) / step,
        tokens_per_second=sum(len(row.input_ids) for row in rows) / step,
        tflops=operations and operations / 1e12,
        step_seconds=step,
        peak=peak,
        reserved=reserved,
        loss=losses[0],
        text_tokens=max(len(row.input_ids) - row.image.tokens for row in rows),
        target_tokens=round(sum(row.num_target_tokens for row in rows) / len(rows)),
    )


def _operations(
    way: Way, optimizer: torch.optim.Optimizer, peft_model: PeftModel, family: Family, figures: Sequence[Figure]
) -> int | None:
    """Return the operations of a step without checkpointing; None where memory is too small for that."""
    plain = replace(way, checkpointing=False)
    prepare_model(plain, peft_model)
    counter = FlopCounterMode(display=False)
    try:
        with counter:
            optimizer_step(plain, optimizer, peft_model, family, figures)
    except torch.OutOfMemoryError:
        return None
    return counter.get_total_flops()


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
    forget_peak(device)


def _loading(store: ModelStore, model: str) -> Job:
    def measure() -> Measured:
        store.loaded(model, "lora")  # written, and in the page cache, from here on
        store.release()
        start = time.perf_counter()
        loaded = store.loaded(model, "lora")
        seconds = time.perf_counter() - start
        size = sum(weight.nbytes for weight in loaded.model.parameters())
        return Measured(per_second=size / 1e9 / seconds, step_seconds=seconds)

    return Job(row=Row(name=f"{model}: setting up and loading from disk", kind="loading", model=model), measure=measure)


def _encoding(store: ModelStore, model: str, amounts: Amounts) -> Job:
    def measure() -> Measured:
        loaded = store.loaded(model, "lora")
        root = store.folder / "features"
        shutil.rmtree(root, ignore_errors=True)
        files = _images(store.folder / "images", amounts.images)
        first = dict(list(files.items())[: max(1, amounts.images // 8)])
        prepared_features(root / "first", loaded, image_files(loaded, first))
        _forget_peak(store.device)
        start = wall_clock(store.device)
        prepared_features(root / "all", loaded, image_files(loaded, files))
        seconds = wall_clock(store.device) - start
        return Measured(per_second=len(files) / seconds, peak=peak_bytes(store.device))

    row = Row(name=f"{model}: encoding images, files read and features written", kind="encoding", model=model)
    return Job(row=row, measure=measure)


def _generation(store: ModelStore, model: str, batch: int, amounts: Amounts) -> Job:
    def measure() -> Measured:
        loaded = store.loaded(model, "lora")
        files = _images(store.folder / "images", batch)
        source = prepared_features(store.folder / "features" / "all", loaded, image_files(loaded, files))
        _generated(loaded, source, list(files), 2)
        _forget_peak(store.device)
        start = wall_clock(store.device)
        tokens = _generated(loaded, source, list(files), amounts.new_tokens)
        seconds = wall_clock(store.device) - start
        return Measured(per_second=tokens / seconds, peak=peak_bytes(store.device))

    row = Row(name=f"{model}: generation, batch {batch}", kind="generation", model=model, batch=batch)
    return Job(row=row, measure=measure, transformers=ENCODED_BEFORE)


def _generated(loaded: LoadedModel, source: ImageSource, images: Sequence[str], tokens: int) -> int:
    """Return the number of tokens that were generated."""
    inputs = [read_inputs(source, sha256) for sha256 in images]
    decoding = replace(TEST, max_new_tokens=tokens, temperature=0.0)
    loaded.peft_model.eval()
    return sum(answer.tokens for answer in generate_answers(loaded, [PROMPT] * len(inputs), inputs, decoding))


def _one_pass(settings: TrainSettings) -> TrainSettings:
    """Return settings with the same examples a step in a single pass, and no checkpointing."""
    return replace(
        settings,
        batch_size=settings.batch_size * settings.gradient_accumulation_steps,
        max_batch_tokens=settings.max_batch_tokens * settings.gradient_accumulation_steps,
        gradient_accumulation_steps=1,
        activation_checkpointing=False,
    )


def _run(store: ModelStore, model: str, settings: TrainSettings, amounts: Amounts) -> Job:
    """Training as train_model.py does it, features read from disk, without validation."""
    chosen = replace(settings, epochs=amounts.epochs, evaluations=1, answers=0, trackers=(), save_total_limit=1)

    def measure() -> Measured:
        loaded = store.loaded(model, "lora")
        try:
            return _trained(store, loaded, chosen, amounts)
        finally:
            store.release()  # its adapter has learned

    passes = chosen.gradient_accumulation_steps
    checkpointing = "with" if chosen.activation_checkpointing else "without"
    name = f"{model}: train_model.py, batch {chosen.batch_size}, {passes} a step, {checkpointing} checkpointing"
    row = Row(name=name, kind="run", model=model, batch=chosen.batch_size)
    return Job(row=row, measure=measure, transformers=CHECKPOINTING_ARGUMENT)


def _trained(store: ModelStore, loaded: LoadedModel, settings: TrainSettings, amounts: Amounts) -> Measured:
    files = _images(store.folder / "images", amounts.images)
    source = prepared_features(store.folder / "features" / "all", loaded, image_files(loaded, files))
    split, none = _random_examples(loaded, source, list(files)), TokenizedSplit(examples=[], truncated=0, left_out=0)
    order, folder = batch_order(split, settings), store.folder / "run"
    shutil.rmtree(folder, ignore_errors=True)
    context = RunContext(
        loaded=loaded,
        forward=ForwardPass(settings=settings, batches_per_pass=1, recomputes=settings.activation_checkpointing),
        schedule=training_schedule(order.examples, order.steps, settings),
        splits={"train": split, "val": none, "minitrain": none},
        samples=[],
        collator=Collator(
            family=loaded.family,
            pad_id=loaded.processor.tokenizer.pad_token_id,
            images=source,
            loss_per=settings.loss_per,
        ),
        checkpoints=Checkpoints(folder=folder / "checkpoints", run_id="card", keep=1),
        output_dir=folder,
    )
    _forget_peak(store.device)
    history = run_training([context]).log_history
    rates = [entry["examples_per_second"] for entry in history if "examples_per_second" in entry]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    return Measured(
        per_second=statistics.median(rates[1:] or rates),
        peak=peak_bytes(store.device),
        reserved=torch.cuda.max_memory_reserved() if store.device.type == "cuda" else None,
        loss=losses[0],
    )


def _random_examples(loaded: LoadedModel, source: ImageSource, images: Sequence[str]) -> TokenizedSplit:
    """Return three examples an image, of the lengths that the steps above have."""
    generator = random.Random(0)
    examples = []
    for sha256 in images:
        for _ in range(TASKS):
            length = min(MAX_LENGTH, generator.randint(SHORTEST, LONGEST))
            layout = source.layout(sha256)
            tokens = tokenize_example(loaded.family, loaded.processor, PROMPT, SENTENCE * length, layout, length)
            examples.append(SplitExample(example=compact(tokens), image_sha256=sha256))
    return TokenizedSplit(examples=examples, truncated=0, left_out=0)


def _images(folder: Path, count: int) -> dict[str, Path]:
    """Return image files by their sha256, all different, of the size of a figure's crop."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number}.png" for number in range(count)]
    for number, file in enumerate(files):
        if not file.exists():
            image = Image.effect_noise((1400, 700), 20 + number).convert("RGB")
            ImageDraw.Draw(image).rectangle((60, 60, 700, 640), fill=(240, 240, 255), outline="black")
            ImageDraw.Draw(image).text((100, 100), f"Figure {number}", fill="black")
            image.save(file)
    return {sha256_of(file): file for file in files}
