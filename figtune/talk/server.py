"""The page's server: by default for this machine alone, and beyond it only with a password."""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING

from figtune.answers.answering import load_for_answers
from figtune.answers.trained import read_trained
from figtune.pipeline.errors import ResourceError
from figtune.pipeline.progress import say
from figtune.talk.terms import Request, Terms
from figtune.talk.upload_folder import UploadFolder, upload_folder

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from figtune.talk.page import Speaker

_LARGEST_FILE_MB = 50
_LARGEST_UPLOAD = (_LARGEST_FILE_MB + 1) << 20
"""Bytes of one request: a file and what surrounds it."""
_MOST_UPLOADS = 1 << 30
"""Bytes of all uploads together."""
_SECONDS_TO_END = 2
_MOST_CONNECTIONS = 256
_TOKEN_BYTES = 16
_LONGEST_LINE = 200
"""Characters of an error's text on the terminal."""
# Gradio's client warns on the browser's console at the end of every answer, and means nothing by it.
_SILENCE = """<script>{
  const warn = console.warn.bind(console);
  console.warn = (...said) => said[0] === "Method not implemented." || warn(...said);
}</script>"""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the page is served, and to whom."""

    host: str
    """Address or name of this machine to listen at."""
    port: int
    """0 takes a free one."""
    password: str | None
    """Asked of every visitor; None asks only beyond this machine, for one made up for this run."""

    @property
    def is_local(self) -> bool:
        """True if only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def hosts(self) -> tuple[str, ...] | None:
        """Return the names that visitors may call it by; None for any."""
        return ("127.0.0.1", "localhost", "::1", self.host) if self.is_local else None


def serve(output_dir: Path, request: Request, terms: Terms, access: Access) -> None:
    """Serve the page about the model trained in `output_dir` until Ctrl-C, SIGTERM or SIGHUP.

    Args:
        request: what the page asks at first.

    Raises:
        ArtifactMissingError: nothing has been trained there yet.
        InputError: the adapter is of another base model.
        ResourceError: Gradio is not installed, the port is taken, or the base model is not to be had.
    """
    read_trained(output_dir)
    _see_that_gradio_is_there()
    with _ended_by_signals(), _listening(access.host, access.port) as listener, upload_folder(_MOST_UPLOADS) as folder:
        # Read when Gradio is imported, and when its page is built.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(folder.path)}
        from figtune.talk.page import Speaker
        from figtune.talk.subjects import Uploads

        uploads = Uploads(folder, terms.reading)
        loaded = load_for_answers(output_dir, terms.device)
        speaker = Speaker(loaded=loaded, terms=terms, request=request, uploads=uploads)
        password = access.password or (None if access.is_local else secrets.token_urlsafe(_TOKEN_BYTES))
        app = _application(speaker, folder, access.hosts(), password)
        _tell(access, listener.getsockname()[1], None if access.password else password)
        _run(app, listener)
    say("the page is closed")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, so that nothing of the run stays behind."""
    before = {number: signal.signal(number, _unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unwind(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the interface gives both
    raise SystemExit(128 + number)


def _see_that_gradio_is_there() -> None:
    if importlib.util.find_spec("gradio") is None:
        raise ResourceError("--serve needs Gradio", "install it with: pip install -r requirements-serve.txt")


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as failure:
        # Names that cannot be resolved come with negative numbers, which the system has no words for.
        number = failure.errno or 0
        reason = (os.strerror(number) if number > 0 else str(failure.strerror)).lower()
        raise ResourceError(
            f"{host}:{port} cannot be listened at: {reason}", "give another --serve_port, or another --serve_host"
        ) from None


def _application(
    speaker: Speaker, folder: UploadFolder, hosts: tuple[str, ...] | None, password: str | None
) -> ASGIApp:
    import gradio as gr
    from fastapi import FastAPI
    from gradio import queueing

    from figtune.talk.access_control import AccessControl
    from figtune.talk.page import STYLE, talk_page
    from figtune.talk.path_masking import PathMask

    # Gradio prints the traceback of every error that a visitor can cause.
    queueing.traceback = SimpleNamespace(print_exc=_tell_of_fault)  # type: ignore[attr-defined,assignment]
    app, page = FastAPI(docs_url=None, redoc_url=None, openapi_url=None), talk_page(speaker)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        allowed_paths=[],
        show_error=False,
        max_file_size=f"{_LARGEST_FILE_MB}mb",
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        run_history=False,
        theme=gr.themes.Default(
            primary_hue="blue", font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
        ),
        css=STYLE,
        head=_SILENCE,
    )
    # Only `launch` sets these. Without the first, Gradio opens any path that a visitor names; without the second, it
    # serves uploaded SVG as a page of this site.
    page.has_launched = page.is_running = True
    inputs = {number: len(each.inputs) for number, each in page.fns.items() if each.fn is not None}
    guarded = PathMask(app, folder, inputs)
    return AccessControl(guarded, folder, hosts=hosts, password=password, largest_upload=_LARGEST_UPLOAD)


def _tell_of_fault() -> None:
    """Say what went wrong in one line; Gradio's own errors are refusals of what a visitor has sent."""
    from gradio.exceptions import Error

    fault = sys.exception()
    if not isinstance(fault, Error):
        say(f"a request failed: {type(fault).__name__}: {str(fault).partition(chr(10))[0][:_LONGEST_LINE]}")


def _tell(access: Access, port: int, token: str | None) -> None:
    """Say where the page is and who can reach it; a password made up for this run is said here only."""
    if not access.is_local:
        say(
            f"everybody who can reach this machine at {access.host} can open the page with the password, "
            "which crosses the network unencrypted"
        )
    if token is not None:
        say(f"the password of this run, with any user name: {token}")
    host = f"[{access.host}]" if ":" in access.host else access.host
    say(f"talk to the model at http://{host}:{port} (Ctrl-C ends it)")


def _run(app: ASGIApp, listener: socket.socket) -> None:
    import uvicorn

    # Whatever a client sends wrong is no news for whoever runs the server.
    for library in ("asyncio", "multipart", "python_multipart"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            server_header=False,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
    )
    # Of the signals that end it, uvicorn knows Ctrl-C and SIGTERM; it raises them again once it has ended.
    signal.signal(signal.SIGHUP, server.handle_exit)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return
