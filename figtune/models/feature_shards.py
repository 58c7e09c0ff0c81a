"""Features of images in a few large files, each written by one process, with an index beside each.

A shard holds the numbers of one image after another, its index a record of 64 bytes for each, which is written after
them. A process begins shards of its own, so nobody waits for a lock. A process that is killed leaves numbers without a
record, or half a record, neither of which counts; so it is with records whose checksum is wrong, or that reach beyond
the end of the shard. Every read checks the numbers.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedWriter
from itertools import count
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from figtune.core.errors import ResourceError

SHARD_BYTES = 1_000_000_000
"""Size at which a shard is full."""
SHARD_SUFFIX, INDEX_SUFFIX = ".features", ".index"
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_RECORD = np.dtype(
    [
        ("digest", "S32"),  # sha256 of the image's file
        ("offset", "<u8"),  # first byte in the shard
        ("tokens", "<u4"),  # T
        ("width", "<u4"),  # V
        ("dtype", "<u4"),  # place in _DTYPES
        ("crc32", "<u4"),  # of digest, shape and numbers
        ("check", "<u8"),  # of the words before
    ]
)
_WORDS = _RECORD.itemsize // 8
_NOT_ZERO = np.uint64(0x66656174757265)
"""Number that keeps a record of zeros, as a disk leaves after a power cut, from being right."""


class FeatureShards:
    """Features of a folder's shards as they were when it was opened, by the sha256 of the image's file.

    Nothing is held open: threads, forked and pickled copies read beside each other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._indices = sorted(file for file in folder.glob(f"*{INDEX_SUFFIX}") if _size(file))
        found = [_read_index(file) for file in self._indices]
        records = np.concatenate([records for records, _ in found] or [np.empty(0, _RECORD)])
        shards = np.repeat(np.arange(len(found)), [len(records) for records, _ in found])
        rows = np.concatenate([rows for _, rows in found] or [np.empty(0, np.int64)])
        # Of those that two runs have written at once, the last one is found.
        order = np.argsort(records["digest"], kind="stable")
        self._records, self._shards, self._rows = records[order], shards[order], rows[order]

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, image_sha256: str) -> bool:
        return self._place(image_sha256) is not None

    def missing(self, images: Sequence[str]) -> list[str]:
        """Return those of many images that have no features, in their order."""
        digests = np.frombuffer(bytes.fromhex("".join(images)), "S32")
        places = np.searchsorted(self._records["digest"], digests)
        # Past the end there is none to compare with.
        known = np.append(self._records["digest"], np.bytes_())[places] == digests
        return [image for image, is_known in zip(images, known.tolist(), strict=True) if not is_known]

    def read(self, image_sha256: str) -> Tensor:
        """Read the features of an image: float[T, V].

        Raises:
            KeyError: it has none.
            ResourceError: they are damaged. They are forgotten, so that the next run encodes the image again.
        """
        place = self._place(image_sha256)
        if place is None:
            raise KeyError(image_sha256)
        record, index = self._records[place], self._indices[self._shards[place]]
        shape, dtype = (int(record["tokens"]), int(record["width"])), _DTYPES[record["dtype"]]
        data = bytearray(shape[0] * shape[1] * dtype.itemsize)
        shard = index.with_suffix(SHARD_SUFFIX)
        try:
            with shard.open("rb", buffering=0) as file:
                whole = os.preadv(file.fileno(), [data], int(record["offset"])) == len(data)
        except FileNotFoundError:
            whole = False
        if not whole or _crc32(bytes.fromhex(image_sha256), shape, memoryview(data)) != record["crc32"]:
            raise ResourceError(f"{shard} is damaged", _forget(index, int(self._rows[place])))
        return torch.frombuffer(data, dtype=dtype).view(shape)

    def _place(self, image_sha256: str) -> int | None:
        digest = np.frombuffer(bytes.fromhex(image_sha256), "S32")[0]
        place = int(np.searchsorted(self._records["digest"], digest, side="right")) - 1
        return place if place >= 0 and self._records["digest"][place] == digest else None


