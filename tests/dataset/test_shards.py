"""Examples in shards: the same ones in the same order, whoever reads them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import datasets
import pytest

import prepare_data
from config import PREPARE, Config
from figtune.batching.dataset import read_examples
from figtune.core.artifacts import LIST_FILE, FileEntry, Stage, provenance, write_manifest
from figtune.core.errors import ArtifactMissingError
from figtune.core.io import sha256_of
from figtune.core.jsonl import read_records
from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.records import SPLITS, Example, Split, examples_file
from figtune.dataset.shards import digest_of_examples, example_files, stream_examples, writing_examples
from figtune.evaluation.eval_items import read_eval_items
from tests.dataset.content_maker import CHOICES, figure, write_content
from tests.rows import each_row


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty papers with a figure each."""
    return write_content(tmp_path_factory.mktemp("work") / "content", [figure(f"paper{n:02}") for n in range(30)])


def names(dataset: Path, split: Split) -> list[str]:
    return [path.relative_to(dataset).as_posix() for path in example_files(dataset, split)]


@pytest.mark.slow
@each_row("size", [1, 7, 1000])
def test_shards_hold_the_same_lines_in_the_same_order(content: Path, tmp_path: Path, size: int) -> None:
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    prepare_examples(content, whole, CHOICES)
    prepare_examples(content, sharded, replace(CHOICES, shard_examples=size))
    for split in SPLITS:
        lines = (whole / examples_file(split)).read_bytes().splitlines()
        shards = [path.read_bytes().splitlines() for path in example_files(sharded, split)]
        assert [line for shard in shards for line in shard] == lines
        assert {len(shard) for shard in shards[:-1]} <= {size}
        assert len(shards) == -(-len(lines) // size)
        assert list(stream_examples(sharded, split)) == list(stream_examples(whole, split))
        assert digest_of_examples(sharded, split) == digest_of_examples(whole, split)
        assert digest_of_examples(whole, split) == sha256_of(whole / examples_file(split))
    assert read_examples(sharded) == read_examples(whole)
    assert read_eval_items(sharded) == read_eval_items(whole)
    for name in ("minitrain.jsonl", "rejected.jsonl", "stats.json"):
        assert (sharded / name).read_bytes() == (whole / name).read_bytes()


def _write(dataset: Path, shard_examples: int, examples: Sequence[Example]) -> None:
    with writing_examples(dataset, shard_examples) as write:
        for example in examples:
            write["train"](example)


@pytest.fixture
def five(content: Path, tmp_path: Path) -> list[Example]:
    prepare_examples(content, tmp_path / "five", CHOICES)
    return list(stream_examples(tmp_path / "five", "train"))[:5]


def test_another_layout_leaves_nothing_of_the_one_before(tmp_path: Path, five: list[Example]) -> None:
    for size, expected in (
        (2, [f"train/{number:05}-of-00003.jsonl" for number in range(3)]),
        (4, [f"train/{number:05}-of-00002.jsonl" for number in range(2)]),
        (0, ["train.jsonl"]),
        (5, ["train/00000-of-00001.jsonl"]),
    ):
        _write(tmp_path / "dataset", size, five)
        assert names(tmp_path / "dataset", "train") == expected
        assert list(stream_examples(tmp_path / "dataset", "train")) == five
        assert len([path for path in (tmp_path / "dataset").rglob("*.jsonl") if "train" in str(path)]) == len(expected)


def test_a_split_without_examples_has_an_empty_shard(tmp_path: Path) -> None:
    _write(tmp_path, 3, [])
    assert names(tmp_path, "val") == ["val/00000-of-00001.jsonl"]
    assert list(stream_examples(tmp_path, "val")) == []


def test_what_breaks_off_leaves_what_was_there(tmp_path: Path, five: list[Example]) -> None:
    _write(tmp_path / "dataset", 2, five)
    before = sorted((tmp_path / "dataset").rglob("*"))
    with pytest.raises(RuntimeError), writing_examples(tmp_path / "dataset", 3) as write:
        write["train"](five[0])
        raise RuntimeError
    assert sorted((tmp_path / "dataset").rglob("*")) == before
    assert list(stream_examples(tmp_path / "dataset", "train")) == five


@each_row("lost", ["00000-of-00003.jsonl", "00002-of-00003.jsonl"])
def test_a_lost_shard_is_missed(tmp_path: Path, five: list[Example], lost: str) -> None:
    _write(tmp_path, 2, five)
    (tmp_path / "train" / lost).unlink()
    with pytest.raises(ArtifactMissingError, match=r"lacks some of its shards; .*prepare_data\.py --force"):
        list(stream_examples(tmp_path, "train"))


@pytest.mark.slow
def test_shards_are_listed_and_the_export_reads_them(content: Path, tmp_path: Path) -> None:
    config = Config(work_dir=tmp_path, export=tmp_path / "export", prepare=replace(PREPARE, shard_examples=9))
    shutil.copytree(content, config.content_dir)
    extracted = Stage(name="extract", version=0, folder=config.content_dir, command="", settings={}, outputs=())
    write_manifest(extracted, provenance(extracted, {}), {})
    prepare_data.run(config)
    listed = {entry.path for entry in read_records(config.dataset_dir / LIST_FILE, FileEntry, "a test")}
    assert listed >= {name for split in SPLITS for name in names(config.dataset_dir, split)}
    assert "train.jsonl" not in listed
    assert prepare_data.run(config).reason is None
    loaded = datasets.load_dataset(str(config.export), split="train")
    assert loaded["example_id"][:] == [each.example_id for each in stream_examples(config.dataset_dir, "train")]
