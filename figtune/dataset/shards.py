"""The examples of each split on disk: one file, or a folder of shards with the same lines in the same order.

`train.jsonl`, or `train/00000-of-00003.jsonl` and so on. Whoever reads examples reads them through here.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from figtune.core import commands
from figtune.core.errors import ArtifactMissingError
from figtune.core.io import atomic_write_dir
from figtune.core.jsonl import jsonl_writer, stream_records
from figtune.dataset.records import SPLITS, Example, Split, examples_file

_BLOCK = 1 << 20  # bytes

_Write = Callable[[object], None]


def stream_examples(dataset_dir: Path, split: Split) -> Iterator[Example]:
    """Yield the examples of a split one by one.

    Raises:
        ArtifactMissingError: there are none, or a shard is missing.
        InputError: a line is no example.
    """
    for path in example_files(dataset_dir, split):
        yield from stream_records(path, Example, commands.PREPARE)


def example_files(dataset_dir: Path, split: Split) -> list[Path]:
    """Return the files of a split, in order. The only one may be missing.

    Raises:
        ArtifactMissingError: a shard is missing.
    """
    shards = sorted((dataset_dir / split).glob("*.jsonl"))
    if not shards:
        return [dataset_dir / examples_file(split)]
    if [shard.name for shard in shards] != [_shard_name(number, len(shards)) for number in range(len(shards))]:
        raise ArtifactMissingError(
            f"{dataset_dir / split} lacks some of its shards", f"make them again with: {commands.PREPARE} --force"
        )
    return shards


def digest_of_examples(dataset_dir: Path, split: Split) -> str:
    """Return the sha256 of all lines of a split, in hex, however they are sharded.

    Raises:
        ArtifactMissingError: a shard is missing.
    """
    digest = hashlib.sha256()
    for path in example_files(dataset_dir, split):
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def writing_examples(dataset_dir: Path, shard_examples: int) -> Iterator[Mapping[Split, _Write]]:
    """Yield for each split a function that adds an example; what was there before goes when the block ends well.

    Args:
        shard_examples: of every shard but the last; 0 for one file.
    """
    with ExitStack() as files:
        yield {split: files.enter_context(_writing(dataset_dir, split, shard_examples)) for split in SPLITS}


@contextmanager
def _writing(dataset_dir: Path, split: Split, shard_examples: int) -> Iterator[_Write]:
    whole, folder = dataset_dir / examples_file(split), dataset_dir / split
    if shard_examples:
        with _sharding(folder, shard_examples) as write:
            yield write
        whole.unlink(missing_ok=True)
    else:
        with jsonl_writer(whole) as write:
            yield write
        if folder.exists():
            shutil.rmtree(folder)


@contextmanager
def _sharding(folder: Path, shard_examples: int) -> Iterator[_Write]:
    """Write shards, which get their names when it is known how many there are."""
    with atomic_write_dir(folder) as made:
        with ExitStack() as current:
            paths = [made / "0"]
            write, count = current.enter_context(jsonl_writer(paths[0])), 0

            def add(record: object) -> None:
                nonlocal write, count
                if count == shard_examples:
                    current.close()
                    paths.append(made / str(len(paths)))
                    write, count = current.enter_context(jsonl_writer(paths[-1])), 0
                write(record)
                count += 1

            yield add
        for number, path in enumerate(paths):
            path.rename(made / _shard_name(number, len(paths)))


def _shard_name(number: int, count: int) -> str:
    return f"{number:05}-of-{count:05}.jsonl"
