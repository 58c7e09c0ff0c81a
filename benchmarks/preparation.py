"""Measure what preparation from a data set costs: time, peak memory, and a second run that has nothing to do.

    python -m benchmarks.preparation build/preparation
    python -m benchmarks.preparation build/preparation --rows 2000 20000 --stored parquet saved

Makes data sets of that many generated scans in the folder (kept for the next time), runs prepare_data.py on each, and
prints seconds and the peak of resident memory as Linux tells it; files mapped into memory, as `datasets` does with
what it saved, are a part of it.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from figtune.core.log import progress_bar

ROOT = Path(__file__).parent.parent
SIDE = 153
TEXT = (
    "The image is a computed tomography scan of a head in axial view. A bright region of about {share} % of the area "
    "lies in the {side} half and may be a fresh bleeding, which can press on what is beside it."
)

# The peak that the system tells a parent is at least that of the parent itself, which has held a data set.
MEASURED = """
import sys, prepare_data
code = prepare_data.main(sys.argv[1:])
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
sys.exit(code)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where data sets and results go")
    parser.add_argument("--rows", nargs="+", type=int, default=[2000, 20000], help="sizes of the data sets")
    parser.add_argument("--stored", nargs="+", choices=("parquet", "saved"), default=["parquet"], help="in which form")
    options = parser.parse_args(arguments)
    sys.stdout.write("stored    rows      seconds  rows/s  peak MB  again s\n")
    for stored in options.stored:
        for rows in options.rows:
            source = _made(options.folder, stored, rows)
            work = options.folder / f"work-{stored}-{rows}"
            shutil.rmtree(work, ignore_errors=True)
            flags = ("--data.source", str(source.resolve()), "--data.id_column", "id")
            first, peak = prepared(work, *flags)
            again, _ = prepared(work, *flags)
            sys.stdout.write(f"{stored:8}{rows:>6}{first:>13.1f}{rows / first:>8.0f}{peak:>9.0f}{again:>9.1f}\n")
            sys.stdout.flush()
    return 0


def _made(folder: Path, stored: str, rows: int) -> Path:
    path = folder / f"{stored}-{rows}"
    if path.exists():
        return path
    made = datasets.Dataset.from_generator(
        _scans, gen_kwargs={"count": rows}, features=_features(), cache_dir=str(folder / "cache")
    )
    if stored == "saved":
        made.save_to_disk(path)
    else:
        path.mkdir(parents=True)
        made.to_parquet(path / "train.parquet")
    return path


def _features() -> object:
    text = datasets.Value("string")
    return datasets.Features({"image": datasets.Image(), "id": text, "caption": text, "ground_truth": text})


def _scans(count: int) -> Iterator[dict[str, object]]:
    for number in progress_bar(range(count), total=count, title="Drawing scans", unit="scan"):
        numbers = np.random.default_rng(number)
        text = TEXT.format(share=numbers.integers(1, 30), side=("left", "right")[number % 2])
        yield {"image": {"bytes": _scan(numbers)}, "id": f"scan{number}", "caption": text, "ground_truth": text}


def _scan(numbers: np.random.Generator) -> bytes:
    """A skull, a brain and a few spots, as JPEG."""
    y, x = np.mgrid[-1:1:153j, -1:1:153j]
    pixels = numbers.normal(6, 3, (SIDE, SIDE))
    ring = (x / numbers.uniform(0.7, 0.8)) ** 2 + (y / numbers.uniform(0.85, 0.95)) ** 2
    pixels[ring < 1] += 220
    pixels[ring < 0.88] -= 140
    for _ in range(8):
        left, top = numbers.uniform(-0.5, 0.5, 2)
        wide, high = numbers.uniform(0.05, 0.25, 2)
        pixels[((x - left) / wide) ** 2 + ((y - top) / high) ** 2 < 1] += numbers.uniform(-60, 110)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


def prepared(work: Path, *flags: str) -> tuple[float, float]:
    """Wall seconds and peak MB of one preparation."""
    start = time.monotonic()
    command = (sys.executable, "-c", MEASURED, "--work_dir", str(work.resolve()), *flags)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"prepare_data.py ended with {done.returncode}")
    return time.monotonic() - start, int(done.stdout) / 1024


if __name__ == "__main__":
    sys.exit(main())
