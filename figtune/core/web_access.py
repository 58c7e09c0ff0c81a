"""Access to the pages that this program serves: the address, and the rules by which a request is refused.

Whatever serves a page, Gradio or the standard library, refuses requests by `check_request` before it looks at them.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from figtune.core.errors import ResourceError

WRONG_PASSWORD_SECONDS = 0.5
"""Time that the answer to a wrong password is held back, one after another."""
SECURITY_HEADERS: Mapping[bytes, bytes] = {
    b"referrer-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"cross-origin-resource-policy": b"same-origin",
}
"""Headers of every response, beside its content security policy."""


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

    def url(self, port: int) -> str:
        """Return the address as a browser takes it, with the port that it got."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}"


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


class RefusedRequestError(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers or {}


@dataclass(frozen=True, kw_only=True)
class RequestHead:
    """The first lines of a request."""

    method: str
    path: str
    """Without the query."""
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)

    def one(self, name: bytes) -> bytes:
        """Return the value of a header, empty if there is none.

        Raises:
            RefusedRequestError: it occurs twice, and two readers could each take another one.
        """
        values = [value for key, value in self.headers if key.lower() == name]
        if len(values) > 1:
            raise RefusedRequestError(400, f"{name.decode()} twice")
        return values[0] if values else b""

    @property
    def media_type(self) -> bytes:
        """Content type of the body, without its parameters."""
        return self.one(b"content-type").partition(b";")[0].strip().lower()


def check_request(head: RequestHead, *, hosts: Sequence[str] | None, password: str | None) -> None:
    """Check host, password and origin of a request.

    Args:
        hosts: allowed names in the Host header, against DNS rebinding; None for any.
        password: required by HTTP Basic authentication, with any user name; None for no password.

    Raises:
        RefusedRequestError: status 400, 401 or 403. Hold back the answer to a wrong password.
    """
    if hosts is not None and _host_name(head.one(b"host")) not in hosts:
        raise RefusedRequestError(400, "unknown host")
    if password is not None and not _knows(password, head.one(b"authorization")):
        asked = {"www-authenticate": 'Basic realm="figtune", charset="UTF-8"'}
        raise RefusedRequestError(401, "password needed", asked)
    if _is_foreign(head):
        raise RefusedRequestError(403, "requests from other sites are refused")


def _is_foreign(head: RequestHead) -> bool:
    """Return True for a request of another site's page, except for following a link to this page."""
    origin, site = head.one(b"origin"), head.one(b"sec-fetch-site").lower()
    if origin and _netloc(origin) != head.one(b"host").lower():
        return True
    if site in (b"", b"same-origin", b"none"):
        return False
    is_link = (head.one(b"sec-fetch-mode"), head.one(b"sec-fetch-dest")) == (b"navigate", b"document")
    return not (is_link and head.method == "GET" and head.path == "/")


def _netloc(origin: bytes) -> bytes:
    """Return host and port of an Origin header; empty where it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return b""


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
