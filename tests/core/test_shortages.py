"""Shortages of the machine are told as what they are, whatever a library makes of them."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from figtune.core.errors import InputError, ResourceError, shortage_behind, shortages_explained
from figtune.core.io import write_bytes
from tests.rows import each_row


def _raised_from(cause: Exception) -> Exception:
    try:
        try:
            raise cause
        except type(cause):
            raise InputError("damaged", "download it again") from None
    except InputError as error:
        return error


@each_row(
    ("failure", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENFILE, "Too many open files in system"), "on this machine"),
        (OSError(errno.EFBIG, "File too large", "merged.safetensors"), r"merged\.safetensors.*ulimit -f"),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "full"),
        (RuntimeError("I/O error: Too many open files (os error 24)"), "ulimit -n"),
        (OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"), "full"),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 704 vs 592"), "full"),
        (sqlite3.OperationalError("database or disk is full"), "full"),
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "memory"),
        (_raised_from(OSError(errno.ENOSPC, "No space left on device")), "full"),
        (ImportError("libtorch.so: cannot open shared object file: Too many open files"), "ulimit -n"),
    ],
)
def test_a_shortage_is_recognised(failure: Exception, says: str) -> None:
    with pytest.raises(ResourceError, match=says), shortages_explained(Path("work")):
        raise failure


@each_row(
    "failure",
    [
        OSError(errno.EACCES, "Permission denied"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (28x24)"),
        ValueError("os error 2"),
        InputError("no image", "give one"),
    ],
)
def test_other_errors_pass(failure: Exception) -> None:
    assert shortage_behind(failure) is None
    with pytest.raises(type(failure)), shortages_explained(Path("work")):
        raise failure


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=24", "tmpfs", str(disk)]
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("small disks can be mounted by root alone")
    yield disk
    # A writer of torch that has failed keeps its file open.
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_and_one_without_inodes_are_told_apart(small_disk: Path) -> None:
    with pytest.raises(ResourceError, match="out of inodes"), shortages_explained(small_disk):
        for number in range(40):
            write_bytes(small_disk / str(number), b"little")
    for file in small_disk.iterdir():
        file.unlink()
    with pytest.raises(ResourceError, match="is full"), shortages_explained(small_disk):
        write_bytes(small_disk / "much", bytes(1 << 20))


def test_what_libraries_make_of_a_full_disk_is_recognised(small_disk: Path) -> None:
    much = torch.zeros(1 << 18)
    with pytest.raises(ResourceError, match="is full"), shortages_explained(small_disk):
        save_file({"weights": much}, small_disk / "weights.safetensors")
    for file in small_disk.iterdir():
        file.unlink()
    with pytest.raises(ResourceError, match="is full"), shortages_explained(small_disk):
        torch.save(much, small_disk / "optimizer.pt")


def test_a_limit_of_file_sizes_is_recognised(tmp_path: Path) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "from pathlib import Path; from figtune.core.cli import run_cli;"
        "from figtune.core.io import write_bytes;"
        "sys.exit(run_cli(lambda: write_bytes(Path(sys.argv[1]), bytes(5000))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "much")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 6, done.stderr
    assert "ulimit -f" in done.stderr
