"""ASGI middleware around the page: checks of hosts, origins, password, routes and sizes, and the upload folder's alias.

Gradio sends full paths to the browser. In responses an alias replaces the folder; in requests, files can be named below
the alias only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import quote

import msgspec
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from figtune.core.web_access import (
    SECURITY_HEADERS,
    WRONG_PASSWORD_SECONDS,
    RefusedRequestError,
    RequestHead,
    check_request,
)
from figtune.inference.uploads import UploadFolder

logger = logging.getLogger(__name__)

_ROUTES = {
    "GET": re.compile(
        r"/|/config|/theme\.css|/favicon\.ico|/(?:assets|static)/[\w./@+-]+"
        r"|/gradio_api/(?:queue/data|upload_progress|heartbeat/[\w-]{1,64}|file=.+)"
    ),
    "POST": re.compile(r"/gradio_api/(?:queue/join|cancel|reset|upload)"),
}
"""Paths that the page of Gradio 6.31 requests, matched in full; all other routes of Gradio are closed."""
_UPLOAD_ROUTE = "/gradio_api/upload"
_MULTIPART = b"multipart/form-data"
_JSON = b"application/json"
_LARGEST_CALL = 1 << 18
"""Bytes of a request that is no upload."""
_UPLOADS_AT_A_TIME = 8
_UPLOAD_SECONDS = 120.0
_LONGEST_LINE = 200
"""Characters of an error's text on the terminal."""
_PAGE_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    b"base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_FILE_POLICY = b"default-src 'none'; sandbox; frame-ancestors 'none'"
"""Content security policy of uploads: no script in them runs."""


class AccessControl:
    """Outermost ASGI middleware (https://asgi.readthedocs.io, HTTP connection scope): refuse, or pass on.

    Args:
        hosts: allowed names in the Host header, against DNS rebinding; None for any.
        password: required by HTTP Basic authentication, with any user name; None for no password.
        largest_upload: maximum size of an upload request, in bytes.
    """

    def __init__(
        self,
        app: ASGIApp,
        uploads: UploadFolder,
        *,
        hosts: Sequence[str] | None,
        password: str | None,
        largest_upload: int,
    ) -> None:
        self._app = app
        self._uploads = uploads
        self._hosts = hosts
        self._password = password
        self._largest_upload = largest_upload
        self._uploading = 0
        self._wrong_passwords = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or refuse it; an exception behind it becomes one line in the log and status 500."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # a WebSocket is closed by uvicorn when nothing answers it
        answer = _Answer(send, scope["path"])
        try:
            await self._check(scope)
            await self._pass_on(scope, receive, answer)
        except HTTPException as refusal:
            await answer.refuse(refusal)
        except Exception as fault:  # noqa: BLE001 - one visitor's request must not end the server or fill its log
            if not answer.started and answer.refusal is None:
                logger.warning(f"a request failed: {type(fault).__name__}: {str(fault)[:_LONGEST_LINE]}")
            await answer.refuse(HTTPException(500))

    async def _check(self, scope: Scope) -> None:
        head = RequestHead(method=scope["method"], path=scope["path"], headers=scope["headers"])
        try:
            check_request(head, hosts=self._hosts, password=self._password)
            self._check_route(head)
        except RefusedRequestError as refused:
            if refused.status == 401:
                async with self._wrong_passwords:  # guesses are serialised; the right password does not wait
                    await asyncio.sleep(WRONG_PASSWORD_SECONDS if head.one(b"authorization") else 0)
            raise HTTPException(refused.status, refused.reason, dict(refused.headers)) from None

    def _check_route(self, head: RequestHead) -> None:
        method = "GET" if head.method == "HEAD" else head.method
        allowed = _ROUTES.get(method)
        if allowed is None or not allowed.fullmatch(head.path) or ".." in head.path.split("/"):
            raise RefusedRequestError(404, "not found")
        if method == "POST":
            wanted = _MULTIPART if head.path == _UPLOAD_ROUTE else _JSON
            if head.media_type != wanted:
                raise RefusedRequestError(415, f"{wanted.decode()} wanted")

    async def _pass_on(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if scope["path"] != _UPLOAD_ROUTE:
            await self._app(scope, _bounded(receive, _LARGEST_CALL, answer), answer)
            return
        if self._uploading >= _UPLOADS_AT_A_TIME:
            raise HTTPException(503, "too many uploads at a time")
        self._uploading += 1
        try:
            await to_thread.run_sync(self._uploads.make_room, self._largest_upload * self._uploading)
            async with asyncio.timeout(_UPLOAD_SECONDS):
                await self._app(scope, _bounded(receive, self._largest_upload, answer), answer)
        except TimeoutError:
            raise HTTPException(408, "the upload took too long") from None
        finally:
            self._uploading -= 1


class _Answer:
    """Send the application's response with security headers, unless the request has been refused meanwhile."""

    def __init__(self, send: Send, path: str) -> None:
        self._send = send
        self._policy = _FILE_POLICY if path.startswith("/gradio_api/file=") else _PAGE_POLICY
        self.started = False
        self.refusal: HTTPException | None = None

    async def __call__(self, message: Message) -> None:
        if self.refusal is not None and not self.started:
            raise self.refusal
        if message["type"] == "http.response.start":
            self.started = True
            added = (*SECURITY_HEADERS.items(), (b"content-security-policy", self._policy))
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)

    async def refuse(self, refusal: HTTPException) -> None:
        """Send an error response, if none has been started."""
        if self.started:
            return
        refusal, self.refusal = self.refusal or refusal, None
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        headers += [(name.encode(), value.encode()) for name, value in (refusal.headers or {}).items()]
        await self({"type": "http.response.start", "status": refusal.status_code, "headers": headers})
        await self._send({"type": "http.response.body", "body": str(refusal.detail).encode()})


def _bounded(receive: Receive, most: int, answer: _Answer) -> Receive:
    """Refuse a body as soon as more than `most` bytes have arrived."""
    count = 0

    async def counted() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > most:
            answer.refusal = HTTPException(413, "larger than the maximum allowed size")
            raise answer.refusal
        return message

    return counted


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
