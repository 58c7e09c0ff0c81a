"""Image-caption data sets made for tests, in every form that one can come in."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from config import DATA
from figtune.core.jsonl import read_records
from figtune.dataset.build_from_dataset import prepare_rows
from figtune.dataset.records import REJECTED_FILE, SPLITS, Example, Rejection, Split, Stats, examples_file
from figtune.dataset.settings import DataSettings, PrepareSettings
from tests.dataset.content_maker import CHOICES, picture

TRAIN_ONLY = replace(CHOICES, val_fraction=0.0, test_fraction=0.0)
PROMPT = "Report on this scan."
COLUMNS = replace(DATA, id_column="id", prompt=PROMPT)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A row with the columns of the brain scans."""

    image: bytes | str | None
    id: str
    caption: str | None
    ground_truth: str


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    """An image file in memory."""
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def scan(number: int) -> Scan:
    """A good row; another number is another picture."""
    text = f"An axial scan, number {number}. A bright spot lies in the left half."
    image = encoded(picture(f"scan {number}"), ("PNG", "JPEG")[number % 2])
    return Scan(image=image, id=f"scan{number}", caption=text, ground_truth=f"spot {number}")


def parquet(rows: Sequence[Scan]) -> bytes:
    """A Parquet file as `datasets` writes one: images as structs of bytes and path."""
    table = pa.Table.from_pylist([{**vars(row), "image": _cell(row.image)} for row in rows])
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, row_group_size=7)
    return file.getvalue()


def _cell(image: bytes | str | None) -> dict[str, bytes | str | None]:
    return {
        "bytes": image if isinstance(image, bytes) else None,
        "path": image if isinstance(image, str) else None,
    }


def write_parquet(folder: Path, parts: Mapping[str, Sequence[Scan]]) -> Path:
    """A folder as the Hub holds it: `data/train-00000-of-00001.parquet` ..."""
    (folder / "data").mkdir(parents=True)
    for name, rows in parts.items():
        (folder / "data" / f"{name}-00000-of-00001.parquet").write_bytes(parquet(rows))
    return folder


def _saved(folder: Path, rows: Sequence[Scan]) -> Path:
    import datasets

    made = datasets.Dataset.from_list([{**vars(row), "image": _cell(row.image)} for row in rows])
    datasets.DatasetDict(train=made.cast_column("image", datasets.Image())).save_to_disk(folder / "saved")
    return folder / "saved"


def _binary(folder: Path, rows: Sequence[Scan]) -> Path:
    pyarrow.parquet.write_table(pa.Table.from_pylist([vars(row) for row in rows]), folder / "binary.parquet")
    return folder / "binary.parquet"


def _lines(folder: Path, rows: Sequence[Scan]) -> Path:
    cells = [{**vars(row), "image": _written(folder, "pictures", row)} for row in rows]
    (folder / "rows.jsonl").write_text("".join(json.dumps(cell) + "\n" for cell in cells), encoding="utf-8")
    return folder / "rows.jsonl"


def _image_folder(folder: Path, rows: Sequence[Scan]) -> Path:
    cells = [{**vars(row), "file_name": _written(folder, "train", row).removeprefix("train/")} for row in rows]
    for cell in cells:
        del cell["image"]
    metadata = folder / "train" / "metadata.jsonl"
    metadata.write_text("".join(json.dumps(cell) + "\n" for cell in cells), encoding="utf-8")
    return folder


def _written(folder: Path, below: str, row: Scan) -> str:
    assert isinstance(row.image, bytes)
    suffix = "png" if row.image.startswith(b"\x89PNG") else "jpg"
    name = f"{below}/{row.id}.{suffix}"
    (folder / below).mkdir(exist_ok=True)
    (folder / name).write_bytes(row.image)
    return name


FORMS: Mapping[str, Callable[[Path, Sequence[Scan]], Path]] = {
    "folder of parquet": lambda folder, rows: write_parquet(folder / "hub", {"train": rows}),
    "parquet of plain bytes": _binary,
    "saved by datasets": _saved,
    "jsonl with paths": _lines,
    "imagefolder": _image_folder,
}


@dataclass(frozen=True)
class Prepared:
    """A data set as preparation leaves it."""

    stats: Stats
    examples: dict[Split, list[Example]]
    rejected: list[Rejection]

    @property
    def rules(self) -> dict[str, str]:
        """Reasons of rejected rows."""
        return {each.item_id: each.rule for each in self.rejected}


def prepare(
    source: Path | str,
    dataset_dir: Path,
    settings: PrepareSettings = CHOICES,
    columns: DataSettings = COLUMNS,
    revision: str | None = None,
    limit: int = 0,
) -> Prepared:
    """Prepare and read everything back."""
    wanted = replace(columns, source=str(source), revision=revision, limit=limit)
    stats = prepare_rows(wanted, dataset_dir, settings)
    examples = {split: read_records(dataset_dir / examples_file(split), Example, "a test") for split in SPLITS}
    return Prepared(stats, examples, read_records(dataset_dir / REJECTED_FILE, Rejection, "a test"))
