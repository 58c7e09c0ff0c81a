"""ASGI middleware that checks hosts, origins, the password, routes and sizes of requests to the page."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from figtune.inference.upload_folder import UploadFolder

logger = logging.getLogger(__name__)

_ROUTES = {
    "GET": re.compile(
        r"/|/config|/theme\.css|/favicon\.ico|/(?:assets|static)/[\w./@+-]+"
        r"|/gradio_api/(?:queue/data|upload_progress|heartbeat/[\w-]{1,64}|file=.+)"
    ),
    "POST": re.compile(r"/gradio_api/(?:queue/join|cancel|reset|upload)"),
}
"""Paths that the page of Gradio 6.31 requests, matched in full; all other routes of Gradio are closed."""
_MULTIPART = b"multipart/form-data"
_JSON = b"application/json"
_LARGEST_CALL = 1 << 18
"""Bytes of a request that is no upload."""
_UPLOADS_AT_A_TIME = 8
_UPLOAD_SECONDS = 120.0
_WRONG_PASSWORD_SECONDS = 0.5
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
        except Exception as fault:  # noqa: BLE001 - one visitor's request must not end or litter the server
            if not answer.started and answer.refusal is None:
                logger.warning(f"a request failed: {type(fault).__name__}: {str(fault)[:_LONGEST_LINE]}")
            await answer.refuse(HTTPException(500))

    async def _check(self, scope: Scope) -> None:
        headers = _Headers(scope)
        if self._hosts is not None and _host_name(headers.one(b"host")) not in self._hosts:
            raise HTTPException(400, "unknown host")
        if self._password is not None and not _knows(self._password, headers.one(b"authorization")):
            async with self._wrong_passwords:  # guesses are serialised; the right password does not wait
                await asyncio.sleep(_WRONG_PASSWORD_SECONDS if headers.one(b"authorization") else 0)
            raise HTTPException(401, "password needed", {"www-authenticate": 'Basic realm="figtune", charset="UTF-8"'})
        if _is_foreign(scope, headers):
            raise HTTPException(403, "requests from other sites are refused")
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        allowed = _ROUTES.get(method)
        if allowed is None or not allowed.fullmatch(scope["path"]) or ".." in scope["path"].split("/"):
            raise HTTPException(404, "not found")
        if method == "POST":
            wanted = _MULTIPART if _is_upload(scope) else _JSON
            if headers.one(b"content-type").partition(b";")[0].strip().lower() != wanted:
                raise HTTPException(415, f"{wanted.decode()} wanted")

    async def _pass_on(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if not _is_upload(scope):
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
            message = {**message, "headers": [*message.get("headers", ()), *self._headers()]}
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

    def _headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"referrer-policy", b"same-origin"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"content-security-policy", self._policy),
        ]


class _Headers:
    def __init__(self, scope: Scope) -> None:
        self._pairs: list[tuple[bytes, bytes]] = scope["headers"]

    def one(self, name: bytes) -> bytes:
        """Return the value of a header, empty if there is none.

        Raises:
            HTTPException: it occurs twice, and two readers could each take another one.
        """
        values = [value for key, value in self._pairs if key.lower() == name]
        if len(values) > 1:
            raise HTTPException(400, f"{name.decode()} twice")
        return values[0] if values else b""


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


def _is_upload(scope: Scope) -> bool:
    return bool(scope["path"] == "/gradio_api/upload")


def _is_foreign(scope: Scope, headers: _Headers) -> bool:
    """Return True for a request of another site's page, except for following a link to this page."""
    origin, site = headers.one(b"origin"), headers.one(b"sec-fetch-site").lower()
    if origin and urlsplit(origin).netloc.lower() != headers.one(b"host").lower():
        return True
    if site in (b"", b"same-origin", b"none"):
        return False
    is_link = (headers.one(b"sec-fetch-mode"), headers.one(b"sec-fetch-dest")) == (b"navigate", b"document")
    return not (is_link and scope["method"] == "GET" and scope["path"] == "/")


def _host_name(host: bytes) -> str:
    """Return a Host header's name without its port; an IPv6 address without its brackets."""
    try:
        return urlsplit(f"//{host.decode('ascii')}").hostname or ""
    except ValueError:
        return ""


def _knows(password: str, authorization: bytes) -> bool:
    scheme, _, credentials = authorization.partition(b" ")
    try:
        given = base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return False
    return scheme.lower() == b"basic" and hmac.compare_digest(given, password.encode())
