"""ASGI middleware that hides the path of the upload folder: requests and responses contain an alias.

Gradio sends full paths to the browser. In responses the alias replaces the folder; in requests, files can be named
below the alias only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from figtune.inference.upload_folder import UploadFolder

ALIAS = "/figtune-uploads"
_FILE_ROUTE = "/gradio_api/file="
_CALL_ROUTE = "/gradio_api/queue/join"
_MASKED = (b"application/json", b"text/event-stream", b"text/html", b"text/plain")
"""Content types in which Gradio may send a path."""


@dataclass(frozen=True, kw_only=True)
class _File:
    """An upload as the value of a component; the URL that the browser adds is dropped."""

    path: str
    orig_name: str | None = None
    size: int | None = None
    mime_type: str | None = None
    meta: dict[str, str]
    """Gradio's mark of a file."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A call of one of the page's functions, with the only fields that are passed on."""

    data: list[_File | str | int | float | bool | None]
    session_hash: Annotated[str, msgspec.Meta(max_length=64)]
    fn_index: int
    trigger_id: int | None = None
    event_data: object = None


class PathMask:
    """ASGI middleware around Gradio's application.

    Args:
        inputs: number of inputs of each function that the page may call.
    """

    def __init__(self, app: ASGIApp, uploads: UploadFolder, inputs: Mapping[int, int]) -> None:
        self._app = app
        self._uploads = uploads
        self._inputs = inputs
        spellings = (str(uploads.path), quote(str(uploads.path)), json.dumps(str(uploads.path))[1:-1])
        self._spellings = sorted({each.encode() for each in spellings}, key=len, reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with real paths, and its response back with masked ones.

        Raises:
            HTTPException: it names a file elsewhere, or is no valid call of the page.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path.startswith(_FILE_ROUTE):
            path = _FILE_ROUTE + self._real(path.removeprefix(_FILE_ROUTE))
        elif path == _CALL_ROUTE:
            receive = _replay(self._checked(await _body(receive)), receive)
        # Only an uncompressed response can be masked.
        dropped = (b"accept-encoding", b"content-length") if path == _CALL_ROUTE else (b"accept-encoding",)
        headers = [pair for pair in scope["headers"] if pair[0].lower() not in dropped]
        inner = {**scope, "path": path, "raw_path": quote(path).encode(), "headers": headers}
        await self._app(inner, receive, _Masking(send, self._spellings))

    def _real(self, masked: str) -> str:
        """Return the path of an upload.

        Raises:
            HTTPException: there is none of this name.
        """
        real = self._uploads.path / masked.removeprefix(f"{ALIAS}/")
        if not masked.startswith(f"{ALIAS}/") or not self._uploads.contains(real):
            raise HTTPException(403, "no such upload")
        return str(real.resolve())

    def _checked(self, body: bytes) -> bytes:
        try:
            call = msgspec.json.decode(body, type=_Call)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise HTTPException(422, "no call of this page") from None
        if self._inputs.get(call.fn_index) != len(call.data):
            raise HTTPException(422, "no call of this page")
        data = [replace(each, path=self._real(each.path)) if isinstance(each, _File) else each for each in call.data]
        index = call.event_data.get("index") if isinstance(call.event_data, dict) else None
        event = {"index": index if isinstance(index, int) else None, "value": None}
        return msgspec.json.encode(replace(call, data=data, event_data=event))


class _Masking:
    """Send a response with the alias in place of the folder, wherever its chunks are cut."""

    def __init__(self, send: Send, spellings: list[bytes]) -> None:
        self._send = send
        self._spellings = spellings
        self._masks = False
        self._held = b""
        """End of the last chunk, if it may be the beginning of the folder's path."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = next((value for name, value in message["headers"] if name.lower() == b"content-type"), b"")
            self._masks = kind.startswith(_MASKED)
            if self._masks:
                kept = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
                message = {**message, "headers": kept}
        elif self._masks:
            message = {**message, "body": self._masked(message.get("body", b""), message.get("more_body", False))}
        await self._send(message)

    def _masked(self, piece: bytes, more: bool) -> bytes:
        text = self._held + piece
        for spelling in self._spellings:
            text = text.replace(spelling, ALIAS.encode())
        held = max((_overlap(text, spelling) for spelling in self._spellings), default=0) if more else 0
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _overlap(text: bytes, path: bytes) -> int:
    """Return the length of the longest end of `text` that begins `path`."""
    return next((size for size in range(min(len(text), len(path) - 1), 0, -1) if text.endswith(path[:size])), 0)


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "cut off")
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that yields `body` once, and then later messages."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return whole.pop() if whole else await receive()

    return received
