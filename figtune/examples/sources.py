"""Where rows come from: a Hub id, a folder or a file, opened through the `datasets` library without decoding an image.

Everything is read as a stream, a few rows at a time. A data set of the Hub is downloaded into its cache first, file by
file, so that an interrupted download carries on and nothing is downloaded twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from figtune.examples.rows import Columns, OpenedSource, Part
from figtune.pipeline.errors import InputError

if TYPE_CHECKING:
    from figtune.pipeline.hub import Repository

_HUB_ID = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)?")
_LOADERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".ndjson": "json", ".csv": "csv"}
_SAVED_BY_DATASETS = ("dataset_dict.json", "state.json")
_BATCH_ROWS = 64
"""Of Parquet, held at once."""
_BUFFER_BYTES = 1 << 20
"""Of a Parquet column, read at once."""


class _Rows(Protocol):
    """What is used here of `datasets.Dataset` and `datasets.IterableDataset`, which have no types."""

    features: Mapping[str, object] | None

    def cast_column(self, column: str, feature: object) -> _Rows:
        """The same rows, that column read in another way."""

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        """Rows by column."""


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A data set as the user describes it."""

    name: str
    """A Hub id, a folder or a file."""
    revision: str | None
    """Branch, tag or commit of a Hub repository."""
    columns: Columns
    prompt: str
    """Asked of rows without one of their own."""

    @property
    def path(self) -> Path | None:
        """The folder or file; None for a Hub id."""
        path = Path(self.name).expanduser()
        if path.exists() or not _HUB_ID.fullmatch(self.name) or path.suffix.lower() in _LOADERS:
            return path
        return None


def open_source(source: DataSource) -> OpenedSource:
    """Open a data set.

    Raises:
        InputError: it cannot be read as one.
        ResourceError: it cannot be had from the Hub.
    """
    path = source.path
    folder = _downloaded(source) if path is None else path
    try:
        parts = tuple(_opened(folder))
    except (OSError, ValueError, TypeError) as misfit:
        raise _unreadable(source.name, misfit) from None
    return OpenedSource(
        name=source.name if path is None else path.name,
        folder=folder if folder.is_dir() else folder.parent,
        trusted=path is not None,
        parts=tuple(Part(name=part.name, rows=_guarded(part, source.name), count=part.count) for part in parts),
    )


def check_source(source: DataSource) -> None:
    """See that a data set of the Hub is here or may be downloaded.

    Raises:
        ResourceError: no network, no such data set, or no right to read it.
    """
    if source.path is None:
        from figtune.pipeline.hub import check_access, is_cached

        if not is_cached(_repository(source)):
            check_access(_repository(source))


def _downloaded(source: DataSource) -> Path:
    from figtune.pipeline.hub import download

    return download(_repository(source), None)


def _repository(source: DataSource) -> Repository:
    from figtune.pipeline.hub import Repository

    return Repository(
        kind="dataset",
        name=source.name,
        revision=source.revision,
        name_flag="--data.source",
        revision_flag="--data.revision",
    )


def _opened(path: Path) -> Iterator[Part]:
    """The parts of a data set on this machine, in the order that it names them."""
    import datasets
    from datasets.packaged_modules.parquet.parquet import Parquet

    if any((path / name).is_file() for name in _SAVED_BY_DATASETS):
        return _parts(datasets.load_from_disk(str(path)))
    if path.is_dir():
        builder = datasets.load_dataset_builder(str(path))
    else:
        loader = _LOADERS.get(path.suffix.lower())
        if loader is None:
            raise ValueError(f"{path.suffix or 'a file without a suffix'} is none of {', '.join(_LOADERS)}")
        builder = datasets.load_dataset_builder(loader, data_files={"train": str(path)})
    if isinstance(builder, Parquet):
        files: Mapping[str, Sequence[str]] = builder.config.data_files
        return iter([_parquet_part(name, paths) for name, paths in files.items()])
    return _parts(builder.as_streaming_dataset())


def _parts(loaded: Mapping[str, _Rows] | _Rows) -> Iterator[Part]:
    for name, rows in (loaded if isinstance(loaded, Mapping) else {"train": loaded}).items():
        yield Part(name=str(name), rows=_undecoded(rows), count=getattr(rows, "num_rows", None))


def _parquet_part(name: str, paths: Sequence[str]) -> Part:
    """Read without `datasets`, which holds whole row groups: some 400 MB where a writer made them large."""
    from pyarrow.parquet import ParquetFile, read_metadata

    files = (ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) for path in paths)
    batches = (batch for file in files for batch in file.iter_batches(_BATCH_ROWS))
    count = sum(read_metadata(path).num_rows for path in paths)
    return Part(name=str(name), rows=(row for batch in batches for row in batch.to_pylist()), count=count)


def _undecoded(rows: _Rows) -> _Rows:
    import datasets

    for name, feature in (rows.features or {}).items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def _guarded(part: Part, name: str) -> Iterator[Mapping[str, object]]:
    """The same rows; what breaks while they are read is told as an error of the data set."""
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
    return InputError(
        f"{name} cannot be read as a data set: {words}", "see README, Train on an image-caption data set, for what can"
    )
