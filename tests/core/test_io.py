"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from figtune.core.io import atomic_write, atomic_write_dir, remove_partial_files, write_text


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_and_readable_by_whom_the_umask_lets(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "er" / "a.txt", "whole")
    path = tmp_path / "deep" / "er" / "a.txt"
    assert path.read_text() == "whole"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert _names(tmp_path) == ["a.txt"]


def test_a_folder_replaces_one_that_is_not_empty(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    for content in ("first", "second"):
        with atomic_write_dir(target) as temporary:
            (temporary / content).write_text(content)
    assert _names(target) == ["second"]
    assert _names(tmp_path) == ["adapter"]


def test_a_failure_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    with atomic_write_dir(target) as temporary:
        (temporary / "good").write_text("good")
    with pytest.raises(RuntimeError), atomic_write_dir(target) as temporary:
        (temporary / "bad").write_text("bad")
        raise RuntimeError
    assert _names(target) == ["good"]
    assert _names(tmp_path) == ["adapter"]


def test_sweep_removes_leftovers_of_the_artifact_and_nothing_else(tmp_path: Path) -> None:
    for name in ("crops/p1/.partial-7-a.png", "crops/p1/b.png", ".partial-7-figures.jsonl", "other/.partial-7-x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".partial-7-adapter").mkdir()
    remove_partial_files(tmp_path, ["crops", "figures.jsonl"])
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["crops/p1/b.png", "other/.partial-7-x"]
    assert not (tmp_path / ".partial-7-adapter").exists()
