"""The server of the review page: the standard library's, for this machine alone, behind the rules of `web_access`."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec

from figtune.core import commands
from figtune.core.cli import ended_by_signals
from figtune.core.errors import FigtuneError
from figtune.core.number_format import count
from figtune.core.web_access import (
    SECURITY_HEADERS,
    WRONG_PASSWORD_SECONDS,
    Access,
    RefusedRequestError,
    RequestHead,
    check_request,
    listening,
)
from figtune.dataset.decisions import Verdict
from figtune.extraction.records import BoxTuple
from figtune.review.items import ItemFilter
from figtune.review.session import RefusedDecisionError, ReviewSession, UnknownItemError

logger = logging.getLogger(__name__)

_LARGEST_BODY = 1 << 18  # bytes
_IDLE_SECONDS = 30.0
"""Time without a byte after which a connection is closed."""
_MOST_CONNECTIONS = 64
_LONGEST_LINE = 200
"""Characters of an error's text on the terminal."""
_JSON = b"application/json"
_FILES: Mapping[str, tuple[str, str]] = {
    "/": ("review.html", "text/html; charset=utf-8"),
    "/review.css": ("review.css", "text/css; charset=utf-8"),
    "/review.js": ("review.js", "text/javascript; charset=utf-8"),
}
_ITEM_ROUTE = re.compile(r"/(item|picture|canvas|canvas_picture)/([0-9a-f]{16})")
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


