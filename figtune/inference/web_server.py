"""The HTTP server of the page: listening, shutdown by signals, and access from beyond this machine."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from figtune.core.errors import ResourceError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_SECONDS_TO_END = 2
_MOST_CONNECTIONS = 256


@dataclass(frozen=True, kw_only=True)
class Access:
    """Address of the page, and its password."""

    host: str
    """Address or name of this machine to listen at."""
    port: int
    """0 takes a free one."""
    password: str | None
    """Required from every visitor; None for a random one beyond this machine, and for no password on it."""

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


def listening(host: str, port: int) -> socket.socket:
    """Listen at an address of this machine.

    Raises:
        ResourceError: the port is taken, or the address is none of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as failure:
        # Name resolution fails with negative numbers, which strerror does not know.
        number = failure.errno or 0
        reason = (os.strerror(number) if number > 0 else str(failure.strerror)).lower()
        raise ResourceError(
            f"cannot listen on {host}:{port}: {reason}", "give another --serve_port, or another --serve_host"
        ) from None


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
