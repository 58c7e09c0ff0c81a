"""What the page's server keeps to itself: where its files lie, and what Gradio would offer beside the page.

Gradio names uploads to the browser by their full path. On the wire the folder has an alias, put in its place in
whatever goes out and taken back in whatever comes in.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALIAS = b"/figtune-uploads-"
"""Nothing that anybody would type into a prompt."""
_REWRITTEN = (b"application/json", b"text/event-stream", b"text/html", b"text/plain")
_CLOSED = ("/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/mcp", "/monitoring", "/docs", "/redoc")
_HEADERS = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'",
    ),
)
_NOT_FOUND: tuple[Message, Message] = (
    {"type": "http.response.start", "status": 404, "headers": []},
    {"type": "http.response.body", "body": b""},
)


class Discretion:
    """ASGI middleware around Gradio's application (https://asgi.readthedocs.io, HTTP connection scope)."""

    def __init__(self, app: ASGIApp, folder: str) -> None:
        self._app = app
        self._folder = folder.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404 where nobody has any business; pass everything else on, renamed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif any(scope["path"] == path or scope["path"].startswith(f"{path}/") for path in _CLOSED):
            for message in _NOT_FOUND:
                await send(message)
        else:
            await self._app(self._inward(scope), self._receiving(scope, receive), self._sending(send))

    def _inward(self, scope: Scope) -> Scope:
        """The request for the file that is meant, and for an answer without compression, which hides what it says."""
        path = scope["path"].replace(_ALIAS.decode(), self._folder.decode(), 1)
        headers = [pair for pair in scope["headers"] if pair[0] not in (b"accept-encoding", b"content-length")]
        return {**scope, "path": path, "raw_path": quote(path).encode(), "headers": headers}

    def _receiving(self, scope: Scope, receive: Receive) -> Receive:
        if not _header(scope["headers"], b"content-type").startswith(b"application/json"):
            return receive

        async def renamed() -> Message:
            message = await receive()
            return {**message, "body": message.get("body", b"").replace(_ALIAS, self._folder)}

        return renamed

    def _sending(self, send: Send) -> Send:
        rewritten = False

        async def renamed(message: Message) -> None:
            nonlocal rewritten
            if message["type"] == "http.response.start":
                rewritten = _header(message["headers"], b"content-type").startswith(_REWRITTEN)
                dropped = (b"content-length",) if rewritten else ()
                kept = [pair for pair in message["headers"] if pair[0].lower() not in dropped]
                message = {**message, "headers": [*kept, *_HEADERS]}
            elif rewritten:
                message = {**message, "body": message.get("body", b"").replace(self._folder, _ALIAS)}
            await send(message)

        return renamed


def _header(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for key, value in headers if key.lower() == name), b"")
