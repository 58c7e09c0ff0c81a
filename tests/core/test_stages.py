"""Stages run when they are stale, say why, and never leave a manifest on unfinished work."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from filelock import FileLock

from figtune.core.artifacts import LIST_FILE, MANIFEST_FILE, Dependency, FileEntry, Stage
from figtune.core.errors import ArtifactMissingError, NothingProducedError, ResourceError
from figtune.core.jsonl import read_records
from figtune.core.stages import LOCK_FILE, StageResult, locked, plan, run_if_stale
from tests.rows import each_row


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return stage_in(tmp_path)


def stage_in(folder: Path) -> Stage:
    return Stage(
        name="prepare",
        version=1,
        folder=folder / "dataset",
        command="python prepare_data.py",
        settings={"prepare.max_words": 128, "prepare.tasks": ("caption", "explain")},
        files={"a.pdf": "1", "b.pdf": "2"},
        outputs=("train.jsonl",),
    )


def _produce(folder: Path) -> StageResult:
    (folder / "train.jsonl").write_text("made")
    return StageResult(counts={"examples": 1})


def _make(stage: Stage, *, force: bool = False) -> str | None:
    return run_if_stale(stage, _produce, lock_folders=(stage.folder.parent,), force=force).reason


def test_a_second_run_has_nothing_to_do(stage: Stage) -> None:
    assert _make(stage) == "not made yet"
    before = (stage.folder / MANIFEST_FILE).read_bytes()
    assert _make(stage) is None
    assert (stage.folder / MANIFEST_FILE).read_bytes() == before


def test_force_runs_again_and_makes_the_same_manifest(stage: Stage) -> None:
    _make(stage)
    before = (stage.folder / MANIFEST_FILE).read_bytes()
    assert _make(stage, force=True) == "asked for with --force"
    assert (stage.folder / MANIFEST_FILE).read_bytes() == before


@each_row(
    ("change", "reason"),
    [
        ({"version": 2}, "rules changed: version 1 -> 2"),
        (
            {"settings": {"prepare.max_words": 96, "prepare.tasks": ("caption", "explain")}},
            "settings changed: prepare.max_words 128 -> 96",
        ),
        (
            {"settings": {"prepare.max_words": 128, "prepare.tasks": ("caption",)}},
            "settings changed: prepare.tasks caption explain -> caption",
        ),
        ({"files": {"a.pdf": "1", "b.pdf": "9", "c.pdf": "3"}}, "inputs changed: 1 added, 1 changed"),
        ({"files": {"a.pdf": "1"}}, "inputs changed: 1 removed"),
    ],
)
def test_a_rerun_says_what_changed(stage: Stage, change: dict[str, object], reason: str) -> None:
    _make(stage)
    assert _make(replace(stage, **change)) == reason  # type: ignore[arg-type]


def test_many_changed_settings_are_summed_up(stage: Stage) -> None:
    _make(replace(stage, settings={f"train.s{i}": i for i in range(5)}))
    reason = _make(replace(stage, settings={f"train.s{i}": i + 1 for i in range(5)}))
    assert reason == "settings changed: train.s0 0 -> 1, train.s1 1 -> 2, train.s2 2 -> 3 and 2 more"


def test_lost_and_damaged_files_are_noticed(stage: Stage) -> None:
    _make(stage)
    (stage.folder / "train.jsonl").write_text("longer than before")
    assert _make(stage) == "train.jsonl was changed"
    (stage.folder / "train.jsonl").unlink()
    assert _make(stage) == "train.jsonl is gone"


def test_files_in_folders_are_listed_in_order_and_missed(stage: Stage) -> None:
    def produce(_: Path) -> StageResult:
        for name in ("b/2", "b/1/x", "a", "c"):
            (stage.folder / name).parent.mkdir(exist_ok=True)
            (stage.folder / name).write_text(name)
        return StageResult(counts={})

    folders = replace(stage, outputs=("b", "a"))
    run_if_stale(folders, produce, lock_folders=(stage.folder.parent,), force=False)
    listed = read_records(stage.folder / LIST_FILE, FileEntry, "a test")
    assert [(entry.path, entry.size) for entry in listed] == [("a", 1), ("b/1/x", 5), ("b/2", 3)]
    (stage.folder / "b" / "1" / "x").unlink()
    assert _make(folders) == "b/1/x is gone"


def test_another_layout_is_made_anew_and_what_was_made_from_it_stays(stage: Stage, consumer: Stage) -> None:
    _make(stage)
    _make(consumer)
    sharded = replace(stage, layout={"prepare.shard_examples": 9})
    assert [each.reason for each in plan([sharded, consumer], force=False)] == [
        "settings changed: prepare.shard_examples 0 -> 9",
        None,
    ]
    assert _make(sharded) == "settings changed: prepare.shard_examples 0 -> 9"
    assert _make(sharded) is None
    assert _make(consumer) is None
    assert _make(replace(stage, layout={"prepare.shard_examples": 0})) == (
        "settings changed: prepare.shard_examples 9 -> 0"
    )


def test_a_failed_run_in_place_is_unfinished_even_where_one_was_finished_before(stage: Stage) -> None:
    def fail(_: Path) -> StageResult:
        raise RuntimeError

    _make(stage)
    changed = replace(stage, version=2)
    with pytest.raises(RuntimeError):
        run_if_stale(changed, fail, lock_folders=(stage.folder.parent,), force=False)
    assert _make(stage) == "not finished last time"


@pytest.fixture
def apart(stage: Stage) -> Stage:
    return replace(stage, staging_folder=stage.folder.with_name(".partial-dataset"))


@each_row("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_artifact_built_apart_outlives_a_failure_of_the_next_one(apart: Stage, error: type[BaseException]) -> None:
    def fail(folder: Path) -> StageResult:
        (folder / "train.jsonl").write_text("half")
        raise error

    _make(apart)
    with pytest.raises(error):
        run_if_stale(replace(apart, version=2), fail, lock_folders=(apart.folder.parent,), force=False)
    assert apart.staging_folder is not None
    assert not apart.staging_folder.exists()
    assert _make(apart) is None
    assert (apart.folder / "train.jsonl").read_text() == "made"


def test_an_artifact_built_apart_outlives_a_kill_and_the_next_run_clears_up(apart: Stage) -> None:
    def die(folder: Path) -> StageResult:
        (folder / "train.jsonl").write_text("half")
        os._exit(9)

    _make(apart)
    child = os.fork()
    if child == 0:
        run_if_stale(replace(apart, version=2), die, lock_folders=(apart.folder.parent,), force=False)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert _make(apart) is None
    assert _make(replace(apart, version=2)) == "rules changed: version 1 -> 2"
    assert sorted(path.name for path in apart.folder.parent.iterdir()) == [LOCK_FILE, "dataset"]


def test_what_came_of_nothing_usable_says_why_beside_the_good_one(apart: Stage) -> None:
    def reject(folder: Path) -> StageResult:
        (folder / "rejected.jsonl").write_text("all")
        raise NothingProducedError("nothing can be used", "give other papers")

    _make(apart)
    with pytest.raises(NothingProducedError):
        run_if_stale(replace(apart, version=2), reject, lock_folders=(apart.folder.parent,), force=False)
    assert apart.staging_folder is not None
    assert (apart.staging_folder / "rejected.jsonl").read_text() == "all"
    assert _make(apart) is None


def test_files_of_the_old_artifact_that_the_new_one_lacks_go(apart: Stage) -> None:
    both = replace(apart, outputs=("train.jsonl", "train"))
    (both.folder / "train").mkdir(parents=True)
    (both.folder / "train" / "0.jsonl").write_text("old")
    _make(both)
    assert not (both.folder / "train").exists()


def test_what_lies_beside_the_artifact_is_neither_listed_nor_missed(stage: Stage) -> None:
    stage.folder.mkdir()
    (stage.folder / "notes.txt").write_text("of the user")
    assert _make(stage) == "not made yet"
    (stage.folder / "notes.txt").unlink()
    assert _make(stage) is None


@pytest.fixture
def consumer(stage: Stage) -> Stage:
    return consumer_of(stage)


def consumer_of(stage: Stage) -> Stage:
    need = Dependency(stage="prepare", folder=stage.folder, command=stage.command)
    return Stage(
        name="train",
        version=1,
        folder=stage.folder.parent / "output",
        command="python train_model.py",
        settings={},
        needs=(need,),
        outputs=("train.jsonl",),
    )


def test_a_missing_need_names_the_command_that_makes_it(consumer: Stage) -> None:
    with pytest.raises(ArtifactMissingError, match=r"make it with: python prepare_data\.py"):
        _make(consumer)
    with pytest.raises(ArtifactMissingError, match=r"make it with: python prepare_data\.py"):
        plan([consumer], force=False)


def test_the_plan_of_a_chain_is_known_before_anything_ran(stage: Stage, consumer: Stage) -> None:
    def reasons(first: Stage) -> list[str | None]:
        return [planned.reason for planned in plan([first, consumer], force=False)]

    assert reasons(stage) == ["not made yet", "not made yet"]
    _make(stage)
    _make(consumer)
    assert reasons(stage) == [None, None]
    assert reasons(replace(stage, version=2)) == ["rules changed: version 1 -> 2", "made anew: prepare"]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: file.write_text("ma"),
    "of the same size": lambda file: file.write_text("MADE"),
    "gone": Path.unlink,
    "a folder": lambda file: _replace(file, Path.mkdir),
    "a pipe": lambda file: _replace(file, os.mkfifo),
}


def _replace(file: Path, make: Callable[[Path], object]) -> None:
    file.unlink()
    make(file)


@each_row(("name", "how"), product(("train.jsonl", LIST_FILE, MANIFEST_FILE), DAMAGES))
def test_nothing_is_made_from_an_artifact_that_is_not_as_it_was_made(tmp_path: Path, name: str, how: str) -> None:
    stage = stage_in(tmp_path)
    consumer = consumer_of(stage)
    _make(stage)
    DAMAGES[how](stage.folder / name)
    with pytest.raises(ArtifactMissingError, match=r"python prepare_data\.py"):
        _make(consumer)
    assert not (consumer.folder / MANIFEST_FILE).exists()


@each_row(("name", "how"), product(("train.jsonl", LIST_FILE), [how for how in DAMAGES if how != "a folder"]))
def test_the_maker_itself_makes_a_damaged_artifact_again(apart: Stage, name: str, how: str) -> None:
    _make(apart)
    DAMAGES[how](apart.folder / name)
    assert _make(apart) is not None
    assert _make(apart) is None


def test_only_what_is_read_must_be_whole(stage: Stage, consumer: Stage) -> None:
    _make(stage)
    (stage.folder / "train.jsonl").write_text("cut")
    other = replace(consumer, needs=(replace(consumer.needs[0], reads=("val.jsonl",)),))
    assert _make(other) == "not made yet"


def test_files_of_bulk_folders_are_compared_by_size_alone(stage: Stage) -> None:
    _make(replace(stage, bulk=("train.jsonl",)))
    (stage.folder / "train.jsonl").write_text("MADE")
    assert _make(stage) is None
    (stage.folder / "train.jsonl").write_text("longer")
    assert _make(stage) == "train.jsonl was changed"


def test_one_folder_under_two_names_is_locked_once_and_one_in_another_too(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with locked(tmp_path, tmp_path / "link", tmp_path / "output", tmp_path):
        assert (tmp_path / "output" / LOCK_FILE).exists()
        with pytest.raises(ResourceError, match="another run"), locked(tmp_path / "other", tmp_path / "output"):
            pass
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path / "output"):
        pass


def test_two_runs_do_not_write_the_same_folder(stage: Stage) -> None:
    with (
        FileLock(stage.folder.parent / LOCK_FILE),
        pytest.raises(ResourceError, match="another run is at work"),
    ):
        _make(stage)
