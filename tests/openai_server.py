"""A server on this machine that answers as the OpenAI protocol says, with a tiny model behind it."""

from __future__ import annotations

import base64
import http.server
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from figtune.inference.generate import generate_answers
from figtune.models.feature_cache import encode_image
from figtune.models.loading import LoadedModel, load_tuned_model
from tests.inference.trained_model import greedy


@dataclass
class Fault:
    """An answer other than the protocol's."""

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait: threading.Event | None = None
    """Nothing is answered before this is set."""
    only: str = "/chat/completions"
    """Requests that it is the answer to."""


class OpenAIServer(http.server.ThreadingHTTPServer):
    """A model with its adapter, under two names: "figures", and "base" without the adapter."""

    daemon_threads = True
    loaded: LoadedModel
    adapter_lost: bool = False
    """True to answer with the base model whatever name is asked for, as servers do that fail to apply an adapter."""
    names: tuple[str, ...]
    faults: list[Fault]
    """Taken one after another."""
    asked: list[dict[str, Any]]
    keys: set[str | None]
    generation: threading.Lock

    @property
    def address(self) -> str:
        """Address for --test.server."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that have gone."""

    def answer(self, request: dict[str, Any]) -> dict[str, object]:
        """Answer the last message of a chat."""
        image, prompt = None, ""
        for part in request["messages"][-1]["content"]:
            if part["type"] == "image_url":
                encoded = part["image_url"]["url"].partition("base64,")[2]
                image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
            else:
                prompt += part["text"]
        assert image is not None
        with self.generation:
            with_adapter = request["model"] == "figures" and not self.adapter_lost
            with nullcontext() if with_adapter else self.loaded.peft_model.disable_adapter():
                inputs = encode_image(self.loaded, image)
                (answer,) = generate_answers(self.loaded, [prompt], [inputs], greedy(request["max_tokens"]))
        return {
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": answer.text},
                    "finish_reason": "stop" if answer.ended_with_eos else "length",
                }
            ],
            "usage": {"completion_tokens": answer.tokens},
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    server: OpenAIServer

    def do_GET(self) -> None:
        self._told({"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.names]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(request)
        self.server.keys.add(self.headers.get("Authorization"))
        self._told(None, request)

    def _told(self, content: dict[str, object] | None, request: dict[str, Any] | None = None) -> None:
        faults = self.server.faults
        fault = faults.pop(0) if faults and self.path.endswith(faults[0].only) else None
        if fault is not None and fault.wait is not None:
            fault.wait.wait()
        if fault is None:
            fault = Fault(content=json.dumps(content or self.server.answer(request or {})).encode())
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(fault.content)))
        self.end_headers()
        self.wfile.write(fault.content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def serving_model(output: Path) -> Iterator[OpenAIServer]:
    """Serve the model of an output folder during the block."""
    server = OpenAIServer(("127.0.0.1", 0), _Handler)
    server.loaded = load_tuned_model(output, torch.device("cpu"), "train")
    server.names, server.faults, server.asked, server.keys = ("figures",), [], [], set()
    server.generation = threading.Lock()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