Request = TypeVar("Request")


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A request whose fields are all known."""


class _Verdict(_Strict):
    id: str
    verdict: Verdict
    text: str = ""


class _FigureVerdict(_Strict):
    id: str
    verdict: Verdict


class _BoxOf(_Strict):
    id: str
    box: BoxTuple | None


@dataclass(frozen=True)
class _Answer:
    body: bytes
    media_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] | None = None


class ReviewServer(ThreadingHTTPServer):
    """Serves one session at an address of this machine."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket, session: ReviewSession, access: Access) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.session = session
        self.access = access
        self.at_work = threading.Lock()
        """Held while the session is asked."""
        self.guessing = threading.Lock()
        """Held while the answer to a wrong password waits."""
        self._connections = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def process_request(self, request: object, client_address: object) -> None:
        """Start a thread for a connection, or close it where there are too many."""
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)  # type: ignore[arg-type]
        else:
            self.shutdown_request(request)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._connections.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a visitor has gone."""


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        """Answer a request that changes nothing."""
        self._answered(self._got)

    do_HEAD = do_GET  # noqa: N815 - the interface's name

    def do_POST(self) -> None:
        """Answer a request that changes a decision."""
        self._answered(self._posted)

    def log_message(self, format: str, *args: object) -> None:
        """Log no request."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse what is no request."""
        self.close_connection = True
        self._send(_text(code, message or "refused"))

    def _answered(self, answer: Callable[[RequestHead], _Answer]) -> None:
        pairs = [(name.lower(), value) for name, value in self.headers.items()]
        head = RequestHead(
            method=self.command,
            path=self.path.partition("?")[0],
            headers=[(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in pairs],
        )
        try:
            check_request(head, hosts=self.server.access.hosts(), password=self.server.access.password)
            found = answer(head)
        except RefusedRequestError as refused:
            self.close_connection = True
            if refused.status == 401 and head.one(b"authorization"):
                with self.server.guessing:  # guesses are serialised; the right password does not wait
                    time.sleep(WRONG_PASSWORD_SECONDS)
            found = _text(refused.status, refused.reason, refused.headers)
        except UnknownItemError as error:
            found = _problem(404, error)
        except RefusedDecisionError as error:
            found = _problem(422, error)
        except FigtuneError as error:
            found = _problem(409, error)
        except OSError as error:
            found = _problem(507, f"{self.server.session.decisions_file}: {error.strerror or error}")
        except Exception as fault:  # noqa: BLE001 - one request must not end or litter the server
            logger.warning(f"a request failed: {type(fault).__name__}: {str(fault)[:_LONGEST_LINE]}")
            found = _problem(500, "a fault of the program; see the terminal")
        self._send(found)

    def _got(self, head: RequestHead) -> _Answer:
        if head.one(b"content-length") or head.one(b"transfer-encoding"):
            raise RefusedRequestError(400, "no body wanted")
        if head.path == "/favicon.ico":
            return _Answer(b"", "image/x-icon")
        if head.path in _FILES:
            name, media_type = _FILES[head.path]
            return _Answer(Path(__file__).with_name("page").joinpath(name).read_bytes(), media_type)
        session = self.server.session
        with self.server.at_work:
            if head.path == "/choices":
                return _json(session.choices())
            if head.path == "/step":
                return _json(_step(session, self.path.partition("?")[2]))
            if found := _ITEM_ROUTE.fullmatch(head.path):
                kind, item_id = found.groups()
                if kind == "item":
                    return _json(session.item(item_id))
                if kind == "canvas":
                    return _json(session.canvas(item_id))
                data = session.picture(item_id) if kind == "picture" else session.canvas_picture(item_id)
                return _Answer(data, "image/png", headers={"cache-control": "private, max-age=60"})
        raise RefusedRequestError(404, "not found")

    def _posted(self, head: RequestHead) -> _Answer:
        if head.path not in ("/decide", "/figure", "/box"):
            raise RefusedRequestError(404, "not found")
        if head.media_type != _JSON:
            raise RefusedRequestError(415, f"{_JSON.decode()} wanted")
        body, session = self._body(head), self.server.session
        with self.server.at_work:
            if head.path == "/decide":
                verdict = _decoded(body, _Verdict)
                session.decide(verdict.id, verdict.verdict, verdict.text)
                return _json(session.item(verdict.id))
            if head.path == "/figure":
                figure = _decoded(body, _FigureVerdict)
                session.decide_figure(figure.id, figure.verdict)
                return _json(session.item(figure.id))
            box = _decoded(body, _BoxOf)
            session.set_box(box.id, box.box)
            return _json(session.item(box.id))

    def _body(self, head: RequestHead) -> bytes:
        length = head.one(b"content-length")
        if head.one(b"transfer-encoding") or not length.isdigit():
            raise RefusedRequestError(411, "content-length wanted")
        if int(length) > _LARGEST_BODY:
            raise RefusedRequestError(413, "larger than the maximum allowed size")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise RefusedRequestError(400, "broken off")
        return body

    def _send(self, answer: _Answer) -> None:
        headers = {
            "content-type": answer.media_type,
            "content-length": str(len(answer.body)),
            "cache-control": "no-store",
        }
        headers |= {name.decode(): value.decode() for name, value in SECURITY_HEADERS.items()}
        headers |= {"content-security-policy": _PAGE_POLICY, **(answer.headers or {})}
        if self.close_connection:
            headers["connection"] = "close"
        self.send_response_only(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if getattr(self, "command", "") != "HEAD":
            self.wfile.write(answer.body)


class _StepRequest(ItemFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of a step: a filter, and where to go from."""

    start: str = ""
    direction: Literal["forward", "back"] = "forward"


def _step(session: ReviewSession, query: str) -> object:
    try:
        asked = msgspec.convert(dict(parse_qsl(query, keep_blank_values=True)), _StepRequest, strict=False)
    except (msgspec.ValidationError, ValueError) as misfit:
        raise RefusedRequestError(422, str(misfit)) from None
    return session.step(asked, asked.start, forward=asked.direction == "forward")


def _decoded(body: bytes, kind: type[Request]) -> Request:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RefusedRequestError(422, "no request of this page") from None


def _json(value: object) -> _Answer:
    return _Answer(msgspec.json.encode(value))


def _text(status: int, reason: str, headers: Mapping[str, str] | None = None) -> _Answer:
    return _Answer(reason.encode(), "text/plain; charset=utf-8", status, headers)


def _problem(status: int, problem: object) -> _Answer:
    return _Answer(msgspec.json.encode({"problem": str(problem)}), status=status)


def serve_review(session: ReviewSession, access: Access) -> None:
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP.

    Raises:
        ResourceError: the port is taken.
    """
    with ended_by_signals(), listening(access.host, access.port) as listener, closing(session):
        server = ReviewServer(listener, session, access)
        choices = session.choices()
        port = listener.getsockname()[1]
        logger.info(f"review {count(choices.items, 'candidates')} at {access.url(port)} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            with server.at_work:  # what is being written is finished
                decided = count(session.choices().decisions, "decisions")
    logger.info(f"the page is closed; {decided} in {session.decisions_file}: {commands.PREPARE} applies them")
