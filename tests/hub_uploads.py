"""Answers of the local Hub to an upload: create a repository, say how files are to come, take them, commit them.

The addresses are those that `huggingface_hub` asks where Xet is off: its hf_api.create_repo, _commit_api and lfs.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
from dataclasses import dataclass, field

_PREUPLOAD = re.compile(r"/api/models/([^/]+/[^/]+)/preupload/main")
_COMMIT = re.compile(r"/api/models/([^/]+/[^/]+)/commit/main")
_BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
_LARGE = ".safetensors"


@dataclass
class Received:
    """Requests that have come, in order."""

    visibility: dict[str, str] = field(default_factory=dict)
    """Settings of created repositories."""
    large: dict[str, bytes] = field(default_factory=dict)
    """Contents by sha256."""
    commits: list[list[str]] = field(default_factory=list)
    """Paths that each commit wrote; those it removed with a "-" before them."""


class UploadHandler(http.server.BaseHTTPRequestHandler):
    """Takes what is uploaded into `models` and `received` of its server."""

    def upload(self, path: str, models: dict[str, dict[str, bytes]], received: Received, address: str) -> bool:
        """Answer a POST or PUT; False where the address is none of an upload's."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if path == "/api/repos/create":
            self._create(json.loads(body), models, received, address)
        elif path == "/api/validate-yaml":
            self.told({"errors": [], "warnings": []})
        elif found := _PREUPLOAD.fullmatch(path):
            self._preupload(json.loads(body), models[found[1]])
        elif _BATCH.fullmatch(path):
            self._batch(json.loads(body), received, address)
        elif path.startswith("/lfs/"):
            received.large[path.removeprefix("/lfs/")] = body
            self.told({})
        elif found := _COMMIT.fullmatch(path):
            self._commit(body, models[found[1]], received, f"{address}/{found[1]}")
        else:
            return False
        return True

    def told(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _create(
        self, wanted: dict[str, str], models: dict[str, dict[str, bytes]], received: Received, address: str
    ) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if name not in models:
            models[name] = {".gitattributes": b""}
            received.visibility[name] = wanted["visibility"]
            self.told({"url": f"{address}/{name}"})
        else:
            self.told({"error": "it is there already", "url": f"{address}/{name}"}, status=409)

    def _preupload(self, wanted: dict[str, list[dict[str, str]]], files: dict[str, bytes]) -> None:
        answers = []
        for file in wanted["files"]:
            large = file["path"].endswith(_LARGE)
            held = files.get(file["path"])
            oid = None if held is None else hashlib.sha256(held).hexdigest() if large else _git_hash(held)
            mode = "lfs" if large else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.told({"files": answers})

    def _batch(self, wanted: dict[str, list[dict[str, str]]], received: Received, address: str) -> None:
        objects = []
        for each in wanted["objects"]:
            upload = {"upload": {"href": f"{address}/lfs/{each['oid']}"}}
            known = each["oid"] in received.large
            objects.append({**each, **({} if known else {"actions": upload})})
        self.told({"transfer": "basic", "objects": objects})

    def _commit(self, body: bytes, files: dict[str, bytes], received: Received, address: str) -> None:
        changed = []
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = received.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
                changed.append(f"-{value['path']}")
                continue
            else:
                continue
            changed.append(value["path"])
        received.commits.append(changed)
        self.told({"commitUrl": f"{address}/commit/{'0' * 40}", "commitOid": "0" * 40})


def _git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