@dataclass(kw_only=True)
class ShardWriter:
    """Appends features to shards of its own; files appear with the first of them."""

    folder: Path

    def __post_init__(self) -> None:
        self._files = ExitStack()
        self._open: tuple[BufferedWriter, BufferedWriter] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def append(self, features: Sequence[tuple[str, Tensor]]) -> None:
        """Write the features of images, float[T, V] each, by the sha256 of the images' files."""
        shard, index = self._files_with_room()
        rows = []
        for image_sha256, tensor in features:
            numbers = tensor.contiguous().cpu().view(-1).view(torch.uint8).numpy().data
            digest, shape = bytes.fromhex(image_sha256), (tensor.shape[0], tensor.shape[1])
            crc = _crc32(digest, shape, numbers)
            rows.append((digest, shard.tell(), *shape, _DTYPES.index(tensor.dtype), crc, 0))
            shard.write(numbers)
        records = np.array(rows, _RECORD)
        records["check"] = _checks(records)
        # Numbers first: a record stands for whole ones.
        shard.flush()
        index.write(records.tobytes())
        index.flush()

    def _files_with_room(self) -> tuple[BufferedWriter, BufferedWriter]:
        if self._open is None or self._open[0].tell() >= SHARD_BYTES:
            self._files.close()
            self._open = self._begin()
        return self._open

    def _begin(self) -> tuple[BufferedWriter, BufferedWriter]:
        self.folder.mkdir(parents=True, exist_ok=True)
        for number in count(len(list(self.folder.glob(f"*{SHARD_SUFFIX}")))):
            shard = self.folder / f"{number:05}{SHARD_SUFFIX}"
            try:
                file = self._files.enter_context(shard.open("xb"))
            except FileExistsError:
                continue
            return file, self._files.enter_context(shard.with_suffix(INDEX_SUFFIX).open("wb"))
        raise AssertionError("unreachable: numbers do not end")


def _size(file: Path) -> int:
    """Return the bytes of a regular file, else 0: a pipe would block for ever."""
    try:
        found = file.stat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _read_index(index: Path) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return the records that hold, and the place of each in the file."""
    data = index.read_bytes()
    records = np.frombuffer(data[: len(data) // _RECORD.itemsize * _RECORD.itemsize], _RECORD)
    known = (records["dtype"] < len(_DTYPES)) & (records["check"] == _checks(records))
    sizes = np.array([dtype.itemsize for dtype in _DTYPES], np.uint64)[np.where(known, records["dtype"], 0)]
    ends = records["offset"] + sizes * records["tokens"] * records["width"]
    holds = known & (ends <= _size(index.with_suffix(SHARD_SUFFIX)))
    return records[holds], np.flatnonzero(holds)


def _checks(records: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return a checksum of each record."""
    words = np.frombuffer(records.tobytes(), "<u8").reshape(len(records), _WORDS)
    # Odd factors: words that have changed places are seen too. It overflows, as it may.
    factors = np.arange(1, 2 * _WORDS - 1, 2, dtype=np.uint64)
    found: NDArray[np.uint64] = (words[:, :-1] * factors).sum(axis=1, dtype=np.uint64) + _NOT_ZERO
    return found


def _crc32(digest: bytes, shape: tuple[int, int], numbers: memoryview) -> int:
    return zlib.crc32(numbers, zlib.crc32(f"{digest.hex()} {shape}".encode()))


def _forget(index: Path, row: int) -> str:
    """Blank a record, and return what to type next."""
    try:
        with index.open("r+b") as file:
            file.seek(row * _RECORD.itemsize)
            file.write(bytes(_RECORD.itemsize))
    except OSError:
        return f"remove {index}, and run the same command again, which encodes its images anew"
    return "run the same command again, which encodes the image anew"
