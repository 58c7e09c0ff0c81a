"""Train a small model on drawn charts and diagrams in several ways, and measure how far each uses the image.

    python -m benchmarks.image_use_drawn build/image_use_drawn
    python -m benchmarks.image_use_drawn build/image_use_drawn --ways captions read --rows 20000

Draws the pictures of `benchmarks/drawings.py`, holds whole layouts out, and writes them as prepare_data.py writes a
data set. Builds a Gemma 3 of under a million weights, at a resolution at which all print is legible: its vision encoder
is first trained to tell which word, shape, arrow and colour each patch shows, then frozen; projector and decoder are
random. For each way runs setup, train and test as main.py does. All ways take the same number of rows and steps:

- captions: captions alone, each as often as in no other way;
- questions: three short questions beside each caption; the loss a mean over tokens;
- per example: the same rows, the loss a mean over examples (`--train.loss_per example`);
- read: the printed words to read beside these;
- share: the same with questions and words to read at 40 % of each epoch (`--train.question_share`);
- shuffled: as read, but trained with the pictures of other drawings, a control.

Prints for the held-out layouts, with 95 % intervals over layouts: by how much a wrong and a grey picture raise the loss
of captions; how often the right caption of five is the likeliest; how often questions are answered right, by kind,
beside the most frequent answer; and how many of the printed words are read. Started again, it carries on.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessorPil, Gemma3Processor

import main as pipeline
from benchmarks.drawings import DRAWINGS_VERSION, Drawing, draw
from benchmarks.drawn_encoder import labelled, train_encoder
from figtune.core import commands
from figtune.core.artifacts import Stage
from figtune.core.io import atomic_write_dir, write_bytes
from figtune.core.jsonl import jsonl_writer, read_records, write_records
from figtune.core.log import configure_logging, progress_bar
from figtune.core.stages import StageResult, run_if_stale
from figtune.dataset.finalize import FinalizeOptions, StatsCollector, finalize_dataset
from figtune.dataset.records import (
    DATASET_CONTENTS,
    PREPARATION_VERSION,
    QUESTION_TASK,
    READ_TASK,
    REJECTED_FILE,
    SPLITS,
    Example,
    Split,
    Task,
)
from figtune.dataset.shards import writing_examples
from figtune.dataset.split_assignment import hash_to_unit_interval
from figtune.metrics.bootstrap import Bootstrap, estimate
from figtune.metrics.image_use import choice_scores
from figtune.metrics.records import NEGATIVES, PREDICTIONS_FILE, Estimate, Prediction
from figtune.metrics.short_answers import short_scores
from figtune.models.records import FEATURES_FOLDER
from figtune.models.tiny import tiny_tokenizer

SIDE, PATCH, IMAGE_TOKENS = 120, 10, 36
"""Pixels of the encoder's square and of a patch, and tokens that the decoder gets."""
WIDTH, LAYERS, HEADS = 128, 2, 4
SEED = 0
BATCH = 40
QUESTION_SHARE = 0.4
VAL_LAYOUTS, TEST_LAYOUTS = 0.05, 0.2
"""Shares of the layouts that are held out."""
MOST_EVALUATED: dict[Split, int] = {"val": 60, "test": 240}
"""Drawings of the layouts held out that are used."""
SETTINGS = (
    *("--steps", "setup", "train", "test", "--device", "cpu", "--model.dtype", "float32", "--model.max_length", "96"),
    *(
        "--adapter.mode",
        "full",
        "--adapter.freeze",
        "vision",
        "--train.no_activation_checkpointing",
        "--train.warmup_fraction",
        "0.1",
    ),
    *("--train.batch_size", str(BATCH), "--train.max_batch_tokens", "16384"),
    *("--train.gradient_accumulation_steps", "1", "--train.evaluations", "4", "--train.answers", "0"),
    *("--test.max_new_tokens", "8", "--test.batch_size", "64"),
)
PICTURES = "pictures"
COMMAND = "python -m benchmarks.image_use_drawn"
BOOTSTRAP = Bootstrap(samples=2000, seed=0)
CAPTION_PROMPT, READ_PROMPT = "Caption this figure.", "Read the words in this figure."


