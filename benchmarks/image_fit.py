"""Measure what wide and tall pictures lose by letterboxing or squashing, and what tiles give back.

    python -m benchmarks.image_fit build/image_fit
    python -m benchmarks.image_fit build/image_fit --pictures 240 --seeds 0 1

Draws pictures of a row or column of shapes, one side 1 to 8 times as long as the other, with captions that name them in
order; trains the tiny model with each `--model.image_fit`, and squashed with `--model.tiles 4`, for each seed; prints
the loss on held-out pictures in nats a token, by proportions, with the right picture and with a wrong one. Only the
difference of the two comes from looking.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from PIL import Image, ImageDraw

from figtune.core import commands
from figtune.core.jsonl import read_records
from figtune.metrics.records import PREDICTIONS_FILE, Prediction

ROOT = Path(__file__).parent.parent
RATIOS = (1, 2, 4, 8)
SHORT_SIDE = 320
"""Pixels: below 256 nothing is cut into tiles."""
WAYS = {
    "letterbox": ("--model.image_fit", "letterbox"),
    "squash": ("--model.image_fit", "squash"),
    "tiles": ("--model.image_fit", "squash", "--model.tiles", "4"),
}
TRAINING = ("--train.epochs", "45", "--train.learning_rate", "6e-3", "--train.batch_size", "16")
REST = (
    *("--preset", "demo", "--prepare.test_fraction", "0.25", "--prepare.near_duplicate_bits", "0"),
    *("--prepare.min_words", "3", "--data.id_column", "id", "--test.max_new_tokens", "16", "--train.evaluations", "1"),
)
Corners = tuple[int, int, int, int]
SHAPES: dict[str, Callable[[ImageDraw.ImageDraw, Corners], None]] = {
    "circle": lambda draw, at: draw.ellipse(at, fill=(20, 20, 20)),
    "square": lambda draw, at: draw.rectangle(at, outline=(20, 20, 20), width=16),
    "triangle": lambda draw, at: draw.polygon(((at[0], at[3]), (at[2], at[3]), (at[0], at[1])), fill=(150, 30, 30)),
    "line": lambda draw, at: draw.line((at[0], at[1], at[2], at[3]), fill=(30, 30, 160), width=28),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where pictures and results go")
    parser.add_argument("--pictures", type=int, default=240)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args(arguments)
    source = _draw_all(options.folder, options.pictures)
    sys.stdout.write("way        seed" + "".join(f"{f'{ratio}:1 right wrong':>18}" for ratio in RATIOS) + "\n")
    for seed in options.seeds:
        for way in WAYS:
            losses = _losses(_trained(source, options.folder / f"{way}-{seed}", way, seed))
            cells = (f"{losses[ratio][0]:>12.3f}{losses[ratio][1]:>6.3f}" for ratio in RATIOS)
            sys.stdout.write(f"{way:10} {seed:>4}" + "".join(cells) + "\n")
            sys.stdout.flush()
    return 0


def _draw_all(folder: Path, count: int) -> Path:
    numbers = random.Random(0)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    rows = [_drawn(folder, number, numbers) for number in range(count)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _drawn(folder: Path, number: int, numbers: random.Random) -> dict[str, str]:
    """Three shapes in a picture whose longer side lies either way."""
    ratio, tall = RATIOS[number % len(RATIOS)], number // len(RATIOS) % 2 == 1
    names = [numbers.choice(list(SHAPES)) for _ in range(3)]
    long = SHORT_SIDE * ratio
    picture = Image.new("RGB", (SHORT_SIDE, long) if tall else (long, SHORT_SIDE), "white")
    draw = ImageDraw.Draw(picture)
    for place, name in enumerate(names):
        SHAPES[name](draw, _corners(place, long, tall))
    # The group names the proportions, so that they are known when the losses are read.
    name = f"{ratio}-{number}"
    picture.save(folder / "pictures" / f"{name}.png")
    return {"id": name, "image": f"pictures/{name}.png", "caption": f"In order: {', '.join(names)}."}


def _corners(place: int, long: int, tall: bool) -> Corners:
    size = min(SHORT_SIDE - 80, long // 3 - 24)
    start, across = place * long // 3 + 12, (SHORT_SIDE - size) // 2
    left, top = (across, start) if tall else (start, across)
    return left, top, left + size, top + size


def _trained(source: Path, folder: Path, way: str, seed: int) -> Path:
    """Run the pipeline; return the evaluation's folder."""
    command = (sys.executable, "main.py", *REST, *TRAINING, "--data.source", str(source.resolve()))
    chosen = (*WAYS[way], "--train.seed", str(seed))
    places = ("--work_dir", str(folder.resolve() / "work"), "--output_dir", str(folder.resolve() / "output"))
    subprocess.run((*command, *chosen, *places), cwd=ROOT, check=True)
    return folder / "output" / "evaluation"


def _losses(evaluation: Path) -> dict[int, tuple[float, float]]:
    """Mean losses of the tuned model on held-out pictures by proportions: with the right picture, with a wrong one."""
    found: defaultdict[int, list[Prediction]] = defaultdict(list)
    for prediction in read_records(evaluation / PREDICTIONS_FILE, Prediction, commands.TEST):
        if prediction.split == "test":
            found[int(prediction.group.split("-")[0])].append(prediction)
    return {
        ratio: (
            fmean(each.tuned.loss for each in predictions if each.tuned.loss is not None),
            fmean(each.wrong_image_loss for each in predictions if each.wrong_image_loss is not None),
        )
        for ratio, predictions in found.items()
    }


if __name__ == "__main__":
    sys.exit(main())
