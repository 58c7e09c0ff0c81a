"""Data sets as users name them: from the Hub, from folders and files, and names that lead nowhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from figtune.core.errors import ExitCode, InputError, ResourceError
from figtune.dataset.hub_dataset import source_fingerprint
from figtune.dataset.settings import DataSettings
from tests.dataset.content_maker import picture
from tests.dataset.scans import COLUMNS, TRAIN_ONLY, encoded, parquet, prepare, scan, write_parquet
from tests.hub_server import COMMIT, LocalHub, Refusal, serving
from tests.rows import each_row

NAME = "someone/scans"
TRAIN, TEST = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"


@pytest.fixture
def local_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    with serving(monkeypatch, tmp_path) as server:
        server.datasets[NAME] = {
            "README.md": b"---\nlicense: cc0-1.0\n---\n",
            TRAIN: parquet([scan(number) for number in range(12)]),
            TEST: parquet([scan(number) for number in range(12, 15)]),
        }
        yield server


def source(name: str, revision: str | None = None) -> DataSettings:
    return replace(COLUMNS, source=name, revision=revision)


def test_a_data_set_of_the_hub_is_downloaded_once(local_hub: LocalHub, tmp_path: Path) -> None:
    prepared = prepare(NAME, tmp_path / "dataset", TRAIN_ONLY)
    assert (len(prepared.examples["train"]), len(prepared.examples["test"])) == (12, 3)
    assert prepared.stats.data_set == NAME
    assert prepared.examples["test"][0].source == "someone/scans, test row 1, scan12"
    asked = len(local_hub.asked)
    prepare(NAME, tmp_path / "again", TRAIN_ONLY, revision=COMMIT)
    assert len(local_hub.asked) == asked


def test_an_image_folder_of_the_hub(local_hub: LocalHub, tmp_path: Path) -> None:
    lines = b'{"file_name": "a.png", "id": "a", "caption": "A scan of a head from above."}\n'
    local_hub.datasets[NAME] = {"train/metadata.jsonl": lines, "train/a.png": encoded(picture("a"))}
    (example,) = prepare(NAME, tmp_path / "dataset", TRAIN_ONLY).examples["train"]
    assert example.completion == "A scan of a head from above."


def test_a_download_that_breaks_off_is_carried_on(
    local_hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    local_hub.cut_files[TRAIN] = 5000
    assert prepare(NAME, tmp_path / "dataset", TRAIN_ONLY).stats.figures_used == 15
    assert [start for path, start in local_hub.sent if path == TRAIN] == [0, 5000]


def test_the_next_run_downloads_only_what_is_lacking(local_hub: LocalHub, tmp_path: Path) -> None:
    local_hub.refused_files[TRAIN] = Refusal(410)
    with pytest.raises(ResourceError, match=r"someone/scans cannot be downloaded: .*run again, which keeps what is"):
        prepare(NAME, tmp_path / "dataset", TRAIN_ONLY)
    local_hub.refused_files.clear()
    assert prepare(NAME, tmp_path / "dataset", TRAIN_ONLY).stats.figures_used == 15
    assert sorted(path for path, _ in local_hub.sent) == ["README.md", TEST, TRAIN]


@each_row(
    ("refusal", "token", "message"),
    [
        (Refusal(404, {"X-Error-Code": "RepoNotFound"}), "", "there is no data set someone/scans on the Hub"),
        (
            Refusal(401, {"X-Error-Code": "GatedRepo"}),
            "",
            "accept the licence at http.*/datasets/someone/scans, then log in with: hf auth login",
        ),
        (
            Refusal(403, {"X-Error-Code": "GatedRepo"}),
            "hf_secret",
            "accept the licence at http.*/datasets/someone/scans with the account of your token",
        ),
        (
            Refusal(401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
            "hf_secret",
            "did not accept your token for someone/scans",
        ),
        (Refusal(404, {"X-Error-Code": "RevisionNotFound"}), "", r"no revision v9; .*leave out --data\.revision"),
    ],
)
def test_a_refusal_says_what_to_do(
    local_hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Refusal, token: str, message: str
) -> None:
    local_hub.refusal = refusal
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ResourceError, match=message) as refused:
        prepare(NAME, tmp_path / "dataset", revision="v9")
    assert refused.value.exit_code == ExitCode.RESOURCE
    assert "hf_secret" not in str(refused.value)


def test_a_data_set_of_others_cannot_reach_for_files_of_the_user(local_hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(encoded(picture("private")))
    rows = [scan(0), replace(scan(1), image=str(tmp_path / "private.png")), replace(scan(2), image="../../private.png")]
    local_hub.datasets[NAME] = {TRAIN: parquet(rows)}
    prepared = prepare(NAME, tmp_path / "dataset", TRAIN_ONLY)
    assert prepared.rules == {"row-000002": "image_outside", "row-000003": "image_outside"}


@each_row(
    ("name", "content", "complaint"),
    [
        ("broken.parquet", b"PAR1 no such thing", r"broken\.parquet cannot be read as a data set"),
        ("broken.jsonl", b'{"image": "a.png"\n{]\n', r"broken\.jsonl.* cannot be read as a data set"),
        ("rows.xlsx", b"PK", r"rows\.xlsx cannot be read as a data set: \.xlsx is none of \.parquet, \.csv"),
    ],
)
def test_a_file_that_is_no_data_set_is_said(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        prepare(tmp_path / name, tmp_path / "dataset")


def test_a_folder_without_data_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty cannot be read as a data set"):
        prepare(tmp_path / "empty", tmp_path / "dataset")


@each_row("name", ["./nowhere", "/nowhere/at/all", "rows.jsonl", "a/b/c"])
def test_a_path_that_leads_nowhere_is_no_hub_id(name: str) -> None:
    with pytest.raises(InputError, match=f"there is no data set {name}"):
        source_fingerprint(source(name))


def test_a_pipe_is_no_data_set(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    with pytest.raises(InputError, match="there is no data set"):
        source_fingerprint(source(str(tmp_path / "rows.jsonl")))


@each_row("row_id", ["7", "2020-01-31"])
def test_ids_may_be_numbers_or_what_a_reader_takes_for_dates(tmp_path: Path, row_id: str) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture("a")))
    text = "A scan of a head from above."
    (tmp_path / "rows.csv").write_text(f"image,id,caption\na.png,{row_id},{text}\n", encoding="utf-8")
    cells = {"image": "a.png", "id": row_id, "caption": text}
    (tmp_path / "rows.jsonl").write_text(json.dumps(cells) + "\n", encoding="utf-8")
    for name in ("rows.csv", "rows.jsonl"):
        (example,) = prepare(tmp_path / name, tmp_path / "dataset", TRAIN_ONLY).examples["train"]
        assert example.group.removesuffix(" 00:00:00") == row_id


def test_a_hub_id_is_its_own_identity() -> None:
    assert source_fingerprint(source(NAME)) == {}


def test_what_identifies_a_folder_changes_with_its_content(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "set", {"train": [scan(0)]})
    (folder / "a.png").write_bytes(b"picture")
    (folder / "rows.jsonl").write_bytes(b"{}")
    before = source_fingerprint(source(str(folder)))
    assert source_fingerprint(source(str(folder))) == before
    for name, content, entry in (
        ("a.png", b"other one", "pictures"),
        ("rows.jsonl", b"[]", "rows.jsonl"),
        (TRAIN, parquet([scan(1)]), TRAIN),
    ):
        (folder / name).write_bytes(content)
        after = source_fingerprint(source(str(folder)))
        assert {key for key in after if after[key] != before[key]} == {entry}
        before = after