ALL_TASKS: tuple[Task, ...] = ("caption", "question", "read")
SHIFT = 7
"""Drawings between one and that whose picture it gets where they are shuffled."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way of training."""

    tasks: tuple[Task, ...]
    loss_per: str = "example"
    question_share: float = 0.0
    shuffled: bool = False
    """Train with the pictures of other drawings."""


WAYS = {
    "captions": Way(tasks=("caption",)),
    "questions": Way(tasks=("caption", "question"), loss_per="token"),
    "per example": Way(tasks=("caption", "question")),
    "read": Way(tasks=ALL_TASKS),
    "share": Way(tasks=ALL_TASKS, question_share=QUESTION_SHARE),
    "shuffled": Way(tasks=ALL_TASKS, shuffled=True),
}


@dataclass(frozen=True, kw_only=True)
class Held:
    """A drawing on disk."""

    drawing: Drawing
    split: Split
    sha256: str
    """Digest of its file."""

    @property
    def file(self) -> str:
        """Return the name of its file."""
        return f"{self.drawing.number:06}.png"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where drawings, models and results go")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--drawings", type=int, default=8_000)
    parser.add_argument("--rows", type=int, default=40_000, help="that each way is trained on, with repetitions")
    parser.add_argument("--learning_rate", default="2e-3")
    parser.add_argument("--encoder_epochs", type=int, default=6, help="over the training pictures, with exact labels")
    options = parser.parse_args(arguments)
    configure_logging()
    held = draw_all(options.folder / PICTURES, options.drawings)
    model = _build_model(options.folder, held, options.encoder_epochs)
    for name in options.ways:
        way, folder = WAYS[name], options.folder / name.replace(" ", "-")
        count = _prepare(folder / "work", held, way)
        _share_features(folder / "work" / "model")
        places = ("--work_dir", folder / "work", "--output_dir", folder / "output", "--model.name", model)
        chosen = (
            *("--train.learning_rate", options.learning_rate, "--train.epochs", f"{options.rows / count:.4f}"),
            *("--train.loss_per", way.loss_per, "--train.question_share", str(way.question_share)),
        )
        if code := pipeline.main([*SETTINGS, *map(str, places), *chosen]):
            return code
        predictions = folder / "output" / "evaluation" / PREDICTIONS_FILE
        found = read_records(predictions, Prediction, commands.TEST)
        sys.stdout.write(f"\n{name}: {count:,} rows in an epoch, {options.rows / count:.2f} epochs\n")
        sys.stdout.write("".join(table_lines([each for each in found if each.split == "test"])))
        sys.stdout.flush()
    return 0


def draw_all(folder: Path, count: int) -> list[Held]:
    """Draw pictures into the folder where they are not there yet; return those that are used, in order."""
    listed = folder / f"drawings-{DRAWINGS_VERSION}-{count}.jsonl"
    if not listed.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_records(listed, _drawn(folder, count))
    return read_records(listed, Held, COMMAND)


def _drawn(folder: Path, count: int) -> Iterator[Held]:
    counts: Counter[Split] = Counter()
    for number in progress_bar(range(count), total=count, title="drawing", unit="picture"):
        drawing, picture = draw(number)
        split = split_of(drawing.layout)
        counts[split] += 1
        if counts[split] <= MOST_EVALUATED.get(split, count):
            encoded = io.BytesIO()
            picture.save(encoded, "PNG")
            held = Held(drawing=drawing, split=split, sha256=hashlib.sha256(encoded.getvalue()).hexdigest())
            write_bytes(folder / held.file, encoded.getvalue())
            yield held


def split_of(layout: str) -> Split:
    """Return the split that all drawings of a layout are in."""
    drawn = hash_to_unit_interval(0, f"layout {layout}")
    return "test" if drawn < TEST_LAYOUTS else "val" if drawn < TEST_LAYOUTS + VAL_LAYOUTS else "train"


