"""Measure how fast images are encoded, and how soon a run starts that finds all features in the cache.

    python -m benchmarks.encoding build/encoding
    python -m benchmarks.encoding build/encoding --base build/full_size/gemma3 --rows 1 8 32

Encodes the same images turn by turn: one after another as a plain loop does (read, encode, a safetensors file an
image), then with the product's code, with each number of rows in one forward pass. Prints images a second and the
ratio to the loop; the median of turns, by the clock, so other work on the machine shows. Then starts on many small
features: from a file an image, whose headers are read, and from shards; prints seconds, files and megabytes. `--base`
is a model's folder in the Hub's layout, for a card; without it a tiny model is encoded with, on which decoding is
nearly all the work.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from config import ADAPTER, MODEL
from figtune.core.io import sha256_of
from figtune.models.encoding import encode_tensors
from figtune.models.feature_cache import ImageFiles, image_files, prepared_features
from figtune.models.feature_shards import FeatureShards, ShardWriter
from figtune.models.loading import LoadedModel, load_tuned_model, resolve_device
from figtune.models.settings import SetupSettings
from figtune.models.setup import set_up_model

TURNS = 5
IMAGE_SIZE = 1000, 700
SMALL_FEATURES = 4, 16
"""Tokens and width of the features in many files: their size is no part of a start."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where images, model and features go")
    parser.add_argument("--base", default="tiny-gemma3", help="folder of a model, or the name of a tiny one")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4], help="images in one forward pass")
    parser.add_argument("--features", type=int, default=50_000, help="in the cache at a start")
    options = parser.parse_args(arguments)
    shutil.rmtree(options.folder / "model", ignore_errors=True)
    set_up_model(options.folder / "model", _settings(options.base))
    loaded = load_tuned_model(options.folder / "model", resolve_device("auto"), "this benchmark")
    _measure_encoding(loaded, _draw(options.folder / "images", options.images), options.folder, options.rows)
    _measure_start(options.folder, options.features)
    return 0


def _measure_encoding(loaded: LoadedModel, files: dict[str, Path], folder: Path, rows: Sequence[int]) -> None:
    images, kept = image_files(loaded, files), folder / "features"
    ways: dict[str, Callable[[], object]] = {"loop, a file an image": partial(_loop, loaded, images, kept)}
    for number in rows:
        ways[f"ahead, {number} at a time"] = partial(prepared_features, kept, loaded, images, number)
    seconds: dict[str, list[float]] = {title: [] for title in ways}
    for turn in range(TURNS + 1):
        for title, way in ways.items():
            shutil.rmtree(kept, ignore_errors=True)
            taken = _seconds(way)
            if turn:  # the first one warms up
                seconds[title].append(taken)
    first = next(iter(seconds.values()))
    sys.stdout.write(f"{'encoding':26}{'images/s':>10}{'x loop':>8}\n")
    for title, each in seconds.items():
        ratio = statistics.median(loop / taken for loop, taken in zip(first, each, strict=True))
        sys.stdout.write(f"{title:26}{len(files) / statistics.median(each):>10.1f}{ratio:>8.2f}\n")


def _loop(loaded: LoadedModel, images: ImageFiles, folder: Path) -> None:
    folder.mkdir()
    for sha256 in images.files:
        features = encode_tensors(loaded, images.tensors(sha256))
        save_file({"features": features.contiguous().cpu()}, folder / f"{sha256}.safetensors")


def _measure_start(folder: Path, features: int) -> None:
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(features)]
    tensor = torch.zeros(SMALL_FEATURES)
    single, shards = folder / "single", folder / "shards"
    for each in (single, shards):
        shutil.rmtree(each, ignore_errors=True)
    single.mkdir()

    def write_shards() -> None:
        with ShardWriter(folder=shards) as writer:
            for name in names:
                writer.append([(name, tensor)])

    def write_single() -> None:
        for name in names:
            save_file({"features": tensor}, single / f"{name}.safetensors")

    def start_single() -> None:
        for name in names:
            with safe_open(single / f"{name}.safetensors", framework="pt") as file:
                assert "features" in file.keys()  # noqa: SIM118 - not a mapping

    def start_shards() -> None:
        assert not FeatureShards(shards).missing(names)

    sys.stdout.write(f"\n{f'{features:,} features':26}{'write s':>10}{'start s':>10}{'files':>8}{'MB':>8}\n")
    for title, kept, write, start in (
        ("a file an image", single, write_single, start_single),
        ("shards", shards, write_shards, start_shards),
    ):
        written = _seconds(write)
        started = statistics.median(_seconds(start) for _ in range(TURNS))
        files = list(kept.iterdir())
        size = sum(file.stat().st_blocks * 512 for file in files) / 1e6
        sys.stdout.write(f"{title:26}{written:>10.1f}{started:>10.2f}{len(files):>8,}{size:>8.0f}\n")
    shutil.rmtree(single)


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _settings(base: str) -> SetupSettings:
    return SetupSettings(model=replace(MODEL, name=base), adapter=ADAPTER, seed=0)


def _draw(folder: Path, count: int) -> dict[str, Path]:
    """Draw pictures of coarse noise, as slow to decode as figures with photographs; return them by their sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for number in range(count):
        path, chance = folder / f"{number}.png", np.random.default_rng(number)
        if not path.is_file():
            coarse = chance.integers(0, 256, (IMAGE_SIZE[1] // 10, IMAGE_SIZE[0] // 10, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize(IMAGE_SIZE).save(path)
        files[sha256_of(path)] = path
    return files


if __name__ == "__main__":
    sys.exit(main())
