"""A server on this machine that answers as the Hugging Face Hub does, to downloads and uploads.

What the addresses return: https://huggingface.co/docs/hub/api and the errors that `huggingface_hub` tells apart by the
header X-Error-Code.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub_uploads import Received, UploadHandler

COMMIT = "0123456789abcdef0123456789abcdef01234567"

_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/(revision|tree)/.*")
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)")
_RANGE = re.compile(r"bytes=(\d+)-")


@dataclass
class Refusal:
    """An answer other than the files."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class LocalHub(http.server.ThreadingHTTPServer):
    """Repositories and what becomes of requests for them."""

    models: dict[str, dict[str, bytes]]
    """Files by their paths, by name of repository."""
    datasets: dict[str, dict[str, bytes]]
    refusal: Refusal | None = None
    """To everything."""
    refused_files: dict[str, Refusal]
    """To single files."""
    cut_files: dict[str, int]
    """Files whose next answer breaks off after so many bytes."""
    asked: list[str]
    """Addresses, in order."""
    sent: list[tuple[str, int]]
    """Files sent, each with the byte that it was sent from."""
    tokens: set[str | None]
    received: Received
    """Uploaded files."""
    refused_writing: Refusal | None = None
    """To every upload, by a token that may read."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models, self.datasets, self.refused_files, self.cut_files = {}, {}, {}, {}
        self.asked, self.sent, self.tokens, self.received = [], [], set(), Received()

    @property
    def address(self) -> str:
        """Value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(UploadHandler, http.server.BaseHTTPRequestHandler):
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
            self._refuse(self.server.refusal)
        elif path == "/api/whoami-v2":
            self.told({"type": "user", "name": "someone"})
        elif found := _API.fullmatch(path):
            self._describe(found[1], found[2], found[3])
        elif found := _FILE.fullmatch(path):
            self._file("datasets" if found[1] else "models", found[2], found[3])
        else:
            self._refuse(Refusal(404))

    def do_POST(self) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append(path)
        self.server.tokens.add(self.headers.get("Authorization"))
        refusal = self.server.refusal or self.server.refused_writing
        if refusal is not None:
            self._refuse(refusal)
        elif not self.upload(path, self.server.models, self.server.received, self.server.address):
            self._refuse(Refusal(404))

    def do_PUT(self) -> None:
        self.do_POST()

    def _describe(self, kind: str, name: str, what: str) -> None:
        files = self._repositories(kind).get(name)
        if files is None:
            self._refuse(Refusal(404, {"X-Error-Code": "RepoNotFound"}))
        elif what == "revision":
            self._json({"id": name, "sha": COMMIT, "siblings": [{"rfilename": path} for path in files]})
        else:
            entries = ({"path": path, "size": len(data), "oid": digest(data)} for path, data in files.items())
            self._json([{"type": "file", **entry} for entry in entries])

    def _file(self, kind: str, name: str, path: str) -> None:
        data = self._repositories(kind).get(name, {}).get(path)
        if refusal := self.server.refused_files.get(path):
            self._refuse(refusal)
        elif data is None:
            self._refuse(Refusal(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}))
        else:
            self._send(path, data)

    def _send(self, path: str, data: bytes) -> None:
        wanted = _RANGE.match(self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        headers = {"ETag": f'"{digest(data)}"', "X-Repo-Commit": COMMIT}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.command == "GET":
            self.server.sent.append((path, start))
        self._answer(206 if wanted else 200, data[start:], headers, cut=path)

    def _repositories(self, kind: str) -> dict[str, dict[str, bytes]]:
        return self.server.models if kind == "models" else self.server.datasets

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, refusal: Refusal) -> None:
        self._answer(refusal.status, b"", refusal.headers)

    def _answer(self, status: int, data: bytes, headers: dict[str, str], cut: str = "") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: self.server.cut_files.pop(cut, len(data))])


def digest(data: bytes) -> str:
    """Return the name that the server gives to content."""
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[LocalHub]:
    """Run the server, with `huggingface_hub` pointed at it, an empty cache in `folder`, and nobody logged in."""
    hub = LocalHub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