def examples_of(drawing: Drawing, tasks: Sequence[Task], shown: Held, pictures: str) -> Iterator[Example]:
    """Yield the examples of a drawing.

    Args:
        shown: the drawing whose picture they have.
        pictures: folder of the pictures, seen from the data set's.
    """
    texts: list[tuple[Task, str, str, str]] = [("caption", "", CAPTION_PROMPT, drawing.caption)]
    texts += [("question", f"-{each.slug}", each.request, each.answer) for each in drawing.questions]
    texts.append(("read", "", READ_PROMPT, " ".join(drawing.words)))
    for task, suffix, prompt, completion in texts:
        if task in tasks:
            yield Example(
                example_id=f"drawing{drawing.number:06}-{task}{suffix}",
                task=task,
                image=f"{pictures}/{shown.file}",
                image_sha256=shown.sha256,
                prompt=prompt,
                completion=completion,
                group=drawing.layout,
                source=f"drawing {drawing.number}",
                kind=drawing.kind,
            )


def _prepare(work: Path, held: Sequence[Held], way: Way) -> int:
    """Make the data set of a way where it is not current; return the training examples of an epoch."""
    pictures = hashlib.sha256("".join(each.sha256 for each in held).encode()).hexdigest()
    dataset_dir = work / "dataset"
    stage = Stage(
        name="prepare",
        version=PREPARATION_VERSION,
        folder=dataset_dir,
        command=COMMAND,
        settings={"tasks": way.tasks, "shuffled": way.shuffled},
        files={"pictures": pictures},
        outputs=DATASET_CONTENTS,
    )
    summary = run_if_stale(stage, partial(_write_dataset, held, way), lock_folders=(work,), force=False)
    captions = sum(each.split == "train" for each in held)
    return round(captions / (1 - way.question_share)) if way.question_share else summary.result.counts["train examples"]


def _share_features(model_dir: Path) -> None:
    """Keep the features, which are the same in all ways, in one folder."""
    model_dir.mkdir(exist_ok=True)
    features = model_dir / FEATURES_FOLDER
    if not features.exists():
        shared = model_dir.parent.parent.parent / FEATURES_FOLDER
        shared.mkdir(exist_ok=True)
        features.symlink_to(os.path.relpath(shared, model_dir), target_is_directory=True)


def _write_dataset(held: Sequence[Held], way: Way, dataset_dir: Path) -> StageResult:
    collector = StatsCollector()
    trained = [each for each in held if each.split == "train"]
    others = dict(zip((each.sha256 for each in trained), trained[SHIFT:] + trained[:SHIFT], strict=True))
    # Seen from FOLDER/WAY/work/dataset.
    pictures = f"../../../{PICTURES}"
    with writing_examples(dataset_dir, 0) as write, jsonl_writer(dataset_dir / REJECTED_FILE):
        for each in held:
            shown = others[each.sha256] if way.shuffled and each.split == "train" else each
            # All are tested on the same examples. Validation chooses the checkpoint, so it has those of the way.
            tasks = ALL_TASKS if each.split == "test" else way.tasks
            collector.use_figure(each.split, each.drawing.layout)
            for example in examples_of(each.drawing, tasks, shown, pictures):
                write[each.split](example)
                collector.add_example(each.split, example, shortened=False)
    options = FinalizeOptions(minitrain_examples=40, expected_splits=SPLITS, data_set="", decisions={})
    return StageResult(counts=finalize_dataset(dataset_dir, collector, options).summary)


