"""The page served: by default to this machine alone, with nothing of it to be seen but the page."""

from __future__ import annotations

import importlib.util
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from figtune.answers.answering import load_for_answers
from figtune.answers.trained import read_trained
from figtune.core.errors import ResourceError
from figtune.core.log import log
from figtune.talk.terms import Request, Terms

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from figtune.talk.page import Speaker

_LARGEST_UPLOAD = "50mb"
_LOOPBACK = ("127.0.0.1", "localhost")
_SECONDS_TO_END = 2


def serve(output_dir: Path, request: Request, terms: Terms, *, host: str, port: int) -> None:
    """Serve the page about the model trained in `output_dir` until Ctrl-C.

    Args:
        request: what the page asks at first.
        host: address of this machine to listen at.
        port: 0 takes a free one.

    Raises:
        ArtifactMissingError: nothing has been trained there yet.
        InputError: the adapter is of another base model.
        ResourceError: Gradio is not installed, the port is taken, or the base model is not to be had.
    """
    read_trained(output_dir)
    _see_that_gradio_is_there()
    with _listening(host, port) as listener, tempfile.TemporaryDirectory(prefix="figtune-") as uploads:
        # Read when Gradio is imported, and when its page is built.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(Path(uploads).resolve())}
        from figtune.talk.page import Speaker

        speaker = Speaker(loaded=load_for_answers(output_dir, terms.device), terms=terms, request=request)
        _run(_application(speaker, host, os.environ["GRADIO_TEMP_DIR"]), listener)
    log("the page is closed")


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


def _application(speaker: Speaker, host: str, uploads: str) -> ASGIApp:
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from figtune.talk.discretion import Discretion
    from figtune.talk.page import STYLE, talk_page

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(
        app,
        talk_page(speaker),
        path="/",
        footer_links=[],
        allowed_paths=[],
        show_error=False,
        max_file_size=_LARGEST_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        theme=gr.themes.Default(
            primary_hue="blue", font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
        ),
        css=STYLE,
    )
    # Pages elsewhere could otherwise reach this one under a name of their own (DNS rebinding).
    hosts = [*_LOOPBACK] if host in _LOOPBACK else ["*"]
    return Discretion(TrustedHostMiddleware(app, allowed_hosts=hosts), uploads)


def _run(app: ASGIApp, listener: socket.socket) -> None:
    import uvicorn

    host, port = listener.getsockname()[:2]
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_SECONDS_TO_END)
    )
    log(f"talk to the model at http://{host}:{port} (Ctrl-C ends it)")
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return
