"""Features in shards: what is written is read to the bit; what is torn, damaged or half-written never is."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import sys
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from figtune.core.errors import ResourceError
from figtune.models import feature_shards
from figtune.models.feature_shards import FeatureShards, ShardWriter
from tests.processes import Launched
from tests.rows import each_row

RECORD = 64


def name_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def features_of(number: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Features of different numbers of tokens."""
    generator = torch.Generator().manual_seed(number)
    return torch.randn(1 + number % 5, 6, generator=generator).to(dtype)


def write(folder: Path, numbers: range, dtype: torch.dtype = torch.float32, each: int = 2) -> None:
    with ShardWriter(folder=folder) as writer:
        for first in range(numbers.start, numbers.stop, each):
            some = range(first, min(first + each, numbers.stop))
            writer.append([(name_of(number), features_of(number, dtype)) for number in some])


def readable(folder: Path, numbers: range) -> set[int]:
    """Which have features; those must be right, or be told to be damaged."""
    shards = FeatureShards(folder)
    found = set()
    for number in numbers:
        if name_of(number) not in shards:
            continue
        try:
            assert torch.equal(shards.read(name_of(number)), features_of(number))
        except ResourceError:
            assert name_of(number) not in FeatureShards(folder), "it is forgotten"
            continue
        found.add(number)
    return found


def only(folder: Path, suffix: str) -> Path:
    (file,) = folder.glob(f"*{suffix}")
    return file


@each_row("dtype", [torch.float32, torch.bfloat16, torch.float16])
@each_row("most", [10**9, 100])
def test_what_is_written_is_read_to_the_bit(
    tmp_path: Path, dtype: torch.dtype, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_shards, "SHARD_BYTES", most)
    write(tmp_path, range(40), dtype, each=3)
    shards = FeatureShards(tmp_path)
    assert len(shards) == 40
    for number in range(40):
        read = shards.read(name_of(number))
        assert read.dtype == dtype
        assert torch.equal(read, features_of(number, dtype))
    assert name_of(40) not in shards
    assert shards.missing([name_of(number) for number in range(38, 43)]) == [name_of(40), name_of(41), name_of(42)]
    assert shards.missing([]) == []
    with pytest.raises(KeyError):
        shards.read(name_of(40))
    count = len(list(tmp_path.glob("*.features")))
    assert (count == 1) if most > 100 else (count > 5)


def test_digests_with_zero_bytes_are_told_apart(tmp_path: Path) -> None:
    names = [f"{'ab' * 31}{end}" for end in ("00", "01")] + ["00" * 32, "00" * 31 + "01", "01" + "00" * 31]
    with ShardWriter(folder=tmp_path) as writer:
        writer.append([(name, torch.full((1, 2), float(number))) for number, name in enumerate(names)])
    shards = FeatureShards(tmp_path)
    assert [float(shards.read(name)[0, 0]) for name in names] == [0, 1, 2, 3, 4]
    assert shards.missing([*names, "00" * 30 + "0100"]) == ["00" * 30 + "0100"]


def test_an_empty_or_missing_folder_has_none(tmp_path: Path) -> None:
    assert name_of(0) not in FeatureShards(tmp_path)
    assert FeatureShards(tmp_path).missing([name_of(0)]) == [name_of(0)]
    assert name_of(0) not in FeatureShards(tmp_path / "missing")


def test_an_index_torn_anywhere_loses_its_torn_end_only(tmp_path: Path) -> None:
    write(tmp_path, range(6))
    index = only(tmp_path, ".index")
    whole = index.read_bytes()
    for length in range(len(whole)):
        index.write_bytes(whole[:length])
        assert readable(tmp_path, range(6)) == set(range(length // RECORD))


def test_a_shard_torn_anywhere_loses_its_torn_end_only(tmp_path: Path) -> None:
    write(tmp_path, range(6))
    shard = only(tmp_path, ".features")
    whole, ends = shard.read_bytes(), np.cumsum([features_of(number).nbytes for number in range(6)])
    for length in range(len(whole)):
        shard.write_bytes(whole[:length])
        assert readable(tmp_path, range(6)) == {number for number in range(6) if ends[number] <= length}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".index", ".features"])
def test_a_damaged_byte_anywhere_costs_one_image_and_never_gives_wrong_numbers(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, range(6))
    file, chance = only(tmp_path, suffix), Random(0)
    index = only(tmp_path, ".index")
    whole, records = file.read_bytes(), index.read_bytes()
    for place in range(len(whole)):
        index.write_bytes(records)
        damaged = bytearray(whole)
        damaged[place] ^= chance.randrange(1, 256)
        file.write_bytes(damaged)
        assert len(readable(tmp_path, range(6))) == 5


