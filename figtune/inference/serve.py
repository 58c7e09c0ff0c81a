"""Serve the page: by default for this machine alone, and beyond it only with a password."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from figtune.core.cli import ended_by_signals
from figtune.core.settings import require
from figtune.core.web_access import Access, listening
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.paper_figures import PromptSpec
from figtune.inference.settings import InferenceSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from figtune.inference.uploads import UploadFolder
    from figtune.inference.web_app import AppState

logger = logging.getLogger(__name__)

_LARGEST_FILE_MB = 50
_LARGEST_UPLOAD = (_LARGEST_FILE_MB + 1) << 20
"""Bytes of one request: a file and what surrounds it."""
_MOST_UPLOADS = 1 << 30
"""Bytes of all uploads together."""
_MOST_SESSIONS = 500
"""Visitors whose state Gradio remembers, at about 70 kB each; the longest absent is forgotten first."""
_TOKEN_BYTES = 16
_LONGEST_LINE = 200
"""Characters of an error's text on the terminal."""
# Gradio's client warns on the browser's console at the end of every answer, and means nothing by it.
_SILENCE = """<script>{
  const warn = console.warn.bind(console);
  console.warn = (...said) => said[0] === "Method not implemented." || warn(...said);
}</script>"""
_SECONDS_TO_END = 2
_MOST_CONNECTIONS = 256


def serve(output_dir: Path, spec: PromptSpec, settings: InferenceSettings, access: Access) -> None:
    """Serve the page about the model trained in `output_dir` until Ctrl-C, SIGTERM or SIGHUP.

    Raises:
        ArtifactMissingError: no trained adapter.
        InputError: the adapter is of another base model.
        ResourceError: Gradio is not installed, the port is taken, or the base model is unavailable.
    """
    read_adapter_record(output_dir)
    require("gradio", "--serve", "requirements-serve.txt")
    from figtune.inference.uploads import UploadReader, upload_folder

    with ended_by_signals(), listening(access.host, access.port) as listener, upload_folder(_MOST_UPLOADS) as folder:
        # Gradio reads these when it is imported and when the page is built.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(folder.path)}
        from figtune.inference.generate import load_model
        from figtune.inference.web_app import AppState

        uploads = UploadReader(folder, settings.extract)
        loaded = load_model(output_dir, settings.device, unquantized=settings.unquantized)
        state = AppState(loaded=loaded, settings=settings, spec=spec, uploads=uploads)
        password = access.password or (None if access.is_local else secrets.token_urlsafe(_TOKEN_BYTES))
        app = _application(state, folder, access.hosts(), password)
        _log_address(access, listener.getsockname()[1], None if access.password else password)
        run_server(app, listener)
    logger.info("the page is closed")


def _application(state: AppState, folder: UploadFolder, hosts: tuple[str, ...] | None, password: str | None) -> ASGIApp:
    import gradio as gr
    from fastapi import FastAPI
    from gradio import queueing

    from figtune.inference.middleware import AccessControl, PathMask
    from figtune.inference.web_app import STYLE, build_app

    # Gradio prints the traceback of every error that a visitor can cause.
    queueing.traceback = SimpleNamespace(print_exc=_log_exception)  # type: ignore[attr-defined,assignment]
    app, page = FastAPI(docs_url=None, redoc_url=None, openapi_url=None), build_app(state)
    page.state_session_capacity = _MOST_SESSIONS
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


def _log_exception() -> None:
    """Log an exception in one line; Gradio's own errors are refused requests of a visitor."""
    from gradio.exceptions import Error

    fault = sys.exception()
    if not isinstance(fault, Error):
        logger.warning(f"a request failed: {type(fault).__name__}: {str(fault).partition(chr(10))[0][:_LONGEST_LINE]}")


def _log_address(access: Access, port: int, token: str | None) -> None:
    """Log the address and who can reach it; a random password is printed here only."""
    if not access.is_local:
        logger.info(
            f"everybody who can reach this machine at {access.host} can open the page with the password, "
            "which crosses the network unencrypted"
        )
    if token is not None:
        logger.warning(f"the password of this run, with any user name: {token}")
    logger.info(f"talk to the model at {access.url(port)} (Ctrl-C ends it)")


def run_server(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until Ctrl-C, or until a signal that `ended_by_signals` turns into the end of the program."""
    import uvicorn

    # Errors of clients are not logged.
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
    # uvicorn handles SIGINT and SIGTERM itself, and raises them again after the shutdown.
    signal.signal(signal.SIGHUP, server.handle_exit)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return