def _build_model(cache: Path, held: Sequence[Held], epochs: int) -> Path:
    """Write a Gemma 3 with random weights and a trained encoder where it is not there yet; return its folder."""
    folder = cache / "model"
    if folder.exists():
        return folder
    texts = [text for number in range(1000) for text in _texts_of(draw(number)[0])]
    words = sorted({word for text in texts for word in re.findall(r"[\w()]+", text)})
    # In the middle of a text, and at its beginning.
    pieces = [f"{space}{word}" for word in words for space in ("▁", "")]
    markers = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    images = Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE})
    processor = Gemma3Processor(
        image_processor=images, tokenizer=tiny_tokenizer(markers, pieces), image_seq_length=IMAGE_TOKENS
    )
    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": LAYERS}
    tokenizer = processor.tokenizer
    decoder = {"num_key_value_heads": HEADS // 2, "head_dim": WIDTH // HEADS, "query_pre_attn_scalar": WIDTH // HEADS}
    config = Gemma3Config(
        text_config={
            **sizes,
            **decoder,
            "num_attention_heads": HEADS,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 1024,
            "layer_types": ["full_attention"] * LAYERS,
        },
        vision_config={
            **sizes,
            "num_attention_heads": HEADS,
            "image_size": SIDE,
            "patch_size": PATCH,
            "vision_use_head": False,
        },
        mm_tokens_per_image=IMAGE_TOKENS,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )
    torch.manual_seed(SEED)
    model = Gemma3ForConditionalGeneration(config)
    # It starts at zero, where the encoder gets no gradient.
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=WIDTH**-0.5)
    shown = {
        split: [
            labelled(Image.open(cache / PICTURES / each.file), each.drawing.marks, SIDE, PATCH)
            for each in held
            if each.split == split
        ]
        for split in SPLITS
    }
    train_encoder(model, shown["train"], shown["test"], epochs)
    with atomic_write_dir(folder) as temporary:
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)
    return folder


def _texts_of(drawing: Drawing) -> Iterator[str]:
    yield from (CAPTION_PROMPT, READ_PROMPT, drawing.caption, *drawing.words)
    for question in drawing.questions:
        yield from (question.request.rstrip("?"), question.answer)


def table_lines(predictions: Sequence[Prediction]) -> Iterator[str]:
    """Yield the lines of the table of one way."""
    yield f"{'':20}{'examples':>9}{'right picture':>24}{'wrong picture':>24}{'grey':>24}{'most':>6}\n"
    captions = [each for each in predictions if each.task == "caption"]
    losses = [
        (_finite(each.tuned.loss), _finite(each.wrong_image_loss), _finite(each.grey_image_loss)) for each in captions
    ]
    yield _line("caption loss", captions, [_mean_loss(captions, [each[at] for each in losses]) for at in range(3)])
    gains = [_mean_loss(captions, [each[at] - each[0] for each in losses]) for at in (1, 2)]
    yield _line("caption gain", captions, [None, *gains])
    for kind in ("", *sorted({each.kind for each in captions})):
        members = [each for each in captions if kind in ("", each.kind)]
        if chosen := choice_scores(members, BOOTSTRAP):
            shares = (chosen.accuracy, chosen.wrong_image, chosen.grey)
            yield _line(f"right of five{kind and f', {kind}'}", members, shares, 1 / (1 + NEGATIVES))
    questions = [each for each in predictions if each.task == QUESTION_TASK]
    for slug in sorted({slug_of(each) for each in questions}):
        asked = [each for each in questions if slug_of(each) == slug]
        (found,) = short_scores(asked, BOOTSTRAP)
        yield _line(f"question {slug}", asked, (found.tuned, None, found.grey), found.majority)
    readings = [each for each in predictions if each.task == READ_TASK]
    for found in short_scores(readings, BOOTSTRAP):
        yield _line(found.measure, readings, (found.tuned, None, found.grey))


def slug_of(prediction: Prediction) -> str:
    """Return the kind of a short question, the end of its id."""
    return prediction.example_id.rsplit("-", 1)[-1]


def _finite(loss: float | None) -> float:
    assert loss is not None, "no loss, or none that is finite"
    return loss


def _mean_loss(members: Sequence[Prediction], losses: Sequence[float]) -> Estimate:
    """Return the mean over tokens, with an interval over layouts."""
    tokens = [float(each.tokens) for each in members]
    totals = [loss * weight for loss, weight in zip(losses, tokens, strict=True)]
    return estimate(totals, tokens, [each.group for each in members], BOOTSTRAP)


def _line(
    title: str, members: Sequence[Prediction], cells: Sequence[Estimate | None], most: float | None = None
) -> str:
    shown = "".join(f"{'' if cell is None else _shown(cell):>24}" for cell in cells)
    return f"{title:20}{len(members):>9}{shown}{'' if most is None else f'{most:.2f}':>6}\n"


def _shown(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
