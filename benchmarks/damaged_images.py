"""Damage images of every format and mode that Pillow writes, and count how many rows preparation accounts for.

    python -m benchmarks.damaged_images build/damaged_images
    python -m benchmarks.damaged_images build/damaged_images --images 2000 --seed 7

Every row must be used or rejected with a reason, the process must end by itself with 0, and the pixels that are stored
must be those that a model would be given of the original file. Also prints the peak of resident memory.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.preparation import prepared
from figtune.core.errors import InputError
from figtune.core.image_decoding import read_image
from figtune.core.jsonl import read_records
from figtune.dataset.records import REJECTED_FILE, SPLITS, Example, Rejection, examples_file

MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "I;16B")
CAPTION = "A generated drawing of blocks in many greys and colours, number {number} of all."
BY_HAND = (
    "pipe",
    "folder",
    "/dev/zero",
    "/dev/full",
    "nowhere.png",
    "a\0b.png",
    "x" * 5000,
    "https://example.org/a.png",
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where images and results go")
    parser.add_argument("--images", type=int, default=300, help="number of images")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other damage")
    options = parser.parse_args(arguments)
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    names = [*_write_images(options.folder, options.images, options.seed), *_write_oddities(options.folder), *BY_HAND]
    lines = ({"image": name, "caption": CAPTION.format(number=number)} for number, name in enumerate(names))
    (options.folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    work = options.folder / "work"
    flags = ("--prepare.min_ink_share", "0", "--prepare.near_duplicate_bits", "0", "--prepare.min_side_pixels", "1")
    seconds, peak = prepared(work, "--data.source", str((options.folder / "rows.jsonl").resolve()), *flags)
    return _report(options.folder, names, seconds, peak)


def _write_images(folder: Path, count: int, seed: int) -> Iterator[str]:
    """Write images of all formats and modes in turn, two of three damaged; yield their names."""
    chance = random.Random(seed)
    kinds = [(form, mode) for form in _formats() for mode in MODES]
    written = 0
    while written < count:
        form, mode = kinds[chance.randrange(len(kinds))]
        data = _encoded(form, mode, chance)
        if data is None:
            continue
        name = f"{written:04d}-{mode.replace(';', '')}.{form.lower()}"
        (folder / name).write_bytes(_damaged(data, chance) if chance.random() < 2 / 3 else data)
        written += 1
        yield name


def _formats() -> list[str]:
    Image.init()
    return sorted(set(Image.SAVE) - {"PDF", "PALM"})


def _encoded(form: str, mode: str, chance: random.Random) -> bytes | None:
    """Encode one image; None where the format does not hold the mode."""
    values = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (12, 16), dtype=np.uint8)
    grey = Image.fromarray(values).resize((160, 120), Image.Resampling.BILINEAR)
    if mode in ("I", "F", "I;16", "I;16B"):
        kind = {"I": "<i4", "F": "<f4", "I;16": "<u2", "I;16B": ">u2"}[mode]
        image = Image.fromarray((np.asarray(grey).astype(np.float64) * chance.choice((0.004, 1, 16, 200))).astype(kind))
    elif mode == "LAB":
        image = Image.merge("LAB", (grey, grey.rotate(180), grey))
    else:
        colors = Image.merge("RGB", (grey, grey.rotate(180), grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
        image = colors.convert("P").convert("PA") if mode == "PA" else colors.convert(mode)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = chance.randrange(1, 9)
    try:
        image.save(file, form, exif=exif if chance.random() < 0.3 else b"")
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError):
        return None
    return file.getvalue()


def _damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut, overwrite, remove or insert bytes; more often near the beginning, where headers are."""
    damaged = bytearray(data)
    for _ in range(chance.randrange(1, 9)):
        start = int(len(damaged) * chance.random() ** chance.choice((1, 4)))
        length = chance.choice((1, 1, 2, 4, 16, 300))
        noise = chance.choice((chance.randbytes(length), b"\xff" * length, b"\0" * length))
        match chance.randrange(5):
            case 0:
                del damaged[start:]
            case 1:
                del damaged[start : start + length]
            case 2:
                damaged[start:start] = noise
            case _:
                damaged[start : start + length] = noise[: max(0, len(damaged) - start)]
    return bytes(damaged)


def _write_oddities(folder: Path) -> Iterator[str]:
    """Write images that are odd by themselves: bombs, garbage in EXIF, layouts that Pillow does not read."""
    Image.new("L", (9000, 9000)).save(folder / "bomb.png")
    Image.new("RGB", (200, 200)).save(folder / "exif.webp", exif=b"Exif\0\0garbage-garbage")
    Image.new("RGB", (200, 200)).save(folder / "exif.jpg", exif=b"Exif\0\0garbage-garbage")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture", encoding="utf-8")
    (folder / "postscript.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n")
    (folder / "folder").mkdir()
    subprocess.run(("mkfifo", str(folder / "pipe")), check=True)
    return iter(("bomb.png", "exif.webp", "exif.jpg", "empty.png", "text.png", "postscript.png"))


def _report(folder: Path, names: Sequence[str], seconds: float, peak: float) -> int:
    dataset = folder / "work" / "dataset"
    used = [each for split in SPLITS for each in read_records(dataset / examples_file(split), Example, "")]
    rejected = read_records(dataset / REJECTED_FILE, Rejection, "")
    accounted = {each.example_id for each in used} | {each.item_id for each in rejected if each.detail}
    same = sum(_is_same(folder / names[int(each.example_id[4:]) - 1], dataset / each.image) for each in used)
    sys.stdout.write(
        f"{len(accounted)} of {len(names)} rows accounted for: {len(used)} used, {len(rejected)} rejected\n"
        f"{same} of {len(used)} stored with the pixels of their file\n"
        f"{seconds:.1f} seconds, peak {peak:.0f} MB\n"
    )
    return int(len(accounted) < len(names) or same < len(used))


def _is_same(given: Path, stored: Path) -> bool:
    try:
        return read_image(given).tobytes() == read_image(stored).tobytes()
    except InputError:
        return False


if __name__ == "__main__":
    sys.exit(main())
