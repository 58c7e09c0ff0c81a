"""Access to the Hub as users meet it, against a local server that answers as the Hub does."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from huggingface_hub import constants

from figtune.models import hub
from figtune.models.hub import find_model
from figtune.pipeline.errors import ResourceError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "someone/model"
FILES = {
    "config.json": b'{"model_type": "gemma3"}',
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"pickled",
    "modeling_evil.py": b"code",
}


@dataclass
class Refusal:
    """An answer other than the files."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class LocalHub(http.server.ThreadingHTTPServer):
    """The few addresses of the Hub's protocol that a download asks for."""

    refusal: Refusal | None = None
    asked: list[str]
    tokens: set[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: LocalHub

    def log_message(self, format: str, *args: object) -> None:
        """Not to stderr."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append(path)
        self.server.tokens.add(self.headers.get("Authorization"))
        if self.server.refusal is not None:
            self._answer(self.server.refusal.status, b"", self.server.refusal.headers)
        elif path.startswith(f"/api/models/{NAME}/revision/"):
            self._json({"id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": [{"rfilename": n} for n in FILES]})
        elif path.startswith(f"/api/models/{NAME}/tree/"):
            self._json([{"type": "file", "path": n, "size": len(d), "oid": _digest(d)} for n, d in FILES.items()])
        elif path.startswith(f"/{NAME}/resolve/"):
            data = FILES[path.rpartition("/")[2]]
            self._answer(200, data, {"ETag": f'"{_digest(data)}"', "X-Repo-Commit": COMMIT})
        else:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


def _digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def local_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    server = LocalHub(("127.0.0.1", 0), Handler)
    server.asked, server.tokens = [], set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


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


@pytest.mark.parametrize(
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
        (Refusal(500), False, "cannot be downloaded: no answer from"),
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
    if logged_in:
        log_in(monkeypatch)
    with pytest.raises(ResourceError, match=message) as refused:
        find_model(NAME, "v9", weights=True)
    assert local_hub.tokens == {"Bearer hf_secret" if logged_in else None}
    assert "hf_secret" not in str(refused.value) + capfd.readouterr().err


def test_no_network_and_nothing_here_is_said(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ResourceError, match=r"no answer from http://127\.0\.0\.1:9; check the network"):
        find_model(NAME, None, weights=True)


def test_working_offline_on_purpose_is_said(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match="HF_HUB_OFFLINE is set; unset it once"):
        find_model(NAME, None, weights=True)


@pytest.mark.parametrize(
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
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in hub.WEIGHT_FILES)
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in hub.DESCRIPTION_FILES)
