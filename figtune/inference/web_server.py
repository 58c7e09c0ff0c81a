"""The HTTP server of the page, and its shutdown by signals."""

from __future__ import annotations

import logging
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_SECONDS_TO_END = 2
_MOST_CONNECTIONS = 256


def run(app: ASGIApp, listener: socket.socket) -> None:
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