@each_row("suffix", [".index", ".features"])
def test_a_file_of_zeros_or_none_or_a_pipe_holds_nothing_and_blocks_nobody(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, range(4))
    file = only(tmp_path, suffix)
    file.write_bytes(bytes(file.stat().st_size))
    assert readable(tmp_path, range(4)) == set()
    file.unlink()
    assert readable(tmp_path, range(4)) == set()
    os.mkfifo(file)
    assert readable(tmp_path, range(4)) == set()
    file.unlink()
    file.mkdir()
    assert readable(tmp_path, range(4)) == set()
    write(tmp_path, range(4))
    assert readable(tmp_path, range(4)) == set(range(4))


def test_damage_that_is_found_while_reading_is_told_forgotten_and_mended_by_writing_again(tmp_path: Path) -> None:
    write(tmp_path, range(6))
    shards, shard = FeatureShards(tmp_path), only(tmp_path, ".features")
    data = bytearray(shard.read_bytes())
    data[features_of(0).nbytes] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ResourceError, match=r"00000.features is damaged; .*encodes the image anew"):
        shards.read(name_of(1))
    assert readable(tmp_path, range(6)) == {0, 2, 3, 4, 5}
    write(tmp_path, range(1, 2))
    assert readable(tmp_path, range(6)) == set(range(6))


def test_damage_where_nothing_may_be_written_says_what_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, range(2))
    shards, shard = FeatureShards(tmp_path), only(tmp_path, ".features")
    shard.write_bytes(bytes(shard.stat().st_size))
    only(tmp_path, ".index").unlink()
    only_dir = tmp_path / "00000.index"
    only_dir.mkdir()  # root may write whatever its mode says
    with pytest.raises(ResourceError, match=r"remove .*00000.index, and run the same command again"):
        shards.read(name_of(0))


def test_writers_beside_each_other_have_shards_of_their_own(tmp_path: Path) -> None:
    writers = [ShardWriter(folder=tmp_path) for _ in range(3)]
    for number in range(12):
        writers[number % 3].append([(name_of(number), features_of(number))])
    assert readable(tmp_path, range(12)) == set(range(12)), "while they are written too"
    for writer in writers:
        writer.__exit__()
    assert readable(tmp_path, range(12)) == set(range(12))
    assert len(list(tmp_path.iterdir())) == 6


def test_a_writer_without_anything_to_write_leaves_no_file(tmp_path: Path) -> None:
    with ShardWriter(folder=tmp_path / "none"):
        pass
    assert not (tmp_path / "none").exists()


def write_for_ever(folder: Path) -> int:
    with ShardWriter(folder=folder) as writer:
        for number in range(10**9):
            writer.append([(name_of(number), features_of(number))])
    return 0


@pytest.mark.slow
def test_a_killed_writer_loses_at_most_its_last_image(tmp_path: Path) -> None:
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        (process,) = Launched(1, write_for_ever, folder, log=tmp_path / "log").processes
        while not folder.is_dir() or not sum(file.stat().st_size for file in folder.glob("*.index")):
            time.sleep(0.01)
        time.sleep(0.05 * attempt)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        written = sum(file.stat().st_size for file in folder.glob("*.index")) // RECORD
        assert readable(folder, range(written + 2)) == set(range(written))
        write(folder, range(written, written + 3))
        assert readable(folder, range(written + 3)) == set(range(written + 3))


class Images(Dataset[Tensor]):
    """The features by number, as a data loader reads them."""

    def __init__(self, shards: FeatureShards) -> None:
        self.shards = shards

    def __len__(self) -> int:
        return 200

    def __getitem__(self, number: int) -> Tensor:
        return self.shards.read(name_of(number))


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureShards:
    monkeypatch.setattr(feature_shards, "SHARD_BYTES", 1000)
    write(tmp_path, range(200))
    return FeatureShards(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_of_a_data_loader_read_beside_each_other(shards: FeatureShards, start: str) -> None:
    if sys.platform == "darwin" and start == "fork":
        pytest.skip("torch does not survive it")
    loader = DataLoader(Images(shards), batch_size=None, num_workers=2, multiprocessing_context=start)
    for number, read in enumerate(loader):
        assert torch.equal(read, features_of(number))


def test_a_pickled_copy_reads_the_same(shards: FeatureShards) -> None:
    copy: FeatureShards = pickle.loads(pickle.dumps(shards))
    assert all(torch.equal(copy.read(name_of(number)), features_of(number)) for number in range(200))
