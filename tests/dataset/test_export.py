"""An export is loaded by `datasets` as the prompts and completions that it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from figtune.core.artifacts import Stage, provenance, write_manifest
from figtune.core.errors import ArtifactMissingError, InputError
from figtune.dataset.export import export_examples
from figtune.dataset.records import DATASET_CONTENTS, Example
from figtune.dataset.settings import PrepareSettings
from tests.dataset.content_maker import CHOICES
from tests.dataset.scans import TRAIN_ONLY, Prepared, prepare, scan, write_parquet

Cells = Mapping[str, Sequence[Mapping[str, object]]]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return tmp_path / "dataset"


def finished(dataset: Path, count: int, settings: PrepareSettings = TRAIN_ONLY) -> Prepared:
    """A data set of so many rows, declared finished."""
    source = write_parquet(dataset.parent / f"source {count}", {"train": [scan(number) for number in range(count)]})
    prepared = prepare(source, dataset, settings)
    stage = Stage(
        name="prepare", version=1, folder=dataset, command="", settings={"rows": count}, outputs=DATASET_CONTENTS
    )
    write_manifest(stage, provenance(stage, {}), {})
    return prepared


def test_what_datasets_loads_is_what_was_prepared(dataset: Path, tmp_path: Path) -> None:
    import datasets

    prepared = finished(dataset, 16, CHOICES)
    export_examples(dataset, tmp_path / "export")
    loaded = datasets.load_dataset(str(tmp_path / "export"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation", "test"}
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        rows = list(loaded[name])
        examples = prepared.examples[split]  # type: ignore[index]  # split is one of the literals
        assert len(rows) == len(examples)
        for row, example in zip(rows, examples, strict=True):
            _check(row, example, dataset)


def _check(row: Cells, example: Example, dataset: Path) -> None:
    (asked,), (answered,) = row["prompt"], row["completion"]
    assert (asked["role"], answered["role"]) == ("user", "assistant")
    image, question = cast("list[dict[str, str | None]]", asked["content"])
    assert image["type"] == "image"
    assert (question["type"], question["text"]) == ("text", example.prompt)
    assert answered["content"] == [{"type": "text", "text": example.completion}]
    (picture,) = cast("list[Image.Image]", row["images"])
    with Image.open(dataset / example.image) as stored:
        assert picture.tobytes() == stored.tobytes()


def test_a_split_without_examples_is_left_out(dataset: Path, tmp_path: Path) -> None:
    import datasets

    finished(dataset, 3)
    export_examples(dataset, tmp_path / "export")
    loaded = datasets.load_dataset(str(tmp_path / "export"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 3}


def test_the_same_data_set_is_exported_once_and_another_takes_its_place(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(dataset, 3)
    export_examples(dataset, tmp_path / "export")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "export").rglob("*")}
    export_examples(dataset, tmp_path / "export")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "export").rglob("*")} == before
    assert "export: up to date" in capsys.readouterr().err
    finished(dataset, 5)
    export_examples(dataset, tmp_path / "export")
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "export").rglob("*")}
    assert after != before


def test_a_folder_of_something_else_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    finished(dataset, 3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(InputError, match=r"mine holds something else; .*--export"):
        export_examples(dataset, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_an_unfinished_data_set_is_not_exported(dataset: Path, tmp_path: Path) -> None:
    dataset.mkdir()
    with pytest.raises(ArtifactMissingError, match=r"make it with: python prepare_data\.py"):
        export_examples(dataset, tmp_path / "export")
