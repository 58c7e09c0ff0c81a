"""Needs of a run that are missing are named before any stage begins."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import main
import test_model
from figtune.models.model_files import find_model
from tests.conftest import ROOT
from tests.hub_server import LocalHub, Refusal, serving
from tests.rows import each_row

NAME = "someone/model"


@pytest.fixture
def local_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_folders: dict[str, Path]) -> Iterator[LocalHub]:
    with serving(monkeypatch, tmp_path) as server:
        server.models[NAME] = {path.name: path.read_bytes() for path in tiny_folders["gemma3"].iterdir()}
        yield server


def _refused(folder: Path, capsys: pytest.CaptureFixture[str], *flags: str, code: int = 6) -> str:
    """The one line that a run of all stages ends with, before any of them has begun."""
    folders = ("--work_dir", str(folder / "work"), "--output_dir", str(folder / "output"))
    assert main.main(["--pdf_dir", str(ROOT / "samples"), *folders, *flags]) == code
    said = capsys.readouterr().err
    assert not list((folder / "work").glob("*")), said
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return line


def test_a_hub_that_does_not_answer(
    local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "does not answer" in _refused(tmp_path / "run", capsys, "--model.name", NAME)


def test_weights_that_are_not_here_where_the_hub_does_not_answer(
    local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    find_model(NAME, "main", weights=False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "does not answer" in _refused(tmp_path / "run", capsys, "--model.name", NAME)


def test_offline_a_model_that_is_not_here(
    local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in _refused(tmp_path / "run", capsys, "--model.name", NAME)
    assert local_hub.asked == []


def test_a_licence_that_is_not_accepted(
    local_hub: LocalHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local_hub.refused_files["config.json"] = Refusal(401, {"X-Error-Code": "GatedRepo"})
    assert "accept the licence" in _refused(tmp_path / "run", capsys, "--model.name", NAME)


def test_a_repository_without_safe_weights(
    local_hub: LocalHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = local_hub.models[NAME]
    local_hub.models[NAME] = {name: data for name, data in files.items() if not name.endswith(".safetensors")}
    assert "no weights in the safetensors format" in _refused(tmp_path / "run", capsys, "--model.name", NAME)


@each_row(
    ("missing", "says"),
    [
        ("tokenizer.json", "has no tokenizer"),
        ("processor_config.json", "has no image processor"),
        ("model.safetensors", "has no weights"),
        ("config.json", "no config.json"),
    ],
)
def test_a_local_folder_that_lacks_a_file(
    tiny_folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str, says: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_folders["gemma3"], model)
    (model / missing).unlink()
    if missing == "processor_config.json":
        (model / "preprocessor_config.json").unlink(missing_ok=True)
    assert says in _refused(tmp_path / "run", capsys, "--model.name", str(model))


def test_a_local_folder_that_lacks_a_shard(
    tiny_folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_folders["gemma3"], model)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "not all of them" in _refused(tmp_path / "run", capsys, "--model.name", str(model))


@pytest.mark.slow
def test_a_card_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "CUDA" in _refused(tmp_path / "run", capsys, "--model.name", "tiny-gemma3", "--device", "cuda")


@each_row(("package", "flags"), [("ray", ("--extract.engine", "ray")), ("gradio", ("--serve",))])
def test_packages_that_only_some_settings_need(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    package: str,
    flags: tuple[str, ...],
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else found(name))
    assert "pip install -r requirements" in _refused(tmp_path, capsys, "--model.name", "tiny-gemma3", *flags)


def test_a_data_set_of_a_hub_that_does_not_answer(
    local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    flags = ("--model.name", "tiny-gemma3", "--data.source", "someone/scans")
    assert "does not answer" in _refused(tmp_path / "run", capsys, *flags)


def test_a_folder_for_the_export_that_holds_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "thesis.tex").touch()
    flags = ("--model.name", "tiny-gemma3", "--export", str(tmp_path / "export"))
    assert "holds something else" in _refused(tmp_path / "run", capsys, *flags, code=3)


@pytest.mark.slow
def test_an_image_that_is_not_there_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, test_model; code = test_model.main(sys.argv[1:]); "
        "print(code, bool({'torch', 'transformers', 'gradio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--test_image", str(tmp_path / "nope.png")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "3 False\n", done.stderr


def test_an_output_folder_that_another_stage_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tmp_path / "work"
    assert test_model.main(["--work_dir", str(work), "--output_dir", str(work / "model")]) == 2
    assert "--output_dir" in capsys.readouterr().err
