"""Access to the Hub as users meet it, against a local server that answers as the Hub does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from figtune.core.errors import ResourceError
from figtune.core.jsonl import read_json
from figtune.models import model_files
from figtune.models.loading import load_tuned_model
from figtune.models.model_files import find_model
from figtune.models.records import ModelRecord
from figtune.models.setup import set_up_model
from tests.hub_server import COMMIT, LocalHub, Refusal, serving
from tests.models.tuned import choice
from tests.rows import each_row

NAME = "someone/model"
FILES = {
    "config.json": b'{"model_type": "gemma3"}',
    "model.safetensors": bytes(range(256)) * 40,
    "pytorch_model.bin": b"pickled",
    "modeling_evil.py": b"code",
}


@pytest.fixture
def local_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    with serving(monkeypatch, tmp_path) as server:
        server.models[NAME] = FILES
        yield server


def log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")


def test_a_model_is_downloaded_once_without_pickles_and_code(local_hub: LocalHub) -> None:
    found = find_model(NAME, None, weights=True)
    assert found.commit == COMMIT
    assert {path.name for path in found.folder.iterdir()} == {"config.json", "model.safetensors"}
    asked = len(local_hub.asked)
    again = find_model(NAME, COMMIT, weights=True)
    assert again == found
    assert len(local_hub.asked) == asked, "a commit that is here needs no network"


def test_the_description_comes_without_the_weights(local_hub: LocalHub) -> None:
    found = find_model(NAME, None, weights=False)
    assert {path.name for path in found.folder.iterdir()} == {"config.json"}
    assert (find_model(NAME, found.commit, weights=True).folder / "model.safetensors").exists()


def test_without_network_what_is_here_is_used(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    find_model(NAME, "main", weights=True)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert find_model(NAME, None, weights=True).commit == COMMIT


@each_row(
    ("refusal", "logged_in", "message"),
    [
        (
            Refusal(401, {"X-Error-Code": "GatedRepo"}),
            False,
            "accept the licence at .*/someone/model, then log in with",
        ),
        (Refusal(403, {"X-Error-Code": "GatedRepo"}), True, "accept the licence at .*/someone/model with the account"),
        (
            Refusal(401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
            True,
            "did not accept your token for someone/model; renew it: log in with: hf auth login",
        ),
        (Refusal(403), True, "your token may not read someone/model; give it read access"),
        (Refusal(404, {"X-Error-Code": "RepoNotFound"}), False, "no model someone/model on the Hub; .*hf auth login"),
        (Refusal(401, {"X-Error-Code": "RepoNotFound"}), False, "no model someone/model on the Hub"),
        (Refusal(404, {"X-Error-Code": "RevisionNotFound"}), False, r"no revision v9; .*leave out --model\.revision"),
        (Refusal(500), False, "cannot be downloaded: http://127.* answered 500; check the network and run again"),
    ],
)
def test_a_refusal_says_what_to_do(
    local_hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    refusal: Refusal,
    logged_in: bool,
    message: str,
) -> None:
    local_hub.refusal = refusal
    local_hub.tokens.clear()
    if logged_in:
        log_in(monkeypatch)
    with pytest.raises(ResourceError, match=message) as refused:
        find_model(NAME, "v9", weights=True)
    assert local_hub.tokens == {"Bearer hf_secret" if logged_in else None}
    assert "hf_secret" not in str(refused.value) + capfd.readouterr().err


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # What is kept of it is a whole number of these.
    local_hub.cut_files["model.safetensors"] = 3000
    found = find_model(NAME, None, weights=True)
    assert (found.folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert [start for path, start in local_hub.sent if path == "model.safetensors"] == [0, 3000]


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_the_next_run_downloads_only_what_is_lacking(local_hub: LocalHub, revision: str | None) -> None:
    local_hub.refused_files["model.safetensors"] = Refusal(410)
    with pytest.raises(ResourceError, match=r"answered 410; .*keeps what is here"):
        find_model(NAME, revision, weights=True)
    local_hub.refused_files.clear()
    found = find_model(NAME, revision, weights=True)
    assert {path.name for path in found.folder.iterdir()} == {"config.json", "model.safetensors"}
    assert sorted(path for path, _ in local_hub.sent) == ["config.json", "model.safetensors"]


def test_no_network_and_nothing_here_is_said(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ResourceError, match=r"http://127\.0\.0\.1:9 does not answer; check the network"):
        find_model(NAME, None, weights=True)


def test_working_offline_on_purpose_uses_what_is_here(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    find_model(NAME, "main", weights=True)
    asked = len(local_hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_model(NAME, None, weights=True).commit == COMMIT
    assert len(local_hub.asked) == asked


def test_working_offline_on_purpose_is_said(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match="HF_HUB_OFFLINE is set; unset it once"):
        find_model(NAME, None, weights=True)


@each_row(
    ("name", "message"),
    [
        ("./nowhere", "the model folder ./nowhere is not there"),
        ("/nowhere/at/all", "the model folder /nowhere/at/all is not there"),
        ("a/b/c", '"a/b/c" is neither a folder nor a Hub id'),
        ("spaces in name", "is neither a folder nor a Hub id"),
    ],
)
def test_a_name_that_cannot_be_is_refused_without_asking(local_hub: LocalHub, name: str, message: str) -> None:
    with pytest.raises(ResourceError, match=message):
        find_model(name, None, weights=True)
    assert local_hub.asked == []


def test_a_file_is_no_model_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ResourceError, match=r"model\.gguf is a file"):
        find_model(str(tmp_path / "model.gguf"), None, weights=True)


def test_only_safe_formats_are_ever_asked_for() -> None:
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in model_files.WEIGHT_FILES)
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in model_files.DESCRIPTION_FILES)


def test_a_model_of_the_hub_is_set_up_pinned_to_its_commit_and_then_needs_no_network(
    local_hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    tiny_folders: dict[str, Path],
) -> None:
    log_in(monkeypatch)
    local_hub.models[NAME] = {path.name: path.read_bytes() for path in tiny_folders["gemma3"].iterdir()}
    set_up_model(tmp_path / "model", choice(NAME, revision="main"))
    record = read_json(tmp_path / "model" / "model.json", ModelRecord, "setup")
    assert (record.name, record.base, record.commit) == (NAME, NAME, COMMIT)
    origin = json.loads((tmp_path / "model" / "adapter" / "adapter_config.json").read_text())
    assert (origin["base_model_name_or_path"], origin["revision"]) == (NAME, COMMIT)
    assert local_hub.tokens == {"Bearer hf_secret"}

    asked = len(local_hub.asked)
    load_tuned_model(tmp_path / "model", torch.device("cpu"), "setup", encoder=False)
    assert len(local_hub.asked) == asked
    written = b"".join(path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file())
    assert b"hf_secret" not in written
    told = capfd.readouterr()
    assert "hf_secret" not in told.out + told.err


def test_a_model_that_is_not_supported_is_refused_before_its_weights_are_fetched(
    local_hub: LocalHub, tmp_path: Path
) -> None:
    local_hub.models[NAME] = {**FILES, "config.json": b'{"model_type": "llava"}'}
    with pytest.raises(ResourceError, match=r'"llava" model, which is not supported.*Gemma 3 \(.*PaliGemma'):
        set_up_model(tmp_path / "model", choice(NAME))
    assert "model.safetensors" not in [path for path, _ in local_hub.sent]
