"""Uploads to the Hub, against a local server that answers as the Hub does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from figtune.core.errors import ResourceError, UsageError
from figtune.export.hub_upload import Upload, check_upload_access, push_adapter, push_merged
from tests.hub_server import LocalHub, Refusal, serving
from tests.inference.trained_model import write_trained_model
from tests.rows import each_row

NAME = "someone/figures"
TOKEN = "hf_secret"
UPLOAD = Upload(repository=NAME, public=False)
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own


@pytest.fixture
def local_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    with serving(monkeypatch, tmp_path) as server:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """As training leaves it, with what is nobody else's business beside it."""
    folder = tmp_path / "output"
    write_trained_model(folder)
    for name, text in {
        "README.md": "---\nlibrary_name: peft\n---\n",
        "config.json": json.dumps({"pdf_dir": str(tmp_path)}),
        "metrics.jsonl": "{}\n",
        "curves.png": "no picture",
        "manifest.json": "{}",
        "checkpoints/checkpoint-3/adapter_model.safetensors": "",
        "evaluation/report.html": "",
        "tensorboard/events": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_what_others_need_is_uploaded_and_nothing_else(local_hub: LocalHub, output: Path) -> None:
    check_upload_access(UPLOAD)
    count = push_adapter(output, UPLOAD)
    files = local_hub.models[NAME]
    tops = {path.split("/")[0] for path in files} - {".gitattributes"}
    assert tops == {"adapter", "processor", "base", "model.json", "metrics.jsonl", "curves.png", "README.md"}
    assert count == len(files) - 1
    weights = "adapter/adapter_model.safetensors"
    assert files[weights] == (output / weights).read_bytes()
    assert local_hub.received.visibility == {NAME: "private"}


def test_nothing_uploaded_names_this_machine_or_the_token(local_hub: LocalHub, output: Path, tmp_path: Path) -> None:
    base = tmp_path / "models" / "my-gemma"
    record = json.loads((output / "model.json").read_text()) | {"tiny": False, "name": str(base), "base": str(base)}
    (output / "model.json").write_text(json.dumps(record))
    adapter = output / "adapter" / "adapter_config.json"
    adapter.write_text(json.dumps(json.loads(adapter.read_text()) | {"base_model_name_or_path": str(base)}))
    (output / "README.md").write_text(f'---\nlibrary_name: peft\n---\nfrom_pretrained("{base}")\n')
    push_adapter(output, UPLOAD)
    files = local_hub.models[NAME]
    assert b'from_pretrained("my-gemma")' in files["README.md"]
    for path, data in files.items():
        assert str(tmp_path).encode() not in data, path
        assert TOKEN.encode() not in data, path
    assert str(base) in adapter.read_text(), "what lies here stays as it is"


def test_a_second_push_sends_only_what_changed(local_hub: LocalHub, output: Path) -> None:
    push_adapter(output, UPLOAD)
    push_adapter(output, UPLOAD)
    assert len(local_hub.received.commits) == 1, "nothing has changed"
    (output / "README.md").write_text("---\nlibrary_name: peft\n---\nanother\n")
    local_hub.models[NAME]["processor/gone.json"] = b"{}"
    push_adapter(output, UPLOAD)
    assert sorted(local_hub.received.commits[1]) == ["-processor/gone.json", "README.md"]


def test_a_merged_model_has_a_repository_of_its_own(local_hub: LocalHub, output: Path) -> None:
    merged = output / "merged"
    merged.mkdir()
    for name in ("config.json", "model.safetensors", "manifest.json"):
        (merged / name).write_text("{}")
    push_merged(merged, output, Upload(repository=NAME, public=True))
    assert set(local_hub.models["someone/figures-merged"]) == {".gitattributes", "config.json", "model.safetensors"}
    assert local_hub.received.visibility == {"someone/figures-merged": "public"}


@each_row("name", ["figures", "a/b/c", "some one/figures", "--/figures", ""])
def test_names_are_checked_before_anything_is_sent(local_hub: LocalHub, name: str) -> None:
    with pytest.raises(UsageError, match="give it as USER/NAME"):
        check_upload_access(Upload(repository=name, public=False))
    assert local_hub.asked == []


def test_without_a_token_nothing_is_asked(local_hub: LocalHub, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ResourceError, match=r"no Hub token on this machine.*hf auth login"):
        check_upload_access(UPLOAD)
    with pytest.raises(ResourceError, match="no Hub token on this machine"):
        push_adapter(output, UPLOAD)
    assert local_hub.asked == []


def test_a_token_that_the_hub_does_not_accept(local_hub: LocalHub, output: Path) -> None:
    local_hub.refusal = Refusal(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
    for refused in (lambda: check_upload_access(UPLOAD), lambda: push_adapter(output, UPLOAD)):
        with pytest.raises(ResourceError, match="did not accept your token; renew it") as told:
            refused()
        assert TOKEN not in str(told.value)


def test_a_token_that_may_only_read(local_hub: LocalHub, output: Path) -> None:
    local_hub.refused_writing = Refusal(403, {"X-Error-Message": "You don't have the rights"})
    check_upload_access(UPLOAD)
    with pytest.raises(ResourceError, match=f"your token may not write to {NAME}; give it write access at .*tokens"):
        push_adapter(output, UPLOAD)


def test_a_hub_that_fails_says_that_a_rerun_carries_on(local_hub: LocalHub, output: Path) -> None:
    local_hub.refusal = Refusal(418)
    with pytest.raises(ResourceError, match="answered 418; run again later"):
        push_adapter(output, UPLOAD)


def test_without_network(local_hub: LocalHub, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for refused in (lambda: check_upload_access(UPLOAD), lambda: push_adapter(output, UPLOAD)):
        with pytest.raises(ResourceError, match="does not answer; check the network"):
            refused()
