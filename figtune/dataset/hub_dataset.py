"""Source of a data set (a Hub id, a folder or a file): opened without decoding an image, and its fingerprint.

Everything is read as a stream, a few rows at a time: Parquet, JSON and CSV files directly, the rest through the
`datasets` library. A data set of the Hub is downloaded into its cache first, file by file, so that an interrupted
download carries on and nothing is downloaded twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from figtune.core.errors import InputError
from figtune.core.image_formats import IMAGE_SUFFIXES
from figtune.core.io import sha256_of
from figtune.dataset.dataset_rows import DatasetSplit, OpenedSource, table_rows
from figtune.dataset.settings import TABLE_SUFFIXES, DataSettings

if TYPE_CHECKING:
    from figtune.core.hub import Repository

_PARQUET_SUFFIX = ".parquet"
_SAVED_BY_DATASETS = ("dataset_dict.json", "state.json")
_BATCH_ROWS = 64
"""Rows of Parquet in memory at a time."""
_BUFFER_BYTES = 1 << 20
"""Bytes of a Parquet column read at a time."""
_TEXTS = frozenset((".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".txt", ".md", ".yaml"))
_SAMPLE_BYTES = 1 << 16


class _Rows(Protocol):
    """The part of `datasets.Dataset` and `datasets.IterableDataset`, which have no types, that is used here."""

    features: Mapping[str, object] | None

    def cast_column(self, column: str, feature: object) -> _Rows:
        """Return the same rows with that column read in another way."""

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        """Iterate over rows, by column."""


def open_source(data: DataSettings) -> OpenedSource:
    """Open a data set.

    Raises:
        InputError: it cannot be read as one.
        ResourceError: it cannot be had from the Hub.
    """
    path = data.path
    folder = _downloaded(data) if path is None else path
    try:
        parts = tuple(_opened(folder, [name.split(".")[0] for name in data.columns.values()]))
    except (OSError, ValueError, TypeError) as misfit:
        raise _unreadable(data.source, misfit) from None
    return OpenedSource(
        name=data.source if path is None else path.name,
        folder=folder if folder.is_dir() else folder.parent,
        trusted=path is not None,
        parts=tuple(_limited(part, data) for part in parts),
    )


def _limited(part: DatasetSplit, data: DataSettings) -> DatasetSplit:
    rows, count = _guarded(part, data.source), part.count
    if not data.limit:
        return DatasetSplit(name=part.name, rows=rows, count=count)
    return DatasetSplit(
        name=part.name,
        rows=islice(rows, data.limit),
        count=data.limit if count is None else min(count, data.limit),
    )


def check_source(data: DataSettings) -> None:
    """See that a data set of the Hub is here or may be downloaded.

    Raises:
        ResourceError: no network, no such data set, or no right to read it.
    """
    if data.path is None:
        from figtune.core.hub import check_access, is_cached

        if not is_cached(_repository(data)):
            check_access(_repository(data))


def _downloaded(data: DataSettings) -> Path:
    from figtune.core.hub import download

    return download(_repository(data), None)


def _repository(data: DataSettings) -> Repository:
    from figtune.core.hub import Repository

    return Repository(
        kind="dataset",
        name=data.source,
        revision=data.revision,
        name_flag="--data.source",
        revision_flag="--data.revision",
    )


def _opened(path: Path, columns: Sequence[str]) -> Iterator[DatasetSplit]:
    """Open the parts of a data set on this machine, in the order that it names them."""
    if path.is_file():
        if path.suffix.lower() not in TABLE_SUFFIXES:
            given = path.suffix or "a file without a suffix"
            raise ValueError(f"{given} is none of {', '.join(TABLE_SUFFIXES)}")
        return iter([_part_of_files("train", [path], columns)])
    import datasets
    from datasets.packaged_modules.csv.csv import Csv
    from datasets.packaged_modules.json.json import Json
    from datasets.packaged_modules.parquet.parquet import Parquet

    if any((path / name).is_file() for name in _SAVED_BY_DATASETS):
        return _parts(datasets.load_from_disk(str(path)))
    builder = datasets.load_dataset_builder(str(path))
    if isinstance(builder, Csv | Json | Parquet):
        files: Mapping[str, Sequence[str]] = builder.config.data_files
        parts = {str(name): [Path(file) for file in of_part] for name, of_part in files.items()}
        if all(file.suffix.lower() in TABLE_SUFFIXES for of_part in parts.values() for file in of_part):
            return iter([_part_of_files(name, of_part, columns) for name, of_part in parts.items()])
    return _parts(builder.as_streaming_dataset())


def _parts(loaded: Mapping[str, _Rows] | _Rows) -> Iterator[DatasetSplit]:
    for name, rows in (loaded if isinstance(loaded, Mapping) else {"train": loaded}).items():
        yield DatasetSplit(name=str(name), rows=_undecoded(rows), count=getattr(rows, "num_rows", None))


def _part_of_files(name: str, paths: Sequence[Path], columns: Sequence[str]) -> DatasetSplit:
    if paths[0].suffix.lower() == _PARQUET_SUFFIX:
        return _parquet_part(name, paths)
    return DatasetSplit(name=name, rows=chain.from_iterable(table_rows(path, columns) for path in paths), count=None)


def _parquet_part(name: str, paths: Sequence[Path]) -> DatasetSplit:
    """Read without `datasets`, which holds whole row groups: some 400 MB where a writer made them large."""
    from pyarrow.parquet import ParquetFile, read_metadata

    files = (ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) for path in paths)
    batches = (batch for file in files for batch in file.iter_batches(_BATCH_ROWS))
    count = sum(read_metadata(path).num_rows for path in paths)
    return DatasetSplit(name=name, rows=(row for batch in batches for row in batch.to_pylist()), count=count)


def _undecoded(rows: _Rows) -> _Rows:
    import datasets

    for name, feature in (rows.features or {}).items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def _guarded(part: DatasetSplit, name: str) -> Iterator[Mapping[str, object]]:
    """Yield the same rows; whatever breaks while they are read becomes an error of the data set."""
    rows = iter(part.rows)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        # The readers of `datasets` raise whatever the libraries below them do; all of it is about the files.
        except Exception as fault:  # noqa: BLE001
            raise _unreadable(f"{name}, {part.name}", fault) from None
        yield row


def _unreadable(name: str, fault: Exception) -> InputError:
    words = " ".join(str(fault).split()) or type(fault).__name__
    return InputError(f"{name} cannot be read as a data set: {words}", "docs/datasets.md says what can")


def source_fingerprint(data: DataSettings) -> dict[str, str]:
    """Fingerprint texts by sha256, pictures all together by names and sizes, the rest by size and samples of its bytes.

    A Hub repository is identified by its name and revision alone: it has no files here.

    Raises:
        InputError: it is not there.
    """
    path = data.path
    if path is None:
        return {}
    if not (path.is_file() or path.is_dir()):
        raise InputError(
            f"there is no data set {data.source}", "give --data.source a Hub id, a folder, or a Parquet or JSONL file"
        )
    if path.is_file():
        return {path.name: _file_fingerprint(path)}
    identities, pictures = {}, []
    for name, size in _sizes(str(path), ""):
        if name.lower().endswith(IMAGE_SUFFIXES):
            pictures.append(f"{name} {size}\n".encode())
        else:
            identities[name] = _file_fingerprint(path / name)
    return {**identities, "pictures": _digest(sorted(pictures))}


def _sizes(folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield names and sizes of all files below a folder. Without a Path for each: there may be a hundred thousand."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield f"{prefix}{entry.name}", entry.stat().st_size


def _file_fingerprint(path: Path) -> str:
    if path.suffix.lower() in _TEXTS:
        return sha256_of(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
        file.seek(max(0, size - _SAMPLE_BYTES))
        # A Parquet file ends in the table of where everything lies.
        return f"{size} bytes, {_digest((head, file.read()))}"


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
